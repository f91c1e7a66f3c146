"""What configuration does in a running httpd: warnings, and GreenDrain with sessions."""

import contextlib
import os
import subprocess
import time

import pytest

from conftest import QUICK
from proxy import ROOT, Proxy, has_test_clock, wait

LOAD = os.path.join(ROOT, "build", "rig", "load")


def lines_with(proxy, tag):
    return [line for line in proxy.log().splitlines() if tag in line]


def test_a_warning_stands_once_in_the_log_of_a_start(site):
    room, proxy = site(site.specs("web1", boot_s=0.5), start=False, balancer=QUICK +
                       "GreenHold timeout=1s\nGreenBalance observe\n", keys={
                           "web1": "redfish=http://127.0.0.1:9/"})
    proxy.allow("GB0132: .*: redfish=http://127.0.0.1:9: passwords go in the clear",
                "GB0133: balancer://app: GreenHold timeout=1s is shorter than boot=2000ms")
    proxy.start()
    assert len(lines_with(proxy, "GB0132")) == 1
    assert len(lines_with(proxy, "GB0133")) == 1
    proxy.graceful()
    wait(lambda: len(lines_with(proxy, "GB0133")) == 2, 10, "a second start")
    assert len(lines_with(proxy, "GB0132")) == 2


@contextlib.contextmanager
def draining(site, balancer):
    """A proxy and a server of its that drains, with work in flight for seconds."""
    room, proxy = site(site.specs("web1", "web2", capacity=4, boot_s=0.5, shutdown_s=0.3),
                       balancer=QUICK + "GreenAwake min=1 spare=1\n"
                       "ProxySet stickysession=ID\nGreenSticky wait=1m\n" + balancer)
    urls = [host.url for host in room]
    for url in urls:
        proxy.wait_state(url, "on", 20)
    generator = subprocess.Popen(
        [LOAD, "--to", "127.0.0.1:%d" % proxy.port, "--connections", "8", "--duration", "1",
         "--path", "/?ms=2500"], stdout=subprocess.DEVNULL)
    try:
        wait(lambda: proxy.member(urls[1])["in_flight"] > 0, 5, "work in flight")
        assert proxy.ctl("sleep", urls[1]).returncode == 0
        proxy.wait_state(urls[1], "draining", 5)
        yield proxy, urls[1]
    finally:
        assert generator.wait(timeout=30) == 0


def taken_back(proxy):
    return [event for event in proxy.status()["events"]
            if (event["from"], event["to"]) == ("draining", "on")]


def test_sessions_wait_is_added_to_the_drain_time(site):
    """A server that drains is waited for beyond GreenDrain's own time."""
    with draining(site, "GreenDrain timeout=300ms\n") as (proxy, url):
        time.sleep(1.5)  # five times GreenDrain's timeout
        assert not taken_back(proxy)
        assert proxy.states()[url] == "draining"


@pytest.mark.skipif(not has_test_clock(), reason="a build without TEST_CLOCK")
def test_sessions_wait_is_added_once(site):
    with draining(site, "GreenDrain timeout=1m\n") as (proxy, url):
        proxy.advance(110)
        time.sleep(0.3)
        assert proxy.states()[url] == "draining" and not taken_back(proxy)
        proxy.advance(15)
        wait(lambda: taken_back(proxy), 2, "its deadline: 120 s")


def test_members_of_one_redfish_service_are_one_machine(base):
    """However its URL is written; machine= is not needed for it."""
    with Proxy(str(base / "proxy"), policy_on="off", members=[
            ("http://127.0.0.1:9", "redfish=https://Localhost:443/redfish/v1/Systems/1/"),
            ("http://127.0.0.2:9", "redfish=HTTPS://localhost/redfish/v1/Systems/1"),
            ("http://127.0.0.3:9", "redfish=https://localhost/redfish/v1/Systems/2")]) as proxy:
        machines = [member["machine"] for member in proxy.members_status().values()]
    assert machines[0] == machines[1] != machines[2]
