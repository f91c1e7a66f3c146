#!/usr/bin/python3 -B
# SPDX-License-Identifier: Apache-2.0
"""A guest book with a database of its own: what a replicated application looks like.

    guestbook.py PORT DATABASE [NAME]

Three things in it are owed to replication; everything else is as ever:
  1. it is wrapped in GreenCommit and works in the transaction that it is given (level L1);
  2. the time of an entry is that of the write, not of the clock (now_ms), and nothing else
     that it stores differs from server to server;
  3. what shall happen once alone, a mail say, would ask is_answerer() first.
"""

import html
import json
import os
import socketserver
import sqlite3
import sys
import time
import urllib.parse
import wsgiref.simple_server

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "..", "middleware", "wsgi"))
import green_commit  # noqa: E402

PAGE = """<!DOCTYPE html>
<html lang="en"><meta charset="utf-8"><title>Guest book</title>
<style>body { font-family: sans-serif; max-width: 40em; margin: 2em auto } li { margin: .5em }
small { color: #666 }</style>
<h1>Guest book</h1>
<form method="post" action="/entries">
<p><input name="name" placeholder="Name" required maxlength="60">
<input name="text" placeholder="What you want to say" required maxlength="500" size="40">
<button>Write</button></form>
<ol reversed>%s</ol>
<p><small>%d entries, read from server %s</small>
"""


class GuestBook:
    def __init__(self, name):
        self.name = name

    def __call__(self, environ, start_response):
        db = environ["green_commit.connection"]
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        if method == "POST" and path == "/entries":
            status, headers, body = self.write(db, environ)
        elif method in ("GET", "HEAD") and path in ("/", "/entries.json"):
            status, headers, body = self.read(db, path)
        else:
            status, headers, body = "404 Not Found", [("Content-Type", "text/plain")], "?\n"
        body = body.encode()
        start_response(status, headers + [("Content-Length", str(len(body)))])
        return [b"" if method == "HEAD" else body]

    @staticmethod
    def write(db, environ):
        form = urllib.parse.parse_qs(environ["wsgi.input"].read().decode("utf-8", "replace"))
        name, text = (form.get(field, [""])[0].strip() for field in ("name", "text"))
        if not 1 <= len(name) <= 60 or not 1 <= len(text) <= 500:
            return ("400 Bad Request", [("Content-Type", "text/plain")],
                    "A name of 1 to 60 characters and a text of 1 to 500, please.\n")
        db.execute("INSERT INTO entries (at_ms, name, text) VALUES (?, ?, ?)",
                   (green_commit.now_ms(environ), name, text))
        return "303 See Other", [("Location", "/"), ("Content-Type", "text/plain")], "Thanks.\n"

    def read(self, db, path):
        entries = db.execute("SELECT at_ms, name, text FROM entries ORDER BY n").fetchall()
        if path == "/entries.json":
            return "200 OK", [("Content-Type", "application/json")], json.dumps(entries) + "\n"
        items = "".join("<li><b>%s</b> <small>%s</small><br>%s" % (
            html.escape(name), time.strftime("%Y-%m-%d %H:%M", time.gmtime(at_ms / 1000)),
            html.escape(text)) for at_ms, name, text in reversed(entries))
        return ("200 OK", [("Content-Type", "text/html; charset=utf-8")],
                PAGE % (items, len(entries), html.escape(self.name)))


def health(application):
    """Is it there? Answered beside the database, which may be busy."""
    def checked(environ, start_response):
        if environ["PATH_INFO"] != "/health":
            return application(environ, start_response)
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "3")])
        return [b"ok\n"]
    return checked


def connect(path):
    db = sqlite3.connect(path, timeout=10)
    db.execute("PRAGMA synchronous=FULL")
    return db


def make(path, name):
    """The application over a database, which is made where it is missing."""
    db = connect(path)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("CREATE TABLE IF NOT EXISTS entries (n INTEGER PRIMARY KEY,"
               " at_ms INTEGER NOT NULL, name TEXT NOT NULL, text TEXT NOT NULL)")
    green_commit.create_tables(db)
    db.close()
    return health(green_commit.GreenCommit(GuestBook(name), lambda environ: connect(path)))


class Server(socketserver.ThreadingMixIn, wsgiref.simple_server.WSGIServer):
    daemon_threads = True


class Quiet(wsgiref.simple_server.WSGIRequestHandler):
    def log_message(self, *args):
        pass


def main():
    port, path = int(sys.argv[1]), sys.argv[2]
    name = sys.argv[3] if len(sys.argv) > 3 else "at port %d" % port
    server = wsgiref.simple_server.make_server("127.0.0.1", port, make(path, name),
                                               server_class=Server, handler_class=Quiet)
    print("ready", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
