"""A whole cycle with the real journal thread: replicas with their own storage sleep, miss
nothing, and nobody reads what is old."""

import os
import signal
import threading
import time

import pytest
from replicas import Site, wait
from segmentkit import Segment


def states(site):
    return [site.proxy.states()[r.url] for r in site.replicas]


def asleep(site):
    return [r for r, state in zip(site.replicas, states(site)) if state == "asleep"]


class Writer(threading.Thread):
    """Writes, and reads what it has written, all the time; notes what is wrong."""

    def __init__(self, site, name, pause_s=0.01):
        super().__init__(daemon=True)
        self.site, self.label, self.pause_s = site, name, pause_s
        self.done, self.wrong, self.ended = 0, [], threading.Event()

    def run(self):
        while not self.ended.is_set():
            key = "%s-%d" % (self.label, self.done)
            answer = self.site.write("POST", "/append", key, key=key)
            if answer.status not in (201, 202):
                self.wrong.append((key, answer))
                continue
            self.done += 1
            if answer.token:
                read = self.site.read("/keys", token=answer.token)
                if read.status != 200 or key.encode() not in read.body:
                    self.wrong.append((key, read.status, read.headers.get("Green-Commit")))
            time.sleep(self.pause_s)

    def end(self):
        self.ended.set()
        self.join()
        return self.done


@pytest.fixture
def site(base):
    with Site(base, replicas=4, commit="quorum=2 wait=5s", power=True) as site:
        yield site


def test_replicas_sleep_under_writes_and_miss_nothing(site):
    writers = [Writer(site, "a"), Writer(site, "b")]
    for writer in writers:
        writer.start()
    wait(lambda: len(asleep(site)) == 2, 40, lambda: "%s" % states(site))
    assert states(site).count("on") == 2, "the quorum stays awake"
    sleepers = asleep(site)
    head = site.log()["head"]
    wait(lambda: site.log()["head"] >= head + 100, 30, "they write on")
    for sleeper in sleepers:
        lag = site.lags()[sleeper.url]
        assert lag["lag_entries"] >= 100 and not lag["reads"] and lag["parked"]
    for replica in site.replicas:  # those that are awake would sleep in their place
        assert site.proxy.ctl("wake", replica.url).returncode == 0
    for sleeper in sleepers:
        wait(lambda s=sleeper: site.lags()[s.url]["reads"], 40,
             lambda: "%s %s" % (states(site), site.lags()))
    written = sum(writer.end() for writer in writers)
    assert [w.wrong for w in writers] == [[], []]
    wait(lambda: set(states(site)) == {"on"}, 40, lambda: "%s" % states(site))
    site.settle()
    assert site.same() and len(site.replicas[0].keys()) == written >= 100
    assert not any(lag["aside"] for lag in site.lags().values())


def test_each_that_went_to_sleep_had_everything(site):
    """What a sleeper holds is all that was written before it parked."""
    writer = Writer(site, "c")
    writer.start()
    wait(lambda: len(asleep(site)) == 2, 40, lambda: "%s" % states(site))
    writer.end()
    lags = site.lags()
    keys = site.replicas[0].keys()
    for replica in site.replicas:
        held = replica.keys()
        assert held == keys[:len(held)], "a prefix of the log"
        assert len(held) >= lags[replica.url]["cursor"]
    assert writer.wrong == []


def test_one_that_wakes_for_the_load_catches_up_first(site):
    wait(lambda: len(asleep(site)) == 2, 40, lambda: "%s" % states(site))
    for i in range(300):
        site.write("POST", "/append", "x", key="k%d" % i)
    sleeper = asleep(site)[0]
    assert site.proxy.ctl("wake", sleeper.url).returncode == 0
    answers = []
    wait(lambda: answers.append(site.read("/count")) or site.lags()[sleeper.url]["reads"], 30,
         lambda: site.lags())
    for answer in answers:
        assert answer.status == 200 and b'"n": 300' in answer.body, answer


def test_nothing_is_sent_to_one_that_is_parked(base):
    """The test sets park at any instant; the watchdog takes it back at its next tick."""
    with Site(base, replicas=3, commit="quorum=1 wait=5s", policy_on="observe") as site:
        writers = [Writer(site, "a", 0), Writer(site, "b", 0)]
        for writer in writers:
            writer.start()
        wait(lambda: writers[0].done > 5, 20, "they write")
        segment, url = Segment(site.proxy.pid(), site.dir), site.replicas[2].url
        member, rounds = segment.member(url), 0

        def look(name):
            return segment.get(member, "member.replica." + name)

        until = time.monotonic() + 2
        while time.monotonic() < until:
            segment.set(member, "member.replica.", {"park": 1})
            if not look("parked"):
                continue
            held = len(site.replicas[2].keys_now())
            time.sleep(0.02)
            after = len(site.replicas[2].keys_now())
            if look("parked") and look("park"):  # nobody else sets it
                assert after == held
                rounds += 1
        assert rounds > 5
        written = sum(writer.end() for writer in writers)
        assert [w.wrong for w in writers] == [[], []]
        site.settle()
        assert site.same() and len(site.replicas[2].keys()) == written


@pytest.mark.parametrize("mode", ["on", "observe"])
def test_nobody_is_refused_over_a_graceful_restart_and_a_killed_keeper(base, mode):
    with Site(base, replicas=3, commit="quorum=2 wait=5s", policy_on=mode) as site:
        site.proxy.allow("GB0308.*status 9")
        writers = [Writer(site, "a"), Writer(site, "b")]
        for writer in writers:
            writer.start()
        wait(lambda: writers[0].done > 20, 20, "they write")
        site.proxy.graceful()
        done = writers[0].done
        wait(lambda: writers[0].done > done + 50, 30, "they go on after a graceful restart")
        os.kill(site.proxy.keeper_pid(), signal.SIGKILL)
        done = writers[0].done
        wait(lambda: writers[0].done > done + 50, 30, "they go on with another keeper")
        written = sum(writer.end() for writer in writers)
        assert [w.wrong for w in writers] == [[], []]
        site.settle()
        assert site.same() and len(site.replicas[0].keys()) == written
