"""Hours of idleness, in seconds: the clock is advanced while everything sleeps, and what
the keeper does every half minute goes on; the first request after it works."""

import os
import sys

import pytest
from conftest import ROOT
from proxy import Proxy, has_test_clock, hints, wait
from room import HostSpec, Room

sys.path.insert(0, os.path.join(ROOT, "tests"))
import soakkit  # noqa: E402

# Real intervals: what happens, happens because the clock was advanced.
SETTINGS = """
    GreenAwake min=0
    GreenDwell awake=1s asleep=1s cycles=64/day
    GreenHealth uri=/health interval=300ms timeout=1s rise=2 fall=3
    GreenReverseHealth interval=%s fall=2
    GreenWake timeout=8s retry=1s packets=3
    GreenHold max=20 timeout=20s page=off
"""
STEP_S, STEPS = 900, 16  # four hours


@pytest.fixture
def house(base):
    """Three machines, ipmi, wol and by a driver whose calls are written down; all asleep."""
    calls = base / "calls"
    calls.write_text("")
    calls.chmod(0o666)
    room = Room(str(base / "room"), [
        HostSpec("web1", kind="ipmi", capacity=4, shutdown_s=0.3),
        HostSpec("web2", kind="wol", capacity=4, shutdown_s=0.3),
        HostSpec("web3", kind="plain", capacity=4, shutdown_s=0.3)], network="loopback")
    proxy = None
    with room:
        driver = base / "driver"
        driver.write_text('#!/bin/sh\necho "$1 $2" >>%s\nexec %s "$@"\n' % (
            calls, " ".join(room.powerdriver)))
        driver.chmod(0o755)
        ways = {"ipmi": ("ipmi", "ipmi"), "wol": ("wol", "logged"),
                "plain": ("logged", "logged")}
        members = [(host.url, "capacity=4 boot=2s machine=%s %s" % (
            host.name, hints(host, *ways[host.spec.kind]))) for host in room]
        proxy = Proxy(str(base / "proxy"), members=members, balancer=SETTINGS % "500ms",
                      secrets=room.secrets_text(), drivers={"logged": [str(driver)]})
        with proxy:
            wait(lambda: set(proxy.states().values()) == {"asleep"}, 40,
                 lambda: "all sleep: %s" % proxy.states())
            proxy.balancer = SETTINGS % "30s"
            proxy.graceful()
            wait(lambda: len(proxy.keeper_pids()) == 1 and proxy.ctl("status").returncode == 0,
                 15, "the new keeper")
            yield room, proxy, calls


def pass_time(proxy, seconds):
    """Not while the keeper waits for a tool: that would time out, as it would on a
    machine that was suspended, and be asked again at the next interval only."""
    children = "/proc/%d/task/%d/children" % (proxy.keeper_pid(), proxy.keeper_pid())
    calm = [0]

    def nothing_under_way():
        with open(children, encoding="ascii") as file:
            calm[0] = 0 if file.read().strip() else calm[0] + 1
        return calm[0] >= 4  # looks, a twentieth of a second apart

    wait(nothing_under_way, 15, "the keeper's tools end")
    proxy.advance(seconds)


def told(calls):
    return sum(line.startswith("status") for line in calls.read_text().splitlines())


def sessions(room):
    return sum(soakkit.bmc_sessions(host) for host in room if host.bmc)


@pytest.mark.skipif(not has_test_clock(), reason="a build without TEST_CLOCK")
def test_four_hours_asleep(house):
    room, proxy, calls = house
    # Warm: each question was asked once, and what is allocated once is.
    for _ in range(3):
        before = told(calls)
        pass_time(proxy, 60)
        wait(lambda: told(calls) >= before + 2, 10, "both are asked")
    first, energy = soakkit.sample(proxy), proxy.balancer_status()["energy"]
    orders = {host.name: len(host.orders()) for host in room}

    for _ in range(STEPS):
        before = told(calls)
        pass_time(proxy, STEP_S)
        # The reverse check goes on by the advanced clock: its driver is called again.
        wait(lambda: told(calls) >= before + 2, 10, "machines are asked whether they are off")
        assert set(proxy.states().values()) == {"asleep"}, proxy.states()

    last, after = soakkit.sample(proxy), proxy.balancer_status()["energy"]
    assert last["keeper_pid"] == first["keeper_pid"]
    # A question may be under way: a pipe, a tool.
    assert last["keeper_fds"] <= first["keeper_fds"] + 6, (first, last)
    assert last["keeper_kb"] <= first["keeper_kb"] + 2048, (first, last)
    assert sessions(room) <= 2
    assert {host.name: len(host.orders()) for host in room} == orders
    # Gaps that nobody measured are left open, not filled with the watts of one moment.
    assert 0 <= after["joules"] - energy["joules"] <= 4 * 3600 * 3 * 200
    assert after["joules"] <= after["joules_always_on"] + 1
    for member in proxy.members_status().values():
        assert member["since_s"] >= STEP_S * STEPS

    # The first request after hours is held, and answered.
    assert proxy.get("/", timeout=30)[0] == 200
    woken = [host for host in room if host.powered()]
    assert len(woken) == 1, [host.name for host in woken]
    assert [o["order"] for o in woken[0].orders()].count("on") == 1
    # All three ways still work.
    for host in room:
        assert proxy.ctl("wake", host.url).returncode == 0
    for host in room:
        proxy.wait_state(host.url, "on", 20)


@pytest.mark.skipif(not has_test_clock(), reason="a build without TEST_CLOCK")
def test_switched_on_by_hand_after_hours(house):
    """The reverse check of a BMC, after four hours: a person's machine is found out."""
    room, proxy, _ = house
    proxy.allow(r"GB040[27]", r"GB06")
    pass_time(proxy, 4 * 3600)
    host = room["web1"]
    host.press_button()
    wait(lambda: (proxy.advance(31), proxy.states()[host.url] == "on")[1], 30,
         lambda: str(proxy.member(host.url)), every_s=0.5)
    assert [o["order"] for o in host.orders()].count("on") == 1
