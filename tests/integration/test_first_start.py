"""What a start finds: sleeping machines, wrong paths, dead servers, administrators' bits."""

import re
import time
import urllib.parse
import urllib.request

import pytest
from conftest import QUICK
from proxy import wait
from room import HostSpec


def specs(count, **more):
    values = dict(capacity=4, service_ms=20, boot_s=1.0, shutdown_s=0.3)
    values.update(more)
    return [HostSpec("web%d" % i, **values) for i in range(1, count + 1)]


def set_bit(proxy, url, bit, value):
    """Sets a bit of a member as an administrator does in balancer-manager."""
    _, page = proxy.get("/balancer-manager", headers={"Referer": proxy.url()})
    nonce = re.search(r"nonce=([0-9a-f-]+)", page.decode()).group(1)
    form = urllib.parse.urlencode({"b": proxy.balancer_name, "w": url, "nonce": nonce,
                                   "w_status_" + bit: value}).encode()
    request = urllib.request.Request(
        "http://localhost:%d/balancer-manager" % proxy.port, form,
        {"Referer": "http://localhost:%d/balancer-manager" % proxy.port})
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 200


def test_first_start_with_machines_asleep(site):
    room, proxy = site(specs(1) + [HostSpec("web2", powered=False, capacity=4, boot_s=1.0),
                                   HostSpec("web3", powered=False, capacity=4, boot_s=1.0)])
    proxy.allow(r"GB0503")
    urls = [h.url for h in room]
    wait(lambda: proxy.states() == {urls[0]: "on", urls[1]: "asleep", urls[2]: "asleep"}, 15,
         lambda: str(proxy.states()))
    assert proxy.get("/")[0] == 200
    assert not any(o["order"] in ("on", "soft", "off") and o["via"] == "ipmi"
                   for h in list(room)[1:] for o in h.orders())


def test_first_start_with_all_servers_off_wakes_them(site):
    room, proxy = site([HostSpec("web%d" % i, powered=False, capacity=4, boot_s=1.0)
                        for i in (1, 2)])
    proxy.allow(r"AH01114", r"AH01170", r"AH00957", r"AH00959", r"AH10", r"GB04", r"GB0503", r"proxy:error",
                r"proxy_http:error", r"proxy_balancer:error")
    wait(lambda: proxy.get("/")[0] == 200, 20, lambda: str(proxy.members_status()))


def test_wrong_health_path_everywhere_does_not_take_the_site_down(site):
    balancer = QUICK.replace("uri=/health interval=300ms",
                             "uri=/health interval=300ms expect=204-204")
    room, proxy = site(specs(2), balancer=balancer)
    proxy.allow(r"GB04", r"GB05")
    wait(lambda: proxy.balancer_status()["panic"], 10, lambda: str(proxy.balancer_status()))
    for _ in range(20):
        assert proxy.get("/")[0] == 200
    # It is the balancer's, and told once; no member is named for it.
    lines = [line for line in proxy.log().splitlines() if "panic: " in line]
    assert len(lines) == 1 and "GB0407: balancer://app: panic: " in lines[0], lines
    event = next(e for e in proxy.status()["events"] if e["reason"].startswith("panic: "))
    assert event["balancer"] == "balancer://app"
    assert event["member"] is event["machine"] is event["from"] is None
    page = proxy.get("/green/")[1].decode()
    assert event["reason"] in page
    time.sleep(2)
    assert all(h.powered() for h in room)
    assert not any(o["order"] == "soft" for h in room for o in h.orders())


def test_balancer_off_wakes_what_sleeps(site):
    room, proxy = site(specs(2))
    urls = [h.url for h in room]
    proxy.wait_state(urls[1], "asleep", 30)
    proxy.policy_on = "off"
    proxy.graceful()
    wait(lambda: room["web2"].serving(), 15, "web2 is woken")
    wait(lambda: proxy.states()[urls[1]] == "on", 10, lambda: str(proxy.states()))
    time.sleep(3)
    assert room["web2"].powered()


