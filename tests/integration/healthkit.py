"""Builds and drives health_harness.c: the keeper's health checks without httpd.

    with Harness(program) as harness:
        harness.rig(bmc="off")
        door = harness.door("http://127.0.0.1:8080", interval=200)
        harness.start()
        harness.wait(lambda h: h.doors[door]["verdict"] == "good", 2)

Every line that the harness writes is kept: `events` in order, `doors` and `rigs` the
latest of each.  A harness that ends with an error, as under a sanitizer, fails the test.
"""

import json
import os
import subprocess
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SOURCES = ["tests/integration/health_harness.c", "probe.c", "probe_target.c",
           "probe_talk.c", "probe_curl.c", "multi.c", "libcurl.c", "library.c", "health_check.c",
           "reverse_health.c", "loop.c", "timer.c", "core/gb_proof.c",
           "core/gb_cping.c", "core/gb_reply.c", "core/gb_health.c", "core/gb_types.c"]
WARNINGS = ["-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-Wno-unused-parameter",
            "-Werror"]


def output_of(*command):
    return subprocess.run(command, check=True, text=True,
                          stdout=subprocess.PIPE).stdout.split()


def build(program, sanitize=False):
    """Compiles the harness; returns its path."""
    includes = output_of("apr-1-config", "--includes") + \
        output_of("apu-1-config", "--includes")
    system = []
    for include in ["-I" + output_of("apxs", "-q", "INCLUDEDIR")[0]] + includes:
        system += ["-isystem", include[2:]]
    flags = ["-std=gnu11", "-g", *WARNINGS, *output_of("apr-1-config", "--cppflags")]
    flags += ["-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"] \
        if sanitize else ["-O2"]
    subprocess.run(["gcc", *flags, *system, "-I.", *SOURCES, "-o", program,
                    *output_of("curl-config", "--libs"),
                    *output_of("apr-1-config", "--link-ld"),
                    *output_of("apu-1-config", "--link-ld")], cwd=ROOT, check=True)
    return program


class Harness:
    def __init__(self, program, env=None):
        self.log = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            [program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log,
            text=True, bufsize=1, env={**os.environ, **(env or {})})
        self.events, self.doors, self.rigs, self.cpus = [], {}, {}, []
        self.shown = 0
        self.door_count = self.rig_count = 0
        self.started = None
        self.changed = threading.Condition()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        status = self.close()
        if kind is None and status:
            raise AssertionError("the harness ended with %s:\n%s"
                                 % (status, self.log_text()))

    def _read(self):
        for line in self.process.stdout:
            event = json.loads(line)
            with self.changed:
                if "door" in event:
                    self.doors[event["door"]] = event
                elif "rig" in event:
                    self.rigs[event["rig"]] = event
                elif "cpu" in event:
                    self.cpus.append(event)
                elif "shown" in event:
                    self.shown += 1
                self.events.append(event)
                self.changed.notify_all()

    def say(self, *words):
        self.process.stdin.write(" ".join(str(w) for w in words) + "\n")

    @staticmethod
    def _options(options):
        return ["%s=%s" % item for item in options.items()]

    def rig(self, **options):
        self.say("rig", *self._options(options))
        self.rig_count += 1
        return self.rig_count - 1

    def door(self, url, rig=0, **options):
        self.say("door", rig, url, *self._options(options))
        self.door_count += 1
        return self.door_count - 1

    def start(self):
        self.started = time.monotonic()
        self.say("start")

    def state(self, rig, name):
        self.say("state", rig, name)

    def bmc(self, rig, mode):
        self.say("bmc", rig, mode)

    def show(self):
        """Brings doors and rigs up to date."""
        before = self.shown
        self.say("show")
        self.wait(lambda h: h.shown > before, 5)

    def cpu(self):
        before = len(self.cpus)
        self.say("cpu")
        self.wait(lambda h: len(h.cpus) > before, 5)
        return self.cpus[-1]

    def wait(self, condition, seconds):
        """Until condition(self), else fails with everything that is known."""
        ends = time.monotonic() + seconds
        with self.changed:
            while not condition(self):
                left = ends - time.monotonic()
                if left <= 0 or self.process.poll() is not None:
                    raise AssertionError(
                        "not within %s s\ndoors %s\nrigs %s\nlog:\n%s"
                        % (seconds, self.doors, self.rigs, self.log_text()))
                self.changed.wait(min(left, 0.1))

    def verdict(self, door, verdict, seconds=5):
        """Waits for a verdict; returns the event that told it."""
        self.wait(lambda h: h.doors.get(door, {}).get("verdict") == verdict, seconds)
        return self.doors[door]

    def proof(self, rig, proof, seconds=5):
        self.wait(lambda h: h.rigs.get(rig, {}).get("proof") == proof, seconds)
        return self.rigs[rig]

    def log_text(self):
        self.log.flush()
        return os.pread(self.log.fileno(), 1 << 20, 0).decode("utf-8", "replace")

    def close(self):
        if self.process.poll() is None:
            try:
                self.say("quit")
                self.process.stdin.close()
                self.process.wait(20)
            except (OSError, subprocess.TimeoutExpired):
                self.process.kill()
                self.process.wait()
        self.reader.join(5)
        return self.process.returncode
