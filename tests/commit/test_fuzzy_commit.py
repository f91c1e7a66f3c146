"""Writes through httpd, keeper and journal to replicas that have their own storage."""

import collections
import concurrent.futures
import contextlib
import itertools
import json
import os
import re
import shutil
import signal
import sys
import tempfile
import time

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "integration")]

from proxy import has_test_clock, module_file  # noqa: E402
from replicas import QUICK, Site, wait  # noqa: E402

# What is told of a keeper that a test ends.
KILLED = [r"GB0308: ", r"AH00957", r"AH00959", r"AH01114"]


@contextlib.contextmanager
def running(**more):
    path = tempfile.mkdtemp(prefix="gb-commit-")
    with Site(path, **more) as site:
        site.proxy.allow(*KILLED)
        yield site
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="module")
def shared():
    with running(commit="quorum=2 wait=3s", balancer="GreenCommitLimits wait=0-3s\n") as site:
        yield site


@pytest.fixture
def site(shared):
    yield shared
    for replica in shared.replicas:
        replica.mode()
    shared.settle()
    assert shared.same()


def count_of(site, key):
    return [replica.keys().count(key) for replica in site.replicas]


def test_key_is_locked_in_memory_and_in_no_core_file(site):
    with open("/proc/%d/smaps" % site.proxy.keeper_pid(), encoding="utf-8") as f:
        flags = [line.split()[1:] for line in f if line.startswith("VmFlags:")]
    wanted = {"dd"} if "-san" in module_file() else {"dd", "lo"}  # ASan locks nothing
    assert any(wanted <= set(of_one) for of_one in flags)
    assert os.stat("/proc/%d/environ" % site.proxy.keeper_pid()).st_uid == 0  # not dumpable


def test_write_is_met_and_reaches_everybody(site):
    answer = site.write(body="first", key="met-1")
    assert answer.status == 201 and answer.headers["X-Replica"]
    assert answer.field["state"] in ("met", "everywhere") and answer.field["need"] == "2"
    assert int(answer.field["copies"]) >= 2 and answer.field["of"] == "3"
    assert answer.token and answer.token.split(".")[1] == answer.field["seq"]
    site.settle()
    assert count_of(site, "met-1") == [1, 1, 1]
    assert site.state("met-1")["state"] == "everywhere"
    result = site.read("/.well-known/green-commit/met-1/result")
    assert (result.status, result.body) == (201, answer.body)


def test_same_key_is_the_same_write(site):
    first = site.write(body="once", key="same-1")
    again = site.write(body="once", key="same-1")
    assert first.status == again.status == 201 and first.body == again.body
    assert first.field["seq"] == again.field["seq"]
    other = site.write(body="twice", key="same-1")
    assert other.status == 422
    assert site.write("PUT", "/item/x", "once", key="same-1").status == 422
    site.settle()
    assert count_of(site, "same-1") == [1, 1, 1]


def test_write_under_way_is_told_so(site):
    for replica in site.replicas:
        replica.mode(delay_ms=1500)
    with concurrent.futures.ThreadPoolExecutor(1) as other:
        first = other.submit(site.write, body="slow", key="busy-1")
        wait(lambda: site.state("busy-1").get("state") == "open", 5, "it is stored")
        busy = site.write(body="slow", key="busy-1")
        assert busy.status == 409 and busy.headers["Retry-After"]
        assert busy.headers["Location"] == "/.well-known/green-commit/busy-1"
        first.result()
    for replica in site.replicas:
        replica.mode()
    assert site.write(body="slow", key="busy-1").status == 201


def test_writes_that_stand_in_line_are_stored_meanwhile(site):
    """They go along with the verdict before them, but nobody waits for it to be told so."""
    for replica in site.replicas:
        replica.mode(delay_ms=2500)
    with concurrent.futures.ThreadPoolExecutor(2) as others:
        first = others.submit(site.write, body="1", key="line-1")
        wait(lambda: site.state("line-1").get("state") == "open", 5, "it is stored")
        late = site.write(body="2", key="line-2", headers={"Prefer": "respond-async"})
        assert late.status == 202 and late.field["state"] == "open"
        second = others.submit(site.write, body="3", key="line-3")
        wait(lambda: site.state("line-3").get("state") == "open", 2, "it is stored, too")
        assert not first.done() and not second.done()


def test_late_write_goes_on(site):
    for replica in site.replicas:
        replica.mode(delay_ms=1500)
    began = time.monotonic()
    late = site.write(body="late", key="late-1", headers={"Prefer": "wait=0"})
    assert late.status == 202 and time.monotonic() - began < 1.4
    assert late.field["state"] == "open" and not late.token
    place = late.headers["Location"]
    assert site.read(place + "/result").status == 202
    assert site.state("late-1", wait_s=30)["state"] in ("met", "everywhere")
    result = site.read(place + "/result")
    assert result.status == 201 and result.token
    async_ = site.write(body="async", key="late-2", headers={"Prefer": "respond-async"})
    assert async_.status == 202 and async_.headers["Preference-Applied"] == "respond-async"
    assert site.state("late-2", wait_s=30)["state"] in ("met", "everywhere")
    site.settle()
    assert count_of(site, "late-1") == count_of(site, "late-2") == [1, 1, 1]