@pytest.mark.parametrize("bit", ["D", "N"])
def test_administrators_bits_win(site, bit):
    room, proxy = site(specs(3))
    urls = [h.url for h in room]
    wait(lambda: proxy.states()[urls[2]] == "asleep", 30, lambda: str(proxy.states()))
    set_bit(proxy, urls[2], bit, 1)
    time.sleep(0.5)
    before = len(room["web3"].orders())
    for _ in range(4):
        assert proxy.get("/")[0] == 200
    refused = proxy.ctl("wake", urls[2])
    assert refused.returncode == 1 and "balancer-manager" in refused.stdout, refused
    time.sleep(3)
    assert len(room["web3"].orders()) == before, room["web3"].orders()
    _, page = proxy.get("/balancer-manager", headers={"Referer": proxy.url()})
    set_bit(proxy, urls[2], bit, 0)
    proxy.ctl("auto", urls[2])
    assert proxy.ctl("wake", urls[2]).returncode == 0
    proxy.wait_state(urls[2], "on", 15)


def test_drained_machine_is_not_switched_off(site):
    room, proxy = site(specs(2), balancer=QUICK.replace("awake=1s", "awake=3s"))
    urls = [h.url for h in room]
    wait(lambda: set(proxy.states().values()) == {"on"}, 10, lambda: str(proxy.states()))
    set_bit(proxy, urls[1], "N", 1)
    time.sleep(8)
    assert room["web2"].powered() and proxy.states()[urls[1]] == "on"
    assert not any(o["order"] == "soft" for o in room["web2"].orders())


def test_observe_orders_nothing(site):
    room, proxy = site(specs(3), policy_on="observe")
    wait(lambda: set(proxy.states().values()) == {"on"}, 10, lambda: str(proxy.states()))
    time.sleep(6)
    assert all(h.powered() for h in room)
    assert not any(o["via"] == "ipmi" for h in room for o in h.orders())
    assert proxy.balancer_status()["wanted_awake"] == 1
    assert proxy.balancer_status()["mode"] == "observe"


@pytest.mark.parametrize("kind", ["ipmi", "redfish"])
def test_removed_keys_wake_what_sleeps(site, kind):
    room, proxy = site(specs(2, kind=kind))
    urls = [h.url for h in room]
    proxy.wait_state(urls[1], "asleep", 30)
    proxy.members = [(url, "capacity=4") for url in urls]
    proxy.graceful()
    wait(lambda: room["web2"].serving(), 15, "web2 is woken")
    proxy.wait_state(urls[1], "on", 10)
    assert "GB0014" in proxy.log()
    assert [o["order"] for o in room["web2"].orders() if o["via"] == kind] == ["soft", "on"]
    time.sleep(3)
    assert room["web2"].powered()


def test_observe_wakes_what_it_finds_asleep_by_us(site):
    room, proxy = site(specs(2))
    urls = [h.url for h in room]
    proxy.wait_state(urls[1], "asleep", 30)
    proxy.policy_on = "observe"
    proxy.graceful()
    proxy.wait_state(urls[1], "on", 15)
    time.sleep(3)
    assert room["web2"].powered() and proxy.states()[urls[1]] == "on"


def test_pause_holds_for_the_very_next_command(site):
    room, proxy = site(specs(2))
    url = list(room)[1].url
    proxy.wait_state(url, "asleep", 30)
    for _ in range(5):  # the keeper's tick comes between some of them
        assert proxy.ctl("pause").returncode == 0
        proxy.ctl("wake", url)
        time.sleep(0.3)
        assert not any(o["order"] == "on" for o in room["web2"].orders())
        proxy.ctl("auto", url)
        assert proxy.ctl("pause").returncode == 0
    assert proxy.ctl("resume").returncode == 0
    assert proxy.ctl("wake", url).returncode == 0
    proxy.wait_state(url, "on", 15)
