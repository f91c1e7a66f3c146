"""The waiting room under things that nobody should do to it."""

import concurrent.futures
import http.client
import os
import re
import signal
import socket
import subprocess
import threading
import time

import pytest
from proxy import wait
from test_attacks import manage
from test_first_start import set_bit
from test_hold import NARROW, SLEEPY, WIDE, all_asleep, ask, at_once, held, specs

TWO_CHILDREN = ("StartServers 2\nServerLimit 4\nThreadsPerChild 64\nMaxRequestWorkers 128\n"
                "MinSpareThreads 1\nMaxSpareThreads 128\n")


def settled(proxy):
    """Nothing waits, nothing is in flight."""
    wait(lambda: proxy.balancer_status()["load"]["in_flight"] == 0 and held(proxy) == 0, 12,
         lambda: str(proxy.balancer_status()["load"]))


@pytest.mark.parametrize("mode", ["off", "observe"])
def test_what_is_not_managed_does_not_wait(site, mode):
    room, proxy = site(specs(1, kind="plain"), balancer=SLEEPY % "timeout=20s", policy_on=mode)
    proxy.allow("GB040[27]", "AH01170")
    assert ask(proxy).status == 200
    set_bit(proxy, room["web1"].url, "D", "1")
    time.sleep(1)
    answer = ask(proxy)
    assert answer.status == 503 and answer.took_s < 5


def waiting(proxy, pool, count=8):
    waiters = [pool.submit(ask, proxy) for _ in range(count)]
    wait(lambda: held(proxy) == count, 10, "they wait")
    return waiters


def test_balancer_removed_while_requests_wait(site):
    room, proxy = site(specs(1, boot_s=30), balancer=SLEEPY % "timeout=40s")
    proxy.allow("GB0013")
    all_asleep(proxy)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        waiters = waiting(proxy, pool)
        proxy.members = []
        began = time.monotonic()
        proxy.graceful()
        statuses = [f.result().status for f in waiters]
        took = time.monotonic() - began
    assert set(statuses) == {503} and took < 15


@pytest.mark.parametrize("change", ["off", "max", "observe"])
def test_settings_change_while_requests_wait(site, change):
    room, proxy = site(specs(1, boot_s=3), balancer=SLEEPY % "timeout=40s")
    all_asleep(proxy)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        waiters = waiting(proxy, pool)
        if change in ("off", "observe"):
            proxy.policy_on = change
        else:
            proxy.balancer = SLEEPY % "max=0"
        proxy.graceful()
        assert [f.result().status for f in waiters] == [200] * 8
    settled(proxy)
    assert ask(proxy).status == 200


def test_member_added_while_requests_wait(site):
    """Children learn of it by requests; here they all wait."""
    room, proxy = site(specs(2, boot_s=25), start=False, balancer=SLEEPY % "timeout=60s",
                       mpm_conf=TWO_CHILDREN)
    added = room["web2"]
    proxy.members = proxy.members[:1]
    proxy.balancer += "\n    ProxySet growth=2\n"
    proxy.allow("AH10187", "GB040[27]", "GB0705")
    proxy.start()
    all_asleep(proxy)
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        waiters = waiting(proxy, pool, 12)
        began = time.monotonic()
        manage(proxy, b="app", b_nwrkr=added.url, b_wyes="1")
        manage(proxy, b="app", w=added.url, w_status_D="0")
        answers = [f.result() for f in waiters]
    took = max(a.ended for a in answers) - began
    assert [a.status for a in answers] == [200] * 12
    assert took < 15
    settled(proxy)


def test_no_door_stays_shut_without_a_keeper(site):
    """All disabled under observe, and then GreenBalance off: nobody would open again."""
    room, proxy = site(specs(1, kind="plain"), balancer=SLEEPY % "timeout=20s",
                       policy_on="observe")
    proxy.allow("GB040[27]", "AH01170")
    set_bit(proxy, room["web1"].url, "D", "1")
    wait(lambda: ask(proxy).status == 503, 10, "nobody serves")
    time.sleep(0.5)
    keeper = proxy.keeper_pid()
    proxy.policy_on = "off"
    proxy.graceful()
    wait(lambda: not os.path.exists("/proc/%d" % keeper), 10, "the keeper ends")
    answer = ask(proxy)
    assert answer.status == 200 and answer.took_s < 5


def test_new_member_serves_new_requests_while_old_ones_wait(site):
    """Children of before a restart do not know the server that it added."""
    room, proxy = site(specs(1, boot_s=30) + specs(2, kind="plain", service_ms=20)[1:],
                       start=False, balancer=SLEEPY % "timeout=60s", mpm_conf=TWO_CHILDREN)
    members = proxy.members
    proxy.members = members[:1]
    proxy.allow("GB04", "GB07")
    proxy.start()
    all_asleep(proxy)
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        waiters = waiting(proxy, pool, 20)
        proxy.members = members
        proxy.graceful()
        wait(lambda: len(proxy.states()) == 2, 10, "it is known")
        wait(lambda: proxy.member(room["web2"].url)["health"] == "good", 10, "it is well")
        answers = [ask(proxy) for _ in range(5)]
        assert [a.status for a in answers] == [200] * 5
        assert max(a.took_s for a in answers) < 5
        proxy.kill_all()


