"""What the page, status.json, metrics and greenctl say of logs and replicas.

The test plays the journal thread (segmentkit.py).
"""

import os
import re
import sys
import time

import pytest
from segmentkit import ROOT, Played

sys.path[:0] = [os.path.join(ROOT, "tests", "browser")]

import chromium  # noqa: E402


@pytest.fixture
def site(base):
    with Played(base, replicas=3, commit="quorum=2") as site:
        now_us = int(time.monotonic() * 1e6)
        site.log_is(need=2, epoch=3, head=1042, settled=1040, bytes=5 << 20, permille_full=157,
                    accepted=1000, rejected=30, failed=10, met=990, late=12, full=2, repeated=5,
                    asides=1, given_up=3)
        site.waits({1500: 40, 2000000: 1})
        site.replica(0, cursor=1040, writes=1000)
        site.replica(1, cursor=940, reads=0, lag_entries=100, lag_since_us=now_us - 2500000,
                     catch_up_us=1500000, writes=900)
        site.replica(2, cursor=700, aside=1, reads=0, lag_entries=340, resyncing=1,
                     lag_since_us=now_us - 60000000, why="it answered 409 <b>where r1 said 201")
        yield site


def test_status_json(site):
    log = site.log()
    assert log["live"] is True and log["need"] == 2 and log["epoch"] == 3
    assert (log["head"], log["settled"], log["journal_permille"]) == (1042, 1040, 157)
    assert log["journal_bytes"] == 5 << 20
    assert [log[x] for x in ("accepted", "rejected", "failed", "met", "late", "full",
                             "repeated", "asides", "given_up")] == [1000, 30, 10, 990, 12, 2, 5, 1, 3]
    assert 0.001 < log["wait_p50_s"] < 0.003 and 1 < log["wait_p99_s"] < 4
    lags = [site.lags()[r.url] for r in site.replicas]
    assert lags[0] == {"known": True, "reads": True, "aside": False, "why": "",
                       "resyncing": False, "parked": False, "wants_awake": False,
                       "cursor": 1040, "lag_entries": 0, "lag_s": 0, "catch_up_s": 0,
                       "writes": 1000}
    assert lags[1]["lag_entries"] == 100 and 2.5 <= lags[1]["lag_s"] < 60
    assert lags[1]["catch_up_s"] == 1.5 and not lags[1]["reads"]
    assert lags[2]["aside"] and lags[2]["resyncing"]
    assert lags[2]["why"] == "it answered 409 <b>where r1 said 201"
    site.replica(1, catch_up_us=(1 << 63) - 1)
    assert site.lags()[site.replicas[1].url]["catch_up_s"] is None, "never"


def test_a_balancer_without_it_says_null(site):
    site.proxy.balancer = site.proxy.balancer.replace("GreenCommit quorum=2", "GreenCommit off")
    site.proxy.restart()
    from replicas import wait
    wait(lambda: site.proxy.balancer_status()["commit"] is None, 20, "it is off")
    assert [m["replica"] for m in site.proxy.balancer_status()["members"]] == [None] * 3
    assert b"greenbalance_commit" not in site.proxy.get("/green/metrics")[1]


def metrics(site):
    status, text = site.proxy.get("/green/metrics")
    assert status == 200
    return dict(line.rsplit(" ", 1) for line in text.decode().splitlines()
                if not line.startswith("#"))


def test_metrics(site):
    found = metrics(site)

    def of(name, more=""):
        return float(found['greenbalance_commit_%s{balancer="balancer://app"%s}' % (name, more)])
    assert of("live") == 1 and of("need") == 2 and of("head") == 1042 and of("settled") == 1040
    assert of("journal_full_ratio") == 0.157 and of("journal_bytes") == 5 << 20
    assert of("writes_total", ',result="rejected"') == 30
    assert of("answers_total", ',result="late"') == 12
    assert of("asides_total") == 1
    assert of("wait_seconds_count") == 41
    assert of("wait_seconds_bucket", ',le=".003"') == 40
    assert of("wait_seconds_bucket", ',le="+Inf"') == 41
    lagging = ',member="%s"' % site.replicas[1].url
    assert of("lag_entries", lagging) == 100 and 2.5 <= of("lag_seconds", lagging) < 60
    assert of("reads", lagging) == 0 and of("aside", lagging) == 0
    assert of("aside", ',member="%s"' % site.replicas[2].url) == 1
    assert of("confirmed_total", ',member="%s"' % site.replicas[0].url) == 1000
    text = site.proxy.get("/green/metrics")[1].decode()
    for name in set(re.findall(r"^greenbalance_(commit_\w+?)(?:_bucket|_sum|_count)?\{", text,
                               flags=re.M)):
        assert text.count("# TYPE greenbalance_%s " % name) == 1, name


def test_greenctl_tells_who_lags_and_who_is_set_aside(site):
    text = site.proxy.ctl("status").stdout
    assert "catches up: 100 writes behind" in text
    assert "set aside, being brought back: it answered 409" in text


@pytest.mark.skipif(not chromium.PROGRAM, reason="chromium is not installed: tests/install")
def test_the_page_tells_it_in_a_browser(site):
    with chromium.Chromium() as browser:
        page = browser.page()
        page.call("Emulation.setDeviceMetricsOverride", width=1200, height=900,
                  deviceScaleFactor=1, mobile=False)
        page.open(site.proxy.url("/green/"))
        page.wait("document.readyState === 'complete'", 10)
        text = page.value("document.body.innerText")
        for words in ("Replicated writes", "1042", "2 open", "15.7 % full", "catches up",
                      "being brought back", "it answered 409 <b>where r1 said 201",
                      "1 of the servers is set aside"):
            assert words in text, words
        assert page.value("document.querySelectorAll('b').length") == 0, "it is escaped"
        for width in (1200, 400):
            page.call("Emulation.setDeviceMetricsOverride", width=width, height=900,
                      deviceScaleFactor=1, mobile=False)
            assert page.value("document.documentElement.scrollWidth <= innerWidth"), width


def test_a_journal_that_nobody_serves_is_told(site):
    site.log_is(live=0)
    assert site.log()["live"] is False
    assert b"Nobody serves the journal" in site.proxy.get("/green/")[1]
    site.log_is(live=1, permille_full=912)
    assert b"The journal is full" in site.proxy.get("/green/")[1]
