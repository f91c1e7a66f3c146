"""Power with replicas: what the watchdog makes of what the journal thread says.

The test plays the journal thread (segmentkit.py) beside machines that really go off and on.
"""

import time

import pytest
from replicas import wait
from segmentkit import Played


def site_of(base, replicas=3, commit="quorum=1", **more):
    return Played(base, replicas=replicas, commit=commit, power=True, **more)


def states(site):
    return [site.proxy.states()[r.url] for r in site.replicas]


def count(site, state):
    return states(site).count(state)


def sleeper_of(site, but=()):
    """The index of one that sleeps."""
    return next(i for i, state in enumerate(states(site)) if state == "asleep" and i not in but)


def ordered(site):
    """What was switched, in order."""
    return [(what, who) for _, what, who in site.switch.orders if what in ("on", "off")]


def parks(site):
    """Plays the journal thread for those that drain: at the head, and nothing more."""
    for i in range(len(site.replicas)):
        site.replica(i, parked=site.replica_of(i, "park"))


def wait_for(site, condition, seconds=30):
    def done():
        parks(site)
        return condition()
    wait(done, seconds, lambda: "%s\n%s" % (states(site), site.proxy.log()[-3000:]))


@pytest.fixture
def site(base):
    with site_of(base) as site:
        yield site


def test_none_is_off_before_it_has_parked(site):
    wait(lambda: count(site, "draining") == 2, 20, lambda: states(site))
    drains = [i for i, state in enumerate(states(site)) if state == "draining"]
    site.replica(drains[0], lag_entries=7)
    wait(lambda: site.replica_of(drains[0], "park") == 1, 10, "it is to park")
    time.sleep(2)
    assert states(site)[drains[0]] == "draining" and not ordered(site)
    assert any("7 writes wait for it" in line for line in site.proxy.ctl("status").stdout
               .splitlines())
    site.replica(drains[0], parked=1, lag_entries=0)
    wait(lambda: states(site)[drains[0]] == "asleep", 20, lambda: states(site))
    assert states(site)[drains[1]] == "draining"


def test_a_drain_that_waits_in_vain_ends_and_park_with_it(site):
    """GreenDrain timeout=10s"""
    wait(lambda: count(site, "draining") == 2, 20, lambda: states(site))
    first = next(i for i, state in enumerate(states(site)) if state == "draining")
    site.replica(first, lag_entries=3)
    wait(lambda: "3 writes wait for it" in site.proxy.log(), 30, site.proxy.log)
    wait(lambda: site.replica_of(first, "park") == 0 or states(site)[first] == "draining",
         10, lambda: states(site))
    site.proxy.allow("GB0402.*writes wait for it")
    assert not ordered(site)


def test_the_quorum_stays_awake(base):
    with site_of(base, replicas=4, commit="quorum=2") as site:
        site.log_is(need=2)
        wait_for(site, lambda: count(site, "asleep") == 2)
        time.sleep(3)
        parks(site)
        assert count(site, "on") == 2
        assert site.proxy.balancer_status()["min_awake"] == 2
        awake = next(i for i, state in enumerate(states(site)) if state == "on")
        refused = site.proxy.ctl("sleep", site.replicas[awake].url)
        assert refused.returncode != 0 and "quorum" in refused.stdout
        site.proxy.allow("GB0407.*quorum")  # the command that was refused
        site.log_is(need=3)  # an application asked for more
        wait_for(site, lambda: count(site, "on") == 3)


def test_nobody_sleeps_while_nobody_serves_the_journal(base):
    with site_of(base) as site:
        site.log_is(live=0)
        time.sleep(6)
        assert "asleep" not in states(site) and not ordered(site)
        site.log_is(live=1)
        wait_for(site, lambda: count(site, "asleep") == 2)