def crashed(room, proxy):
    """The one that is awake loses its service, while ten clients go on."""
    wait(lambda: sorted(proxy.states().values()) == ["asleep", "on"], 40, "one sleeps")
    url = next(u for u, state in proxy.states().items() if state == "on")
    host = next(h for h in room if h.url == url)
    assert ask(proxy).status == 200
    host.fault("dies")
    return host


ONE_AWAKE = (SLEEPY % "max=60 timeout=40s").replace("min=0", "min=1")


@pytest.mark.parametrize("method", ["bypower", "bybusyness"])
def test_crash_of_the_only_one_awake_loses_nothing(site, method):
    """Its requests wait for the one that is woken in its place."""
    room, proxy = site(specs(2), balancer=ONE_AWAKE, method=method)
    proxy.allow("AH00957", "AH00959", "AH00940", "AH01114", "AH01170", "GB040[27]", "GB0503",
                "GB1103")
    crashed(room, proxy)
    answers = at_once(20, lambda i: ask(proxy, "POST" if i % 2 else "GET",
                                        body=b"x" * 5000 if i % 2 else None))
    assert [a.status for a in answers] == [200] * 20
    settled(proxy)
    assert all(m["in_flight"] == 0 for m in proxy.members_status().values())


def test_a_short_crash_is_over_when_the_server_is_back(site):
    """httpd leaves it alone for a minute (retry=), for another one is there: asleep."""
    slow = ONE_AWAKE.replace("interval=300ms", "interval=1s").replace("fall=3", "fall=9")
    room, proxy = site(specs(2), balancer=slow)
    proxy.allow("AH00957", "AH00959", "AH00940", "AH01114", "AH01170")
    host = crashed(room, proxy)
    threading.Timer(0.5, host.heal, ["dies"]).start()
    answers = at_once(5, lambda i: ask(proxy))
    assert [a.status for a in answers] == [200] * 5
    assert max(a.took_s for a in answers) < 10
    assert "web2 (asleep, 0 in flight): -> waking" not in proxy.log()


def test_a_crash_without_anybody_to_wake_is_told_at_once(site):
    room, proxy = site(specs(2, kind="plain"), balancer=ONE_AWAKE)
    proxy.allow("AH00957", "AH00959", "AH00940", "AH01114", "AH01170", "GB040[27]", "GB0503",
                "GB1103")
    for host in room:
        host.fault("dies")
    answers = at_once(5, lambda i: ask(proxy))
    assert [a.status for a in answers] == [503] * 5 and max(a.took_s for a in answers) < 5
    for host in room:
        host.heal("dies")
    room.wait(lambda: all(h.serving() for h in room), 10)
    assert ask(proxy).status == 200  # httpd's own way: all of them are tried


def test_the_last_gate_closes_on_nobody(site):
    """Whoever comes while the last server is told to drain is told what is going on: also
    who was on the way to it, on a busy machine."""
    room, proxy = site(specs(1), balancer=(SLEEPY % "timeout=20s").replace(
        "awake=2s", "awake=1h"))
    proxy.allow("AH01170")
    stop, answers = threading.Event(), []

    def client():
        while not stop.is_set():
            answers.append(ask(proxy, path="/?ms=0"))

    clients = [threading.Thread(target=client) for _ in range(4)]
    for thread in clients:
        thread.start()
    try:
        for _ in range(3):
            proxy.wait_state(room["web1"].url, "on", 20)
            wait(lambda: proxy.ctl("sleep", room["web1"].url).returncode == 0, 10, "it drains")
            time.sleep(0.3)
            assert proxy.ctl("wake", room["web1"].url).returncode == 0
    finally:
        stop.set()
        for thread in clients:
            thread.join()
    assert {a.status for a in answers} == {200, 503}
    assert all("Retry-After" in a.headers for a in answers if a.status == 503)


def test_late_last_keeps_most_in_time_for_as_long_as_it_lasts(site):
    """Clients that come again at once, three times as many as can be served in time."""
    room, proxy = site(specs(2, capacity=1, service_ms=50, kind="plain"),
                       balancer=SLEEPY % "max=100 timeout=3s" +
                       "GreenQueue late-last late=800ms\n", mpm_conf=WIDE)
    proxy.allow("GB0133")
    end, answers = time.monotonic() + 7, []

    def client(_):
        while time.monotonic() < end:
            answers.append(ask(proxy))

    at_once(90, client)
    settled(proxy)
    served = [a for a in answers if a.status == 200]
    in_time = [a for a in served if a.took_s <= 0.8]
    assert len(in_time) > 0.6 * len(served), (len(in_time), len(served))
    assert all(h.stats()["max_in_flight"] == 1 for h in room)
