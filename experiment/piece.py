#!/usr/bin/python3
"""One piece of a run, in a process of its own: a machine room, a proxy, the load, the faults, and
everything written down.

    experiment/piece.py PLAN-FILE POLICY SEED PIECE DIRECTORY [STATE-OF-THE-PIECE-BEFORE]

What it writes to DIRECTORY is said in docs/experiment.md; done.json comes last, and a piece
without one is run again."""

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [os.path.join(ROOT, name)
                for name in ("experiment", "rig", "tests/integration", "tests")]

import faults  # noqa: E402
import meter  # noqa: E402
import orphans  # noqa: E402
import outcome  # noqa: E402
import remains  # noqa: E402
import soakkit  # noqa: E402
from disk import SmallDisk  # noqa: E402
from plan import (  # noqa: E402
    ALWAYS_ON, CLIENT_S, KINDS, LATE_MS, OFF_WATTS, SAMPLE_EVERY_S, Plan, PlanError, specs_of)
from proxy import HTTPD, Proxy, hints, module_file, wait  # noqa: E402
from room import Room  # noqa: E402

RUNNER = "GB_EXPERIMENT_RUNNER"  # who started this: the process id of experiment/run
LOAD = os.path.join(ROOT, "build", "rig", "load")
# For both: room for more requests at once than come, in two processes from the beginning on.
WORKERS = ("StartServers 2\nServerLimit 4\nThreadLimit 512\nThreadsPerChild 256\n"
           "MaxRequestWorkers 1024\nMinSpareThreads 1\nMaxSpareThreads 1024\n")
DISK_MB = 4  # the state directory's: soon full
LOOK_EVERY_S, STALL_S = 0.2, 1.0  # see watch_machine()
# GB0403 is the module's own "this cannot be" about a state.
BAD_WORDS = re.compile(r"exit signal|AddressSanitizer|runtime error:|GB0403")


def guest(plan):
    """What a virtual machine has beside its kernel: the room's server, with its capacity."""
    def make(host):
        server = ["/bin/host", "--name", host.name, "--listen", "0.0.0.0:80", "--capacity",
                  str(plan.capacity), "--service-ms", str(plan.service_ms), "--law",
                  "exponential", "--seed", str(host.index + 1)]
        return {"programs": {os.path.join(ROOT, "build", "rig", "host"): "/bin/host"},
                "files": {"/agent/serve": ("#!/bin/sh\nexec %s\n" % " ".join(server), 0o755)}}
    return make


class PieceFailed(Exception):
    """Why."""


