"""A real virtual machine: a Debian kernel with ACPI under QEMU, behind the BMC simulator
and a network card that hears magic packets.

Beside it stands a simulated server without ladders, so that somebody always serves.
GREENBALANCE_VM=required (tests/run vm) makes a failure of what is otherwise skipped.
"""

import json
import os
import subprocess

import pytest
from conftest import QUICK
from machineroom import guest
from proxy import ROOT, Proxy, free_port, hints, wait
from room import HostSpec, Room

LOAD = os.path.join(ROOT, "build", "rig", "load")
# Software emulation boots in 4 s on an idle machine.
SLOW = QUICK.replace("GreenWake timeout=8s retry=1s", "GreenWake timeout=60s retry=1s")
SLOW = SLOW.replace("interval=500ms fall=2", "interval=500ms fall=2 beat=1s")

BEAT = """
<Location "/green-beat">
    SetHandler greenbalance-beat
</Location>
ProxyPass "/green-beat" "!"
"""
AGENT = """server=%s
proxy=http://%s/green-beat
key=%s
interval=1s
suspend=echo mem >/sys/power/state
inhibit=off
watts=none
"""
KEY = "a-key-for-one-virtual-machine"
LOADED = ("libcurl.so.4", "libcrypto.so.3")  # by the agent itself, when it runs


@pytest.fixture(scope="module", autouse=True)
def possible():
    why = guest.missing()
    if why and os.environ.get("GREENBALANCE_VM") == "required":
        pytest.fail("no virtual machine: " + why)
    if why:
        pytest.skip("no virtual machine: " + why)


def library(name):
    """Where the system has it."""
    known = subprocess.run(["/sbin/ldconfig", "-p"], stdout=subprocess.PIPE, text=True).stdout
    return next(line.split(" => ")[1] for line in known.splitlines() if name in line)


def gateway(vm):
    """The proxy's address in the room's network."""
    return vm.place["listen"].rsplit(".", 1)[0] + ".1"


@pytest.fixture
def house(base):
    """house(powered, wake, sleep) -> (vm, url, proxy), started."""
    opened = []
    beat_port = free_port()

    def agent_of(vm):
        """green-agent, its libraries and its configuration, for the guest."""
        address = "%s:%d" % (gateway(vm), beat_port)
        programs = {os.path.join(ROOT, "build", "green-agent"): "/bin/green-agent"}
        programs.update((library(name), library(name)) for name in LOADED)
        return {"programs": programs,
                "files": {"/etc/green-agent.conf": (AGENT % (vm.url, address, KEY), 0o600),
                          "/agent/run": ("#!/bin/sh\nexec green-agent\n", 0o755)}}

    def make(powered, wake, sleep):
        room = Room(str(base / "room"),
                    [HostSpec("web1", kind="plain", capacity=2, service_ms=50),
                     HostSpec("vm1", kind="both", vm=True, powered=powered)],
                    network="netns", guest=agent_of if sleep == "agent" else None)
        room.up()
        opened.append(room)
        vm = room["vm1"]
        members = [(room["web1"].url, "capacity=2 machine=web1"),
                   (vm.url, "capacity=8 boot=10s machine=vm1 " + hints(vm, wake, sleep))]
        proxy = Proxy(str(base / "proxy"), members=members, balancer=SLOW,
                      secrets=room.secrets_text() + "agent %s %s\n" % (vm.url, KEY),
                      main="Listen %s:%d\n%s" % (gateway(vm), beat_port, BEAT))
        opened.append(proxy)
        proxy.start()
        return vm, vm.url[:-len(":80")], proxy  # httpd leaves a default port away

    yield make
    for thing in reversed(opened):
        if isinstance(thing, Room):
            thing.down()
        else:
            thing.close()


def serves(proxy, seconds):
    """More than web1 can take, for so long: nothing fails, and the machine has a part."""
    done = subprocess.run(
        [LOAD, "--to", "127.0.0.1:%d" % proxy.port, "--connections", "6", "--duration",
         str(seconds)], stdout=subprocess.PIPE, text=True, timeout=120, check=True)
    result = json.loads(done.stdout)
    assert result["failed"] == 0, result
    assert result["served_by"].get("", 0) > 0, result  # busybox names no server


def given(vm, order):
    return [o["via"] for o in vm.orders() if o["order"] == order]


def test_acpi_soft_off_and_wake_by_ipmi(house):
    vm, url, proxy = house(True, "ipmi", "ipmi")
    proxy.wait_state(url, "asleep", 60)
    assert vm.phase() == "off"  # QEMU has ended, because the guest shut itself down
    assert "the power button" in vm.log("machine")
    assert given(vm, "soft") == ["ipmi"] and not given(vm, "off")
    generator = subprocess.Popen(
        [LOAD, "--to", "127.0.0.1:%d" % proxy.port, "--connections", "6", "--duration", "40"],
        stdout=subprocess.PIPE, text=True)
    proxy.wait_state(url, "on", 60)
    generator.terminate()  # it ends what it has begun, and reports
    assert json.loads(generator.communicate(timeout=30)[0])["failed"] == 0
    assert given(vm, "on") == ["ipmi"]
    wait(lambda: proxy.member(url)["boot_s"]["count"] == 1, 5, "the boot is learned")
    serves(proxy, 1)


def test_wake_by_magic_packet(house):
    vm, url, proxy = house(False, "wol", "ipmi")
    proxy.allow(r"GB0503")
    proxy.wait_state(url, "asleep", 30)  # found off, and adopted
    assert proxy.ctl("wake", url).returncode == 0
    proxy.wait_state(url, "on", 60)
    assert given(vm, "on") == ["wol"] and vm.phase() == "up"
    serves(proxy, 1)


def test_agent_suspends_to_ram_and_wakes_by_magic_packet(house):
    """green-agent in the guest: a signed order, suspended by the guest's own kernel."""
    vm, url, proxy = house(True, "wol", "agent")
    proxy.wait_state(url, "asleep", 60)
    assert vm.phase() == "suspended"
    assert not given(vm, "soft") and not given(vm, "off")
    assert proxy.ctl("wake", url).returncode == 0
    proxy.wait_state(url, "on", 60)
    assert vm.phase() == "up" and given(vm, "on") == ["wol"]
    assert vm.log("machine").count("vm: ready") <= 1  # it went on; it did not boot
    wait(lambda: proxy.member(url)["boot_s"]["count"] == 1, 5, "the wake is learned")
    assert proxy.member(url)["boot_s"]["p50"] < 9  # its guess was 10
    serves(proxy, 1)
    wait(lambda: proxy.balancer_status()["load"]["in_flight"] == 0, 10, "nothing in flight")
