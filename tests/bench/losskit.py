"""Services that are to survive a crash, for tests/bench/commit-loss: GreenCommit over replicas
that may sleep, and the two older ways, a synchronous standby and a state that is shipped now
and then.  Each gets the same writes at the same instants, loses the same machine at the same
instant, and is then asked what it still has.

    service = Green(directory, quorum=2)        or  Pairs(directory, [0, 1, 5, 30]).services
    service.start() … service.crash("server") … service.recover() … service.keys()

Every machine is a process with a directory of its own, which is its disk.
"""

import asyncio
import concurrent.futures
import contextlib
import http.client
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [os.path.join(ROOT, "tests", "commit"), os.path.join(ROOT, "tests", "crash")]

from replicas import Replica, Site, wait  # noqa: E402
from episodes import end_httpd  # noqa: E402
from proxy import Proxy  # noqa: E402

REPLICAS = 3
IDLE_WATTS, PEAK_WATTS, OFF_WATTS = 140, 200, 5  # demo/run's
BOOT_S = 2.0
RESTART_S = 1.0  # until httpd is started again after it was killed, as systemd does it
CHAIN_S = 1.0  # from the loss of a server to that of the journal, less than a boot
ANSWER_S = 20  # no answer until then is none
WORKERS = ("StartServers 1\nServerLimit 2\nThreadsPerChild 64\nMaxRequestWorkers 128\n"
           "MinSpareThreads 1\nMaxSpareThreads 128\n")


# --- machines -------------------------------------------------------------------

class Machine:
    """A process as a machine: it draws power, boots, and can be lost with its disk."""

    def __init__(self, process):
        self.it = process
        self.it.boot_s = BOOT_S
        self.lost, self.ended = False, False
        self.lock = threading.RLock()
        self.phases = [(0.0, "off")]  # since when it is in which
        self.orders = []  # what its power switch was told: (instant, order, name)
        self.spent_s = 0.0  # processor time of its earlier lives
        self.held = None  # keeps its port while nothing listens there
        self.hold()

    def __getattr__(self, name):
        return getattr(self.it, name)

    def enter(self, phase):
        if self.phases[-1][1] != phase:
            self.phases.append((time.monotonic(), phase))

    def start(self):
        with self.lock:
            if self.lost or self.ended or self.it.is_on():
                return self
            self.release()
            for _ in range(5):  # a process that is just being made may have the held port, too
                self.it.start()
                try:
                    self.it.process.wait(0.05)
                except subprocess.TimeoutExpired:
                    self.enter("on")
                    return self
                self.it.stop()
                time.sleep(0.2)
            raise AssertionError("%s: nothing starts on port %d" % (self.name, self.port))

    def stop(self, how=signal.SIGKILL):
        with self.lock:
            self.spent_s += self.life_s()
            self.it.stop(how)
            self.enter("lost" if self.lost else "off")
            if not self.ended:
                self.hold()

    def lose(self):
        """It is gone, and what it has stored with it; no order brings it back."""
        self.lost = True
        self.stop()
        shutil.rmtree(self.it.dir)

    def hold(self):
        """Whoever asks it is refused, and nobody else takes its place."""
        if not self.held:
            self.held = socket.socket()
            self.held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.held.bind(("127.0.0.1", self.it.port))

    def release(self):
        if self.held:
            self.held.close()
            self.held = None

    def close(self):
        self.ended = True
        self.stop()
        self.release()

    def life_s(self):
        """Processor time of this life."""
        try:
            with open("/proc/%d/stat" % self.it.process.pid, encoding="ascii") as file:
                fields = file.read().rsplit(")", 1)[1].split()
        except (OSError, AttributeError):
            return 0.0
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def busy_s(self):
        return self.spent_s + self.life_s()

    def spells(self):
        """(phase, since, until); what is off boots from the order to be on."""
        untils = [at for at, _ in self.phases[1:]] + [float("inf")]
        for (since, phase), until in zip(self.phases, untils):
            ordered = [at for at, order, name in self.orders
                       if (order, name) == ("on", self.name) and since <= at < until]
            if phase == "off" and ordered:
                yield "off", since, ordered[0]
                yield "boots", ordered[0], until
            else:
                yield phase, since, until

    def joules(self, begin, end, busy_s):
        """By the machine room's model: a curve over the share of time that it is busy."""
        watts = {"off": OFF_WATTS, "boots": PEAK_WATTS, "on": IDLE_WATTS, "lost": 0}
        return (PEAK_WATTS - IDLE_WATTS) * busy_s + sum(
            watts[phase] * max(0.0, min(until, end) - max(since, begin))
            for phase, since, until in self.spells())


