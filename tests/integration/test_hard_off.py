"""A server that does not shut down when asked: on again, or, where every balancer of it
says GreenHardOff on, cut off."""

import time

import pytest
from conftest import QUICK
from proxy import wait
from room import HostSpec
from test_agent import HANDLER, KEY, Beater
from test_first_start import set_bit

SHORT = QUICK.replace("GreenWake timeout=8s retry=1s", "GreenWake timeout=2s retry=500ms")
PATIENT = SHORT.replace("timeout=2s retry=500ms", "timeout=6s retry=1s")
SECOND = """
<Proxy "balancer://second">
    %s
    GreenBalance on
    %s
</Proxy>
"""


def cuts(host):
    return [o["order"] for o in host.orders()].count("off")


def test_power_is_cut_only_where_every_balancer_allows_it(site):
    room, proxy = site([HostSpec("web%d" % i, kind=kind, capacity=4, boot_s=0.5,
                                 shutdown_s=0.3)
                        for i, kind in ((1, "ipmi"), (2, "redfish"))], balancer=SHORT + "GreenHardOff on", start=False)
    proxy.allow(r"GB0402.*ladder", r"GB0705", r"GB1411")
    proxy.allow("GB0137")  # nothing is sent to the second balancer, which only objects
    first, deaf = room["web1"], room["web2"]
    given = proxy.main
    proxy.main = given + SECOND % (proxy.member_lines(), SHORT)
    proxy.start()
    proxy.wait_state(deaf.url, "asleep", 30)
    assert proxy.ctl("wake", "--balancer", "app", first.url).returncode == 0
    assert proxy.ctl("wake", "--balancer", "app", deaf.url).returncode == 0
    proxy.wait_state(deaf.url, "on", 15)
    assert [o["order"] for o in deaf.orders()][0] == "soft"  # a listening one goes softly

    deaf.fault("ignores_soft")
    assert proxy.ctl("sleep", "--balancer", "app", deaf.url).returncode == 0
    proxy.wait_state(deaf.url, "stopping", 10)
    proxy.wait_state(deaf.url, "on", 20)  # by way of waking: as without the directive
    assert deaf.powered() and cuts(deaf) == 0 and "GB1411" not in proxy.log()

    proxy.main = given + SECOND % (proxy.member_lines(), SHORT + "GreenHardOff on")
    proxy.graceful()
    wait(lambda: len(proxy.keeper_pids()) == 1, 10, "one keeper")
    # The command may come upon the change of configurations.
    wait(lambda: proxy.ctl("sleep", "--balancer", "app", deaf.url).returncode == 0, 10,
         "it is told to sleep")
    proxy.wait_state(deaf.url, "asleep", 20)
    assert not deaf.powered() and cuts(deaf) == 1 and proxy.log().count("GB1411") == 1
    assert cuts(first) == 0


def veto(proxy, url):
    assert Beater(proxy, url).known().beat(veto="a backup runs")["order"] == "none"


def pause(proxy, url):
    assert proxy.ctl("pause").returncode == 0


def wanted(proxy, url):
    assert proxy.ctl("wake", url).returncode == 0


def disabled(proxy, url):
    set_bit(proxy, url, "D", "1")


def forbidden(proxy, url):
    proxy.balancer = PATIENT + "GreenHardOff off"
    proxy.graceful()


def observed(proxy, url):
    proxy.policy_on = "observe"
    proxy.graceful()


@pytest.mark.parametrize("against", [veto, pause, wanted, disabled, forbidden, observed])
def test_power_is_not_cut_against(site, against):
    """It was asked to shut down and does not; then something speaks for it."""
    room, proxy = site([HostSpec(n, kind="ipmi", boot_s=0.5, shutdown_s=0.3)
                        for n in ("web1", "web2")], balancer=PATIENT + "GreenHardOff on",
                       start=False)
    proxy.allow("GB040[27]", "GB0705", "GB1201", "GB0702")
    deaf = room["web2"]
    proxy.secrets = (proxy.secrets or "") + "agent %s %s\n" % (deaf.url, KEY)
    proxy.main = HANDLER
    deaf.fault("ignores_soft")
    proxy.start()
    proxy.wait_state(deaf.url, "stopping", 20)
    wait(lambda: [o["order"] for o in deaf.orders()] == ["soft"], 20, "it was asked")
    against(proxy, deaf.url)
    # The ladder's only rung takes 6 s; the cut would follow it.
    wait(lambda: proxy.states()[deaf.url] != "stopping", 40, lambda: str(proxy.states()))
    time.sleep(1)
    assert cuts(deaf) == 0 and deaf.powered() and "GB1411" not in proxy.log()
