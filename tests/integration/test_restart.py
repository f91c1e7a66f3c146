"""Graceful restarts and sudden deaths: states stay true, nothing is lost or done twice."""

import json
import os
import signal
import subprocess
import time

import pytest
from proxy import ROOT, wait
from room import HostSpec

LOAD = os.path.join(ROOT, "build", "rig", "load")


def start_load(proxy, *arguments):
    return subprocess.Popen([LOAD, "--to", "127.0.0.1:%d" % proxy.port, *map(str, arguments)],
                            stdout=subprocess.PIPE, text=True)


def summary(generator, timeout_s=120):
    out, _ = generator.communicate(timeout=timeout_s)
    return json.loads(out)


def specs(count, **more):
    values = dict(capacity=4, service_ms=50, boot_s=1.0, shutdown_s=0.3)
    values.update(more)
    return [HostSpec("web%d" % i, **values) for i in range(1, count + 1)]


def orders_obeyed_once(room, proxy):
    """No power order came twice for one change of state."""
    for host in room:
        member = proxy.member(host.url)
        orders = [o["order"] for o in host.orders()]
        assert orders.count("on") <= member["wakes"] + 1, (host.spec.name, orders, member)
        assert orders.count("soft") <= member["sleeps"] + 1, (host.spec.name, orders, member)


def wave(seconds):
    """A profile that makes servers wake and sleep all the time."""
    points, at = [], 0
    while at < seconds:
        points += ["%d 20" % at, "%d 20" % (at + 4), "%d 160" % (at + 5), "%d 160" % (at + 9)]
        at += 10
    return ", ".join(points)


def test_twenty_graceful_restarts_under_load(site):
    # Room for the draining children of several generations at once.
    room, proxy = site(specs(3), mpm_conf=(
        "StartServers 2\nServerLimit 24\nThreadsPerChild 32\nMaxRequestWorkers 768\n"
        "MinSpareThreads 32\nMaxSpareThreads 96\n"))
    wait(lambda: "asleep" in proxy.states().values(), 30, "a server sleeps")
    # New connections: one kept alive may be closed by httpd just when it is used again.
    generator = start_load(proxy, "--points", wave(40), "--duration", 40,
                           "--new-connections")
    requests_before = 0
    for _ in range(20):
        time.sleep(1.7)
        proxy.graceful()
        keepers = proxy.keeper_pids()
        assert len(keepers) <= 2, keepers  # the old one may be about to end
        status = wait(proxy.balancer_status, 5, "the status page")
        requests = sum(m["requests"] for m in status["members"])
        assert requests >= requests_before
        requests_before = requests
    result = summary(generator)
    assert result["failed"] == 0, result
    wait(lambda: len(proxy.keeper_pids()) == 1, 5, "one keeper")
    members = proxy.members_status()
    assert sum(m["wakes"] for m in members.values()) >= 2, members
    assert any(m["boot_s"]["count"] for m in members.values())
    # The load generator's last connection may close a moment after its answer.
    wait(lambda: proxy.balancer_status()["load"]["in_flight"] == 0, 5, "nothing in flight")
    assert sum(m["requests"] for m in members.values()) == result["requests"]
    orders_obeyed_once(room, proxy)


def test_killed_keeper_comes_back_and_goes_on(site):
    room, proxy = site(specs(2))
    proxy.allow(r"GB0308")
    urls = [h.url for h in room]
    proxy.wait_state(urls[1], "asleep", 30)
    first = proxy.keeper_pid()
    os.kill(first, signal.SIGKILL)
    second = wait(lambda: (lambda k: k != first and k)(proxy.keeper_pid()), 3, "another keeper")
    assert proxy.member(urls[1])["state"] == "asleep"
    generator = start_load(proxy, "--connections", 8, "--duration", 8)
    proxy.wait_state(urls[1], "on", 10)
    os.kill(second, signal.SIGKILL)
    result = summary(generator)
    assert result["failed"] == 0, result
    wait(lambda: "asleep" in proxy.states().values(), 40, lambda: str(proxy.states()))
    assert len(proxy.keeper_pids()) == 1
    orders_obeyed_once(room, proxy)


