#!/usr/bin/python3 -B
# SPDX-License-Identifier: Apache-2.0
"""Three guest books behind httpd, one of which sleeps and misses nothing; see run."""

import argparse
import http.client
import json
import os
import secrets
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [os.path.join(ROOT, "tests", "integration")]

from proxy import Proxy, free_port, wait  # noqa: E402

BOOT_S = 2.0
SETTINGS = """
    GreenAwake min=1
    GreenDwell awake=1s asleep=1s cycles=48/day
    GreenHealth uri=/health interval=500ms timeout=1s rise=2 fall=3
    GreenReverseHealth interval=1s fall=2
    GreenWake timeout=20s retry=3s
    GreenReplicas independent
    GreenCommit quorum=2 wait=2s late=202
    GreenCommitBackend l1
"""
# The power driver asks this process to start and to end the servers.
DRIVER = """#!/usr/bin/python3 -B
import socket, sys
with socket.socket(socket.AF_UNIX) as s:
    s.settimeout(5)
    s.connect(sys.argv[1])
    s.sendall((" ".join(sys.argv[2:]) + "\\n").encode())
    answer = s.makefile().read()
print(answer)
sys.exit(0 if answer else 1)
"""


class Book:
    """A server: a process with a port and a database."""

    def __init__(self, directory, name):
        self.name, self.port = name, free_port()
        self.url = "http://127.0.0.1:%d" % self.port
        self.database = os.path.join(directory, name + ".db")
        self.process = None
        self.lock = threading.Lock()  # two may want it on

    def start(self):
        with self.lock:
            if self.is_on():
                return
            self.process = subprocess.Popen(
                ["/usr/bin/python3", "-B", os.path.join(HERE, "guestbook.py"), str(self.port),
                 self.database, self.name], stdout=subprocess.PIPE)
            self.process.stdout.readline()

    def stop(self, how=signal.SIGTERM):
        with self.lock:
            if self.process:
                self.process.send_signal(how)
                self.process.wait()
                self.process.stdout.close()
                self.process = None

    def is_on(self):
        return self.process is not None and self.process.poll() is None

    def entries(self):
        """What its database holds, also while it is off."""
        db = sqlite3.connect(self.database, timeout=10)
        try:
            return db.execute("SELECT at_ms, name, text FROM entries ORDER BY n").fetchall()
        finally:
            db.close()


class Switch(threading.Thread):
    """Carries out what the power driver is told: on, off, status, and a URL."""

    def __init__(self, path, books):
        super().__init__(daemon=True)
        self.books = {book.port: book for book in books}
        self.gone = threading.Event()
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        os.chmod(path, 0o666)
        self.listener.listen(16)

    def run(self):
        while not self.gone.is_set():
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection:
                self.serve(connection)

    def serve(self, connection):
        order, url = connection.makefile().readline().split()[:2]
        book = self.books[urllib.parse.urlsplit(url).port]
        if order == "status":
            connection.sendall(b"on\n" if book.is_on() else b"off\n")
            return
        if order == "on":
            threading.Timer(BOOT_S, lambda: self.gone.is_set() or book.start()).start()
        elif order == "off":
            book.stop()
        connection.sendall(b"ok\n")

    def end(self):
        self.gone.set()
        self.listener.close()