def test_one_that_wakes_takes_no_reads_until_it_has_caught_up(base):
    with site_of(base, balancer="GreenAwake min=2") as site:
        wait_for(site, lambda: count(site, "asleep") == 1)
        sleeper = sleeper_of(site)
        other = next(i for i in range(3) if i != sleeper)
        site.replica(sleeper, reads=0, parked=0, lag_entries=500, catch_up_us=3000000)
        site.replica(other, aside=1, why="it disagreed")
        wait(lambda: states(site)[sleeper] == "on", 30, lambda: states(site))
        name = site.replicas[sleeper].name
        begun = time.monotonic()
        while time.monotonic() - begun < 2:
            assert site.read("/count").body.find(name.encode()) < 0
        assert "catches up: 500 writes behind" in site.proxy.ctl("status").stdout
        assert count(site, "on") == 3, "the third one is set aside, and stays on"
        site.replica(sleeper, reads=1, lag_entries=0, catch_up_us=0)
        seen = set()
        def served():
            seen.add(site.read("/count").body)
            return any(name.encode() in body for body in seen)
        third = next(i for i in range(3) if i not in (sleeper, other))
        site.replica(third, reads=0)
        wait(served, 10, lambda: seen)


def test_one_that_catches_up_wakes_no_other(base):
    with site_of(base, replicas=4, balancer="GreenAwake min=1") as site:
        wait_for(site, lambda: count(site, "asleep") == 3)
        for i in range(4):
            site.replica(i, parked=0)
        sleeper = sleeper_of(site)
        site.replica(sleeper, wants_awake=1, reads=0, lag_entries=900)
        wait(lambda: states(site)[sleeper] == "on", 30, lambda: states(site))
        time.sleep(3)
        assert count(site, "on") == 2 and count(site, "asleep") == 2
        assert [who for what, who in ordered(site) if what == "on"] == [
            site.replicas[sleeper].name]


def test_what_has_waited_for_too_long_wakes_a_sleeper(site):
    wait_for(site, lambda: count(site, "asleep") == 2)
    sleeper = sleeper_of(site)
    site.replica(sleeper, wants_awake=1, reads=0, lag_entries=70000)
    wait(lambda: states(site)[sleeper] == "on", 30, lambda: states(site))
    assert site.proxy.member(site.replicas[sleeper].url)["wish"] == "auto"
    assert "70000 writes have waited for it for too long, or fill" in site.proxy.log()
    site.replica(sleeper, wants_awake=0, reads=1, lag_entries=0)
    wait_for(site, lambda: count(site, "asleep") == 2)


def test_the_operators_keep_off_wins_and_is_told(site):
    wait_for(site, lambda: count(site, "asleep") == 2)
    sleeper = sleeper_of(site)
    assert site.proxy.ctl("sleep", site.replicas[sleeper].url).returncode == 0
    site.replica(sleeper, wants_awake=1, reads=0, lag_entries=70000)
    wait(lambda: "GB0408" in site.proxy.log(), 10, "it is told")
    time.sleep(3)
    parks(site)
    assert states(site)[sleeper] == "asleep"
    assert site.proxy.log().count("GB0408") == 1
    site.proxy.allow("GB0408")
    assert site.proxy.ctl("auto", site.replicas[sleeper].url).returncode == 0
    wait(lambda: states(site)[sleeper] == "on", 30, lambda: states(site))


def test_whoever_waits_is_told_of_the_catching_up(base):
    """boot=2s, and 100 s of writes: the answer tells of both."""
    with site_of(base, replicas=2) as site:
        wait_for(site, lambda: count(site, "asleep") == 1)
        sleeper = sleeper_of(site)
        site.replica(sleeper, catch_up_us=100 * 1000000, reads=0, lag_entries=1)
        awake = 1 - sleeper
        site.proxy.allow("GB0504", "GB0402", "AH01114", "AH00957", "AH00959", "GB0[0-9]*:")
        site.replicas[awake].boot_s = 60
        site.replicas[sleeper].boot_s = 5  # long enough to be asked meanwhile
        site.replicas[awake].stop()
        answer = None

        def told():
            nonlocal answer
            answer = site.read("/count", headers={"Accept": "text/html",
                                                  "Sec-Fetch-Mode": "navigate",
                                                  "Sec-Fetch-Dest": "document"})
            return answer.status == 503 and int(answer.headers.get("Retry-After", 0)) > 60
        wait(told, 30, lambda: answer)