@pytest.mark.parametrize("state", ["waking", "draining", "stopping", "asleep", "on"])
def test_keeper_killed_in_every_state(site, state):
    room, proxy = site(specs(2, boot_s=2.0, shutdown_s=1.5))
    proxy.allow(r"GB0308")
    url, host = list(room)[1].url, list(room)[1]
    load = None
    if state in ("asleep", "waking"):
        proxy.wait_state(url, "asleep", 30)
    if state in ("waking", "on"):
        assert proxy.ctl("wake", url).returncode == 0
    if state in ("draining", "stopping"):
        assert proxy.ctl("wake", url).returncode == 0
        proxy.wait_state(url, "on", 20)
        if state == "draining":  # a long request keeps it there
            load = start_load(proxy, "--connections", 8, "--duration", 1, "--path",
                              "/?ms=4000")
            wait(lambda: proxy.member(url)["in_flight"] > 0, 5, "work in flight")
        assert proxy.ctl("sleep", url).returncode == 0
    proxy.wait_state(url, state, 20)
    keeper = proxy.keeper_pid()
    os.kill(keeper, signal.SIGKILL)
    wait(lambda: proxy.keeper_pid() not in (0, keeper), 3, "another keeper")
    if load:
        assert summary(load)["failed"] == 0
    final = "on" if state in ("waking", "on") else "asleep"
    proxy.wait_state(url, final, 20)
    assert host.powered() == (final == "on")
    orders_obeyed_once(room, proxy)


def test_killed_child_gives_its_counts_back(site):
    room, proxy = site(specs(2, capacity=64, service_ms=20))
    proxy.allow(r"exit signal Killed", r"AH00052")
    generator = start_load(proxy, "--connections", 50, "--duration", 3, "--path", "/?ms=3000")
    wait(lambda: proxy.balancer_status()["load"]["in_flight"] >= 40, 10, "50 in flight")
    for child in proxy.children():
        os.kill(child, signal.SIGKILL)
    summary(generator)
    wait(lambda: proxy.balancer_status()["load"]["in_flight"] == 0, 10,
         lambda: "counts given back: %s" % proxy.members_status())
    assert proxy.get("/")[0] == 200


def test_killed_parent_then_a_new_start(site):
    room, proxy = site(specs(3))
    urls = [h.url for h in room]
    proxy.wait_state(urls[2], "asleep", 30)
    time.sleep(0.5)  # the checkpoint's thread
    os.kill(proxy.pid(), signal.SIGKILL)
    wait(lambda: not proxy.keeper_pids(), 5, "the keeper ends with its parent")
    proxy.kill_all()
    os.remove(proxy.path("run", "httpd.pid"))
    soft = [o["order"] for h in room for o in h.orders()].count("soft")
    proxy.start()
    wait(lambda: proxy.states()[urls[2]] == "asleep" and proxy.states()[urls[0]] == "on", 10,
         lambda: "states are true: %s" % proxy.states())
    assert proxy.balancer_status()["load"]["in_flight"] == 0
    after = [o["order"] for h in room for o in h.orders()].count("soft")
    assert after - soft <= 1  # the middle one may sleep now, nobody is told twice


def test_stop_and_start_with_machines_asleep(site):
    # The first is the thriftier one: it stays.
    room, proxy = site(specs(2), keys={"web1": "watts=50:100"})
    urls = [h.url for h in room]
    proxy.wait_state(urls[1], "asleep", 30)
    generator = start_load(proxy, "--connections", 8, "--duration", 6)
    summary(generator)
    proxy.wait_state(urls[1], "asleep", 40)
    before = proxy.member(urls[1])
    assert before["boot_s"]["count"] >= 1
    proxy.stop()
    assert not proxy.keeper_pids()
    time.sleep(1)
    proxy.start()
    after = proxy.member(urls[1])
    assert after["state"] == "asleep", after
    assert after["boot_s"]["count"] == before["boot_s"]["count"]
    assert after["wakes"] == before["wakes"]
    result = summary(start_load(proxy, "--connections", 8, "--duration", 6))
    assert result["failed"] == 0, result
    assert proxy.member(urls[1])["wakes"] == before["wakes"] + 1


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "garbage"])
def test_damaged_checkpoint_is_said_and_ignored(site, damage):
    room, proxy = site(specs(2))
    proxy.allow(r"GB0212", r"GB0503")
    urls = [h.url for h in room]
    proxy.wait_state(urls[1], "asleep", 30)
    proxy.stop()
    path = proxy.path("state", "checkpoint")
    with open(path, "rb") as f:
        content = bytearray(f.read())
    if damage == "truncated":
        content = content[:200]  # in the middle of the first machine
    elif damage == "flipped":
        content[100] ^= 1
    elif damage == "empty":
        content = bytearray()
    else:
        content = bytearray(os.urandom(len(content)))
    with open(path, "wb") as f:
        f.write(content)
    proxy.start()
    assert "GB0212" in proxy.log()
    # Asked anew: the one that is off is found out and adopted as asleep.
    wait(lambda: proxy.states()[urls[1]] == "asleep", 15, lambda: str(proxy.states()))
    assert proxy.get("/")[0] == 200
