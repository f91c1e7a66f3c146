<?php
/* SPDX-License-Identifier: Apache-2.0
 *
 * Level L1 for PHP applications: a write takes effect once, however often it comes.
 *
 *     require 'green_commit.php';
 *     $db = new PDO('sqlite:/var/lib/app/data.db');
 *     green_commit($db, function (PDO $db): void {
 *         // the application: works in $db, sets http_response_code() and header(),
 *         // and echoes; it neither commits nor rolls back, nor calls exit()
 *     });
 *
 * The application's data, the Idempotency-Key and the whole answer are committed together,
 * and a write that comes again gets the answer of the first time.  2xx and 3xx commit the
 * data; 4xx roll it back and are kept; 408, 425, 429 and 5xx roll back and may be tried
 * again; so does an exception, which is thrown on.
 *
 * Make the tables once: green_commit_tables($db).  Written for PDO with SQLite.
 */
declare(strict_types=1);

function green_commit_tables(PDO $db): void
{
    $db->exec('CREATE TABLE IF NOT EXISTS green_commit_keys (id TEXT PRIMARY KEY,'
        . ' digest TEXT NOT NULL, at BIGINT NOT NULL, status INTEGER NOT NULL,'
        . ' headers TEXT NOT NULL, body TEXT NOT NULL)');
    $db->exec('CREATE INDEX IF NOT EXISTS green_commit_keys_at ON green_commit_keys (at)');
    $db->exec('CREATE TABLE IF NOT EXISTS green_commit_head (one INTEGER PRIMARY KEY,'
        . ' epoch BIGINT NOT NULL, seq BIGINT NOT NULL)');
}

/* The time of the write in milliseconds, the same on every replica. */
function green_commit_now_ms(): int
{
    $given = $_SERVER['HTTP_GREEN_COMMIT_TIME'] ?? '';
    return ctype_digit($given) ? (int)$given : (int)(microtime(true) * 1000);
}

/* May this replica send the mail?  One alone answers a write. */
function green_commit_is_answerer(): bool
{
    return ($_SERVER['HTTP_GREEN_COMMIT_ROLE'] ?? 'answer') === 'answer';
}

/* 1 to 128 visible ASCII characters, quoted or bare; null: none. */
function green_commit_key(string $text): ?string
{
    $text = trim($text, ' ');
    if (preg_match('/\A"((?:[!#-\[\]-~]|\\\\["\\\\])+)"\z/', $text, $found)) {
        $text = preg_replace('/\\\\(.)/', '$1', $found[1]);
    } elseif (!preg_match('/\A[!#-+\--:<-\[\]-~]+\z/', $text)) {
        return null;
    }
    return strlen($text) <= 128 ? $text : null;
}

class GreenCommitRefused extends Exception
{
}

/* The fence: what comes after a later one was given up by the proxy long ago. */
function green_commit_advance(PDO $db, string $seq): void
{
    if (!preg_match('/\A(\d{1,18})\.(\d{1,18})\z/', $seq, $place)) {
        return;
    }
    $head = $db->query('SELECT epoch, seq FROM green_commit_head')->fetch(PDO::FETCH_NUM);
    $place = [(int)$place[1], (int)$place[2]];
    if ($head && $place <= [(int)$head[0], (int)$head[1]]) {
        throw new GreenCommitRefused('later writes have been taken up already', 412);
    }
    $db->prepare($head ? 'UPDATE green_commit_head SET epoch = ?, seq = ?'
        : 'INSERT INTO green_commit_head VALUES (1, ?, ?)')->execute($place);
}

/* Says an answer that was kept; false: there is none. */
function green_commit_replay(PDO $db, string $key, string $digest): bool
{
    $find = $db->prepare('SELECT digest, status, headers, body FROM green_commit_keys'
        . ' WHERE id = ?');
    $find->execute([$key]);
    $row = $find->fetch(PDO::FETCH_NUM);
    $find->closeCursor();
    if (!$row) {
        return false;
    }
    if ($row[0] !== $digest) {
        throw new GreenCommitRefused('the key was used with another request', 422);
    }
    http_response_code((int)$row[1]);
    foreach (json_decode($row[2]) as $line) {
        header($line, false);
    }
    header('Green-Commit-Replayed: ?1');
    echo base64_decode($row[3]);
    return true;
}

/* Is a status the write's answer for ever? */
function green_commit_is_done(int $status): bool
{
    return $status >= 200 && $status < 500 && !in_array($status, [408, 425, 429], true);
}

function green_commit_write(PDO $db, callable $application, string $key, int $keep_s): void
{
    $digest = hash('sha256', $_SERVER['REQUEST_METHOD'] . "\0" . $_SERVER['REQUEST_URI']
        . "\0" . file_get_contents('php://input'));
    if (green_commit_replay($db, $key, $digest)) {
        return;
    }
    green_commit_advance($db, $_SERVER['HTTP_GREEN_COMMIT_SEQ'] ?? '');
    $db->exec('SAVEPOINT green_commit');
    http_response_code(200);
    ob_start();
    try {
        $application($db);
    } finally {
        $body = (string)ob_get_clean();
    }
    $status = (int)http_response_code();
    if (green_commit_is_done($status)) {
        if ($status >= 400) {
            $db->exec('ROLLBACK TO SAVEPOINT green_commit');
        }
        $db->exec('RELEASE SAVEPOINT green_commit'); // fails if the application has committed
        $db->prepare('INSERT INTO green_commit_keys VALUES (?, ?, ?, ?, ?, ?)')->execute(
            [$key, $digest, time(), $status, json_encode(headers_list()),
             base64_encode($body)]);
        $db->prepare('DELETE FROM green_commit_keys WHERE at < ?')->execute(
            [time() - $keep_s]);
        $db->exec('COMMIT');
    }
    echo $body;
}

/* Runs the application for this request.  keep_s: how long answers are kept, longer than
 * any failure of the proxy may last. */
function green_commit(PDO $db, callable $application, int $keep_s = 7 * 86400): void
{
    $db->setAttribute(PDO::ATTR_ERRMODE, PDO::ERRMODE_EXCEPTION);
    if (in_array($_SERVER['REQUEST_METHOD'], ['GET', 'HEAD', 'OPTIONS', 'TRACE'], true)) {
        $application($db);
        return;
    }
    $key = green_commit_key($_SERVER['HTTP_IDEMPOTENCY_KEY'] ?? '');
    $open = false;
    try {
        if ($key === null) {
            throw new GreenCommitRefused('Idempotency-Key is missing or malformed: writes '
                . 'come through the proxy', 400);
        }
        $db->exec('BEGIN IMMEDIATE'); // one write at a time: the second one finds the record
        $open = true;
        green_commit_write($db, $application, $key, $keep_s);
    } catch (GreenCommitRefused $refused) {
        header_remove();
        http_response_code($refused->getCode());
        header('Content-Type: text/plain');
        echo $refused->getMessage() . "\n";
    } catch (PDOException $error) {
        /* busy, locked, read-only, I/O, full, cannot open: nothing of the write itself */
        if (!in_array(($error->errorInfo[1] ?? 0) & 0xff, [5, 6, 8, 10, 13, 14], true)) {
            http_response_code(500);
            throw $error;
        }
        header_remove();
        http_response_code(503);
        header('Retry-After: 1');
    } catch (Throwable $error) {
        http_response_code(500);
        throw $error;
    } finally {
        if ($open) {
            try {
                $db->exec('ROLLBACK'); // what is not committed
            } catch (PDOException $done) {
                // it was committed
            }
        }
    }
}