def test_rejected_writes_are_answered_and_go_nowhere(site):
    answer = site.write("DELETE", "/item/nobody", key="rejected-1")
    assert answer.status == 404 and answer.field["state"] == "rejected" and not answer.token
    assert site.write("DELETE", "/item/nobody", key="rejected-1").status == 404
    site.settle()
    assert count_of(site, "rejected-1") == [0, 0, 0]
    assert site.state("rejected-1")["state"] == "rejected"


def test_conditions_go_with_their_writes(site):
    only_new = {"If-None-Match": "*"}
    assert site.write("PUT", "/item/once", "a", headers=only_new).status == 201
    second = site.write("PUT", "/item/once", "b", headers=only_new)
    assert (second.status, second.field["state"]) == (412, "rejected")


def test_writes_of_many_clients_stand_in_one_order(site):
    def client(number):
        return [site.write(body="%d/%d" % (number, i), key="many-%d-%d" % (number, i)).status
                for i in range(20)]

    with concurrent.futures.ThreadPoolExecutor(16) as clients:
        statuses = collections.Counter(s for found in clients.map(client, range(16))
                                       for s in found)
    assert set(statuses) <= {201, 202}, statuses
    site.settle()
    keys = site.replicas[0].keys()
    for number in range(16):  # a client's next write comes after its last
        mine = [k for k in keys if k.startswith("many-%d-" % number)]
        assert mine == ["many-%d-%d" % (number, i) for i in range(20)]


def test_late_503_where_it_is_wanted():
    with running(commit="quorum=2 wait=100ms late=503") as site:
        for replica in site.replicas:
            replica.mode(delay_ms=1000)
        answer = site.write(body="late", key="k1")
        assert answer.status == 503 and answer.headers["Retry-After"]
        assert answer.headers["Location"] == "/.well-known/green-commit/k1"
        assert b"stored" in answer.body
        for replica in site.replicas:
            replica.mode()
        assert site.state("k1", wait_s=30)["state"] in ("met", "everywhere")
        site.settle()
        assert count_of(site, "k1") == [1, 1, 1]


def under_load(site, disturb, clients=12, seconds=8):
    """Clients that write one after the other while something happens; their keys by what
    they were told."""
    end = time.monotonic() + seconds
    told = collections.defaultdict(list)

    def client(number):
        i = 0
        while time.monotonic() < end:
            key = "load-%d-%d" % (number, i)
            i += 1
            try:
                answer = site.write(body=key, key=key, timeout=40)
            except OSError as error:
                told[type(error).__name__].append(key)
                continue
            told[answer.status].append(key)

    with concurrent.futures.ThreadPoolExecutor(clients + 1) as pool:
        found = [pool.submit(client, i) for i in range(clients)]
        time.sleep(1)
        disturb()
        for f in found:
            f.result()
    return told


def check_nothing_lost(site, told):
    assert set(told) <= {201, 202}, {k: v[:3] for k, v in told.items()}
    assert len(told[201]) > 100
    site.settle()
    assert site.same()
    keys = collections.Counter(site.replicas[0].keys())
    assert max(keys.values()) == 1
    assert not [k for k in told[201] + told[202] if not keys[k]]


def test_graceful_under_load_loses_nothing():
    with running(commit="quorum=2 wait=3s") as site:
        def disturb():
            for _ in range(2):
                site.proxy.graceful()
                time.sleep(2)

        check_nothing_lost(site, under_load(site, disturb))


def test_it_comes_and_goes_with_the_configuration():
    """Its hooks are made by the directive, for one configuration."""
    def is_there(key):
        write = site.write(body=key, key=key)
        state, read = site.state(key), site.read("/count", token="no token")
        return (write.field.get("state") in ("met", "everywhere") and
                state.get("seq") == int(write.field["seq"]) and read.status == 400)

    def is_gone(key):
        write = site.write(body=key, key=key)
        state, read = site.state(key), site.read("/count", token="no token")
        return (write.status == 201 and "Green-Commit" not in write.headers and
                state == {"status": 404} and read.status == 200)

    with running(commit="quorum=1 wait=3s") as site:
        # A write of a child that ends, and no keeper any more that has its log.
        site.proxy.allow("GB1680", "GB0160", "GB1651.* the keeper did not answer")
        commits, numbers = site.proxy.balancer, itertools.count()
        assert is_there("here")
        for balancer, is_so in ((QUICK, is_gone), (commits, is_there), (QUICK, is_gone)):
            site.proxy.balancer = balancer
            site.proxy.graceful()
            wait(lambda: is_so("go-%d" % next(numbers)), 20, is_so.__name__)


