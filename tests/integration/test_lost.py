"""Requests lost under a fault, beside stock bybusyness under the same one.

A request is lost when stock httpd with every server on would have answered it.  Those in
flight on a killed process are counted apart: they are lost with it either way.  The load
generator never repeats a request.
"""

import csv
import json
import os
import signal
import subprocess
import time

import pytest
from proxy import ROOT, Proxy, wait
from room import HostSpec

BUSY = r"AH10159|AH00484"  # with a child less, 50 connections are much for the other
LOAD = os.path.join(ROOT, "build", "rig", "load")


def specs(count, **more):
    values = dict(capacity=32, service_ms=300, boot_s=1.0, shutdown_s=0.3)
    values.update(more)
    return [HostSpec("web%d" % i, **values) for i in range(1, count + 1)]


def stock(base, room):
    """The same servers behind bybusyness, without our module, always on."""
    return Proxy(str(base / "stock"), members=[(h.url, "") for h in room],
                 method="bybusyness", load_module=False)


def connections(pid, port):
    """How many clients' connections a process holds."""
    inodes = set()
    for fd in os.listdir("/proc/%d/fd" % pid):
        try:
            link = os.readlink("/proc/%d/fd/%s" % (pid, fd))
        except OSError:
            continue
        if link.startswith("socket:["):
            inodes.add(link[8:-1])
    count = 0
    with open("/proc/%d/net/tcp" % pid) as table:
        for line in list(table)[1:]:
            field = line.split()
            count += (field[3] == "01" and field[9] in inodes and
                      int(field[1].split(":")[1], 16) == port)
    return count


def children_of(pid, keeper):
    done = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], text=True,
                          stdout=subprocess.PIPE)
    return [int(x) for x in done.stdout.split() if int(x) != keeper]


def killed_child(proxy, keeper):
    """50 requests in flight, the fullest child killed: (failed, in flight on it)."""
    generator = subprocess.Popen(
        [LOAD, "--to", "127.0.0.1:%d" % proxy.port, "--connections", "50", "--duration", "4"],
        stdout=subprocess.PIPE, text=True)
    time.sleep(2)
    held = {pid: connections(pid, proxy.port) for pid in children_of(proxy.pid(), keeper)}
    victim = max(held, key=held.get)
    os.kill(victim, signal.SIGKILL)
    result = json.loads(generator.communicate(timeout=60)[0])
    return result["failed"], held[victim]


def test_child_killed_with_50_in_flight(site, base):
    room, proxy = site(specs(3))
    proxy.allow(r"exit signal Killed", r"AH00052", r"AH01114", r"proxy", BUSY)
    wait(lambda: set(proxy.states().values()) == {"on", "asleep"}, 30,
         lambda: str(proxy.states()))
    failed, in_flight = killed_child(proxy, proxy.keeper_pid())
    assert in_flight > 0
    wait(lambda: proxy.balancer_status()["load"]["in_flight"] == 0, 10,
         lambda: "counts are exact: %s" % proxy.members_status())
    for host in room:
        if not host.powered():
            host.power_on()
    room.wait(lambda: all(h.serving() for h in room), 20)
    with stock(base, room) as other:
        other.allow(r"exit signal Killed", r"AH00052", r"proxy", BUSY)
        stock_failed, stock_in_flight = killed_child(other, 0)
    print("bypower: %d failed, %d in flight on the killed child; bybusyness: %d, %d" % (
        failed, in_flight, stock_failed, stock_in_flight))
    assert failed - in_flight <= max(0, stock_failed - stock_in_flight)


STATES = ["on", "draining", "stopping", "asleep", "waking"]