def make_proxy(directory, books):
    driver, path = os.path.join(directory, "driver"), os.path.join(directory, "switch")
    with open(driver, "w") as f:
        f.write(DRIVER)
    os.chmod(driver, 0o755)
    key = os.path.join(directory, "journal.key")
    with open(os.open(key, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as f:
        f.write(secrets.token_bytes(32))
    proxy = Proxy(os.path.join(directory, "proxy"), balancer=SETTINGS,
                  members=[(book.url, "wake=room sleep=room boot=3s capacity=8 machine=" +
                            book.name) for book in books],
                  main="GreenJournal %s key=%s size=16M" % (
                      os.path.join(directory, "proxy", "state", "journal.db"), key),
                  drivers={"room": [driver, path]})
    proxy.allow(r"GreenJournal.* same file system")  # the key lies beside the journal here
    return proxy, Switch(path, books)


def ask(proxy, method, path, body=None, headers=None):
    client = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=30)
    try:
        client.request(method, path, body, headers or {})
        answer = client.getresponse()
        return answer.status, answer.read(), answer.headers
    finally:
        client.close()


def write(proxy, name, text):
    """An entry, repeated with its key until it is answered: it stands there once."""
    key = secrets.token_hex(16)
    for _ in range(20):
        status, _, headers = ask(proxy, "POST", "/entries",
                                 urllib.parse.urlencode({"name": name, "text": text}),
                                 {"Idempotency-Key": '"%s"' % key,
                                  "Content-Type": "application/x-www-form-urlencoded"})
        if status in (202, 303):
            return headers
        time.sleep(0.5)
    raise AssertionError("not written: %d %s" % (status, dict(headers)))


def lags(proxy):
    return {m["machine"]: m["replica"]["lag_entries"]
            for m in proxy.balancer_status()["members"]}


def asleep(proxy):
    return [m["machine"] for m in proxy.balancer_status()["members"] if m["state"] == "asleep"]


def say(text, *values):
    print(text % values if values else text, flush=True)


def show(proxy, books):
    """The whole story; raises when it does not come true."""
    wait(lambda: proxy.balancer_status()["commit"]["live"], 20, lambda: "the journal serves")
    say("three guest books, a database each; the quorum of 2 keeps two awake")
    write(proxy, "Ada", "Written while all three are awake.")
    wait(lambda: len(asleep(proxy)) == 1, 60, lambda: "one sleeps: %s" % proxy.states())
    name = asleep(proxy)[0]
    sleeper = next(book for book in books if book.name == name)
    before = len(sleeper.entries())
    say("%s sleeps, with %d entries", name, before)
    for i in range(1, 21):
        headers = write(proxy, "Grace", "Entry %d while %s sleeps." % (i, name))
    say("20 entries written; of the last one the proxy says:\n    Green-Commit: %s",
        headers["Green-Commit"])
    wait(lambda: sorted(lags(proxy).values()) == [0, 0, 20], 20,
         lambda: "two have everything, and one lacks 20: %s" % lags(proxy))
    say("    what they lack: %s",
        ", ".join("%s %d" % item for item in sorted(lags(proxy).items())))
    assert len(sleeper.entries()) == before and not sleeper.is_on(), "it slept all the time"
    done = proxy.ctl("wake", sleeper.url)
    assert done.returncode == 0, done.stdout
    began = time.monotonic()
    wait(lambda: lags(proxy)[name] == 0 and sleeper.is_on(), 60,
         lambda: "%s caught up: %s" % (name, lags(proxy)))
    say("%s was woken, and has everything after %.1f s", name, time.monotonic() - began)
    entries = [book.entries() for book in books]
    for book, found in zip(books, entries):
        say("    %s: %d entries, the last one: %s", book.name, len(found), found[-1][2])
    assert entries[0] == entries[1] == entries[2], "the databases differ"
    assert len(entries[0]) == 21, "%d entries instead of 21" % len(entries[0])
    token = headers.get("Green-Commit-Token")
    status, body, _ = ask(proxy, "GET", "/entries.json", None,
                          {"Green-Commit-Token": token} if token else {})
    assert status == 200 and len(json.loads(body)) == 21, (status, body)
    say("all three are equal: nothing is missing, and nothing is there twice")


def run(directory, options):
    books = [Book(directory, "book%d" % i) for i in (1, 2, 3)]
    proxy, switch = make_proxy(directory, books)
    try:
        for book in books:
            book.start()
        switch.start()
        proxy.start()
        show(proxy, books)
        assert not proxy.unexpected(), "httpd's log has warnings"
        if options.stay:
            say("\nIt stays up until Ctrl-C:\n    %s\n    %s", proxy.url("/"),
                proxy.url("/green/"))
            signal.pause()
        return 0
    except (AssertionError, OSError) as error:
        say("failed: %s\n%s", error, "\n".join(proxy.unexpected()[:20]))
        return 1
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        switch.end()
        proxy.kill_all()
        for book in books:
            book.stop()


def interrupted(number, frame):
    raise KeyboardInterrupt


def main():
    parser = argparse.ArgumentParser(prog="demo/replicated/run")
    parser.add_argument("--stay", action="store_true", help="keep it up afterwards")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, interrupted)
    signal.signal(signal.SIGINT, interrupted)
    directory = tempfile.mkdtemp(prefix="green-books-")
    os.chmod(directory, 0o755)
    try:
        return run(directory, options)
    except KeyboardInterrupt:
        return 130
    finally:
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