class Shipping(Replica):
    """A machine of shipping.py: a standby, or a primary that has one."""

    def __init__(self, directory, name, standby=None, every_s=0):
        super().__init__(directory, name, "l1", fsync=True)
        self.more = ["--to", str(standby.port), "--every", str(every_s)] if standby else []

    def start(self):
        if not self.is_on():
            self.process = subprocess.Popen(
                [os.path.join(HERE, "shipping.py"), "--port", str(self.port), "--dir", self.dir,
                 "--name", self.name, "--fsync"] + self.more, stdout=subprocess.PIPE)
            self.process.stdout.readline()
        return self


# --- services -------------------------------------------------------------------

class Service:
    """What all have in common: machines behind a proxy, and what they draw."""
    name, prefix, proxy = "", "", None
    machines = ()

    def __init__(self):
        self.marks = []  # (instant, processor time of each machine)
        self.gone_at = 0.0  # the instant at which the crash was done

    def mark(self):
        self.marks.append((time.monotonic(), [m.busy_s() for m in self.machines]))

    def joules(self, first, last):
        """Between two marks."""
        (begin, before), (end, after) = self.marks[first], self.marks[last]
        return sum(m.joules(begin, end, b - a)
                   for m, a, b in zip(self.machines, before, after))

    def seconds(self, first, last):
        return self.marks[last][0] - self.marks[first][0]

    def keys(self):
        """What the service shows to whoever asks it, in order."""
        client = http.client.HTTPConnection("127.0.0.1", self.proxy.port, timeout=30)
        with contextlib.closing(client):
            client.request("GET", self.prefix + "/keys")
            answer = client.getresponse()
            body = answer.read()
        if answer.status != 200:
            raise AssertionError("%s: /keys: %d %s" % (self.name, answer.status, body[:200]))
        return json.loads(body)

    def survivors(self):
        return [m for m in self.machines if not m.lost]


class Green(Service):
    """GreenCommit over replicas of which those that are not needed sleep."""

    def __init__(self, directory, quorum, wait_ms=300):
        super().__init__()
        self.name = "quorum=%s" % quorum
        self.awake = REPLICAS if quorum == "all" else quorum
        self.site = Site(directory, replicas=REPLICAS, power=True, fsync=True,
                         commit="quorum=%s wait=%dms late=202" % (quorum, wait_ms),
                         balancer="GreenReverseHealth interval=2s", mpm_conf=WORKERS)
        self.machines = self.site.replicas = [Machine(r) for r in self.site.replicas]
        self.site.switch.replicas = {str(m.port): m for m in self.machines}
        for machine in self.machines:
            machine.orders = self.site.switch.orders
        self.proxy = self.site.proxy
        self.proxy.allow(".*")  # crashes are what it is about

    def start(self):
        self.site.__enter__()

    def settle(self):
        """Those that are not needed sleep; true at once for those whose sleep has begun."""
        wait(lambda: sum(m.is_on() for m in self.machines) == self.awake and
             list(self.proxy.states().values()).count("on") == self.awake, 60,
             lambda: "%s: %d stay awake: %s" % (self.name, self.awake, self.proxy.states()))

    def answerer(self):
        """Who has answered the latest write, if it is on."""
        def latest(machine):
            seqs = [int(w["seq"].split(".")[1]) for w in machine.writes()[-50:]
                    if w["role"] == "answer"]
            return machine.is_on(), max(seqs, default=0)
        return max(self.machines, key=latest)

    def crash(self, kind):
        if kind in ("server", "site", "chain"):
            self.answerer().lose()
            self.gone_at = time.monotonic()
        if kind == "server":
            return
        if kind == "chain":
            time.sleep(CHAIN_S)
        end_httpd(self.site)
        self.gone_at = time.monotonic()
        if kind != "proxy":
            self.without_journal()
        time.sleep(RESTART_S)
        self.proxy.start()

    def without_journal(self):
        """The disk of httpd's machine is lost: what docs/commit.md says to do then.  All are
        stopped, get the data of the one that has most, and a new journal begins."""
        shutil.rmtree(self.proxy.path("state"))
        os.makedirs(self.proxy.path("state"))
        best = max(self.survivors(), key=lambda m: len(m.keys()))
        best.stop()
        with open(os.path.join(best.dir, "writes"), "rb") as file:
            data = file.read()
        for machine in self.survivors():
            with machine.lock:  # an order that it be on may be under way
                machine.stop()
                with open(os.path.join(machine.dir, "writes"), "wb") as file:
                    file.write(data)
                machine.start()

    def recover(self):
        """Everybody that is left is awake, and has all."""
        wait(lambda: self.site.log()["live"], 30, "the journal serves")
        for machine in self.survivors():
            self.proxy.ctl("wake", machine.url)
        wait(lambda: all(self.proxy.states()[m.url] == "on" for m in self.survivors()), 40,
             lambda: "%s: everybody is awake: %s" % (self.name, self.proxy.states()))
        self.site.settle(40)
        wait(lambda: all(self.site.lags()[m.url]["reads"] for m in self.survivors()), 20,
             lambda: "%s: all take reads: %s" % (self.name, self.site.lags()))

    def close(self):
        self.site.switch.gone.set()
        for machine in self.machines:
            machine.close()
        self.site.switch.listener.close()
        self.proxy.kill_all()


