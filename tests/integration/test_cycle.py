"""Servers go to sleep when the load is low, and wake when it rises."""

import json
import os
import subprocess

import pytest
from proxy import ROOT, wait
from room import HostSpec

LOAD = os.path.join(ROOT, "build", "rig", "load")


def load(proxy, *arguments):
    """Runs the outside load generator; its summary."""
    done = subprocess.run([LOAD, "--to", "127.0.0.1:%d" % proxy.port, *map(str, arguments)],
                          stdout=subprocess.PIPE, text=True, timeout=120, check=True)
    return json.loads(done.stdout)


@pytest.mark.parametrize("kind", ["ipmi", "wol"])
def test_idle_servers_sleep_and_wake_with_the_load(site, kind):
    room, proxy = site([HostSpec("web%d" % i, kind=kind, capacity=4, service_ms=50,
                                 boot_s=1.0, shutdown_s=0.3) for i in (1, 2, 3)])
    urls = [h.url for h in room]
    for url in urls[1:]:
        proxy.wait_state(url, "asleep", 30)
    assert proxy.member(urls[0])["state"] == "on"
    assert not room["web2"].powered() and not room["web3"].powered()

    # 8 at once is more than one server's 4: the others have to wake.
    result = load(proxy, "--connections", 8, "--duration", 12)
    assert result["failed"] == 0, result
    members = proxy.members_status()
    assert members[urls[1]]["wakes"] >= 1 and members[urls[2]]["wakes"] >= 1, members
    assert members[urls[1]]["boot_s"]["count"] >= 1

    # Equal ones take turns: now the second stays, which was off before.
    wait(lambda: proxy.states() == {urls[0]: "asleep", urls[1]: "on", urls[2]: "asleep"},
         40, lambda: "they sleep again: %s" % proxy.states())
    assert proxy.balancer_status()["load"]["in_flight"] == 0
    for host in room:
        ons = [o for o in host.orders() if o["order"] == "on"]
        assert len(ons) <= proxy.member(host.url)["wakes"] + 1, host.orders()
