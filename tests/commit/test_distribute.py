"""Order, verdicts and cursors: what replicas hold when they, or the keeper, misbehave."""

import os
import signal
import subprocess
import threading
import time

import pytest
from journalkit import MB, Journal, build_once
from replicas import Replica, Site, wait

RESYNC = """#!/usr/bin/python3 -B
import shutil, sys
with open("%s/places") as f:
    places = dict(line.split() for line in f)
target, source, seq = sys.argv[-3:]
shutil.copy(places[source] + "/writes", places[target] + "/writes.new")
open(places[target] + "/asked", "w").write("%%s %%s" %% (source, seq))
sys.exit(int(open("%s/exit").read()))
"""


OFF = "does not pass its health check"  # of a replica that a test stops


def lag(site, replica):
    return site.lags()[replica.url]


def write_many(site, count, clients=4, prefix="m", path="/append", accept=(201,)):
    """Their answers, by key."""
    answers = {}

    def client(number):
        for i in range(number, count, clients):
            key = "%s%d" % (prefix, i)
            answers[key] = site.write("POST", path, "body of " + key, key=key)

    threads = [threading.Thread(target=client, args=(i,)) for i in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {a.status for a in answers.values()} <= set(accept), \
        [a for a in answers.values() if a.status not in accept][:3]
    return answers


NO_SQLITE = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <string.h>
void *dlopen(const char *name, int flags)
{
    void *(*real)(const char *, int) = dlsym(RTLD_NEXT, "dlopen");
    return name && strstr(name, "libsqlite3") ? NULL : real(name, flags);
}
"""


@pytest.mark.skipif("san" in os.environ.get("GREENBALANCE_BUILD", ""),
                    reason="a sanitizer has dlopen() itself")
def test_without_the_journals_thread_a_write_is_refused_not_unknown(base, monkeypatch):
    layer = str(base / "no_sqlite.so")
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", layer, "-xc", "-"], check=True,
                   input=NO_SQLITE, text=True)
    os.chmod(base, 0o755)
    site = Site(base / "site", replicas=1, commit="quorum=1 wait=2s")
    site.proxy.allow(r"GB1645.*writes get 503")
    site.proxy.allow(r"GB1651.*the keeper takes no write")
    monkeypatch.setenv("LD_PRELOAD", layer)
    try:
        site.replicas[0].start()
        site.proxy.start()
        answer = site.write(key="a", timeout=60)
        assert (answer.status, answer.field.get("state")) == (503, None)
        assert "was not" in answer.body.decode()
    finally:
        site.__exit__(None, None, None)


def test_nines_count_failure_domains_not_copies(base):
    """p is 1 s / 1500 days: 8.1 nines a domain, and three copies lie in two of them."""
    racks = {"r1": "rack1", "r2": "rack2", "r3": "rack2"}
    keys = {name: "mttf=1500d domain=%s" % rack for name, rack in racks.items()}
    with Site(base / "site", commit="quorum=all wait=5s", keys=keys) as site:
        answer = site.write(key="n")
        assert answer.field["copies"] == "3"
        assert answer.field["nines"] == "16.2"


@pytest.mark.parametrize("level", ["l0", "l1"])
def test_everybody_has_the_same_in_the_same_order(base, level):
    with Site(base / "site", level=level) as site:
        answers = write_many(site, 60)
        site.settle()
        assert site.same()
        keys = site.replicas[0].keys()
        assert sorted(keys) == sorted(answers)
        by_seq = sorted(answers, key=lambda key: int(answers[key].field["seq"]))
        assert keys == by_seq
        assert {a.field["state"] for a in answers.values()} <= {"met", "everywhere"}


def test_the_application_rejects_and_nobody_else_sees_it(base):
    with Site(base / "site") as site:
        assert site.write("POST", "/append", key="a").status == 201
        answer = site.write("POST", "/even", key="b")
        assert (answer.status, answer.field["state"]) == (409, "rejected")
        assert site.write("PUT", "/item/x", key="c").status == 201
        assert site.write("DELETE", "/item/x", key="d").status == 204
        assert site.write("DELETE", "/item/x", key="e").status == 404
        site.settle()
        assert site.same() and site.replicas[2].keys() == ["a", "c", "d"]
        assert site.log()["rejected"] == 2


def test_the_answerer_dies_and_another_goes_on(base):
    with Site(base / "site") as site:
        site.proxy.allow(OFF)
        write_many(site, 5, prefix="before")
        site.replicas[0].stop(signal.SIGKILL)
        answers = write_many(site, 20, prefix="without")
        assert all("r1" != a.headers["X-Replica"] for a in answers.values())
        site.replicas[0].start()
        site.settle()
        assert site.same() and len(site.replicas[0].keys()) == 25


def test_at_l0_doubt_sets_aside_and_nothing_is_done_twice(base):
    with Site(base / "site", level="l0") as site:
        site.write("POST", "/append", key="a")
        site.settle()
        site.replicas[0].mode(reset="after", times=1)
        answer = site.write("POST", "/append", key="b")
        assert answer.status == 201 and answer.headers["X-Replica"] != "r1"
        assert lag(site, site.replicas[0])["aside"]
        assert "nobody knows" in lag(site, site.replicas[0])["why"]
        assert not lag(site, site.replicas[0])["reads"]
        write_many(site, 5)
        site.settle()
        assert site.replicas[1].keys() == site.replicas[2].keys()
        assert site.replicas[0].keys() == ["a", "b"]


def test_at_l0_a_write_that_brings_servers_down_gets_two_at_most(base):
    with Site(base / "site", level="l0") as site:
        for replica in site.replicas:
            replica.mode(reset="before", paths=["/poison"])
        answer = site.write("POST", "/poison", key="p")
        assert (answer.status, answer.field["state"], answer.field["aside"]) == (502, "failed", "2")
        assert site.read("/count").status == 200
        write_many(site, 3, accept=(201, 202))
        site.settle()
        aside = [bool(lag(site, r)["aside"]) for r in site.replicas]
        assert sorted(aside) == [False, True, True]
        assert len(site.replicas[aside.index(False)].keys()) == 3


def test_hostile_answers_are_statuses_at_least(base):
    """Too large to be kept; lines that no client could be told; fields behind the body."""
    with Site(base / "site", commit="quorum=2 wait=20s") as site:
        site.proxy.allow("GB1630")

        def all_say(**mode):
            for replica in site.replicas:
                replica.mode(**mode)
            return site.write("POST", "/append")

        answer = all_say(pad=17 << 20)
        assert answer.status == 201 and b"too large" in answer.body
        assert all_say(head=["X-Long: " + "x" * 70000]).status == 201
        answer = all_say(head=["A: 1", "Bad Name: x", "B: \x01", "Location: /new"])
        assert answer.status == 201 and answer.headers["Location"] == "/new"
        assert answer.headers["A"] == "1" and "Bad Name" not in answer.headers
        answer = all_say(trailer=["Set-Cookie: x=y", "Green-Commit-Policy: quorum=3"])
        assert answer.status == 201 and "x=y" not in str(answer.headers)
        site.settle()
        assert site.same() and not [l for l in site.lags().values() if l["aside"]]


@pytest.mark.parametrize("how", [{"reset": "after"}, {"cut": True}, {"status": 502},
                                 {"reset": "before"}])
def test_at_l1_doubt_is_asked_about(base, how):
    with Site(base / "site") as site:
        site.write("POST", "/append", key="a")
        site.replicas[0].mode(times=1, **how)
        assert site.write("POST", "/append", key="b").status == 201
        write_many(site, 5)
        site.settle()
        assert site.same() and not lag(site, site.replicas[0])["aside"]
        assert len(site.replicas[0].keys()) == 7


def test_a_replica_that_disagrees_is_set_aside(base):
    with Site(base / "site", commit="quorum=all wait=1s") as site:
        site.replicas[2].mode(differ=True)
        answer = site.write("POST", "/append", key="a")
        assert answer.status == 202
        state = site.state("a")
        assert lag(site, site.replicas[2])["aside"]
        assert "202" in lag(site, site.replicas[2])["why"]
        assert state["copies"] == 2 and state["aside"] == 1 and state["same"] is False


def test_another_digest_is_a_disagreement(base):
    with Site(base / "site") as site:
        site.replicas[0].mode(digest="one")
        site.replicas[1].mode(digest="one")
        site.replicas[2].mode(digest="two")
        assert site.write("POST", "/append", key="a").status == 201
        wait(lambda: lag(site, site.replicas[2])["aside"], 10, "aside")
        assert not lag(site, site.replicas[1])["aside"]


def test_two_replicas_that_say_500_fail_a_write(base):
    with Site(base / "site") as site:
        for replica in site.replicas:
            replica.mode(status=500)
        answer = site.write("POST", "/append", key="a")
        assert (answer.status, answer.field["state"]) == (500, "failed")
        for replica in site.replicas:
            replica.mode()
        assert site.write("POST", "/append", key="b").status == 201
        site.settle()
        assert site.same() and site.replicas[0].keys() == ["b"]


def test_late_is_202_and_goes_on(base):
    with Site(base / "site", commit="quorum=3 wait=300ms") as site:
        site.replicas[1].mode(delay_ms=1500)
        answer = site.write("POST", "/append", key="a")
        assert answer.status == 202 and answer.field["state"] in ("open", "spreading")
        assert site.state("a", wait_s=20)["state"] in ("met", "everywhere")
        assert site.log()["late"] == 1


def test_the_application_asks_for_more_copies(base):
    with Site(base / "site", commit="quorum=1 wait=10s",
              balancer="GreenCommitLimits quorum=1-3 wait=0-20s") as site:
        for replica in site.replicas:
            replica.mode(policy="quorum=3")
        answer = site.write("POST", "/append", key="a")
        assert answer.status == 201
        assert answer.field["need"] == "3" and answer.field["copies"] == "3"


def test_what_the_application_asks_for_outlives_the_keeper(base):
    """Of the default quorum it would be met; the one that it waits for is off."""
    with Site(base / "site", commit="quorum=1 wait=300ms",
              balancer="GreenCommitLimits quorum=1-3 wait=0-20s") as site:
        site.proxy.allow(r"GB0308", OFF)
        site.replicas[2].stop()
        for replica in site.replicas:
            replica.mode(policy="quorum=3, wait=15000")
        answers = []
        client = threading.Thread(target=lambda: answers.append(site.write(key="a")))
        client.start()
        wait(lambda: lag(site, site.replicas[1])["cursor"] == 1, 10, lambda: site.lags())
        os.kill(site.proxy.keeper_pid(), signal.SIGKILL)
        wait(lambda: site.log()["live"] and site.state("a").get("copies") == 2, 20,
             lambda: site.state("a"))
        state = site.state("a")
        assert state["state"] == "spreading" and state["need"] == 3, state
        time.sleep(0.5)
        assert client.is_alive(), "it waits as the application said"
        site.replicas[2].start()
        client.join()
        assert answers[0].status == 201 and answers[0].field["copies"] == "3", answers
        assert answers[0].headers.get_all("Green-Commit-Policy") is None


def test_the_application_decides(base):
    with Site(base / "site", commit="quorum=1 wait=1s",
              balancer="GreenCommitDecide /decide") as site:
        for replica in site.replicas:
            replica.mode(decide=202)
        answer = site.write("POST", "/append", key="a")
        assert answer.status == 202 and answer.field["state"] == "spreading"
        for replica in site.replicas:
            replica.mode(decide=200)
        answer = site.write("POST", "/append", key="b")
        assert answer.status == 201 and answer.field["state"] in ("met", "everywhere")


def accept(site, replica, *more):
    done = site.proxy.ctl("accept", replica.url, *more)
    return done.returncode, done.stdout


def test_an_operator_takes_back_what_is_set_aside(base):
    """The first has b, which nobody knows; the second is away and decides it later."""
    with Site(base / "site", replicas=2, level="l0", commit="quorum=1 wait=300ms") as site:
        site.proxy.allow(r"GB0308", r"panic", OFF)
        first, second = site.replicas
        assert accept(site, first) == (1, "greenctl: refused: it is not set aside\n")
        assert site.write(key="a").status == 201
        site.settle()
        second.stop()
        first.mode(reset="after", times=1)
        assert site.write(key="b").status == 202
        wait(lambda: lag(site, first)["aside"], 10, site.lags)
        assert "no verdict yet" in accept(site, first, "--seq", "2")[1]
        second.start()
        assert site.state("b", wait_s=10)["state"] == "met"
        code, said = accept(site, first, "--seq", "2")
        assert code == 0 and "taken back" in said, said
        os.kill(site.proxy.keeper_pid(), signal.SIGKILL)  # it is durable
        wait(lambda: site.log()["live"] and site.proxy.keeper_pid() > 1, 20, site.proxy.log)
        assert site.write(key="c").status == 201
        site.settle()
        assert not lag(site, first)["aside"] and site.same() and len(first.keys()) == 3
        assert site.proxy.log().count("GB1570") == 1


def test_the_keeper_is_killed_under_load(base):
    with Site(base / "site") as site:
        site.proxy.allow(r"GB0308", r"keeper")
        answers = {}
        load = threading.Thread(target=lambda: answers.update(
            write_many(site, 200, accept=(201, 202, 503))))
        load.start()
        for _ in range(3):
            time.sleep(0.7)
            wait(lambda: site.proxy.keeper_pid() > 0, 20,
                 lambda: "a keeper:\n" + site.proxy.log()[-6000:])
            pid = site.proxy.keeper_pid()
            assert pid > 1
            os.kill(pid, signal.SIGKILL)
        load.join()
        wait(lambda: site.log()["live"], 20, "the journal serves again")
        site.settle()
        assert site.same()
        keys = site.replicas[0].keys()
        assert len(keys) == len(set(keys))
        assert {k for k, a in answers.items() if a.status == 201} <= set(keys)


def test_one_that_was_off_catches_up_fast(base):
    with Site(base / "site", commit="quorum=1 wait=5s") as site:
        site.proxy.allow(OFF)
        site.replicas[2].stop(signal.SIGTERM)
        write_many(site, 1000, clients=8)
        wait(lambda: not lag(site, site.replicas[2])["reads"], 5, "no reads")
        site.replicas[2].start()
        wait(lambda: lag(site, site.replicas[2])["cursor"] > 0, 10, "it begins")
        begun, first = time.monotonic(), lag(site, site.replicas[2])["cursor"]
        site.settle()
        took = time.monotonic() - begun
        print("catch-up: %.0f writes/s" % ((1000 - first) / took))
        assert site.same()
        wait(lambda: lag(site, site.replicas[2])["reads"], 5, "reads, at a tick")
        assert took < 10  # a tenth of what it has to do alone; the last few take a tick


def resync_site(base):
    tool = base / "resync"
    tool.write_text(RESYNC % (base, base))
    tool.chmod(0o755)
    (base / "exit").write_text("1")
    os.chmod(base / "exit", 0o644)
    site = Site(base / "site", balancer="GreenResync %s word" % tool)
    (base / "places").write_text("".join("%s %s\n" % (r.url, r.dir)
                                         for r in site.replicas))
    for replica in site.replicas:
        os.chmod(replica.dir, 0o777)
    return site


def test_resync_brings_back(base):
    with resync_site(base) as site:
        site.proxy.allow(r"GB1558", OFF)
        write_many(site, 5)
        site.replicas[2].mode(differ=True, times=1)
        site.write("POST", "/append", key="a")
        wait(lambda: "GB1558" in site.proxy.log(), 20, "the command fails")
        assert lag(site, site.replicas[2])["aside"]
        # Its state is exchanged while it is down, as the command's author would do it.
        (base / "exit").write_text("0")
        site.replicas[2].stop(signal.SIGTERM)
        os.replace(site.replicas[2].dir + "/writes.new", site.replicas[2].dir + "/writes")
        site.replicas[2].mode()
        site.replicas[2].start()
        wait(lambda: not lag(site, site.replicas[2])["aside"], 40, "it is back")
        write_many(site, 5, prefix="after")
        site.settle()
        assert site.same()


def test_a_set_aside_replica_stays_aside_over_a_restart(base):
    with Site(base / "site") as site:
        site.replicas[2].mode(differ=True, times=1)
        site.write("POST", "/append", key="a")
        wait(lambda: lag(site, site.replicas[2])["aside"], 10, "aside")
        before = site.proxy.keeper_pid()
        site.proxy.graceful()
        wait(lambda: site.proxy.keeper_pid() not in (None, 0, before) and
             site.log()["live"], 20, "another keeper")
        assert lag(site, site.replicas[2])["aside"]
        assert "202" in lag(site, site.replicas[2])["why"]
        assert site.write("POST", "/append", key="b").status == 201


def test_who_was_a_member_long_ago_makes_room(base, tmp_path):
    """Sixty-four names have a place; one that left gives up its own."""
    harness = build_once(tmp_path, "journal_harness", ["-O1"])
    site = Site(base, replicas=2, commit="quorum=1 wait=2s")
    with open(os.path.join(site.dir, "journal.key"), "wb") as f:
        f.write(bytes([7]) * 32)
    with site:
        state = os.path.join(site.proxy.dir, "state")
        path = os.path.join(state, "journal.db")

        def give(user):
            for name in os.listdir(state):
                os.chown(os.path.join(state, name), user, -1)

        assert site.write("POST", "/append", "one", key="one").status == 201
        site.settle()
        site.proxy.stop()
        owner = os.stat(path)
        give(os.geteuid())
        journal = Journal(harness, path, size=32 * MB, key=7)
        assert not journal.refused, journal.refused
        for i in range(62):
            said = journal.say("replica", 1, "http://gone-%d" % i, 1 if i != 40 else 0, 0, 0)
            assert said == "ok"
        assert journal.say("commit") == "ok"
        journal.end()
        give(owner.st_uid)
        new = Replica(os.path.join(site.dir, "r3"), "r3", "l1").start()
        try:
            site.replicas.append(new)
            site.proxy.members.append((new.url, "capacity=8 machine=r3"))
            site.proxy.start()
            wait(lambda: lag(site, new)["aside"], 15, lambda: site.lags())
            assert "joined a log that is not empty" in str(lag(site, new))
            assert "GB1551" not in site.proxy.log()
            assert site.write("POST", "/append", "two", key="two").status == 201
        finally:
            site.replicas.remove(new)
            new.stop()
        site.proxy.stop()
        give(os.geteuid())
        journal = Journal(harness, path, size=32 * MB, key=7)
        names = journal.say("replicas", 1)
        assert new.url in names and "gone-40," not in names and "gone-41," in names
        journal.end()
