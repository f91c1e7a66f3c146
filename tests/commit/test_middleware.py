"""Level L1 by the middleware for WSGI and for PHP: a write takes effect once, whatever dies."""

import http.client
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
import time

import pytest

import replicas  # noqa: F401  (puts tests/integration on the path)
from proxy import free_port

HERE = os.path.dirname(os.path.abspath(__file__))


class Server:
    """One process, or for PHP some, over one database; starts again after a kill."""

    def __init__(self, kind, directory, keep_s):
        self.kind, self.directory, self.keep_s = kind, directory, keep_s
        self.process = None
        self.start()

    def start(self):
        self.port = free_port()
        if self.kind == "wsgi":
            command = ["/usr/bin/python3", "-B", os.path.join(HERE, "middleware_wsgi.py"),
                       str(self.port), self.directory, str(self.keep_s)]
        else:
            command = ["php", "-d", "display_errors=0", "-d", "log_errors=1", "-S",
                       "127.0.0.1:%d" % self.port, os.path.join(HERE, "middleware.php")]
        with open(os.path.join(self.directory, "log"), "ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, start_new_session=True,
                env=dict(os.environ, DIR=self.directory, KEEP_S=str(self.keep_s)))
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                break
            except OSError:
                time.sleep(0.05)
        if self.kind == "php":
            self.ask("GET", "/setup")

    def ask(self, method, path, body=None, headers=None):
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            client.request(method, path, body, headers or {})
            answer = client.getresponse()
            return answer.status, answer.read().decode(), answer.headers
        finally:
            client.close()

    def write(self, path, body, key, seq=None):
        headers = {"Idempotency-Key": '"%s"' % key}
        if seq:
            headers["Green-Commit-Seq"] = seq
        return self.ask("POST", path, body, headers)

    def lines(self):
        status, text, _ = self.ask("GET", "/list")
        assert status == 200
        return text.split("\n") if text else []

    def kill_at(self, when):
        with open(os.path.join(self.directory, "kill"), "w") as f:
            f.write(when)

    def stop(self):
        self.process.kill()
        self.process.wait()


@pytest.fixture(params=["wsgi", "php"])
def server(request, tmp_path):
    if request.param == "php" and not shutil.which("php"):
        pytest.fail("php-cli is missing: tests/install test")
    made = Server(request.param, str(tmp_path), 3600)
    yield made
    made.stop()


def test_a_write_that_comes_again_gets_the_answer_of_the_first_time(server):
    first = server.write("/append", "one", "k1")
    again = server.write("/append", "one", "k1")
    assert first[:2] == (201, "1 one") and again[:2] == first[:2]
    assert again[2]["X-Count"] == "1" and again[2]["Content-Type"] == first[2]["Content-Type"]
    assert again[2]["Green-Commit-Replayed"] == "?1"
    assert "Green-Commit-Replayed" not in first[2]
    assert server.write("/append", "two", "k2")[:2] == (201, "2 two")
    assert server.write("/append", "one", "k1")[:2] == first[:2]
    assert server.lines() == ["one", "two"]


@pytest.mark.parametrize("when", ["data", "commit"])
def test_killed_between_data_record_and_answer_it_takes_effect_once(server, when):
    server.write("/append", "before", "k0")
    server.kill_at(when)
    with pytest.raises((OSError, http.client.HTTPException)):
        server.write("/append", "one", "k1")
    server.process.wait(30)
    server.start()
    assert server.lines() == (["before"] if when == "data" else ["before", "one"])
    status, text, headers = server.write("/append", "one", "k1")
    assert (status, text) == (201, "2 one")
    assert ("Green-Commit-Replayed" in headers) == (when == "commit")
    assert server.lines() == ["before", "one"]


def test_two_at_once_with_one_key_take_effect_once(server):
    if server.kind == "php":  # several processes of it at one database
        server.stop()
        os.environ["PHP_CLI_SERVER_WORKERS"] = "4"
        try:
            server.start()
        finally:
            del os.environ["PHP_CLI_SERVER_WORKERS"]
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(
        server.write("/slow", "one", "k1"))) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert [a[:2] for a in answers] == [(201, "1 one")] * 4
    assert sum("Green-Commit-Replayed" in a[2] for a in answers) == 3
    assert server.lines() == ["one"]


def test_another_payload_with_the_key_is_422(server):
    server.write("/append", "one", "k1")
    assert server.write("/append", "two", "k1")[0] == 422
    assert server.write("/slow", "one", "k1")[0] == 422
    assert server.ask("PUT", "/append", "one", {"Idempotency-Key": '"k1"'})[0] == 422
    assert server.lines() == ["one"]


