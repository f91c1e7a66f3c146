"""Replicas sleep through writes and wake, while clients read and note what is stale.

    with sleeper_site(directory) as site:
        nap = Nap(site, clients=64)
        rates = nap.through([site.replicas[0], site.replicas[2]], writes=10000)
        nap.end()
        nap.look()
        assert not nap.stale and not nap.lost and not nap.twice and not nap.wrong

A write's answer says how long the list is with it, and the hash of all of it: so a read of
/count tells which writes it has seen, and whether they are those that were written.
"""

import bisect
import http.client
import itertools
import json
import os
import threading
import time

from replicas import Site, wait

# What docs/commit.md promises of reads without a token: no server takes any that lacks more
# writes, or one for longer. Both are looked at ten times a second, twice on the way to the
# gate: five times that is the room here.
LAG_MOST, LAG_MOST_S, ROOM_S = 64, 1.0, 1.0
WATCH_S = 0.01


def sleeper_site(directory, **more):
    """Four fast replicas, two of which have to be awake; their routes are 1 to 4."""
    more.setdefault("fast", True)
    site = Site(directory, replicas=4, commit="quorum=2 wait=10s", power=True,
                balancer="ProxySet stickysession=SESSION|session\n    GreenSticky move",
                keys={"r%d" % i: "route=%d" % i for i in range(1, 5)},
                main="MaxKeepAliveRequests 0", **more)
    site.proxy.allow("GB0503.*does not pass its health check: no whole answer")  # a loaded machine
    return site


class Acks:
    """What clients were told: so long is the list, and that is what it hashes to."""

    def __init__(self):
        self.lock = threading.Lock()
        self.hashes, self.keys = {}, []
        self.top, self.token = 0, None
        self.times, self.tops = [], []

    def add(self, key, answer):
        said = json.loads(answer.body) if answer.status == 201 else None
        with self.lock:
            self.keys.append(key)
            if not said:
                return  # 202: it will be there
            self.hashes[said["n"]] = said["hash"]
            if said["n"] > self.top:
                self.top, self.token = said["n"], answer.token
                self.times.append(time.monotonic())
                self.tops.append(self.top)

    def now(self):
        with self.lock:
            return self.top, self.token

    def before(self, at):
        """The longest list that somebody had been told of by then."""
        with self.lock:
            i = bisect.bisect_right(self.times, at)
            return self.tops[i - 1] if i else 0


class Client(threading.Thread):
    """Asks on a connection that is kept; what has no answer is asked again."""

    def __init__(self, site):
        super().__init__(daemon=True)
        self.site, self.connection = site, None

    def ask(self, *arguments, **more):
        for left in range(20, -1, -1):
            try:
                if not self.connection:
                    self.connection = http.client.HTTPConnection(
                        "127.0.0.1", self.site.proxy.port, timeout=60)
                return self.site.ask(*arguments, connection=self.connection, **more)
            except (OSError, http.client.HTTPException):
                self.connection = None
                if not left:
                    raise
                time.sleep(0.1)
        return None


class Writer(Client):
    """Writes as long as next(numbers) has one; notes what it was told, and what is wrong."""

    def __init__(self, site, acks, numbers, label, pause_s=0.0):
        super().__init__(site)
        self.acks, self.numbers, self.label, self.pause_s = acks, numbers, label, pause_s
        self.wrong, self.ended = [], threading.Event()

    def run(self):
        for number in self.numbers:
            key = "%s-%d" % (self.label, number)
            answer = self.ask("POST", "/append", key, {"Idempotency-Key": '"%s"' % key})
            if answer.status in (201, 202):
                self.acks.add(key, answer)
            else:
                self.wrong.append((key, answer))
            if self.ended.wait(self.pause_s):
                return


class Reader(Client):
    """Reads all the time: with the latest token or without, by a route or without."""

    def __init__(self, site, acks, with_token, route=None, pause_s=0.02):
        super().__init__(site)
        self.acks, self.with_token, self.route, self.pause_s = acks, with_token, route, pause_s
        self.ended = threading.Event()
        self.reads = self.refused = 0
        self.by, self.stale, self.wrong = set(), [], []

    def run(self):
        while not self.ended.wait(self.pause_s):
            self.one()

    def one(self):
        headers = {"Cookie": "SESSION=x.%d" % self.route} if self.route else {}
        began = time.monotonic()
        top, token = self.acks.now()
        if self.with_token and token:
            headers["Green-Commit-Token"] = token
        answer = self.ask("GET", "/count", None, headers)
        self.reads += 1
        if answer.status == 503 and self.with_token:
            self.refused += 1
        elif answer.status != 200:
            self.wrong.append(answer)
        else:
            self.judge(json.loads(answer.body), began, top)

    def judge(self, found, began, top):
        self.by.add(found["replica"])
        least = top
        if not self.with_token:
            least = max(self.acks.before(began - ROOM_S) - LAG_MOST,
                        self.acks.before(began - ROOM_S - LAG_MOST_S))
        if found["n"] < least:
            self.stale.append((self.with_token, self.route, found, top, least))
        if self.acks.hashes.get(found["n"], found["hash"]) != found["hash"]:
            self.wrong.append(found)


