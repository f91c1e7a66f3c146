# SPDX-License-Identifier: Apache-2.0
"""Level L1 for WSGI applications: a write takes effect once, however often it comes.

    application = GreenCommit(application, connect)

`connect(environ)` gives a DB-API connection to the application's own database, opened for
this request and closed by the middleware. The middleware begins a transaction, and the
application works in it: it takes the connection from environ["green_commit.connection"] and
neither commits nor rolls back. Its data, the Idempotency-Key and the whole answer are then
committed together, and a write that comes again gets the answer of the first time.

Make the tables once: `create_tables(connection)`. Written for SQLite; other databases need
`paramstyle="format"` (psycopg) and `is_transient`, see docs/commit.md.

  status of the answer       what becomes of the data        recorded
  2xx, 3xx                   committed                       yes
  4xx                        rolled back                     yes: the same answer again
  408, 425, 429, 5xx         rolled back                     no: it may be tried again
  exception                  rolled back, goes on            no, unless transient: 503

The answer of a write is held in memory until it is committed. GET and the like get a
connection, too, and no transaction of ours.
"""

import base64
import hashlib
import io
import json
import random
import sqlite3
import time

SAFE = ("GET", "HEAD", "OPTIONS", "TRACE")
DAY_S = 86400

TABLES = (
    "CREATE TABLE IF NOT EXISTS green_commit_keys (id TEXT PRIMARY KEY, digest TEXT NOT NULL,"
    " at BIGINT NOT NULL, status TEXT NOT NULL, headers TEXT NOT NULL, body TEXT NOT NULL)",
    "CREATE INDEX IF NOT EXISTS green_commit_keys_at ON green_commit_keys (at)",
    "CREATE TABLE IF NOT EXISTS green_commit_head (one INTEGER PRIMARY KEY,"
    " epoch BIGINT NOT NULL, seq BIGINT NOT NULL)",
)


def create_tables(connection):
    """Makes the middleware's tables where they are missing, and commits."""
    cursor = connection.cursor()
    for statement in TABLES:
        cursor.execute(statement)
    connection.commit()


def now_ms(environ):
    """The time of the write, the same on every replica; use it instead of the clock."""
    given = environ.get("HTTP_GREEN_COMMIT_TIME", "")
    return int(given) if given.isascii() and given.isdigit() else int(time.time() * 1000)


def dice(environ):
    """random.Random, with the same numbers on every replica."""
    return random.Random(environ.get("HTTP_GREEN_COMMIT_SEED"))


def is_answerer(environ):
    """May this replica send the mail, charge the card? One alone answers a write; it may be
    asked again after a crash, so what it does outside needs the key, too."""
    return environ.get("HTTP_GREEN_COMMIT_ROLE", "answer") == "answer"


def is_transient(error):
    """Errors of SQLite that say nothing of the write itself: busy, full, not readable."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xff
    return isinstance(error, sqlite3.Error) and code in (
        sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL)


def read_key(text):
    """The Idempotency-Key, 1 to 128 visible ASCII characters, quoted or bare; None: none."""
    text = text.strip(" ")
    if text[:1] == '"':
        key, rest = "", text[1:]
        while rest and rest[0] != '"':
            if rest[0] == "\\":
                rest = rest[1:]
                if rest[:1] not in ("\\", '"'):
                    return None
            key, rest = key + rest[:1], rest[1:]
        if rest != '"':
            return None
    else:
        key = text
        if any(c in '",;\\' for c in key):
            return None
    good = 1 <= len(key) <= 128 and all("!" <= c <= "~" for c in key)
    return key if good else None


def read_seq(text):
    """Green-Commit-Seq, "EPOCH.SEQ"; None: none."""
    parts = text.split(".")
    if len(parts) != 2 or not all(p.isascii() and p.isdigit() and len(p) < 20 for p in parts):
        return None
    return int(parts[0]), int(parts[1])


class Refused(Exception):
    """Answered by the middleware itself."""

    def __init__(self, status, text):
        super().__init__(status)
        self.status, self.text = status, text


class Answer:
    """What an application says, caught."""

    def __init__(self, application, environ):
        self.status, self.headers = None, []
        written = []

        def start_response(status, headers, exc_info=None):
            if exc_info:
                written.clear()
            self.status, self.headers = status, headers
            return written.append

        said = application(environ, start_response)
        try:
            written.extend(said)
        finally:
            if hasattr(said, "close"):
                said.close()
        self.body = b"".join(written)

    def code(self):
        return int(self.status.split(" ", 1)[0])

    def is_done(self):
        """Is it the write's answer for ever?"""
        return 200 <= self.code() < 500 and self.code() not in (408, 425, 429)


