"""Reads that need what their client has written: who answers them, and what the server sees.

The test plays the journal thread (segmentkit.py), so that cursors stand where it puts them.
"""

import json
import threading
import time

import pytest
from replicas import wait
from segmentkit import Played

STICKY = "ProxySet stickysession=SESSION|session"


def site_of(base, **more):
    more.setdefault("keys", {})
    return Played(base, replicas=more.pop("replicas", 3), commit="quorum=1", **more)


def echo(site, token=None, path="/echo", **headers):
    answer = site.read(path, token=token, headers={k.replace("_", "-"): v
                                                   for k, v in headers.items()})
    return answer, json.loads(answer.body) if answer.status == 200 else None


def who(site, token=None, count=12, **headers):
    """Who answers, in so many reads."""
    return {echo(site, token, **headers)[1]["replica"] for _ in range(count)}


def cookie_name(site):
    """As a write's answer has it: by the log's key, which the test learns from an answer."""
    key = site.key_of_log()
    value = 2166136261
    for byte in key.encode():
        value = (value ^ byte) * 16777619 & 0xffffffff
    return "green-%08x" % value


@pytest.fixture
def site(base):
    with site_of(base) as site:
        site.log_is(head=20, settled=20)
        for i, cursor in enumerate((10, 20, 15)):
            site.replica(i, cursor=cursor)
        yield site


def test_a_read_with_a_token_goes_to_those_that_have_it(site):
    assert who(site, "1.20") == {"r2"}
    assert who(site, "1.11") <= {"r2", "r3"}
    assert who(site, "1.1") == {"r1"}  # the first one, which has room
    answer, _ = echo(site, "1.20")
    assert answer.token is None and answer.headers.get("Green-Commit") is None
    assert answer.headers.get("Set-Cookie") is None


def test_without_a_token_any_that_takes_reads_will_do(site):
    assert who(site) == {"r1"}
    site.replica(0, reads=0)
    wait(lambda: who(site, count=1) != {"r1"}, 10, "its gate closes")
    assert "r1" not in who(site)


def test_the_cookie_is_a_token_too(site):
    name = cookie_name(site)
    assert who(site, Cookie="a=b; %s=1.20; c=d" % name) == {"r2"}
    assert who(site, Cookie="x%s=1.20" % name) == {"r1"}
    assert who(site, Cookie="%s=nonsense" % name) == {"r1"}
    answer, seen = echo(site, Cookie="a=b; %s=1.20" % name)
    assert answer.status == 200 and seen["headers"]["cookie"] == "a=b; %s=1.20" % name


def test_nobody_speaks_for_the_proxy(site):
    forged = {"Green-Commit-Principal": "root", "green_commit-role": "answer",
              "Green_Commit_Seq": "1.1", "Green-Commit": "x", "X-Other": "y"}
    seen = json.loads(site.read("/echo", headers=forged).body)["headers"]
    assert seen["x-other"] == "y"
    assert not [name for name in seen if name.startswith("green")]


def test_a_malformed_field_is_told(site):
    site.proxy.allow("GB1680")
    for token in ("1", "x", "1.2.3", "01.2", "1.-2"):
        assert site.read("/echo", token=token).status == 400


def test_nobody_has_it_and_nobody_gets_it(site):
    site.log_is(head=21, settled=20)
    began = time.monotonic()
    answer = site.read("/echo", token="1.21")
    assert answer.status == 503
    assert answer.headers["Green-Commit"] == "state=incomplete"
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    assert time.monotonic() - began < 20
    assert site.log()["reads_refused"] == 1 and site.log()["reads_waited"] == 1


def test_it_waits_for_one_that_gets_it_in_a_moment(site):
    site.log_is(head=21, settled=20)
    timer = threading.Timer(0.5, lambda: site.replica(2, cursor=21))
    timer.start()
    answer, seen = echo(site, "1.21")
    timer.join()
    assert answer.status == 200 and seen["replica"] == "r3"
    assert site.log()["reads_waited"] == 1 and site.log()["reads_refused"] == 0


def test_a_token_of_what_nobody_has_written_holds_no_thread(site):
    assert site.read("/echo", token="1.21").status == 503
    assert site.log()["reads_waited"] == 0 and site.log()["reads_refused"] == 1