class Watch(threading.Thread):
    """How a replica's list grows, seen at the replica itself."""

    def __init__(self, replica):
        super().__init__(daemon=True)
        self.replica, self.goal = replica, None
        self.samples, self.ended = [], threading.Event()

    def run(self):
        connection = None
        while not self.ended.wait(WATCH_S):
            try:
                connection = connection or http.client.HTTPConnection(
                    "127.0.0.1", self.replica.port, timeout=5)
                connection.request("GET", "/count")
                length = json.loads(connection.getresponse().read())["n"]
            except (OSError, http.client.HTTPException):
                connection = None
                continue
            self.samples.append((time.monotonic(), length))
            if self.goal is not None and length >= self.goal:
                return

    def rate(self):
        """Entries a second between its first and its last one."""
        start = self.samples[0][1]
        first = max(s for s in self.samples if s[1] == start)
        last = self.samples[-1]
        return (last[1] - first[1]) / (last[0] - first[0])


class Nap:
    def __init__(self, site, clients=64, read_pause_s=0.02):
        self.site, self.clients, self.rounds = site, clients, 0
        self.acks, self.writers = Acks(), []
        self.stale, self.lost, self.twice, self.wrong = [], [], [], []
        self.keeper_us = []  # of its processor time for an entry that is caught up with
        for replica in site.replicas:  # only who is told to sleeps
            self.tell("wake", replica)
        self.readers = [Reader(site, self.acks, token, route, read_pause_s)
                        for token in (True, False) for route in (None, 1, 3)]
        for reader in self.readers:
            reader.start()

    def tell(self, order, replica):
        done = self.site.proxy.ctl(order, replica.url)
        assert done.returncode == 0, done.stdout

    def wait_for(self, condition, seconds=60):
        wait(condition, seconds, lambda: "%s %s\n%s" % (
            self.site.proxy.states(), self.site.lags(), self.site.proxy.log()[-2000:]))

    def write(self, writes):
        """So many, by all clients; the writes a second."""
        self.rounds += 1
        numbers, began = iter(range(writes)), time.monotonic()
        some = [Writer(self.site, self.acks, shared(numbers), "w%d" % self.rounds)
                for _ in range(self.clients)]
        for writer in some:
            writer.start()
        for writer in some:
            writer.join()
        self.writers += some
        return writes / (time.monotonic() - began)

    def through(self, sleepers, writes):
        """They sleep through so many writes and wake; the rates at which they catch up.  Some
        reader's route has to lead to each of them."""
        for replica in sleepers:
            self.tell("sleep", replica)
        self.wait_for(lambda: all(self.site.proxy.states()[r.url] == "asleep" and
                                  not r.is_on() for r in sleepers))
        self.write(writes)
        goal = self.acks.now()[0]
        behind = [goal - len(r.keys()) for r in sleepers]
        assert min(behind) >= writes, behind
        watches = [Watch(r) for r in sleepers]
        one = Writer(self.site, self.acks, itertools.count(), "s%d" % self.rounds, 0.02)
        self.writers.append(one)
        for thread in watches + [one]:
            thread.goal = goal
            thread.start()
        keeper = self.site.proxy.keeper_pid()
        used_us = processor_us(keeper)
        for replica in sleepers:
            self.tell("wake", replica)
        try:
            for watch in watches:
                watch.join(120)
            used_us = processor_us(keeper) - used_us
            self.wait_for(lambda: all(self.site.lags()[r.url]["reads"] for r in sleepers))
        finally:
            for thread in watches + [one]:
                thread.ended.set()
                thread.join()
        assert all(w.samples and w.samples[-1][1] >= goal for w in watches), self.site.lags()
        self.keeper_us.append(used_us / (writes * len(sleepers)))
        self.read_by(sleepers)
        return [watch.rate() for watch in watches]

    def read_by(self, replicas):
        """Until all of them have answered reads, from now on."""
        for reader in self.readers:
            reader.by.clear()
        names = {replica.name for replica in replicas}
        self.wait_for(lambda: names <= set().union(*(reader.by for reader in self.readers)))

    def end(self):
        """Everybody comes to rest."""
        for reader in self.readers:
            reader.ended.set()
        for reader in self.readers:
            reader.join()
        self.site.settle()

    def look(self):
        """What went wrong: lost, twice and wrong, lists of it, beside stale."""
        told = set(self.acks.keys)
        for replica in self.site.replicas:
            keys = replica.keys()
            self.lost += [(replica.name, key) for key in sorted(told - set(keys))]
            self.twice += [(replica.name, key) for key in keys if keys.count(key) > 1] \
                if len(keys) > len(set(keys)) else []
        if not self.site.same():
            self.wrong.append("replicas differ")
        for thread in self.readers + self.writers:
            self.wrong += thread.wrong
        for reader in self.readers:
            self.stale += reader.stale

    def refused(self):
        return sum(reader.refused for reader in self.readers)

    def reads(self):
        return sum(reader.reads for reader in self.readers)


def processor_us(pid):
    """Of all threads of a process."""
    total = 0
    for task in os.listdir("/proc/%d/task" % pid):
        with open("/proc/%d/task/%s/schedstat" % (pid, task), encoding="ascii") as f:
            total += int(f.read().split()[0])
    return total / 1000


def shared(numbers, lock=threading.Lock()):
    """What is left of an iterator, for one of several threads."""
    while True:
        with lock:
            number = next(numbers, None)
        if number is None:
            return
        yield number
