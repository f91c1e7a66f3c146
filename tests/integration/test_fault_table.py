"""Rows of docs/faults.md that test_faults.py does not have.

Each asserts three things: a client that looks on loses nothing (but what was in flight
at a server that died); the state is true in the end, within a bounded time; orders are
counted.
"""

import os
import signal
import time

from faultkit import (FAST_LADDER, boots, given, orders, sleeping, specs, start_load,
                      summary, watched)
from proxy import wait

PATIENT = FAST_LADDER.replace("GreenWake timeout=4s", "GreenWake timeout=30s")


def true_state(proxy, host):
    state = proxy.member(host.url)["state"]
    return (state == "on" and host.serving()) or (state == "asleep" and not host.powered())


def settled(proxy, host, state, timeout_s=30):
    wait(lambda: proxy.member(host.url)["state"] == state and true_state(proxy, host),
         timeout_s, lambda: "%s, true: %s; %s" % (state, host.phase(), proxy.member(host.url)))


def test_wrong_mac(site):
    """Nobody hears the packets: FAILED, said so, not repeated for ever."""
    room, proxy = site(specs(2, kind="wol"), balancer=FAST_LADDER, start=False)
    proxy.allow(r"GB040[27]", r"GB0705", r"GB0503")
    host = room["web2"]
    right = list(proxy.members)
    wrong = "02:67:62:ff:ff:ff"
    proxy.members = [(url, keys.replace(host.mac, wrong)) for url, keys in right]
    host.power_off()
    proxy.start()
    proxy.wait_state(host.url, "asleep", 30)
    with watched(proxy):
        assert proxy.ctl("wake", host.url).returncode == 0
        proxy.wait_state(host.url, "failed", 30)
        assert proxy.member(host.url)["last_error"]
        assert not host.powered() and not host.packets() and boots(host) == 0
        assert 1 <= given(proxy, "web2", "power on") <= 6  # 4 s, one a second
        time.sleep(1.5)
        assert given(proxy, "web2", "power on") <= 6  # and then it waits
        proxy.members = right
        proxy.graceful()
        wait(lambda: proxy.ctl("wake", host.url).returncode == 0, 10, "the new keeper")
        settled(proxy, host, "on")
    assert boots(host) == 1


def test_bmc_hangs_in_the_middle_of_an_order_on(site):
    """The order was carried out: health says so, whatever the BMC does not say."""
    room, proxy, urls = sleeping(site, 2, balancer=PATIENT)
    proxy.allow(r"GB0702", r"GB06")
    host = room["web2"]
    host.fault("order_hangs", 3)
    with watched(proxy):
        assert proxy.ctl("wake", urls[1]).returncode == 0
        wait(lambda: host.phase() == "booting", 10, "the order is carried out")
        host.fault("bmc_hangs")
        settled(proxy, host, "on")
        host.heal()
    assert boots(host) == 1


def test_bmc_hangs_in_the_middle_of_an_order_off(site):
    """Nobody can say that it is off: STOPPING, closed, until the BMC speaks again."""
    room, proxy, urls = sleeping(site, 2, balancer=PATIENT)
    proxy.allow(r"GB0702", r"GB06")
    host = room["web2"]
    for url in urls:
        assert proxy.ctl("wake", url).returncode == 0
    proxy.wait_state(urls[1], "on", 20)
    before = orders(host, "soft")
    host.fault("order_hangs", 1)
    with watched(proxy):
        assert proxy.ctl("sleep", urls[1]).returncode == 0
        wait(lambda: host.phase() in ("stopping", "off"), 10, "the order is carried out")
        host.fault("bmc_hangs")
        wait(lambda: not host.powered(), 10, "it goes off")
        time.sleep(2.0)
        assert proxy.member(urls[1])["state"] == "stopping"
        host.heal()
        settled(proxy, host, "asleep")
    assert orders(host, "off") == 0 and boots(host) == 1
    assert given(proxy, "web2", "power off") <= 2, proxy.log()[-3000:]
    assert before == 1


def test_busy_bmc(site):
    """Every session of the BMC is taken: it is asked again, and boots when one is free."""
    room, proxy, urls = sleeping(site, 2, balancer=PATIENT)
    proxy.allow(r"GB0702", r"GB06")
    host = room["web2"]
    host.fault("bmc_busy")
    with watched(proxy):
        assert proxy.ctl("wake", urls[1]).returncode == 0
        wait(lambda: "GB0702" in proxy.log(), 15, "the BMC refuses")
        assert proxy.member(urls[1])["state"] == "waking" and boots(host) == 0
        host.heal()
        settled(proxy, host, "on")
    assert boots(host) == 1 and orders(host, "on") == 1


