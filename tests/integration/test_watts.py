"""Watts are measured where something can measure them, computed where not, and every
place says which."""

import json
import os
import time

import pytest
from conftest import QUICK
from proxy import has_test_clock, wait
from room import HostSpec

# Nothing like what the room's machines draw: computed watts cannot pass for measured.
WRONG = "watts=300:400 offwatts=50"


def script(path, body):
    with open(path, "w") as f:
        f.write("#!/bin/sh\n" + body)
    os.chmod(path, 0o755)
    return [str(path)]


def spec(name, **more):
    return HostSpec(name, capacity=4, service_ms=50, boot_s=1.5, shutdown_s=0.5,
                    watts="60:120", off_watts=7, **more)


def measured(proxy, url, watts):
    member = proxy.member(url)
    return member["watts_source"] == "measured" and abs(member["watts"] - watts) < 1


def test_measured_watts_follow_the_machines(site):
    room, proxy = site([spec("web1"), spec("web2", kind="wol"),
                        spec("web3", kind="redfish")],
                       keys={"web%d" % i: WRONG for i in (1, 2, 3)})
    urls = [h.url for h in room]
    wait(lambda: measured(proxy, urls[0], 60), 20, lambda: str(proxy.member(urls[0])))
    for url in urls[1:]:  # what is off draws what its standby draws
        proxy.wait_state(url, "asleep", 30)
        wait(lambda: measured(proxy, url, 7), 20, lambda: str(proxy.member(url)))
    assert proxy.member(urls[0])["watts_by"] == "ipmi"
    assert proxy.member(urls[1])["watts_by"] == "driver"
    assert proxy.member(urls[2])["watts_by"] == "redfish"
    assert proxy.balancer_status()["energy"]["source"] == "measured"
    metrics = proxy.get("/green/metrics")[1].decode()
    assert 'greenbalance_fleet_watts_info{source="measured"} 1' in metrics
    assert metrics.count('watts_source="measured"') == 3
    assert b"measured by ipmi" in proxy.get("/green/")[1]
    assert b"WattsSource: measured" in proxy.get("/server-status?auto")[1]

    # The account agrees with the room's own meter over a wake and a sleep.
    def accounts():
        return (proxy.balancer_status()["energy"]["joules"],
                sum(h.energy_joules() for h in room))

    assert proxy.ctl("wake", urls[0]).returncode == 0  # it stays
    before, begun = accounts(), time.monotonic()
    assert proxy.ctl("wake", urls[1]).returncode == 0
    proxy.wait_state(urls[1], "on", 20)
    wait(lambda: measured(proxy, urls[1], 60), 20, lambda: str(proxy.member(urls[1])))
    assert proxy.ctl("sleep", urls[1]).returncode == 0
    proxy.wait_state(urls[1], "asleep", 30)
    wait(lambda: measured(proxy, urls[1], 7), 20, lambda: str(proxy.member(urls[1])))
    wait(lambda: time.monotonic() - begun > 8, 10, "enough energy to compare")
    after = accounts()
    drawn, truly = after[0] - before[0], after[1] - before[1]
    # A second of boot or of the first moments is still computed from the wrong curve.
    assert 0.7 * truly < drawn < 1.3 * truly + 3 * 400, (drawn, truly)
    always = proxy.balancer_status()["energy"]["joules_always_on"]
    assert always > after[0], "what was never done comes from the curve"


def test_a_lost_source_leaves_the_curve(site):
    room, proxy = site([spec("web1"), spec("web2", kind="both")],
                       keys={"web1": WRONG, "web2": WRONG})
    proxy.allow(r"GB0[67]")
    url = room["web2"].url
    proxy.wait_state(url, "asleep", 30)
    wait(lambda: measured(proxy, url, 7), 20, lambda: str(proxy.member(url)))
    room["web2"].fault("bmc_hangs")
    assert proxy.ctl("wake", url).returncode == 0  # by a packet; what was read is old
    proxy.wait_state(url, "on", 20)
    member = proxy.member(url)
    assert (member["watts_source"], member["watts"]) == ("curve", 300), member
    assert member["watts_by"] is None
    assert proxy.balancer_status()["energy"]["source"] == "curve"
    room["web2"].heal()
    wait(lambda: measured(proxy, url, 60), 40, lambda: str(proxy.member(url)))


def test_what_cannot_measure_or_says_nonsense_is_told_once(site, base):
    room, proxy = site([spec("web%d" % i, kind="plain") for i in (1, 2)], start=False,
                       balancer=QUICK.replace("min=1", "min=2"))
    asked = base / "asked"
    asked.touch()
    asked.chmod(0o666)
    mute = script(base / "mute", 'case $1 in watts) echo >>%s; exit 126 ;; esac\n'
                  'exec %s "$@"\n' % (asked, " ".join(room.powerdriver)))
    wild = script(base / "wild", 'case $1 in watts) echo 0; exit 0 ;; esac\n'
                  'exec %s "$@"\n' % " ".join(room.powerdriver))
    proxy.drivers = {"mute": mute, "wild": wild}
    proxy.members = [(h.url, "wake=%s sleep=%s capacity=4 watts=300:400" % (name, name))
                     for h, name in zip(room, ("mute", "wild"))]
    proxy.allow(r"GB1401")
    proxy.start()
    wait(lambda: "GB1403" in proxy.log(), 40, proxy.log)
    wait(lambda: "GB1401" in proxy.log(), 20, proxy.log)
    time.sleep(3)  # it would have been asked again by now
    assert len(asked.read_text().splitlines()) == 3
    assert proxy.log().count("GB1401") == proxy.log().count("GB1403") == 1
    for member in proxy.members_status().values():
        assert (member["watts_source"], member["watts"]) == ("curve", 300), member


@pytest.mark.skipif(not has_test_clock(), reason="a build without TEST_CLOCK")
def test_readings_grow_old_and_the_day_is_drawn(site):
    room, proxy = site([spec("web1"), spec("web2")], keys={"web1": WRONG, "web2": WRONG},
                       balancer=QUICK.replace("min=1", "min=2"))
    proxy.allow(r"GB0[56]")
    url = room["web1"].url
    wait(lambda: measured(proxy, url, 60), 20, lambda: str(proxy.member(url)))
    assert b"class=\"day\"" not in proxy.get("/green/")[1]  # nothing to draw yet
    room["web1"].fault("bmc_hangs")
    for _ in range(6):
        before = len(day(proxy))
        proxy.advance(60)
        wait(lambda: len(day(proxy)) > before, 10, "a minute more")
    wait(lambda: "GB1405" in proxy.log(), 10, proxy.log)
    member = proxy.member(url)
    assert (member["watts_source"], member["watts"]) == ("curve", 300), member
    assert measured(proxy, room["web2"].url, 60), "the other one is asked as before"

    assert b"class=\"day\"" in proxy.get("/green/")[1]
    assert proxy.get("/green/history.json?balancer=nobody")[0] == 404
    for query in ("wanted=app", "balancer=app&x=1", "balancer=%zz", "balancer=%00"):
        assert proxy.get("/green/history.json?" + query)[0] in (400, 404), query
    whole = json.loads(proxy.get("/green/history.json")[1])
    assert [b["name"] for b in whole["balancers"]] == ["balancer://app"]
    for minute in day(proxy):
        row = dict(zip(whole["columns"], minute))
        assert row["at"] % 60 == 0 and row["servers_on"] == 2 and row["watts"] >= 100, row


def day(proxy):
    answer = json.loads(proxy.get("/green/history.json?balancer=balancer%3A%2F%2Fapp")[1])
    return answer["balancers"][0]["minutes"]