class Piece:
    def __init__(self, plan, policy, seed, number, directory, before, lock):
        self.plan, self.policy, self.seed, self.number = plan, policy, seed, number
        self.directory, self.before = directory, before
        self.seconds = plan.piece_s()
        self.place = tempfile.mkdtemp(prefix=os.path.basename(remains.PREFIX),
                                      dir=os.path.dirname(remains.PREFIX))
        os.environ[remains.ENTRY] = self.place  # all that it starts can be known by that
        lock.write(self.place)
        os.chmod(self.place, 0o755)
        self.room = self.proxy = self.generator = self.meters = self.disk = None
        self.failed_since = {}
        self.made_at = time.time()
        self.lock, self.ending = threading.Lock(), threading.Event()
        self.began = time.time()
        self.checks = {}
        self.thread_failed = None

    def path(self, name):
        return os.path.join(self.directory, name)

    # --- up and down ----------------------------------------------------------

    def up(self):
        vm = self.plan.machines == "vm"
        self.room = Room(os.path.join(self.place, "room"), specs_of(self.plan),
                         network="netns" if vm else "loopback", seed=1000 * self.seed,
                         guest=guest(self.plan) if vm else None)
        self.room.up()
        self.proxy = self.make_proxy()
        if self.policy != ALWAYS_ON:
            self.own_disk()
        self.proxy.start()
        if self.policy != ALWAYS_ON:
            wait(lambda: set(self.proxy.states().values()) == {"on"}, 60,
                 lambda: "all servers are on: %s" % self.proxy.states())

    def make_proxy(self):
        where = os.path.join(self.place, "proxy")
        if self.policy == ALWAYS_ON:
            return Proxy(where, members=[(host.url, "") for host in self.room],
                         load_module=False, method="bybusyness", mpm_conf=WORKERS)
        members = []
        for host in self.room:
            _, wake, sleep = KINDS[host.index % len(KINDS)]
            members.append((host.url, "%s capacity=%d boot=%dms watts=%s offwatts=%d machine=%s"
                            % (hints(host, wake, sleep), self.plan.capacity,
                               1000 * (self.plan.boot_s() + 1), self.plan.watts, OFF_WATTS,
                               host.name)))
        ca = "GreenBmcCA " + self.room.redfish.ca if self.room.redfish else ""
        return Proxy(where, members=members, balancer=self.plan.settings(self.policy),
                     secrets=self.room.secrets_text(), main=ca, mpm_conf=WORKERS,
                     drivers={"room": self.room.powerdriver})

    def own_disk(self):
        """The state directory gets a disk of its own, and what the piece before left there."""
        state = self.proxy.path("state")
        if self.plan.faults:
            self.disk = SmallDisk(state, DISK_MB)
        if self.before:
            shutil.copytree(self.before, state, dirs_exist_ok=True)

    def down(self):
        for end in (self.end_load, self.meters and self.meters.stop,
                    self.proxy and self.proxy.kill_all, self.room and self.room.down,
                    self.disk and self.disk.remove):
            if end:
                try:
                    end()
                except Exception as error:  # whatever it is, the rest has to end, too
                    print("experiment: %s" % error, file=sys.stderr)
        remains.sweep(self.place)
        orphans.sweep(self.made_at)

    # --- the load -------------------------------------------------------------

    def start_load(self):
        with open(self.path("profile"), "w", encoding="ascii") as file:
            file.write(self.plan.profile_text(self.seed, self.number))
        with open(self.path("load.json"), "w", encoding="ascii") as out:
            self.generator = subprocess.Popen(
                [LOAD, "--to", "127.0.0.1:%d" % self.proxy.port, "--profile",
                 self.path("profile"), "--new-connections", "--timeout-ms",
                 str(1000 * CLIENT_S), "--seed", str(1000 * self.seed + self.number),
                 "--expect", "served by {server}", "--csv", self.path("requests.csv")],
                stdout=out, start_new_session=True)

    def end_load(self):
        if self.generator and self.generator.poll() is None:
            self.generator.terminate()
            self.generator.wait(timeout=60)

    # --- what is written down ---------------------------------------------------

    def note(self, event):
        with self.lock, open(self.path("events.jsonl"), "a", encoding="ascii") as file:
            file.write(json.dumps(event) + "\n")

    def sample(self):
        taken = dict(soakkit.sample(self.proxy), t=time.time(),
                     cpu={str(pid): soakkit.cpu_s(pid) for pid in self.proxy.processes()})
        if self.policy != ALWAYS_ON:
            balancer = self.proxy.balancer_status()
            taken.update(states=sorted(m["state"] for m in balancer["members"]),
                         waits=balancer["waits"], held=balancer["load"]["held"],
                         joules=balancer["energy"]["joules"])
        with open(self.path("samples.jsonl"), "a", encoding="ascii") as file:
            file.write(json.dumps(taken) + "\n")

    def machines(self):
        """What the machines went through, by themselves: phases and orders."""
        told = {}
        for host in self.room:
            with open(os.path.join(host.folder, "machine.log"), errors="replace",
                      encoding="utf-8") as file:
                phases = outcome.phases_told(file.read())
            told[host.name] = {
                "phases": phases, "orders": host.orders(), "url": host.url,
                "watts_by": self.meters.meters[host.name].way}
        return told

    def watch_machine(self):
        """Notes when this machine had no time for a thread that only sleeps: what is measured
        then is the machine."""
        before = time.time()
        while not self.ending.wait(LOOK_EVERY_S):
            now = time.time()
            if now - before > LOOK_EVERY_S + STALL_S:
                self.note({"stall": round(now - before - LOOK_EVERY_S, 2), "at": before})
            before = now

    def note_thread(self, failed):
        """A thread that measures has died: there is no use in going on."""
        self.thread_failed = failed.exc_value

    # --- the run ----------------------------------------------------------------

    def host_of(self, url):
        """A member's machine; pages show the port that httpd leaves away."""
        return next(h for h in self.room if h.url in (url, url + ":80"))

    def operate(self):
        """What an operator does after the squeezed back-off: tries a failed machine."""
        if self.policy == ALWAYS_ON:
            return
        for url, member in self.proxy.members_status().items():
            host = self.host_of(url)
            if member["state"] != "failed" or host.faults():
                self.failed_since.pop(url, None)
                continue
            since = self.failed_since.setdefault(url, time.time())
            if time.time() - since > self.plan.retry_s():
                self.note({"retry": host.name, "why": member["last_error"][:60],
                           "at": time.time()})
                self.proxy.ctl("wake", url)
                self.proxy.ctl("auto", url)
                self.failed_since.pop(url, None)

    def once(self, function, *arguments):
        """A status page that is busy for a moment does not end the run; it is told."""
        try:
            function(*arguments)
        except (OSError, ValueError, KeyError, StopIteration, AssertionError,
                subprocess.SubprocessError) as error:
            self.note({"trouble": "%s: %s" % (function.__name__, str(error)[:200]),
                       "at": time.time()})

    def run(self):
        mix = faults.Mix(self.plan.faults)
        if self.plan.machines == "vm":
            mix.for_vms()
        todo = mix.schedule(self.seconds, [h.spec for h in self.room],
                            1000 * self.seed + self.number)
        doer = faults.Doer(self.room, self.proxy, self.disk, self.note)
        joules_before = {h.name: h.energy_joules() for h in self.room}
        self.start_load()
        self.began = time.time()
        next_sample = next_operation = 0.0
        while (now := time.time() - self.began) < self.seconds:
            if self.thread_failed:
                raise self.thread_failed
            if self.generator.poll() is not None and now < self.seconds - 1:
                raise PieceFailed("the load generator has ended before its time, with %d" %
                                  self.generator.returncode)
            if now >= next_sample:
                self.once(self.sample)
                next_sample += SAMPLE_EVERY_S
            if todo and now >= todo[0]["at"]:
                self.once(doer.do, todo.pop(0))
            self.once(doer.heal)
            if self.plan.faults and now >= next_operation:
                self.once(self.operate)
                next_operation = now + 1
            time.sleep(0.1)
        self.checks["own_joules"] = {h.name: h.energy_joules() - joules_before[h.name]
                                     for h in self.room}
        if self.generator.wait(timeout=60):
            raise PieceFailed("the load generator has failed")
        doer.heal(everything=True)

    # --- the end ------------------------------------------------------------------

    def settle(self):
        """States that pages show are true once all faults are mended; one keeper; nothing is
        left over."""
        self.checks["processes"] = len(self.proxy.processes())
        if self.policy != ALWAYS_ON:
            try:
                wait(lambda: not self.untrue(), 30, "true states", every_s=0.5)
            except AssertionError:
                pass
            self.checks["untrue"] = self.untrue()
            self.checks["keepers"] = len(self.proxy.keeper_pids())
            self.checks["energy"] = self.proxy.balancer_status()["energy"]
            self.checks["model"] = json.loads(self.proxy.ctl("model").stdout)
        log = self.proxy.log()
        self.checks["crashes"] = [x for x in log.splitlines() if BAD_WORDS.search(x)]
        self.checks["unexpected"] = self.proxy.unexpected()[:100]

    def untrue(self):
        wrong = []
        for url, member in self.proxy.members_status().items():
            host = self.host_of(url)
            if (member["state"] == "on" and not host.serving()) or \
                    (member["state"] == "asleep" and host.powered()):
                wrong.append("%s:%s/%s" % (host.name, member["state"], host.phase()))
        return wrong

    def keep(self):
        with open(self.path("load.json"), encoding="ascii") as file:
            summary = json.load(file)
        with open(self.path("machines.json"), "w", encoding="ascii") as file:
            json.dump(self.machines(), file)
        shutil.copy(self.proxy.path("log", "error.log"), self.path("error.log"))
        if self.policy != ALWAYS_ON:
            shutil.copytree(self.proxy.path("state"), self.path("state"),
                            ignore=shutil.ignore_patterns("lost+found", "ballast"))
        done = {"policy": self.policy, "seed": self.seed, "piece": self.number,
                "began": summary["started_at"], "seconds": self.seconds, "summary": summary,
                "network": self.room.network, "module": os.path.relpath(module_file(), ROOT),
                "disk": bool(self.disk and self.disk.mounted), "load_average": os.getloadavg(),
                "late_ms": LATE_MS, "versions": versions(), "plan": self.plan.digest(),
                **self.checks}
        with open(self.path("done.json.new"), "w", encoding="ascii") as file:
            json.dump(done, file, indent=1)
        os.replace(self.path("done.json.new"), self.path("done.json"))

    def go(self):
        threading.excepthook = self.note_thread
        try:
            self.up()
            self.meters = meter.Meters(self.room, self.directory)
            self.meters.start()
            threading.Thread(target=self.watch_machine, daemon=True).start()
            time.sleep(1.5)  # first readings
            self.run()
            time.sleep(1.5)  # the last seconds have a reading behind them
            self.meters.stop()
            self.settle()
            self.keep()
        except Exception:
            if self.proxy:
                print(self.proxy.log()[-3000:], file=sys.stderr)
            raise
        finally:
            # Whoever is impatient does not leave half of it behind.
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_IGN)
            self.ending.set()
            self.down()


