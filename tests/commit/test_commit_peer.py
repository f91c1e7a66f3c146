"""The journal thread's side of commit.sock, with a log in memory (peer_harness.c): what it
says to SUBMIT and ASK, peers that come again, that lie, that are slow, that are many.
"""

import os
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [HERE, os.path.join(ROOT, "tests", "integration")]

from fakekeeper import (ASK, BUSY, DONE, EXPIRED, FULL, LATE, NOBODY, OTHER,  # noqa: E402
                        REPLY, SUBMIT, TOO_BIG, frame, receive, receive_frame)
from healthkit import WARNINGS, output_of  # noqa: E402
from proxy import wait  # noqa: E402

SOURCES = ["tests/commit/peer_harness.c", "commit_peer.c", "commit_submit.c", "loop.c",
           "timer.c", "libcrypto.c", "library.c", "core/gb_wire.c", "core/gb_wire_text.c",
           "core/gb_commit.c", "core/gb_commit_read.c", "core/gb_part.c", "core/gb_types.c"]


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    made = str(tmp_path_factory.mktemp("peer") / "peer_harness")
    system = []
    for include in ["-I" + output_of("apxs", "-q", "INCLUDEDIR")[0]] + \
            output_of("apr-1-config", "--includes") + output_of("apu-1-config", "--includes"):
        system += ["-isystem", include[2:]]
    subprocess.run(["gcc", "-std=gnu11", "-g", "-O1", *WARNINGS,
                    *output_of("apr-1-config", "--cppflags"), "-fsanitize=address,undefined",
                    "-fno-sanitize-recover=undefined", *system, "-I.", *SOURCES, "-o", made,
                    *output_of("apr-1-config", "--link-ld"),
                    *output_of("apu-1-config", "--link-ld"), "-ldl", "-lm"],
                   cwd=ROOT, check=True)
    return made