def bring(proxy, room, url, state):
    """Brings a machine into a state; a generator of load that keeps it there, or None."""
    load = None
    if state in ("asleep", "waking"):
        proxy.wait_state(url, "asleep", 30)
    if state in ("waking", "on", "draining", "stopping"):
        assert proxy.ctl("wake", url).returncode == 0
    if state in ("draining", "stopping", "on"):
        proxy.wait_state(url, "on", 20)
    if state == "draining":
        load = subprocess.Popen(
            [LOAD, "--to", "127.0.0.1:%d" % proxy.port, "--connections", "8", "--duration",
             "1", "--path", "/?ms=4000"], stdout=subprocess.PIPE, text=True)
        wait(lambda: proxy.member(url)["in_flight"] > 0, 5, "work in flight")
    if state in ("draining", "stopping"):
        assert proxy.ctl("sleep", url).returncode == 0
    proxy.wait_state(url, state, 20)
    return load


@pytest.mark.parametrize("state", STATES)
def test_parent_killed_in_every_state(site, state):
    room, proxy = site(specs(2, capacity=4, service_ms=50, boot_s=2.5, shutdown_s=2.0))
    url, host = list(room)[1].url, list(room)[1]
    load = bring(proxy, room, url, state)
    os.kill(proxy.pid(), signal.SIGKILL)
    wait(lambda: not proxy.keeper_pids(), 5, "the keeper ends with its parent")
    proxy.kill_all()  # as systemd does before it starts the service again
    os.remove(proxy.path("run", "httpd.pid"))
    if load:
        load.communicate(timeout=60)
    proxy.start()
    proxy.allow(r"GB0503")

    def true_state():
        member = proxy.member(url)["state"]
        return (member == "on" and host.serving()) or \
               (member == "asleep" and not host.powered()) or \
               (member in ("waking", "stopping", "draining") and host.powered())

    wait(true_state, 10, lambda: "%s, powered %s" % (proxy.member(url), host.powered()))
    assert proxy.balancer_status()["load"]["in_flight"] == 0
    assert len(proxy.keeper_pids()) == 1
    assert proxy.get("/")[0] == 200
    # It ends in a state of rest that is true.
    wait(lambda: proxy.member(url)["state"] in ("on", "asleep") and true_state(), 30,
         lambda: str(proxy.member(url)))


@pytest.mark.parametrize("state", STATES)
def test_child_killed_in_every_state(site, state):
    room, proxy = site(specs(2, capacity=4, service_ms=50, boot_s=2.0, shutdown_s=1.5))
    proxy.allow(r"exit signal Killed", r"AH00052")
    url, host = list(room)[1].url, list(room)[1]
    load = bring(proxy, room, url, state)
    for child in proxy.children():
        os.kill(child, signal.SIGKILL)
    if load:
        load.communicate(timeout=60)
    wait(lambda: proxy.balancer_status()["load"]["in_flight"] == 0, 10, "exact counts")
    wait(lambda: proxy.member(url)["state"] in ("on", "asleep") and
         host.powered() == (proxy.member(url)["state"] == "on"), 30,
         lambda: str(proxy.member(url)))
    assert proxy.get("/")[0] == 200


def test_parent_killed_under_load(site, base):
    """What begins after the new start is answered; before it, nobody listens."""
    room, proxy = site(specs(2, service_ms=20))
    log = str(base / "requests.csv")
    generator = subprocess.Popen(
        [LOAD, "--to", "127.0.0.1:%d" % proxy.port, "--rate", "50", "--duration", "10",
         "--new-connections", "--csv", log], stdout=subprocess.PIPE, text=True)
    began = time.monotonic()
    time.sleep(2)
    killed = time.monotonic() - began
    os.kill(proxy.pid(), signal.SIGKILL)
    wait(lambda: not proxy.keeper_pids(), 5, "the keeper ends with its parent")
    proxy.kill_all()
    os.remove(proxy.path("run", "httpd.pid"))
    proxy.start()
    again = time.monotonic() - began
    generator.communicate(timeout=60)
    with open(log) as f:
        rows = list(csv.DictReader(f))
    # The generator's clock starts a moment after ours.
    late = [r for r in rows if float(r["start_s"]) > again + 0.5]
    early = [r for r in rows if float(r["start_s"]) < killed - 1.0]
    assert len(late) > 50 and len(early) > 20
    assert all(r["status"] == "200" for r in late + early)
