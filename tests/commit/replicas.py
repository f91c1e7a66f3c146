"""A proxy with GreenCommit in front of replicas that have their own storage.

    with Site(directory, replicas=3, commit="quorum=2 wait=2s") as site:
        answer = site.write("POST", "/append", "body", key="k1")
        site.settle()
        assert site.same()

Replicas are processes of backend.py; with fast=True of replica.c, which does the same, some
thousand durable writes a second, and never misbehaves.  With power=True each is a machine of
its own that a GreenPowerDriver switches: its process is started and ended by this process, by
its pid.
"""

import contextlib
import fcntl
import http.client
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [os.path.join(ROOT, "tests", "integration")]

from proxy import QUICK, Proxy, free_port, has_test_clock, wait  # noqa: E402,F401

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


def fast_program():
    """replica.c, compiled where it has changed; the workers of one run do it once."""
    source, program = os.path.join(HERE, "replica.c"), os.path.join(ROOT, "build", "replica")
    os.makedirs(os.path.dirname(program), exist_ok=True)
    with open(program + ".lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(program) or \
                os.stat(program).st_mtime_ns < os.stat(source).st_mtime_ns:
            subprocess.run(["gcc", "-std=gnu11", "-O2", "-g", "-Wall", "-Wextra", "-o",
                            program + ".new", source, "-lcrypto"], check=True)
            os.rename(program + ".new", program)
    return program


class Replica:
    def __init__(self, directory, name, level, fsync=False, environment=None, fast=False,
                 tls=None):
        self.dir, self.name, self.level, self.fsync = directory, name, level, fsync
        self.fast = fast
        self.port = free_port()
        self.tls = tls  # files of its certificate and key: by https
        self.url = "%s://127.0.0.1:%d" % ("https" if tls else "http", self.port)
        self.process = None
        self.environment = environment
        self.boot_s = 0.0
        self.seen, self.seen_bytes, self.seen_lock = set(), 0, threading.Lock()
        os.makedirs(directory, exist_ok=True)

    def start(self):
        if self.process and self.process.poll() is None:
            return self
        command = [fast_program() if self.fast else os.path.join(HERE, "backend.py"),
                   "--port", str(self.port), "--dir", self.dir, "--name", self.name,
                   "--level", self.level]
        if self.fast != self.fsync:  # one syncs unless it is told not to
            command.append("--no-sync" if self.fast else "--fsync")
        command += ["--tls", *self.tls] if self.tls else []
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, env=self.environment)
        self.process.stdout.readline()
        return self

    def stop(self, how=signal.SIGKILL):
        if self.process:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(how)
            self.process.wait()
            self.process.stdout.close()
            self.process = None

    def is_on(self):
        return self.process is not None and self.process.poll() is None

    def mode(self, **values):
        """How it misbehaves from now on (backend.py); nothing: it does not."""
        assert not self.fast, "replica.c never misbehaves"
        path = os.path.join(self.dir, "mode")
        with open(path + ".new", "w") as f:
            json.dump(values, f)
        os.replace(path + ".new", path)

    def writes(self):
        """What it has applied, in order, also while it is off."""
        found = []
        try:
            with open(os.path.join(self.dir, "writes"), "rb") as f:
                for line in f:
                    if line.endswith(b"\n"):
                        found.append(json.loads(line))
        except OSError:
            pass
        return [w for w in found if w["applied"]]

    def keys(self):
        return [w["key"] for w in self.writes()]

    def keys_now(self):
        """The keys that it has applied so far, as a set; cheap to ask often, by any thread."""
        try:
            with self.seen_lock, open(os.path.join(self.dir, "writes"), "rb") as f:
                f.seek(self.seen_bytes)
                for line in f:
                    if not line.endswith(b"\n"):
                        break
                    self.seen_bytes += len(line)
                    record = json.loads(line)
                    if record["applied"]:
                        self.seen.add(record["key"])
        except OSError:
            pass
        return self.seen


