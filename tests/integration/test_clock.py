"""The clocks: hours pass at once, and a wall clock that somebody sets changes nothing.

The clocks are the module's own, set through its accessor (timer.c); the system's stay.
"""

import os
import subprocess
import time

import pytest
from conftest import QUICK
from proxy import ROOT, has_test_clock, wait
from room import HostSpec

LOAD = os.path.join(ROOT, "build", "rig", "load")
HOUR = 3600

needs_clock = pytest.mark.skipif(not has_test_clock(), reason="a build without TEST_CLOCK")


def specs(count, **more):
    values = dict(capacity=4, service_ms=50, boot_s=1.0, shutdown_s=0.3)
    values.update(more)
    return [HostSpec("web%d" % i, **values) for i in range(1, count + 1)]


def orders(room):
    return {host.name: host.orders() for host in room}


def test_the_installed_module_has_no_such_clock():
    module = os.path.join(ROOT, "build", "mod_greenbalance.so")
    if not os.path.exists(module):
        pytest.skip("build/ has no module")
    with open(module, "rb") as f:
        assert b"GREENBALANCE_TEST_CLOCK" not in f.read()
    done = subprocess.run(["make", "-n", "-f", "Makefile.apxs", "install", "TEST_CLOCK=1"],
                          cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode != 0 and "not installed" in done.stdout


@needs_clock
def test_wall_clock_set_back_an_hour_in_four_states(site):
    """web1 ON, web2 WAKING, web3 ASLEEP, web4 DRAINING, all by the operator's wish."""
    room, proxy = site(specs(4, boot_s=3.0))
    proxy.allow("GB0702")  # a simulated BMC on a busy machine: the ladder tries again
    on, waking, asleep, draining = [host.url for host in room]
    for url in (on, draining):
        assert proxy.ctl("wake", url).returncode == 0
    for url in (waking, asleep):
        wait(lambda u=url: proxy.ctl("sleep", u).returncode == 0, 10, "the order to sleep")
        proxy.wait_state(url, "asleep", 20)
    proxy.wait_state(draining, "on", 20)
    generator = subprocess.Popen(
        [LOAD, "--to", "127.0.0.1:%d" % proxy.port, "--connections", "8", "--duration", "1",
         "--path", "/?ms=4000"], stdout=subprocess.DEVNULL)
    wait(lambda: proxy.member(draining)["in_flight"] > 0, 5, "work in flight")
    assert proxy.ctl("sleep", draining).returncode == 0
    assert proxy.ctl("wake", waking).returncode == 0
    wanted = {on: "on", waking: "waking", asleep: "asleep", draining: "draining"}
    wait(lambda: proxy.states() == wanted, 5, lambda: str(proxy.states()))
    wait(lambda: [o["order"] for o in room["web2"].orders()][-1:] == ["on"], 5, "the order on")
    before, shown = orders(room), proxy.status()["now"]

    proxy.set_back_wall(HOUR)
    time.sleep(1.0)  # ten ticks
    assert proxy.states() == wanted
    assert orders(room) == before
    assert proxy.status()["now"] < shown - HOUR / 2  # it is the accessor that was set
    for state in proxy.members_status().values():
        assert 0 <= state["since_s"] < 60, state

    proxy.wait_state(waking, "on", 15)
    proxy.wait_state(draining, "asleep", 15)
    assert generator.wait(timeout=30) == 0
    assert proxy.get("/")[0] == 200
    for name, new in orders(room).items():
        added = [o["order"] for o in new[len(before[name]):]]
        assert added == (["soft"] if name == "web4" else []), (name, added)
    assert 2.5 < proxy.member(waking)["boot_s"]["p50"] < 15, proxy.member(waking)


@needs_clock
@pytest.mark.parametrize("hours", [-1, 4])
def test_checkpoint_of_another_hour(site, hours):
    """The wall clock was set while httpd was stopped: ages are not negative, boot times
    and states are kept, nobody is switched."""
    room, proxy = site(specs(2))
    first, url = [host.url for host in room]
    assert proxy.ctl("wake", first).returncode == 0  # it stays, whatever the other does
    proxy.wait_state(url, "asleep", 30)
    assert proxy.ctl("wake", url).returncode == 0
    proxy.wait_state(url, "on", 20)
    assert proxy.ctl("sleep", url).returncode == 0
    proxy.wait_state(url, "asleep", 30)
    before, old = proxy.member(url), orders(room)
    proxy.stop()
    proxy.set_back_wall(-hours * HOUR)
    proxy.start()
    after = proxy.member(url)
    assert after["state"] == "asleep", after
    assert after["boot_s"] == before["boot_s"] and after["wakes"] == before["wakes"]
    assert after["since_s"] >= 0
    if hours > 0:
        assert after["since_s"] > (hours - 0.5) * HOUR
    time.sleep(0.5)
    assert orders(room) == old
    assert proxy.ctl("wake", url).returncode == 0
    proxy.wait_state(url, "on", 20)


@needs_clock
def test_timers_follow_the_clock(site):
    """The back-off of ten minutes passes in a moment; it is not tried before."""
    room, proxy = site(specs(2), balancer=QUICK.replace("GreenWake timeout=8s",
                                                        "GreenWake timeout=2s"))
    proxy.allow(r"GB040[27]", r"GB0705", r"GB0503", r"GB07")
    url, host = list(room)[1].url, list(room)[1]
    proxy.wait_state(url, "asleep", 30)
    host.fault("boot_fails")
    assert proxy.ctl("wake", url).returncode == 0
    proxy.advance(40)  # the deadline of a wake is a rung's time-out and 30 s
    proxy.wait_state(url, "failed", 20)
    proxy.advance(9 * 60)
    time.sleep(0.5)
    assert proxy.member(url)["state"] == "failed"
    host.power_off()
    host.heal()
    proxy.advance(2 * 60)
    proxy.wait_state(url, "on", 20)
    assert proxy.get("/")[0] == 200
