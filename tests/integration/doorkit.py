"""Servers for the keeper's probes, good and bad, and the fixtures of their tests."""

import socket
import ssl
import subprocess
import threading
import time

import pytest
from healthkit import Harness, build

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n"


def status(code, extra=b""):
    return b"HTTP/1.1 %d X\r\n%sContent-Length: 0\r\n\r\n" % (code, extra)


class Server:
    """Answers each connection by answer(connection, request); None: never."""

    def __init__(self, answer=None, path=None, tls=None, port=0, backlog=200):
        if path:
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.bind(path)
        else:
            self.socket = socket.socket()
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.socket.bind(("127.0.0.1", port))
            self.port = self.socket.getsockname()[1]
            self.address = "127.0.0.1:%d" % self.port
        self.socket.listen(backlog)
        self.answer, self.tls = answer, tls
        self.requests, self.arrivals, self.held = [], [], []
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            self.arrivals.append(time.monotonic())
            if self.answer is None:
                self.held.append(connection)
                continue
            threading.Thread(target=self._one, args=(connection,), daemon=True).start()

    def _one(self, connection):
        try:
            connection.settimeout(5)
            if self.tls:
                connection = self.tls.wrap_socket(connection, server_side=True)
            request = connection.recv(4096)
            self.requests.append(request)
            answer = self.answer(connection, request) if callable(self.answer) \
                else self.answer
            if answer:
                connection.sendall(answer)
        except OSError:
            pass
        finally:
            connection.close()

    def close(self):
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.socket.close()
        self.thread.join(1)
        for connection in self.held:
            connection.close()


class Deaf:
    """A port that takes no connection and refuses none, like a host that is gone: its
    queue is full, so the kernel drops what comes.  hear() lets it serve."""

    def __init__(self):
        self.socket = socket.socket()
        self.socket.bind(("127.0.0.1", 0))
        self.socket.listen(0)
        self.address = "127.0.0.1:%d" % self.socket.getsockname()[1]
        self.fillers = []
        while True:
            filler = socket.socket()
            filler.settimeout(0.2)
            self.fillers.append(filler)
            try:
                filler.connect(self.socket.getsockname())
            except socket.timeout:
                return

    def hear(self):
        for filler in self.fillers:
            filler.close()

        def serve():
            while True:
                try:
                    connection, _ = self.socket.accept()
                    if connection.recv(4096):
                        connection.sendall(OK)
                    connection.close()
                except ConnectionError:
                    continue
                except OSError:
                    return

        self.thread = threading.Thread(target=serve, daemon=True)
        self.thread.start()

    def close(self):
        for filler in self.fillers:
            filler.close()
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.socket.close()


def closed_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    directory = tmp_path_factory.mktemp("harness")
    return {"sanitized": build(str(directory / "sanitized"), sanitize=True),
            "plain": build(str(directory / "plain"))}


@pytest.fixture
def harness(programs):
    with Harness(programs["sanitized"]) as made:
        yield made


@pytest.fixture
def servers():
    made = []

    def make(*args, kind=Server, **options):
        made.append(kind(*args, **options))
        return made[-1]

    yield make
    for server in made:
        server.close()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A self-signed certificate for `localhost` and `app.test`; returns (cert, key)."""
    directory = tmp_path_factory.mktemp("tls")
    cert, key = str(directory / "cert.pem"), str(directory / "key.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
                    "/CN=localhost", "-addext",
                    "subjectAltName=DNS:localhost,DNS:app.test", "-keyout", key,
                    "-out", cert], check=True, stderr=subprocess.DEVNULL)
    return cert, key


def tls_context(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return context


def one(harness, url, verdict, seconds=10, **options):
    """A single door of a machine that is ON; returns the event that told its verdict."""
    harness.rig(state="on")
    door = harness.door(url, **options)
    harness.start()
    return harness.verdict(door, verdict, seconds)