class Switch(threading.Thread):
    """What the power driver talks to."""

    def __init__(self, path, replicas):
        super().__init__(daemon=True)
        self.replicas = {str(r.port): r for r in replicas}
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        os.chmod(path, 0o666)
        self.listener.listen(64)
        self.orders = []
        self.gone = threading.Event()

    def run(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        with connection, contextlib.suppress(OSError, ValueError, KeyError):  # its peer may be killed
            order, url, *more = connection.makefile().readline().split()
            replica = self.of(url)
            if order == "status":
                connection.sendall(b"on\n" if replica.is_on() else b"off\n")
                return
            self.orders.append((time.monotonic(), order, replica.name))
            if order == "on":
                threading.Timer(replica.boot_s, lambda: self.gone.is_set() or
                                replica.start()).start()
            elif order == "off":
                replica.stop(signal.SIGTERM)
            elif order == "resync":
                self.resync(replica, self.of(more[0]))
            connection.sendall(b"ok\n")

    def of(self, url):
        return self.replicas[url.rstrip("/").rsplit(":", 1)[1]]

    @staticmethod
    def resync(target, source):
        """The target gets what the source has, as a GreenResync command would do it."""
        target.stop()
        with open(os.path.join(source.dir, "writes"), "rb") as f:
            data = f.read()
        with open(os.path.join(target.dir, "writes"), "wb") as f:
            f.write(data)
        target.seen, target.seen_bytes = set(), 0
        target.start()


class Answer:
    def __init__(self, response, body):
        self.status, self.headers, self.body = response.status, response.headers, body
        self.field = {}
        for part in (self.headers.get("Green-Commit") or "").split(","):
            name, _, value = part.strip().partition("=")
            self.field[name] = value.strip('"')
        self.token = self.headers.get("Green-Commit-Token")

    def __repr__(self):
        return "%d %s %s" % (self.status, dict(self.headers), self.body[:200])


class Site:
    def __init__(self, directory, replicas=3, commit="quorum=2 wait=2s", level="l1",
                 power=False, balancer="", main="", fsync=False, journal="size=32M",
                 keys=None, environment=None, fast=False, tls=(), **more):
        self.dir = str(directory)
        os.makedirs(self.dir, exist_ok=True)
        os.chmod(self.dir, 0o755)
        self.replicas = [Replica(os.path.join(self.dir, "r%d" % i), "r%d" % i, level, fsync,
                                 environment, fast, tls[i - 1] if tls else None)
                         for i in range(1, replicas + 1)]
        self.switch, drivers, ladder = None, {}, ""
        if power:
            driver, path = os.path.join(self.dir, "driver"), os.path.join(self.dir, "switch")
            with open(driver, "w") as f:
                f.write(DRIVER)
            os.chmod(driver, 0o755)
            self.switch = Switch(path, self.replicas)
            drivers["room"] = [driver, path]
            ladder = "wake=room sleep=room boot=2s "
        key = os.path.join(self.dir, "journal.key")
        with open(os.open(key, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as f:
            f.write(secrets.token_bytes(32))
        self.proxy = Proxy(
            os.path.join(self.dir, "proxy"),
            members=[(r.url, ladder + "capacity=8 machine=%s %s" % (
                r.name, (keys or {}).get(r.name, ""))) for r in self.replicas],
            balancer=QUICK + """
    GreenReplicas independent
    GreenCommit %s
    GreenCommitBackend %s
    %s""" % (commit, level, balancer),
            main="GreenJournal journal.db key=%s %s\n%s" % (key, journal, main),
            drivers=drivers, **more)
        # The key lies beside the journal here, which is told, as it should be.
        self.proxy.allow(r"GreenJournal.* same file system")

    def __enter__(self):
        for replica in self.replicas:
            replica.start()
        if self.switch:
            self.switch.start()
        self.proxy.start()
        wait(lambda: self.log()["live"], 15, lambda: "the journal serves:\n" + self.proxy.log())
        return self

    def __exit__(self, kind, value, trace):
        try:
            if self.switch:
                self.switch.gone.set()
            self.proxy.__exit__(kind, value, trace)
        finally:
            if self.switch:
                self.switch.listener.close()
            for replica in self.replicas:
                replica.stop()

    # ------------------------------------------------------------ writing and reading

    def ask(self, method, path, body=None, headers=None, timeout=30, connection=None):
        c = connection or http.client.HTTPConnection("127.0.0.1", self.proxy.port,
                                                     timeout=timeout)
        try:
            c.request(method, path, body, headers or {})
            response = c.getresponse()
            return Answer(response, response.read())
        finally:
            if not connection:
                c.close()

    def write(self, method="POST", path="/append", body="x", key=None, headers=None, **more):
        headers = dict(headers or {})
        if key:
            headers["Idempotency-Key"] = '"%s"' % key
        return self.ask(method, path, body, headers, **more)

    def read(self, path="/list", token=None, headers=None, **more):
        headers = dict(headers or {})
        if token:
            headers["Green-Commit-Token"] = token
        return self.ask("GET", path, None, headers, **more)

    def state(self, key, wait_s=None):
        """What /.well-known/green-commit/ says of a write."""
        answer = self.read("/.well-known/green-commit/" + key +
                           ("?wait=%g" % wait_s if wait_s is not None else ""), timeout=90)
        return json.loads(answer.body) if answer.status == 200 else {"status": answer.status}

    # ------------------------------------------------------------ looking

    def log(self):
        """The balancer's log, as status.json has it."""
        return self.proxy.balancer_status()["commit"]

    def lags(self):
        return {m["url"]: m["replica"] for m in self.proxy.balancer_status()["members"]}

    def settle(self, timeout_s=30):
        """Until every awake replica that is not set aside has everything."""
        def settled():
            log = self.log()
            awake = {r.url for r in self.replicas if r.is_on()}
            return log["settled"] == log["head"] and all(
                not lag["lag_entries"] or lag["aside"] for url, lag in self.lags().items()
                if url in awake)
        wait(settled, timeout_s, lambda: "everybody has it: %s %s" % (self.log(), self.lags()))

    def same(self):
        """Do all replicas hold the same writes, in the same order?"""
        lists = [r.keys() for r in self.replicas]
        return all(keys == lists[0] for keys in lists)
