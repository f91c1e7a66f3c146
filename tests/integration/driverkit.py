"""Builds and drives driver_harness.c: the waker and its drivers without httpd; and their
fixtures."""

import contextlib
import fcntl
import itertools
import os
import re
import select
import signal
import subprocess
import time

import pytest
from room import Room

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
CORE = ["bmc", "boot", "json", "ladder", "packet", "parse", "redfish", "redfish_read",
        "secrets", "state", "state_ask", "types", "value"]
DRIVER_MOST_S = 20  # MGB_DRIVER_MOST_US


def output_of(*argv):
    return subprocess.run(argv, check=True, text=True, stdout=subprocess.PIPE).stdout


def compile_harness(program):
    """With the sanitizers."""
    includes = output_of("apr-1-config", "--includes").split()
    flags = (output_of("apxs", "-q", "EXTRA_CPPFLAGS").split()
             + ["-isystem", output_of("apxs", "-q", "INCLUDEDIR").strip(), "-I."]
             + ["-isystem" + each[2:] for each in includes])
    libraries = (output_of("apr-1-config", "--link-ld").split()
                 + output_of("apu-1-config", "--link-ld").split())
    drivers = sorted("drivers/" + name for name in os.listdir(ROOT + "/drivers")
                     if name.endswith(".c"))
    subprocess.run(
        ["gcc", "-std=gnu11", "-g", "-O1", "-fsanitize=address,undefined",
         "-fno-sanitize-recover=undefined", "-o", program,
         # Sessions that nobody uses and services that hang are waited for in the tests.
         "-DMGB_REDFISH_IDLE_US=(3*GB_US_PER_S)", "-DMGB_REDFISH_FULL_US=(2*GB_US_PER_S)",
         "-DMGB_REDFISH_REQUEST_US=(3*GB_US_PER_S)"] + flags
        + ["tests/integration/driver_harness.c", "loop.c", "timer.c", "wake.c",
           "secrets.c", "multi.c", "libcurl.c", "library.c"] + drivers
        + [f"core/gb_{name}.c" for name in CORE] + libraries + ["-lm"],
        cwd=ROOT, check=True)


@pytest.fixture(scope="session")
def harness(tmp_path_factory):
    """The harness; the workers of one run compile it once."""
    folder = tmp_path_factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        folder = folder.parent
    program = str(folder / "driver_harness")
    with open(program + ".lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(program):
            compile_harness(program + ".new")
            os.rename(program + ".new", program)
    return program


class Keeper:
    """A running harness; every line that it prints is kept."""

    def __init__(self, program, folder, secrets, setup, hidden=(), more=()):
        self.hidden = list(hidden)
        self.lines = []
        self.buffer = b""
        self.process = subprocess.Popen(
            [program, secrets or "-", str(folder / "segment"), *more], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env=dict(os.environ, ASAN_OPTIONS="detect_leaks=0"))
        try:
            for line in setup + ["go"]:
                self.say(line)
            self.expect("ready")
        except BaseException:
            self.kill()
            raise

    def say(self, line):
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def _read(self, timeout_s):
        ready, _, _ = select.select([self.process.stdout], [], [], timeout_s)
        if not ready:
            return False
        data = os.read(self.process.stdout.fileno(), 65536)
        if not data:
            raise AssertionError("the harness ended:\n" + "\n".join(self.lines))
        *whole, self.buffer = (self.buffer + data).split(b"\n")
        self.lines += [line.decode() for line in whole]
        return True

    def expect(self, pattern, timeout_s=10.0, since=0):
        """The first line from number `since` on that matches."""
        until = time.monotonic() + timeout_s
        seen = since
        while True:
            for line in self.lines[seen:]:
                if re.search(pattern, line):
                    return line
            seen = len(self.lines)
            left = until - time.monotonic()
            if left <= 0 or not self._read(left):
                raise AssertionError(f"no line {pattern!r} within {timeout_s} s; said:\n"
                                     + "\n".join(self.lines))

    def ask(self, name, what="ask", timeout_s=10.0):
        """(result, powered, watts, detail) of a question."""
        since = len(self.lines)
        self.say(f"{what} {name}")
        line = self.expect(rf"^(done {name} |cannot-ask)", timeout_s, since)
        if line.startswith("cannot-ask"):
            return None
        _, _, _, result, powered, watts, detail = line.split(" ", 6)
        return result, powered == "powered", float(watts), detail

    def count(self, pattern):
        while self._read(0):
            pass
        return sum(bool(re.search(pattern, line)) for line in self.lines)

    def children(self):
        """Process ids below the harness's."""
        parents = {}
        for name in os.listdir("/proc"):
            if name.isdigit():
                try:
                    with open(f"/proc/{name}/stat") as file:
                        stat = file.read()
                except OSError:
                    continue
                parents[int(name)] = int(stat.rsplit(")", 1)[1].split()[1])
        found = {self.process.pid}
        for _ in range(4):
            found |= {pid for pid, parent in parents.items() if parent in found}
        return found - {self.process.pid}

    def close(self):
        try:
            if self.process.poll() is None:
                self.process.stdin.close()
                self.process.wait(10)
        finally:
            if self.process.poll() is None:
                self.kill()
        text = "\n".join(self.lines)
        assert "Sanitizer" not in text and "runtime error" not in text, text
        for secret in self.hidden:
            assert secret not in text, "a secret was printed"

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)


@pytest.fixture
def keeper(harness, base):
    with contextlib.ExitStack() as made:

        def make(setup, secrets_text=None, hidden=()):
            path = None
            if secrets_text is not None:
                path = str(base / "secrets")
                with open(path, "w", encoding="ascii") as file:
                    os.fchmod(file.fileno(), 0o600)
                    file.write(secrets_text)
            return made.enter_context(
                contextlib.closing(Keeper(harness, base, path, setup, hidden)))

        yield make


@pytest.fixture
def room(base):
    count = itertools.count()
    with contextlib.ExitStack() as made:

        def make(*specs, network="loopback"):
            return made.enter_context(
                Room(str(base / f"room{next(count)}"), list(specs), network=network))

        yield make


def hints_of(host):
    words = [f"machine {host.name}", f"url={host.url}"]
    if host.ipmi:
        words += ["wake=ipmi", "sleep=ipmi", f"ipmi={host.ipmi}"]
    else:
        words += ["wake=wol", f"mac={host.mac}", f"wolto={host.wolto}"]
        if host.wolif:
            words.append(f"wolif={host.wolif}")
    return " ".join(words)


def script(folder, name, text):
    path = folder / name
    path.write_text("#!/bin/sh\n" + text)
    os.chmod(path, 0o755)
    return str(path)


def wait(condition, timeout_s, what):
    return Room.wait(condition, timeout_s, what)
