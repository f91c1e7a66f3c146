"""Orders that are lost, BMCs that hang, boots that fail: the ladder goes on, another
server is woken, requests still succeed, and the reason is on the page."""

from faultkit import (FAST_LADDER, boots, orders, sleeping, specs, start_load, summary,
                      watched)
from proxy import wait


def test_lost_packets_are_repeated(site):
    room, proxy, urls = sleeping(site, 2, kind="wol")
    room["web2"].fault("lost_packets", 60)
    with watched(proxy):
        assert proxy.ctl("wake", urls[1]).returncode == 0
        proxy.wait_state(urls[1], "on", 25)
    assert boots(room["web2"]) == orders(room["web2"], "on") == 1


def test_no_packet_arrives_then_the_next_rung(site):
    room, proxy, urls = sleeping(site, 2, kind="both")
    proxy.allow(r"GB07")
    room["web2"].fault("lost_packets", 100)
    assert proxy.ctl("wake", urls[1]).returncode == 0
    proxy.wait_state(urls[1], "on", 25)
    assert any(o["via"] == "ipmi" and o["order"] == "on" for o in room["web2"].orders())


def replaced(site, fault, value=None, **more):
    """web2's wake goes wrong under load; web3 is woken in its place."""
    room, proxy, urls = sleeping(site, 3, **more)
    proxy.allow(r"GB0[4-7]")
    room["web2"].fault(fault, value)
    generator = start_load(proxy, "--connections", 7, "--duration", 20)
    wait(lambda: proxy.states()[urls[1]] == "failed", 30, lambda: str(proxy.members_status()))
    proxy.wait_state(urls[2], "on", 20)
    result = summary(generator)
    assert result["failed"] == 0, result
    member = proxy.member(urls[1])
    assert member["last_error"], member
    assert member["failures"] >= 1
    assert orders(room["web2"], "on") <= 6  # 4 s, one a second at most
    return room, proxy, urls, member


def test_boot_that_never_ends(site):
    replaced(site, "boot_fails")


def test_boot_without_service(site):
    replaced(site, "boot_no_service")


def test_hanging_bmc(site):
    room, proxy, urls, _ = replaced(site, "bmc_hangs")
    room["web2"].heal()


def test_wrong_password(site):
    _, _, _, member = replaced(site, "bmc_wrong_password")
    assert "password" in member["last_error"], member


def test_order_that_is_ignored(site):
    replaced(site, "ignores_order")


def test_failed_server_leaves_rotation_and_is_replaced(site):
    room, proxy, urls = sleeping(site, 3)
    proxy.allow(r"GB04", r"GB05", r"proxy:error", r"proxy_http:error", r"AH0")
    generator = start_load(proxy, "--connections", 7, "--duration", 15)
    proxy.wait_state(urls[1], "on", 20)
    room["web2"].fault("unhealthy")
    proxy.wait_state(urls[1], "failed", 10)
    proxy.wait_state(urls[2], "on", 15)
    assert summary(generator)["failed"] == 0
    room["web2"].heal()
    proxy.wait_state(urls[1], "on", 15)


def test_shutdown_that_hangs_goes_back_to_waking(site):
    balancer = FAST_LADDER.replace("timeout=4s retry=1s", "timeout=2s retry=1s")
    room, proxy = site(specs(2), balancer=balancer)
    proxy.allow(r"GB04", r"GB07")
    urls = [h.url for h in room]
    room["web2"].fault("hangs_in_shutdown")
    wait(lambda: proxy.states()[urls[1]] == "stopping", 30, lambda: str(proxy.states()))
    wait(lambda: proxy.states()[urls[1]] in ("waking", "failed"), 60,
         lambda: str(proxy.states()))
    for _ in range(10):
        assert proxy.get("/")[0] == 200


def test_power_button_both_ways(site):
    room, proxy, urls = sleeping(site, 2)
    proxy.allow(r"GB04", r"GB06", r"AH01114", r"AH00957", r"AH00959", r"proxy:error",
                r"proxy_http:error")
    with watched(proxy):
        room["web2"].press_button()  # on, though nobody asked
        proxy.wait_state(urls[1], "on", 20)
        assert proxy.ctl("wake", urls[1]).returncode == 0  # keep it on
    assert orders(room["web2"], "on") == 1  # the person's; nobody fights it
    assert proxy.ctl("wake", urls[0]).returncode == 0
    proxy.wait_state(urls[0], "on", 20)
    with watched(proxy, lost=2):  # in flight when the server ends
        room["web2"].press_button()  # off, though it should be on
        wait(lambda: proxy.states()[urls[1]] != "on", 15, lambda: str(proxy.states()))
        proxy.wait_state(urls[1], "on", 30)  # put right: the operator wants it on
    assert boots(room["web2"]) == 2 and orders(room["web2"], "on") == 2
