"""Writes are load: they wake servers, count once, and nothing of them stays counted."""

import os
import signal
import threading
import time

from replicas import Site, wait


class Clients:
    """Each writes one after the other, as long as the block lasts."""

    def __init__(self, site, count):
        self.site, self.ended, self.wrong, self.done = site, threading.Event(), [], []
        self.threads = [threading.Thread(target=self.run, args=(i,), daemon=True)
                        for i in range(count)]

    def run(self, client):
        for i in range(100000):
            if self.ended.is_set():
                return
            answer = self.site.write(key="c%d-%d" % (client, i), timeout=60)
            (self.done if answer.status in (201, 202) else self.wrong).append(answer)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, kind, value, trace):
        self.ended.set()
        for thread in self.threads:
            thread.join()


def states(site):
    return list(site.proxy.states().values())


def members(site):
    return {m["url"]: m for m in site.proxy.balancer_status()["members"]}


def in_flight(site):
    return [members(site)[r.url]["in_flight"] for r in site.replicas]


def test_writes_alone_wake_servers_and_let_them_sleep_again(base):
    with Site(base, replicas=2, commit="quorum=1 wait=30s", power=True) as site:
        wait(lambda: states(site).count("asleep") == 1, 30, lambda: states(site))
        for replica in site.replicas:
            replica.mode(delay_ms=300)
        with Clients(site, 32) as clients:
            wait(lambda: states(site).count("on") == 2, 40,
                 lambda: "%s %s" % (states(site), site.proxy.balancer_status()["reason"]))
            wait(lambda: sum(in_flight(site)) >= 2, 20, lambda: "each does it: %s" % in_flight(site))
            for replica in site.replicas:
                replica.mode()
        assert not clients.wrong
        wait(lambda: states(site).count("asleep") == 1, 60, lambda: states(site))
        assert sum(m["requests"] for m in members(site).values()) == len(clients.done)
        assert set(in_flight(site)) == {0}


def check_one_counts_once(site):
    for replica in site.replicas:
        replica.mode(after_ms=1000)
    writer = threading.Thread(target=site.write)
    writer.start()
    seen = set()
    wait(lambda: seen.add(tuple(in_flight(site))) or not writer.is_alive(), 20, "it ends")
    writer.join()
    assert {(1, 0), (0, 1)} <= seen and max(map(sum, seen)) == 1
    wait(lambda: in_flight(site) == [0, 0], 10, lambda: in_flight(site))
    assert sorted(m["requests"] for m in members(site).values()) == [0, 1]
    wait(lambda: site.proxy.balancer_status()["load"]["p50_ms"] >= 900, 10,
         lambda: site.proxy.balancer_status()["load"])


def check_what_a_killed_keeper_had_is_given_back(site):
    site.proxy.allow("GB0308.*status 9")
    for replica in site.replicas:
        replica.mode(delay_ms=1500)
    answers = []
    writer = threading.Thread(target=lambda: answers.append(site.write(key="k")))
    writer.start()
    wait(lambda: sum(in_flight(site)) == 1, 10, lambda: in_flight(site))
    os.kill(site.proxy.keeper_pid(), signal.SIGKILL)
    for replica in site.replicas:
        replica.mode()
    writer.join()
    assert answers[0].status == 201
    wait(lambda: in_flight(site) == [0, 0], 10, lambda: in_flight(site))
    time.sleep(0.5)  # some ticks: nothing is taken back twice
    assert in_flight(site) == [0, 0] and site.log()["head"] == site.log()["settled"]


def test_a_write_is_in_flight_where_it_is(base):
    with Site(base, replicas=2, commit="quorum=2 wait=10s") as site:
        check_one_counts_once(site)
        check_what_a_killed_keeper_had_is_given_back(site)