class GreenCommit:
    """The middleware. keep_s: how long answers are kept, longer than any failure of the
    proxy may last. most_bytes: of a body; the proxy has a limit of its own, too.
    require_key: a write without a key did not come through the proxy and is refused."""

    def __init__(self, application, connect, keep_s=7 * DAY_S, most_bytes=1 << 20,
                 require_key=True, paramstyle="qmark", transient=is_transient):
        self.application, self.connect = application, connect
        self.keep_s, self.most_bytes, self.require_key = keep_s, most_bytes, require_key
        self.mark = {"qmark": "?", "format": "%s"}[paramstyle]
        self.transient = transient

    def __call__(self, environ, start_response):
        if environ["REQUEST_METHOD"] in SAFE:
            return self.read(environ, start_response)
        try:
            status, headers, body = self.write(environ)
        except Refused as refused:
            body = (refused.text + "\n").encode()
            status, headers = refused.status, [("Content-Type", "text/plain"),
                                               ("Content-Length", str(len(body)))]
        except Exception as error:  # pylint: disable=broad-except
            if not self.transient(error):
                raise
            status, headers, body = "503 Service Unavailable", [("Retry-After", "1")], b""
        start_response(status, headers)
        return [body]

    def read(self, environ, start_response):
        connection = self.connect(environ)
        try:
            environ["green_commit.connection"] = connection
            answer = Answer(self.application, environ)
        finally:
            connection.close()
        start_response(answer.status, answer.headers)
        return [answer.body]

    def write(self, environ):
        key = read_key(environ.get("HTTP_IDEMPOTENCY_KEY", ""))
        if key is None and (self.require_key or environ.get("HTTP_IDEMPOTENCY_KEY")):
            raise Refused("400 Bad Request", "Idempotency-Key is missing or malformed: writes "
                          "come through the proxy")
        body = self.body(environ)
        connection = self.connect(environ)
        try:
            environ["green_commit.connection"] = connection
            return self.in_transaction(connection, environ, key, body)
        finally:
            connection.close()  # what is not committed is rolled back

    def body(self, environ):
        length = environ.get("CONTENT_LENGTH") or "0"
        if not length.isascii() or not length.isdigit():
            raise Refused("400 Bad Request", "Content-Length is no number")
        if int(length) > self.most_bytes:
            raise Refused("413 Content Too Large", "more than %d bytes" % self.most_bytes)
        body = environ["wsgi.input"].read(int(length))
        if len(body) != int(length):
            raise Refused("400 Bad Request", "the body ended early")
        environ["wsgi.input"] = io.BytesIO(body)
        return body

    # ------------------------------------------------------------ the database

    def execute(self, connection, statement, *values):
        cursor = connection.cursor()
        cursor.execute(statement.replace("?", self.mark), values)
        return cursor

    def in_transaction(self, connection, environ, key, body):
        """Two that come with one key at once: the second one waits for the first, for the
        database lets one alone have the row, and then finds its answer."""
        digest = hashlib.sha256("\0".join((
            environ["REQUEST_METHOD"], environ.get("SCRIPT_NAME", ""),
            environ.get("PATH_INFO", ""), environ.get("QUERY_STRING", ""))).encode(
                "utf-8", "surrogateescape") + b"\0" + body).hexdigest()
        while True:
            if isinstance(connection, sqlite3.Connection):
                connection.execute("BEGIN IMMEDIATE")
            found = self.find(connection, key, digest)
            if found:
                connection.rollback()
                return found
            self.advance(connection, environ)
            try:
                if key is not None:
                    self.execute(connection, "INSERT INTO green_commit_keys VALUES"
                                 " (?, ?, ?, '', '', '')", key, digest, int(time.time()))
                break
            except Exception as error:  # pylint: disable=broad-except
                if type(error).__name__ not in ("IntegrityError", "UniqueViolation"):
                    raise
                connection.rollback()  # the other one has committed
        self.execute(connection, "SAVEPOINT green_commit")
        answer = Answer(self.application, environ)
        if not answer.is_done():
            connection.rollback()
            return answer.status, answer.headers, answer.body
        try:
            if answer.code() >= 400:
                self.execute(connection, "ROLLBACK TO SAVEPOINT green_commit")
            self.execute(connection, "RELEASE SAVEPOINT green_commit")
        except Exception as error:
            raise RuntimeError("the application has ended the transaction: its data and the "
                               "key are not one any more") from error
        self.record(connection, key, answer)
        connection.commit()
        return answer.status, answer.headers, answer.body

    def find(self, connection, key, digest):
        row = self.execute(connection, "SELECT digest, status, headers, body FROM"
                           " green_commit_keys WHERE id = ?", key).fetchone()
        if not row:
            return None
        if row[0] != digest:
            raise Refused("422 Unprocessable Content", "the key was used with another request")
        headers = [tuple(h) for h in json.loads(row[2])] + [("Green-Commit-Replayed", "?1")]
        return row[1], headers, base64.b64decode(row[3])

    def advance(self, connection, environ):
        """The fence: what comes after a later one was already given up by the proxy. It was
        on its way for long, and must not take effect any more."""
        place = read_seq(environ.get("HTTP_GREEN_COMMIT_SEQ", ""))
        if place is None:
            return
        head = self.execute(connection, "SELECT epoch, seq FROM green_commit_head").fetchone()
        if head is None:
            self.execute(connection, "INSERT INTO green_commit_head VALUES (1, ?, ?)", *place)
        elif place <= tuple(head):
            raise Refused("412 Precondition Failed", "later writes have been taken up already")
        else:
            self.execute(connection, "UPDATE green_commit_head SET epoch = ?, seq = ?", *place)

    def record(self, connection, key, answer):
        self.execute(connection, "UPDATE green_commit_keys SET status = ?, headers = ?,"
                     " body = ? WHERE id = ?", answer.status, json.dumps(answer.headers),
                     base64.b64encode(answer.body).decode(), key)
        self.execute(connection, "DELETE FROM green_commit_keys WHERE at < ?",
                     int(time.time() - self.keep_s))