def versions():
    """What ran."""
    def first_line(*words):
        try:
            done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  text=True, check=False)
            return done.stdout.splitlines()[0] if done.stdout else ""
        except OSError:
            return ""
    return {"commit": first_line("git", "-C", ROOT, "describe", "--always", "--dirty"),
            "httpd": first_line(HTTPD, "-v"), "kernel": os.uname().release,
            "processors": os.cpu_count(), "module": checksum(module_file()),
            "qemu": first_line("qemu-system-x86_64", "--version")}


def checksum(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()[:12]


def main():
    plan_file, policy, seed, number, directory, *before = sys.argv[1:]
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    what = "%s, seed %s, piece %d" % (policy, seed, int(number) + 1)
    try:
        if RUNNER in os.environ:
            remains.ends_with(int(os.environ[RUNNER]))
        # One whose experiment/run has died needs a moment to end.
        lock = remains.Lock(remains.lock_of(directory), remains.ENDING_S)
        remains.sweep(lock.read())
        if os.path.exists(os.path.join(directory, "done.json")):
            return
        shutil.rmtree(directory, ignore_errors=True)
        os.makedirs(directory)
        Piece(Plan.load(plan_file), policy, int(seed), int(number), directory,
              before[0] if before else None, lock).go()
        lock.write("")
    except KeyboardInterrupt:
        sys.exit(130)
    except remains.Busy as error:
        sys.exit("experiment: %s: another process is at work on it: %s" % (what, error))
    except OSError as error:
        sys.exit("experiment: %s: %s%s" % (what, error, "" if error.filename else
                                           ": is there room in %s and in /tmp?" % directory))
    except (PlanError, PieceFailed, faults.FaultsError) as error:
        sys.exit("experiment: %s: %s" % (what, error))


if __name__ == "__main__":
    main()