def test_rejections_are_kept_and_leave_nothing(server):
    first = server.write("/reject", "one", "k1")
    assert first[:2] == (409, "1 one") and server.lines() == []
    server.write("/append", "two", "k2")
    again = server.write("/reject", "one", "k1")
    assert again[:2] == first[:2] and "Green-Commit-Replayed" in again[2]
    assert server.lines() == ["two"]


@pytest.mark.parametrize("path,status", [("/busy", 503), ("/fail", 500), ("/raise", 500)])
def test_what_failed_leaves_nothing_and_may_be_tried_again(server, path, status):
    for _ in range(2):
        answer = server.write(path, "one", "k1")
        assert answer[0] == status and "Green-Commit-Replayed" not in answer[2]
    assert server.lines() == []
    # nothing was recorded: even another request may have the key
    assert server.write("/append", "two", "k1")[0] == 201


def test_an_application_that_ends_the_transaction_is_told_so(server):
    assert server.write("/ends", "one", "k1")[0] == 500
    with open(os.path.join(server.directory, "log")) as f:
        log = f.read()
    assert "ended the transaction" in log or "no such savepoint" in log


@pytest.mark.parametrize("key,good", [
    ('"a b"', False), ('""', False), ('"a', False), ('"a"b', False), ("a,b", False),
    ('"\\x"', False), ('"' + "x" * 129 + '"', False), ("", False),
    ('"' + "x" * 128 + '"', True), ("5f0c-1", True), ('"a\\"b\\\\"', True), ("*t/o:k", True)])
def test_keys(server, key, good):
    status = server.ask("POST", "/append", "one", {"Idempotency-Key": key})[0]
    assert status == (201 if good else 400)
    assert server.lines() == (["one"] if good else [])


def test_a_write_without_a_key_is_refused(server):
    assert server.ask("POST", "/append", "one")[0] == 400
    assert server.lines() == []


def test_a_quoted_key_and_a_bare_one_are_the_same(server):
    server.ask("POST", "/append", "one", {"Idempotency-Key": '"k1"'})
    answer = server.ask("POST", "/append", "one", {"Idempotency-Key": "k1"})
    assert "Green-Commit-Replayed" in answer[2]


def test_records_expire(server):
    server.write("/append", "one", "k1")
    server.write("/append", "two", "k2")
    db = sqlite3.connect(os.path.join(server.directory, "data.db"), timeout=30)
    with db:
        db.execute("UPDATE green_commit_keys SET at = at - 3601 WHERE id = 'k1'")
    server.write("/append", "three", "k3")
    kept = [row[0] for row in db.execute("SELECT id FROM green_commit_keys ORDER BY id")]
    db.close()
    assert kept == ["k2", "k3"]


def test_what_was_given_up_does_not_take_effect_after_later_ones(server):
    assert server.write("/append", "one", "k1", "3.1")[0] == 201
    assert server.write("/reject", "two", "k2", "3.2")[0] == 409
    assert server.write("/append", "four", "k4", "3.4")[0] == 201
    assert server.write("/append", "three", "k3", "3.3")[0] == 412
    assert server.write("/append", "old", "k9", "2.9")[0] == 412
    assert server.write("/append", "one", "k1", "3.1")[0] == 201  # on record
    assert server.write("/busy", "five", "k5", "3.5")[0] == 503  # leaves no mark
    assert server.write("/append", "five", "k5", "3.5")[0] == 201
    assert server.write("/append", "next", "k6", "4.1")[0] == 201  # another epoch
    assert server.lines() == ["one", "four", "five", "next"]


def test_a_locked_database_is_503_and_leaves_nothing(server):
    with open(os.path.join(server.directory, "patience"), "w") as f:
        f.write("1")
    other = sqlite3.connect(os.path.join(server.directory, "data.db"))
    other.execute("BEGIN IMMEDIATE")
    status, _, headers = server.write("/append", "one", "k1")
    assert (status, headers["Retry-After"]) == (503, "1")
    other.rollback()
    other.close()
    assert server.write("/append", "one", "k1")[0] == 201
    assert server.lines() == ["one"]


def test_errors_of_sqlite_are_told_apart(tmp_path):
    sys.path.insert(0, os.path.join(HERE, "../../middleware/wsgi"))
    import green_commit
    path = str(tmp_path / "data.db")
    one, two = sqlite3.connect(path), sqlite3.connect(path, timeout=0)
    one.execute("BEGIN IMMEDIATE")
    with pytest.raises(sqlite3.OperationalError) as locked:
        two.execute("BEGIN IMMEDIATE")
    assert green_commit.is_transient(locked.value)
    with pytest.raises(sqlite3.OperationalError) as wrong:
        two.execute("SELECT nothing FROM nowhere")
    assert not green_commit.is_transient(wrong.value)
    assert not green_commit.is_transient(ValueError())