def test_keeper_that_is_killed_under_load_loses_nothing():
    with running(commit="quorum=2 wait=3s") as site:
        def disturb():
            for _ in range(2):
                before = site.proxy.keeper_pid()
                os.kill(before, signal.SIGKILL)
                wait(lambda: site.proxy.keeper_pid() not in (0, before), 15, "the next one")
                time.sleep(1)

        check_nothing_lost(site, under_load(site, disturb))


def test_children_that_are_killed_lose_nothing_that_was_told():
    with running(commit="quorum=2 wait=3s") as site:
        site.proxy.allow(r"AH00052")

        def disturb():
            for pid in site.proxy.children():
                os.kill(pid, signal.SIGKILL)
                time.sleep(1)

        told = under_load(site, disturb)
        for name in ("RemoteDisconnected", "ConnectionResetError", "ConnectionRefusedError"):
            for key in told.pop(name, []):  # not told: asked again with its key
                answer = site.write(body=key, key=key)
                told[answer.status].append(key)
        check_nothing_lost(site, told)


def test_full_journal_takes_no_more_and_loses_nothing():
    with running(commit="quorum=2 wait=1s", journal="size=4M",
                 balancer="GreenCommitBody 128K\n") as site:
        site.proxy.allow(r"GB15[0-9]+", r"GB0[0-9]+", r"GB16[0-9]+")
        for replica in site.replicas:
            replica.stop()
        told, refused = [], None
        for i in range(200):
            key = "full-%d" % i
            answer = site.write(body="%d " % i + "x" * 100000, key=key,
                                headers={"Prefer": "respond-async"})
            if answer.status == 503:
                refused = answer
                break
            assert answer.status == 202, answer
            told.append(key)
        assert refused and int(refused.headers["Retry-After"]) >= 1 and len(told) > 10
        assert b"was not" in refused.body
        assert site.state("full-%d" % len(told)) == {"status": 404}
        assert len(re.findall(r"GB1578: .*the journal is full.* lacks most, %d writes; wake it"
                              % len(told), site.proxy.log())) == 1
        for replica in site.replicas:
            replica.start()
        for key in told:
            assert site.state(key, wait_s=60)["state"] in ("met", "everywhere")
        site.settle()
        assert site.same() and site.replicas[0].keys() == told


def test_a_journal_that_is_moved_away_takes_no_more():
    with running(commit="quorum=2 wait=1s") as site:
        site.proxy.allow(r"GB1507")
        path = site.proxy.path("state", "journal.db")
        site.replicas[2].mode(delay_ms=300)
        os.rename(path, path + ".away")
        wait(lambda: site.write(key="k-%d" % time.monotonic_ns()).status == 503, 15, "refused")
        site.replicas[2].mode()
        site.settle()  # what was taken before is not lost by it
        assert site.same() and "GB1507" in site.proxy.log()
        os.rename(path + ".away", path)
        wait(lambda: site.write(key="k-%d" % time.monotonic_ns()).status == 201, 15, "taken again")


@pytest.mark.skipif(not has_test_clock(), reason="a build without TEST_CLOCK")
def test_a_write_that_nobody_answers_is_named():
    with running(commit="quorum=2 wait=100ms") as site:
        site.proxy.allow(r"GB1569", *KILLED)
        for replica in site.replicas:
            replica.mode(status=503, paths=["/stuck"])
        assert site.write("POST", "/stuck", key="s").status == 202
        assert site.write(key="behind").field["state"] == "open"
        time.sleep(0.5)
        site.proxy.advance(61)
        wait(lambda: "GB1569" in site.proxy.log(), 10, "it is named")
        line = next(x for x in site.proxy.log().splitlines() if "GB1569" in x)
        assert "POST /stuck" in line and ".1;" in line
        for replica in site.replicas:
            replica.mode(status=410, paths=["/stuck"])
        assert site.state("s", wait_s=30)["state"] == "rejected"
        assert site.state("behind", wait_s=30)["state"] in ("met", "everywhere")


def test_no_write_goes_past_the_log():
    """By another ProxyPass, another balancer, a rule; reads may, and who is elsewhere."""
    with running(commit="quorum=2 wait=1s", modules=["rewrite"]) as site:
        site.proxy.allow(r"GB1653")
        member = site.replicas[0].url
        site.proxy.main += """
ProxyPass "/plain/" "%(member)s/"
<Proxy "balancer://other">
    BalancerMember "%(member)s"
</Proxy>
ProxyPass "/other/" "balancer://other/"
RewriteEngine on
RewriteRule "^/rule/(.*)" "%(upper)s/$1" [P]
""" % {"member": member, "upper": member.replace("http:", "HTTP:")}
        site.proxy.graceful()
        wait(lambda: site.read("/plain/count").status == 200, 10, "it serves again")
        for way in ("/plain", "/other", "/rule"):
            wait(lambda: json.loads(site.read(way + "/count").body)["replica"] == "r1", 10,
                 way + " leads to the replica")
            assert site.write("POST", way + "/append", key="past").status == 403
        assert site.write("POST", "/append", key="good").status == 201
        site.settle()
        assert site.same() and site.replicas[0].keys() == ["good"]
