"""The power driver, called as the product calls a GreenPowerDriver."""

import os
import subprocess

import pytest

from rigkit import orders, wait


def drive(host, order, url=None, user=None):
    return subprocess.run([*host._room.powerdriver, order, url or host.url], text=True,
                          capture_output=True, timeout=30, check=False, user=user,
                          group=user)


def test_driver_switches_a_machine_off_and_on(one):
    host = one(kind="wol", network="loopback", shutdown_s=0.5)
    assert drive(host, "status").stdout == "on\n"
    done = drive(host, "off")
    assert (done.returncode, done.stdout) == (0, "on\n")  # still shutting down
    wait(lambda: drive(host, "status").stdout == "off\n")
    assert drive(host, "on").stdout == "on\n"
    wait(host.serving)
    assert orders(host, "driver") == ["soft", "on"]


def test_driver_reads_watts(one):
    host = one(watts="70:170", off_watts=3)
    assert drive(host, "watts").stdout == "70\n"
    host.power_off()
    assert drive(host, "watts").stdout == "3\n"


@pytest.mark.parametrize("change", [lambda url: url + "/", lambda url: url])
def test_driver_knows_a_member_by_its_url(one, change):
    host = one(kind="plain")
    assert drive(host, "status", change(host.url)).returncode == 0


def test_driver_knows_default_ports(one, namespaces):
    host = one(kind="plain", network=namespaces)  # there it has port 80
    assert drive(host, "status", host.url.removesuffix(":80")).returncode == 0


def test_driver_takes_the_rooms_directory_too(one):
    host = one()
    program = host._room.powerdriver[0]
    done = subprocess.run([program, host._room.directory, "status", host.url],
                          text=True, capture_output=True, check=False)
    assert done.stdout == "on\n"


@pytest.mark.parametrize("order, url", [("status", "http://127.0.0.1:1"),
                                        ("explode", None)])
def test_driver_fails_on_what_it_does_not_know(one, order, url):
    done = drive(one(), order, url)
    assert done.returncode != 0 and done.stderr.startswith("powerdriver: ")
    assert done.stdout == ""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_driver_works_for_an_ordinary_user(one):
    # The product's keeper has dropped its privileges when it runs drivers.
    host = one()
    done = drive(host, "off", user=65534)
    assert done.returncode == 0, done.stderr
    wait(lambda: not host.powered())
