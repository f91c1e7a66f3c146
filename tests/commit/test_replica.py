"""The fast replica (replica.c) says and keeps what backend.py does."""

import http.client
import json
import os
import random
import signal

import pytest
from replicas import Replica


class Asked:
    def __init__(self, replica):
        self.replica = replica
        self.connection = None

    def __call__(self, method, target, body=None, key=None, seq=None, **headers):
        if not self.connection:
            self.connection = http.client.HTTPConnection("127.0.0.1", self.replica.port, 10)
        if key:
            headers["Idempotency-Key"] = '"%s"' % key
        if seq:
            headers["Green-Commit-Seq"], headers["Green-Commit-Role"] = seq, "follow"
        self.connection.request(method, target, body, headers)
        response = self.connection.getresponse()
        return response.status, response.read()

    def again(self, how=signal.SIGKILL):
        self.connection = None
        self.replica.stop(how)
        self.replica.start()


@pytest.fixture
def pair(base):
    replicas = [Replica(str(base / name), "r", "l1", fsync=True, fast=name == "fast")
                for name in ("fast", "slow")]
    for replica in replicas:
        replica.start()
    yield [Asked(replica) for replica in replicas]
    for replica in replicas:
        replica.stop()


def a_write(rng):
    body = bytes(rng.choice(b'ab"\\\n\t\r\x00\x1f\x7f\x80\xff%{}') for _ in range(rng.randrange(30)))
    item = "/item/%d" % rng.randrange(4)
    return rng.choice([("POST", "/append", body), ("POST", "/even", body),
                       ("POST", "/odd", body), ("PUT", item, body), ("DELETE", item, None),
                       ("PATCH", item, body)])


READS = ["/count", "/keys", "/list", "/health", "/item/1", "/item/2", "/nothing"]


def test_both_say_the_same_also_after_a_kill_and_of_the_others_file(pair):
    seed = int(os.environ.get("GB_SEED", random.randrange(1 << 32)))
    print("GB_SEED=%d" % seed)
    rng = random.Random(seed)
    fast, slow = pair
    for i in range(400):
        method, target, body = a_write(rng)
        key = "k%d" % rng.randrange(i // 2 + 1) if rng.random() < 0.7 else None
        seq = "1.%d" % (i + 1) if rng.random() < 0.8 else None
        said = [ask(method, target, body, key, seq) for ask in pair]
        assert said[0] == said[1], (i, method, target, body, key)
        if i % 20 == 0:
            for read in READS:
                assert fast("GET", read) == slow("GET", read), (i, read)
        if i % 150 == 149:
            for ask in pair:
                ask.again()
    with open(os.path.join(slow.replica.dir, "writes"), "rb") as f:
        written = f.read()
    with open(os.path.join(fast.replica.dir, "writes"), "rb") as f:
        assert f.read() == written
    assert fast.replica.keys() == slow.replica.keys()


def test_a_torn_line_is_forgotten_and_a_broken_one_refused(pair):
    fast = pair[0]
    assert fast("POST", "/append", "x", "k1")[0] == 201
    path = os.path.join(fast.replica.dir, "writes")
    with open(path, "ab") as f:
        f.write(b'{"method": "POST", "tar')
    fast.again()
    assert json.loads(fast("GET", "/keys")[1]) == ["k1"]
    assert fast("POST", "/append", "y", "k2")[0] == 201
    assert [w["key"] for w in fast.replica.writes()] == ["k1", "k2"]
    fast.replica.stop()
    with open(path, "ab") as f:
        f.write(b'{"method": 1}\n')
    fast.replica.start()
    assert fast.replica.process.wait(10) == 1


def test_what_was_given_up_is_refused(pair):
    fast = pair[0]
    assert fast("POST", "/append", "x", "k1", "1.5")[0] == 201
    assert fast("POST", "/append", "x", "late", "1.4")[0] == 412
    assert fast("POST", "/append", "x", "k1", "1.5")[0] == 201, "on record"
    fast.again()
    assert fast("POST", "/append", "x", "late", "1.5")[0] == 412
    assert fast("POST", "/append", "x", "k2", "2.1")[0] == 201
    assert fast("POST", "/append", "x", "late", "1.9")[0] == 412
    assert fast.replica.keys() == ["k1", "k2"]


def test_many_requests_in_one_piece_and_one_request_in_many(pair):
    fast = pair[0]
    fast("GET", "/health")
    pipe = fast.connection.sock
    one = b"POST /append HTTP/1.1\r\nIdempotency-Key: \"p%d\"\r\nContent-Length: 3\r\n\r\nabc"
    pipe.sendall(b"".join(one % i for i in range(100)))
    said = b""
    while said.count(b"HTTP/1.1 201") < 100 or not said.endswith(b"}"):
        said += pipe.recv(65536)
    for byte in one % 100:
        pipe.sendall(bytes([byte]))
    assert pipe.recv(65536).startswith(b"HTTP/1.1 201")
    assert fast.replica.keys() == ["p%d" % i for i in range(101)]
    assert json.loads(fast("GET", "/write/3")[1])["key"] == "p2"
    assert fast("GET", "/write/0")[0] == fast("GET", "/write/102")[0] == 404


def test_what_is_no_request_is_refused(pair):
    fast = pair[0]
    for text, status in ((b"nonsense\r\n\r\n", b"400"), (b"POST append HTTP/1.1\r\n\r\n", b"400"),
                         (b"POST /append HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
                          b"411")):
        fast.connection = None
        fast("GET", "/health")
        pipe = fast.connection.sock
        pipe.sendall(text)
        assert pipe.recv(65536).split()[1] == status and pipe.recv(65536) == b""
