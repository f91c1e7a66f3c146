"""GreenResync with servers that sleep, and with some that come later; a journal that fills."""

import contextlib
import os
import re
import urllib.parse

from replicas import Replica, Site, wait


def state(site, replica):
    return site.proxy.states()[replica.url]


def lag(site, replica):
    return site.lags()[replica.url]


def test_a_sleeper_that_is_set_aside_is_woken_and_brought_back(base):
    with Site(base / "site", commit="quorum=1 wait=5s", power=True) as site:
        site.proxy.allow(r"GB0503")  # the command stops it for a moment
        before = site.proxy.balancer
        last = site.replicas[2]
        wait(lambda: lag(site, last)["reads"] or state(site, last) == "asleep", 20, site.lags)
        assert site.proxy.ctl("wake", last.url).returncode == 0
        wait(lambda: state(site, last) == "on", 20, site.proxy.states)
        last.mode(differ=True, times=1)
        assert site.write(key="a").status == 201
        wait(lambda: lag(site, last)["aside"], 10, site.lags)
        last.mode()
        assert site.proxy.ctl("sleep", last.url).returncode == 0
        wait(lambda: state(site, last) == "asleep", 40, site.proxy.states)
        assert site.proxy.ctl("auto", last.url).returncode == 0
        site.proxy.balancer = before + "\nGreenResync %s %s resync\n" % (
            base / "site" / "driver", base / "site" / "switch")
        site.proxy.graceful()
        wait(lambda: "GB1557" in site.proxy.log() and not lag(site, last)["aside"], 40,
             lambda: "%s\n%s" % (site.proxy.states(), site.proxy.log()[-3000:]))
        assert "GreenResync is to bring it back" in site.proxy.log()
        wait(lambda: list(site.proxy.states().values()).count("asleep") == 2, 40,
             site.proxy.states)
        assert lag(site, last)["lag_entries"] == 0 and site.replicas[0].keys() == last.keys()


def manage(site, **fields):
    page = site.ask("GET", "/balancer-manager").body.decode()
    fields["nonce"] = re.search(r"nonce=([0-9a-f-]+)", page).group(1)
    assert site.ask("POST", "/balancer-manager", urllib.parse.urlencode(fields), {
        "Content-Type": "application/x-www-form-urlencoded",
        "Referer": "http://127.0.0.1:%d/balancer-manager" % site.proxy.port}).status == 200


def test_a_member_that_is_added_at_run_time_is_brought_in(base):
    with contextlib.ExitStack() as stack:
        site = Site(base / "site", replicas=2, commit="quorum=2 wait=5s", power=True,
                    balancer="ProxySet growth=2\nGreenResync %s %s resync" % (
                        base / "site" / "driver", base / "site" / "switch"))
        stack.enter_context(site)
        site.proxy.allow(r"AH10187", r"GB0142", r"GB0503")  # the page is got without a Referer
        for i in range(3):
            assert site.write(key="k%d" % i).status == 201
        added = Replica(str(base / "site" / "r3"), "r3", "l1").start()
        stack.callback(added.stop)
        site.replicas.append(added)
        site.switch.replicas[str(added.port)] = added
        manage(site, b="app", b_nwrkr=added.url, b_wyes="1")
        manage(site, b="app", w=added.url, w_status_D="0")
        wait(lambda: added.url in site.lags() and lag(site, added)["reads"], 40,
             lambda: "%s\n%s" % (site.lags(), site.proxy.log()[-3000:]))
        log = site.proxy.log()
        assert "it joined a log that is not empty" in log and "was brought back" in log
        assert site.write(key="later").status == 201
        site.settle()
        assert site.same() and len(added.keys()) == 4
        assert ("resync", "r3") in [(what, who) for _, what, who in site.switch.orders]


def test_what_fills_the_journal_wakes_the_sleeper_and_is_trimmed(base):
    with Site(base, replicas=2, commit="quorum=1 wait=5s", power=True, journal="size=4M",
              balancer="GreenCommitBody 128K") as site:
        wait(lambda: "asleep" in site.proxy.states().values(), 30, site.proxy.states)
        sleeper = next(r for r in site.replicas if state(site, r) == "asleep")
        written = 0
        while site.log()["journal_permille"] < 600:
            assert site.write(body="x" * 100000, key="w%d" % written).status == 201
            written += 1
        assert state(site, sleeper) == "asleep"
        while site.log()["journal_permille"] < 700:
            assert site.write(body="x" * 50000, key="w%d" % written).status == 201
            written += 1
        wait(lambda: "or fill the journal" in site.proxy.log(), 10, site.proxy.log)
        wait(lambda: len(sleeper.keys()) == written, 40, site.proxy.states)
        wait(lambda: site.log()["journal_permille"] < 700, 20, site.log)
        assert site.write(key="after").status == 201
        assert site.state("w0") == {"status": 410}