def test_reply_to_the_order_is_lost(site):
    """Unknown is not failed: the status is read, the order is not given again."""
    room, proxy, urls = sleeping(site, 2, balancer=PATIENT)
    proxy.allow(r"GB0702", r"GB06")
    host = room["web2"]
    host.fault("order_hangs", 3)
    with watched(proxy):
        assert proxy.ctl("wake", urls[1]).returncode == 0
        wait(lambda: host.phase() == "booting", 10, "the order is carried out")
        settled(proxy, host, "on")
    assert boots(host) == 1
    assert given(proxy, "web2", "power on") == 0  # nobody confirmed one


def test_service_is_up_before_it_is_ready(site):
    """It accepts connections and says 503: started is not ready, no client sees it."""
    room, proxy, urls = sleeping(site, 2, balancer=PATIENT)
    host = room["web2"]
    host.fault("not_ready")
    with watched(proxy):
        assert proxy.ctl("wake", urls[1]).returncode == 0
        wait(lambda: host.phase() == "up", 15, "it boots")
        generator = start_load(proxy, "--connections", 3, "--duration", 2)
        time.sleep(1.5)
        assert proxy.member(urls[1])["state"] == "waking"
        host.heal()
        settled(proxy, host, "on")
        assert summary(generator)["failed"] == 0
    assert boots(host) == 1 and orders(host, "on") == 1


def test_dies_while_draining(site):
    """What was in flight there is lost, nothing else; nothing is left to drain, so the
    order is given, and its host, which lives, shuts down."""
    room, proxy, urls = sleeping(site, 2)
    proxy.allow(r"GB040[27]", r"GB0503", r"proxy:error", r"proxy_http:error")
    host = room["web2"]
    for url in urls:
        assert proxy.ctl("wake", url).returncode == 0
    proxy.wait_state(urls[1], "on", 20)
    before = orders(host, "soft")
    generator = start_load(proxy, "--connections", 8, "--duration", 1, "--path", "/?ms=4000")
    wait(lambda: proxy.member(urls[1])["in_flight"] > 0, 5, "work in flight")
    assert proxy.ctl("sleep", urls[1]).returncode == 0
    proxy.wait_state(urls[1], "draining", 10)
    in_flight = proxy.member(urls[1])["in_flight"]
    with watched(proxy):
        host.fault("dies")
        settled(proxy, host, "asleep")
        assert summary(generator)["failed"] <= in_flight
    assert proxy.member(urls[1])["in_flight"] == 0
    assert orders(host, "soft") == before + 1 and orders(host, "off") == 0


def test_dies_while_waking(site):
    """The mains fail during the boot: asked, found off, ordered once more."""
    room, proxy, urls = sleeping(site, 2, balancer=PATIENT, boot_s=3.0)
    host = room["web2"]
    with watched(proxy):
        assert proxy.ctl("wake", urls[1]).returncode == 0
        wait(lambda: host.phase() == "booting", 10, "it boots")
        host.fault("power_loss")
        settled(proxy, host, "on")
    assert boots(host) == orders(host, "on") == 2


def kill_keeper(proxy):
    proxy.allow(r"GB0308")
    keeper = proxy.keeper_pid()
    os.kill(keeper, signal.SIGKILL)
    wait(lambda: proxy.keeper_pid() not in (0, keeper), 5, "another keeper")


def test_keeper_killed_before_the_order_on(site):
    room, proxy, urls = sleeping(site, 2, balancer=PATIENT)
    proxy.allow(r"GB0702", r"GB06")
    host = room["web2"]
    host.fault("bmc_hangs")
    with watched(proxy):
        assert proxy.ctl("wake", urls[1]).returncode == 0
        time.sleep(0.3)  # the BMC is being asked
        kill_keeper(proxy)
        assert proxy.member(urls[1])["state"] == "waking" and boots(host) == 0
        host.heal()
        settled(proxy, host, "on")
    assert boots(host) == 1 and orders(host, "on") <= 2


def test_keeper_killed_after_the_order_on(site):
    room, proxy, urls = sleeping(site, 2, balancer=PATIENT, boot_s=2.0)
    proxy.allow(r"GB0702", r"GB06")
    host = room["web2"]
    host.fault("order_hangs", 2)
    with watched(proxy):
        assert proxy.ctl("wake", urls[1]).returncode == 0
        wait(lambda: host.phase() == "booting", 10, "the order is carried out")
        kill_keeper(proxy)
        settled(proxy, host, "on")
    assert boots(host) == 1


def test_keeper_killed_after_the_order_off(site):
    room, proxy, urls = sleeping(site, 2, balancer=PATIENT, shutdown_s=1.5)
    proxy.allow(r"GB0702", r"GB06")
    host = room["web2"]
    for url in urls:
        assert proxy.ctl("wake", url).returncode == 0
    proxy.wait_state(urls[1], "on", 20)
    host.fault("order_hangs", 1)
    with watched(proxy):
        assert proxy.ctl("sleep", urls[1]).returncode == 0
        wait(lambda: host.phase() == "stopping", 10, "the order is carried out")
        kill_keeper(proxy)
        assert proxy.member(urls[1])["state"] == "stopping"
        settled(proxy, host, "asleep")
    assert orders(host, "off") == 0 and boots(host) == 1
