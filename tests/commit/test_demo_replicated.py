"""The sample application of demo/replicated, alone and behind the proxy."""

import http.client
import json
import os
import shutil
import signal
import subprocess
import tempfile
import urllib.parse

import pytest

import replicas  # noqa: F401  (puts tests/integration on the path)
from proxy import ROOT, free_port, wait

DEMO = os.path.join(ROOT, "demo", "replicated")


@pytest.fixture
def book(tmp_path):
    port = free_port()
    process = subprocess.Popen(
        ["/usr/bin/python3", "-B", os.path.join(DEMO, "guestbook.py"), str(port),
         str(tmp_path / "book.db"), "<one>"], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"ready\n"

    def ask(method, path, fields=None, **headers):
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        client.request(method, path, urllib.parse.urlencode(fields) if fields else None,
                       {name.replace("_", "-"): value for name, value in headers.items()})
        answer = client.getresponse()
        return answer.status, answer.read().decode(), answer.headers

    yield ask
    process.kill()
    process.wait()
    process.stdout.close()


def test_guest_book_writes_once_with_the_time_of_the_write(book):
    for _ in range(2):
        status, _, headers = book("POST", "/entries", {"name": "A & B", "text": "<script>"},
                                  Idempotency_Key='"k1"', Green_Commit_Time="1700000000000")
        assert (status, headers["Location"]) == (303, "/")
    assert json.loads(book("GET", "/entries.json")[1]) == [[1700000000000, "A & B", "<script>"]]
    page = book("GET", "/")[1]
    assert "A &amp; B" in page and "&lt;script>" not in page and "&lt;script&gt;" in page
    assert "&lt;one&gt;" in page and "2023-11-14 22:13" in page


@pytest.mark.parametrize("fields", [{"name": "A"}, {"text": "t"}, {"name": " ", "text": "t"},
                                    {"name": "x" * 61, "text": "t"},
                                    {"name": "A", "text": "x" * 501}])
def test_guest_book_refuses_what_is_no_entry(book, fields):
    assert book("POST", "/entries", fields, Idempotency_Key="k1")[0] == 400
    assert json.loads(book("GET", "/entries.json")[1]) == []


def test_guest_book_without_the_proxy_takes_no_writes(book):
    assert book("POST", "/entries", {"name": "A", "text": "t"})[0] == 400
    assert book("GET", "/health")[:2] == (200, "ok\n")
    assert book("GET", "/nothing")[0] == 404


@pytest.fixture
def base():
    """Short, for the names of sockets, and open for the keeper's user."""
    directory = tempfile.mkdtemp(prefix="gr-")
    os.chmod(directory, 0o755)
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


def show(base):
    return subprocess.Popen(["/usr/bin/python3", "-B", os.path.join(DEMO, "show.py")],
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                            env=dict(os.environ, TMPDIR=str(base)), start_new_session=True)


def test_sleeper_misses_nothing(base):
    demo = show(base)
    said, _ = demo.communicate(timeout=240)
    assert demo.returncode == 0, said
    assert "all three are equal" in said and "was woken, and has everything" in said
    assert os.listdir(base) == []


def test_interrupted_it_leaves_nothing(base):
    demo = show(base)
    for line in demo.stdout:
        if "three guest books" in line:
            break
    demo.send_signal(signal.SIGTERM)
    demo.stdout.read()
    assert demo.wait(60) == 130
    demo.stdout.close()

    def left():
        found = os.listdir(base)
        for entry in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open("/proc/%s/cmdline" % entry) as f:
                    if base + "/" in f.read():
                        found.append("process " + entry)
            except OSError:
                continue
        return found
    wait(lambda: not left(), 20, lambda: "nothing is left: %s" % left())