def name_of(every_s):
    """What a pair is called in tables."""
    return "shipped every %g s" % every_s if every_s else "synchronous pair"


class Pair(Service):
    """A primary and its standby, always on, behind stock mod_proxy.  every_s 0: synchronous."""

    def __init__(self, directory, every_s):
        super().__init__()
        self.every_s = every_s
        self.label = "pair%g" % every_s
        self.name = name_of(every_s)
        self.prefix = "/" + self.label
        standby = Shipping(os.path.join(directory, self.label, "standby"), "standby")
        primary = Shipping(os.path.join(directory, self.label, "primary"), "primary", standby,
                           every_s)
        self.machines = [Machine(standby), Machine(primary)]

    def conf(self):
        standby, primary = self.machines
        return """<Proxy "balancer://%s">
    BalancerMember "%s" retry=600
    BalancerMember "%s" status=+H
</Proxy>
ProxyPass "%s/" "balancer://%s/"
""" % (self.label, primary.url, standby.url, self.prefix, self.label)

    def settle(self):
        self.keys()

    def crash(self, kind):
        assert kind == "server", "the proxy stores nothing here"
        self.machines[1].lose()
        self.gone_at = time.monotonic()

    def recover(self):
        pass


class Pairs:
    """Pairs behind one httpd, which has nothing of ours."""

    def __init__(self, directory, every_s):
        os.makedirs(directory)
        self.services = [Pair(directory, s) for s in every_s]
        self.proxy = Proxy(os.path.join(directory, "proxy"), load_module=False, mpm_conf=WORKERS,
                           vhosts="\n".join(s.conf() for s in self.services))
        for service in self.services:
            service.proxy = self.proxy

    def start(self):
        for service in self.services:
            for machine in service.machines:
                machine.start()
        self.proxy.start()

    def close(self):
        for service in self.services:
            for machine in service.machines:
                machine.close()
        self.proxy.kill_all()


# --- clients --------------------------------------------------------------------

class Write:
    """A write and what its client was told."""

    def __init__(self, key, at_s):
        self.key, self.at_s = key, at_s
        self.told, self.state, self.took_s = 0, "", 0.0
        self.late_s = 0.0  # so much later than planned it was sent

    def kind(self):
        """refused: nothing was stored, and the client knows it."""
        if self.told == 202:
            return "late"
        if 200 <= self.told < 300:
            return "met"
        return "refused" if self.told == -1 or self.told == 503 and not self.state \
            else "unanswered"


def plan(seed, rate, seconds):
    """Poisson arrivals: (key, instant) of each write, the same for every service."""
    dice, at, found = random.Random(seed), 0.0, []
    while True:
        at += dice.expovariate(rate)
        if at >= seconds:
            return found
        found.append(("%s-%d" % (seed, len(found)), at))


async def exchange(port, prefix, write):
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionRefusedError:
        write.told = -1
        return
    try:
        writer.write(("POST %s/append HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
                      "Idempotency-Key: \"%s\"\r\nContent-Type: text/plain\r\n"
                      "Content-Length: %d\r\n\r\n%s" % (
                          prefix, write.key, len(write.key), write.key)).encode("ascii"))
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        await reader.read()
        write.told = int(head[0].split()[1])
        for line in head[1:]:
            name, _, value = line.partition(":")
            if name.lower() == "green-commit":
                write.state = next((p.split("=")[1] for p in value.replace(" ", "").split(",")
                                    if p.startswith("state=")), "")
    finally:
        writer.close()


async def send(service, write, begin):
    await asyncio.sleep(begin + write.at_s - time.monotonic())
    write.late_s = time.monotonic() - begin - write.at_s
    with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.TimeoutError,
                             ValueError, IndexError):
        await asyncio.wait_for(exchange(service.proxy.port, service.prefix, write), ANSWER_S)
    write.took_s = time.monotonic() - begin - write.at_s


async def drive(services, writes, crash_s, kind, end_s):
    """Everybody's writes, everybody's crash, and an account of what was drawn until end_s.
    When each crash was done, by the same clock as crash_s."""
    loop = asyncio.get_running_loop()
    begin = time.monotonic() + 0.2
    pool = concurrent.futures.ThreadPoolExecutor(len(services))

    async def crash(service):
        await asyncio.sleep(begin + crash_s - time.monotonic())
        service.mark()
        await loop.run_in_executor(pool, service.crash, kind)

    for service in services:
        service.mark()
    crashes = [asyncio.create_task(crash(s)) for s in services]
    sent = [asyncio.create_task(send(s, w, begin)) for s in services for w in writes[s.name]]
    await asyncio.sleep(begin + end_s - time.monotonic())
    for service in services:
        service.mark()
    await asyncio.gather(*crashes, *sent)
    return {service.name: service.gone_at - begin for service in services}
