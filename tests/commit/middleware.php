<?php
/* A list behind middleware/php, for tests; as middleware_wsgi.py.  DIR and KEEP_S come from
 * the environment. */
require __DIR__ . '/../../middleware/php/green_commit.php';

function dies(string $when): void
{
    $path = getenv('DIR') . '/kill';
    if (file_exists($path) && file_get_contents($path) === $when) {
        unlink($path);
        posix_kill(posix_getpid(), 9);
    }
}

class Connection extends PDO
{
    public function exec(string $statement): int|false
    {
        $done = parent::exec($statement);
        if ($statement === 'COMMIT') {
            dies('commit');
        }
        return $done;
    }
}

$patience = getenv('DIR') . '/patience';
$db = new Connection('sqlite:' . getenv('DIR') . '/data.db', null, null,
    [PDO::ATTR_TIMEOUT => file_exists($patience) ? (int)file_get_contents($patience) : 30]);
$path = parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);
if ($path === '/setup') {
    $db->exec('CREATE TABLE IF NOT EXISTS lines (n INTEGER PRIMARY KEY, line TEXT)');
    green_commit_tables($db);
    return;
}
green_commit($db, function (PDO $db) use ($path): void {
    header('Content-Type: text/plain');
    if ($_SERVER['REQUEST_METHOD'] === 'GET') {
        echo implode("\n", $db->query('SELECT line FROM lines ORDER BY n')
            ->fetchAll(PDO::FETCH_COLUMN));
        return;
    }
    $line = file_get_contents('php://input');
    $db->prepare('INSERT INTO lines (line) VALUES (?)')->execute([$line]);
    if ($path === '/slow') {
        usleep(500000);
    }
    if ($path === '/raise') {
        throw new ValueError('as it was told');
    }
    if ($path === '/ends') {
        $db->exec('COMMIT');
    }
    dies('data');
    $count = $db->query('SELECT count(*) FROM lines')->fetchColumn();
    header("X-Count: $count");
    http_response_code(['/append' => 201, '/slow' => 201, '/ends' => 201, '/reject' => 409,
                        '/busy' => 503, '/fail' => 500][$path]);
    echo $count, ' ', $line;
}, (int)(getenv('KEEP_S') ?: 3600));
