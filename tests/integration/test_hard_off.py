"""A server that does not shut down when asked: on again, or, where every balancer of it
says GreenHardOff on, cut off."""

from conftest import QUICK
from proxy import wait
from room import HostSpec

SHORT = QUICK.replace("GreenWake timeout=8s retry=1s", "GreenWake timeout=2s retry=500ms")
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
