#!/usr/bin/python3 -B
"""A list behind middleware/wsgi, for tests: middleware_wsgi.py PORT DIR [KEEP_S]

POST /append, /reject (409), /busy (503), /fail (500), /raise, /slow, /ends (commits itself);
each inserts first. GET /list. DIR/kill says when it dies: "data" or "commit"; DIR/patience how many seconds it waits for
a lock.
"""
import os
import signal
import socketserver
import sqlite3
import sys
import time
import wsgiref.simple_server

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "../../middleware/wsgi"))
import green_commit  # noqa: E402

PORT, DIR = int(sys.argv[1]), sys.argv[2]
KEEP_S = int(sys.argv[3]) if len(sys.argv) > 3 else 3600
STATUS = {"/append": "201 Created", "/slow": "201 Created", "/ends": "201 Created",
          "/reject": "409 Conflict", "/busy": "503 Service Unavailable",
          "/fail": "500 Internal Server Error"}


def dies(when):
    path = os.path.join(DIR, "kill")
    if os.path.exists(path) and open(path).read() == when:
        os.unlink(path)
        os.kill(os.getpid(), signal.SIGKILL)


class Connection(sqlite3.Connection):
    def commit(self):
        super().commit()
        dies("commit")


def patience_s():
    path = os.path.join(DIR, "patience")
    return int(open(path).read()) if os.path.exists(path) else 30


def connect(environ):
    return sqlite3.connect(os.path.join(DIR, "data.db"), timeout=patience_s(),
                           factory=Connection)


def application(environ, start_response):
    db = environ["green_commit.connection"]
    path = environ["PATH_INFO"]
    if environ["REQUEST_METHOD"] == "GET":
        rows = [r[0] for r in db.execute("SELECT line FROM lines ORDER BY n")]
        start_response("200 OK", [("Content-Type", "text/plain")])
        return ["\n".join(rows).encode()]
    line = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])).decode()
    db.execute("INSERT INTO lines (line) VALUES (?)", (line,))
    if path == "/slow":
        time.sleep(0.5)
    if path == "/raise":
        raise ValueError("as it was told")
    if path == "/ends":
        db.commit()
    dies("data")
    count = db.execute("SELECT count(*) FROM lines").fetchone()[0]
    start_response(STATUS[path], [("Content-Type", "text/plain"), ("X-Count", str(count))])
    return [b"%d " % count, line.encode()]


class Server(socketserver.ThreadingMixIn, wsgiref.simple_server.WSGIServer):
    daemon_threads = True


class Quiet(wsgiref.simple_server.WSGIRequestHandler):
    def log_message(self, *args):
        pass


setup = sqlite3.connect(os.path.join(DIR, "data.db"))
setup.execute("CREATE TABLE IF NOT EXISTS lines (n INTEGER PRIMARY KEY, line TEXT)")
green_commit.create_tables(setup)
setup.close()
wsgiref.simple_server.make_server(
    "127.0.0.1", PORT, green_commit.GreenCommit(application, connect, keep_s=KEEP_S),
    server_class=Server, handler_class=Quiet).serve_forever()