def test_another_epoch_is_nobodys(site):
    began = time.monotonic()
    answer = site.read("/echo", token="2.1")
    assert answer.status == 503 and answer.headers["Green-Commit"] == "state=incomplete"
    assert time.monotonic() - began < 1.9, "there is nothing to wait for"


def test_one_that_is_not_awake_does_not_count(site):
    site.replica(1, reads=0)
    wait(lambda: site.read("/echo", token="1.20").status == 503, 10, "its gate closes")


def test_the_least_lagging_one_may_answer_marked(base):
    with site_of(base, balancer="GreenCommitStale mark") as site:
        for i, cursor in enumerate((10, 20, 15)):
            site.replica(i, cursor=cursor)
        for token in ("1.21", "2.3"):
            answer, seen = echo(site, token)
            assert answer.status == 200 and seen["replica"] == "r2"
            assert answer.headers["Green-Commit"] == "state=stale"
        assert site.log()["reads_stale"] == 2
        answer, _ = echo(site, "1.20")
        assert answer.headers.get("Green-Commit") is None


def sticky_site(base):
    return site_of(base, balancer=STICKY, keys={"r%d" % i: "route=%d" % i
                                                    for i in (1, 2, 3)})


def test_a_route_to_a_laggard_is_dropped_and_the_server_sees_what_came(base):
    with sticky_site(base) as site:
        site.log_is(head=20, settled=20)
        for i, cursor in enumerate((10, 20, 15)):
            site.replica(i, cursor=cursor)
        cookies = "a=1; SESSION=abc.1; b=2"
        answer, seen = echo(site, Cookie=cookies)
        assert seen["replica"] == "r1", "its route holds without a token"
        answer, seen = echo(site, "1.20", Cookie=cookies)
        assert seen["replica"] == "r2" and seen["headers"]["cookie"] == cookies
        answer, seen = echo(site, "1.12", Cookie="SESSION=abc.3")
        assert seen["replica"] == "r3", "a route to one that has it is followed"
        for path in ("/echo;session=abc.1?x=y&session=q.1", "/echo?session=abc.1&y=/%01z"):
            answer, seen = echo(site, path=path)
            assert seen["replica"] == "r1"
            answer, seen = echo(site, "1.20", path=path)
            assert seen["replica"] == "r2" and seen["target"] == path


def test_a_route_is_shown_again_after_a_failed_attempt(base):
    with sticky_site(base) as site:
        for i, cursor in enumerate((10, 20, 20)):
            site.replica(i, cursor=cursor)
        site.proxy.allow("AH01114", "AH00957", "AH00959")
        site.replicas[1].stop()
        answer, seen = echo(site, "1.20", path="/echo?session=x.1", Cookie="SESSION=abc.1")
        assert seen["replica"] == "r3" and seen["target"] == "/echo?session=x.1"
        assert seen["headers"]["cookie"] == "SESSION=abc.1"


def test_with_a_queue_nobody_gets_what_it_lacks(base):
    """capacity=8: sixteen reads at once wait for room, and yet none goes to a laggard."""
    with site_of(base, balancer="GreenQueue fifo") as site:
        for i, cursor in enumerate((10, 20, 15)):
            site.replica(i, cursor=cursor)
        seen, threads = [], []
        for _ in range(40):
            threads.append(threading.Thread(
                target=lambda: seen.append(echo(site, "1.20")[1]["replica"])))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert seen == ["r2"] * 40


def test_prefork_serves_them_as_well(base):
    with site_of(base, mpm="prefork") as site:
        for i, cursor in enumerate((10, 20, 15)):
            site.replica(i, cursor=cursor)
        site.proxy.allow("GB1001")
        assert who(site, "1.20") == {"r2"}
        assert site.read("/echo", token="1.21").status == 503


def test_set_aside_ones_and_those_that_catch_up_take_no_reads(site):
    site.replica(0, aside=1, why="it disagreed")
    wait(lambda: "r1" not in who(site, count=1), 10, "its gate closes")
    assert "r1" not in who(site)
    site.replica(0, aside=0, reads=0)
    time.sleep(0.5)
    assert "r1" not in who(site)
    site.replica(0, reads=1)
    wait(lambda: who(site, count=1) == {"r1"}, 10, "its gate opens")