class Harness:
    def __init__(self, program, fds=None):
        self.dir = tempfile.mkdtemp(prefix="gb-peer-")
        os.chmod(self.dir, 0o755)
        self.path = os.path.join(self.dir, "sock")
        self.log = tempfile.TemporaryFile("w+")
        command = ["prlimit", "--nofile=%d" % fds] if fds else []
        self.process = subprocess.Popen(command + [program, self.path], text=True,
                                        stdout=subprocess.PIPE, stderr=self.log,
                                        env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"})
        assert self.process.stdout.readline() == "ready\n"
        self.lines = []
        threading.Thread(target=lambda: self.lines.extend(
            iter(self.process.stdout.readline, "")) or None, daemon=True).start()

    def connect(self):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(20)
        s.connect(self.path)
        return s

    def ask(self, text, on=None):
        """The answer, or None when the connection was closed."""
        s = on or self.connect()
        try:
            s.sendall(text)
            return receive_frame(s)
        except (BrokenPipeError, ConnectionResetError):
            return None
        finally:
            if not on:
                s.close()

    def said(self):
        self.log.seek(0)
        return self.log.read()

    def close(self):
        assert self.process.poll() is None, self.said()
        self.process.terminate()
        self.process.wait()
        self.process.stdout.close()
        os.unlink(self.path)
        os.rmdir(self.dir)


@pytest.fixture
def harness(program):
    made = Harness(program)
    yield made
    made.close()


def submit(target="/now", id_="k1", nonce=7, **more):
    fields = dict(LOG="log", ID=id_, NONCE=nonce, PRINCIPAL="", METHOD="POST", TARGET=target,
                  HEADERS="Content-Type: text/plain\r\n", BODY=b"body")
    fields.update(more)
    return frame(SUBMIT, **{k: v for k, v in fields.items() if v is not None})


def ask(id_="k1", **more):
    return frame(ASK, **dict(dict(LOG="log", ID=id_, PRINCIPAL=""), **more))


def test_write_is_answered(harness):
    with harness.connect() as s:
        for i in range(3):  # one connection, one after the other
            answer = harness.ask(submit(id_="k%d" % i), on=s)
            assert answer.kind == REPLY and answer["SAYS"] == DONE and answer["STATUS"] == 201
            assert answer["BODY"] == b"done" and answer["TOKEN"] == b"1.%d" % (i + 1)
            assert answer["HEADERS"] == b"Content-Type: text/plain\r\n"
            assert answer["SERVED_BY"] == b"http://127.0.0.1:1"
            assert b'id="k%d"' % i in answer["FIELD"] and b"state=met" in answer["FIELD"]


def test_rejected_write_has_no_token(harness):
    answer = harness.ask(submit("/reject"))
    assert (answer["SAYS"], answer["STATUS"]) == (DONE, 409) and "TOKEN" not in answer


def test_late_and_wishes(harness):
    began = time.monotonic()
    answer = harness.ask(submit("/never", WAIT=100000))
    assert answer["SAYS"] == LATE and b"state=open" in answer["FIELD"]
    assert 0.09 < time.monotonic() - began < 0.9
    assert "STATUS" not in answer and "TOKEN" not in answer


@pytest.mark.parametrize("first", ["/now", "/never", "/spread"])
def test_the_same_key_again(harness, first):
    """The same request resumes; another one gets the answer, or hears that it is under way."""
    says = DONE if first == "/now" else LATE
    assert harness.ask(submit(first, WAIT=50000))["SAYS"] == says
    assert harness.ask(submit(first, WAIT=50000))["SAYS"] == says  # its nonce
    answer = harness.ask(submit(first, nonce=8, WAIT=50000))
    assert answer["SAYS"] == {"/now": DONE, "/never": BUSY, "/spread": LATE}[first]
    assert b"seq=1," in answer["FIELD"]
    for other in (dict(BODY=b"other"), dict(METHOD="PUT")):
        assert harness.ask(submit(first, nonce=9, **other))["SAYS"] == OTHER
    assert harness.ask(submit("/else", nonce=9))["SAYS"] == OTHER
    assert harness.ask(submit("/now", nonce=9, PRINCIPAL="bob"))["SAYS"] == DONE
    assert b"seq=2," in harness.ask(ask(PRINCIPAL="bob"))["FIELD"]


def test_who_comes_again_while_it_waits_is_told_too(harness):
    with harness.connect() as first:
        first.sendall(submit("/after/400", WAIT=9000000))
        time.sleep(0.1)
        assert harness.ask(submit("/after/400", WAIT=9000000))["SAYS"] == DONE
        assert receive_frame(first)["SAYS"] == DONE


def test_what_cannot_be_stored(harness):
    answer = harness.ask(submit("/full"))
    assert answer["SAYS"] == FULL and answer["RETRY"] > 0
    assert harness.ask(submit(LOG="another"))["SAYS"] == FULL
    assert harness.ask(submit(LOG=None))["SAYS"] == FULL
    assert harness.ask(submit(id_="expired-1"))["SAYS"] == EXPIRED
    assert harness.ask(submit(id_="b", BODY=b"x" * ((1 << 20) + 1)))["SAYS"] == TOO_BIG
    assert harness.ask(submit(id_="b", BODY=b"x" * (1 << 20)))["SAYS"] == DONE


def test_questions(harness):
    assert harness.ask(ask())["SAYS"] == NOBODY
    assert harness.ask(ask("expired-1"))["SAYS"] == EXPIRED
    assert harness.ask(ask(LOG="another"))["SAYS"] == FULL
    harness.ask(submit())
    answer = harness.ask(ask())
    assert answer["SAYS"] == DONE and "BODY" not in answer and answer["TOKEN"] == b"1.1"
    answer = harness.ask(ask(RESULT=1))
    assert (answer["STATUS"], answer["BODY"]) == (201, b"done")
    assert harness.ask(ask(PRINCIPAL="bob"))["SAYS"] == NOBODY
    harness.ask(submit("/after/700", "k2", WAIT=0))
    assert harness.ask(ask("k2"))["SAYS"] == LATE
    began = time.monotonic()
    assert harness.ask(ask("k2", WAIT=10000000))["SAYS"] == DONE
    assert time.monotonic() - began < 5
    harness.ask(submit("/never", "k3", WAIT=0))
    began = time.monotonic()
    assert harness.ask(ask("k3", WAIT=300000, RESULT=1))["SAYS"] == LATE
    assert time.monotonic() - began >= 0.2


def test_large_answers_wait_until_they_are_taken(harness):
    size = 20 << 20
    with harness.connect() as s:
        s.sendall(submit("/big/%d" % size))
        time.sleep(0.3)
        assert harness.ask(submit(id_="k2"))["SAYS"] == DONE  # others are not held up
        assert len(receive_frame(s)["BODY"]) == size
        assert harness.ask(submit(id_="k3"), on=s)["SAYS"] == DONE


def test_peer_that_goes_takes_its_waiter_back(harness):
    with harness.connect() as s:
        s.sendall(submit("/never", "gone", WAIT=60000000))
        wait(lambda: harness.ask(ask("gone"))["SAYS"] == LATE, 5, "it is stored")
    wait(lambda: "left gone\n" in harness.lines, 5, "its waiter is gone")
    assert harness.ask(submit(id_="next"))["SAYS"] == DONE


HOSTILE = [
    b"GET / HTTP/1.1\r\n\r\n", b"GBC1" + struct.pack("<II", 1, 0xffffffff),
    b"GBC1" + struct.pack("<II", 9, 0), frame(REPLY, SAYS=1), frame(SUBMIT), frame(ASK),
    b"GBC1" + struct.pack("<II", 1, 3) + b"abc", submit() + b"x", submit() + submit(id_="k2"),
    submit(id_=""), submit(id_="x" * 129), submit(id_="a b"), submit(id_=b"\xc3\xa4"),
    submit(NONCE=None), submit(METHOD="GET"), submit(METHOD=""), submit(METHOD="P OST"),
    submit(METHOD="X" * 33), submit(METHOD="POST\r\nX: y"), submit("x"), submit(""),
    submit("/a b"), submit("/a\r\nX: y"), submit("/" + "x" * 65536), submit(HEADERS="X"),
    submit(HEADERS="X: y\r\nz"), submit(HEADERS="X: a\nY: b\r\n"), submit(HEADERS=None),
    submit(BODY=None), submit(PRINCIPAL="a\nb"), submit(PRINCIPAL="x" * 513),
    submit(PRINCIPAL=None), ask(""), ask(PRINCIPAL="a\0b"),
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_what_no_child_sends_ends_the_connection(harness, text):
    with harness.connect() as s:
        s.sendall(text)
        while receive(s, 1):
            pass
    assert harness.ask(submit(id_="well"))["SAYS"] == DONE
    assert "GB1701" in harness.said()


def test_two_frames_at_a_time_are_refused_while_one_waits(harness):
    with harness.connect() as s:
        s.sendall(submit("/never", "w", WAIT=60000000))
        time.sleep(0.2)
        s.sendall(submit(id_="k2"))
        assert receive(s, 1) is None
    wait(lambda: "left w\n" in harness.lines, 5, "its waiter is gone")


def test_frames_come_in_pieces(harness):
    text = submit(BODY=os.urandom(200000))
    with harness.connect() as s:
        for at in (0, 1, 5, 12, 13, 70000, 140000):
            end = {0: 1, 1: 5, 5: 12, 12: 13, 13: 70000, 70000: 140000}.get(at, len(text))
            s.sendall(text[at:end])
            time.sleep(0.02)
        assert receive_frame(s)["SAYS"] == DONE


def test_half_a_frame_is_not_waited_for_for_ever(harness):
    with harness.connect() as begun, harness.connect() as idle, harness.connect() as half:
        begun.sendall(b"GBC")
        half.sendall(submit(BODY=b"x" * 100000)[:50000])
        began = time.monotonic()
        assert receive(begun, 1) is None and receive(half, 1) is None
        assert 8 < time.monotonic() - began < 18
        assert harness.ask(submit(), on=idle)["SAYS"] == DONE


def test_memory_is_limited_and_nobody_is_lost(harness):
    """More large frames at once than there is memory for: all of them are answered."""
    def one(number, found):
        body = b"x" * (70 << 20)
        answer = harness.ask(submit(id_="m%d" % number, BODY=body))
        found.append(answer["SAYS"])

    found = []
    threads = [threading.Thread(target=one, args=(i, found)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == [TOO_BIG] * 8


def test_more_peers_than_places(program):
    """Who has nothing to do makes room for who has; the others wait in the queue."""
    harness = Harness(program, fds=300)  # 64 places
    peers = [harness.connect() for _ in range(64)]
    for i, peer in enumerate(peers):
        assert harness.ask(submit(id_="p%d" % i), on=peer)["SAYS"] == DONE
    assert harness.ask(submit(id_="more"))["SAYS"] == DONE
    assert harness.ask(submit(id_="last"), on=peers[63])["SAYS"] == DONE
    for peer in peers:
        peer.close()
    busy = [harness.connect() for _ in range(64)]
    for i, peer in enumerate(busy):
        peer.sendall(submit("/after/2500", "b%d" % i, WAIT=20000000))
    time.sleep(0.3)
    began = time.monotonic()
    assert harness.ask(submit(id_="queued"))["SAYS"] == DONE
    assert time.monotonic() - began > 1
    assert [receive_frame(peer)["SAYS"] for peer in busy] == [DONE] * 64
    for peer in busy:
        peer.close()
    harness.close()


def test_other_users_are_refused(harness):
    os.chmod(harness.path, 0o777)
    program = ("import socket,sys\ns=socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\n"
               "s.settimeout(10)\n"
               "try:\n s.sendall(bytes.fromhex(sys.argv[2]))\n print(len(s.recv(100)))\n"
               "except OSError: print(0)")
    for user, answered in (("nobody", False), ("www-data", True)):
        done = subprocess.run(
            ["/usr/bin/python3", "-c", program, harness.path, submit(id_=user).hex()],
            user=user, text=True, stdout=subprocess.PIPE, check=True)
        assert (int(done.stdout) > 0) == answered
    assert "GB1702" in harness.said()
