"""Each fault does what README.md says, and heals."""

import time

import pytest

from rigkit import (RIG, address_of, freeipmi, ipmitool, load, orders, send_magic,
                    wait)
from room import FAULT_KINDS


def bmc_says(host):
    return freeipmi("ipmipower", host, "--stat").stdout.strip().rpartition(": ")[2]


def test_boot_fails(one):
    host = one(powered=False)
    host.fault("boot_fails")
    host.power_on()
    time.sleep(0.3)  # well past the boot time
    assert host.phase() == "booting" and not host.serving()
    assert bmc_says(host) == "on"
    host.power_off(hard=False)  # nobody hears the button
    time.sleep(0.3)
    assert host.powered()
    host.heal("boot_fails")
    wait(host.serving)


def test_boot_slow(one):
    host = one(powered=False)
    host.fault("boot_slow", 0.7)
    began = time.monotonic()
    host.power_on()
    wait(host.serving)
    assert time.monotonic() - began >= 0.7


def test_boot_no_service(one):
    host = one(powered=False)
    host.fault("boot_no_service")
    host.power_on()
    wait(lambda: host.phase() == "no-service")
    with pytest.raises(ConnectionRefusedError):
        host.get("/")
    host.heal()
    wait(host.serving)


def test_hangs_in_shutdown(one):
    host = one()
    host.fault("hangs_in_shutdown")
    host.power_off(hard=False)
    time.sleep(0.3)
    assert host.phase() == "stopping" and bmc_says(host) == "on"
    host.heal("hangs_in_shutdown")
    wait(lambda: not host.powered())


def test_hanging_shutdown_ends_with_a_power_cut(one):
    host = one()
    host.fault("hangs_in_shutdown")
    host.power_off(hard=False)
    host.power_off(hard=True)
    assert not host.powered()


def test_bmc_hangs(one):
    host = one()
    host.fault("bmc_hangs")
    assert "timeout" in freeipmi("ipmipower", host, "--stat").stdout
    assert host.serving()
    host.heal("bmc_hangs")
    wait(lambda: bmc_says(host) == "on")


def test_bmc_busy(one):
    host = one()
    host.fault("bmc_busy")
    said = freeipmi("ipmipower", host, "--stat").stdout
    assert "busy" in said or "timeout" in said, said
    host.heal("bmc_busy")
    wait(lambda: bmc_says(host) == "on")


def test_order_hangs(one):
    host = one(powered=False)
    host.fault("order_hangs", 3)
    assert "timeout" in freeipmi("ipmipower", host, "--on").stdout
    assert host.powered() and host.faults() == []  # it was carried out, and happens once
    wait(lambda: bmc_says(host) == "on")
    assert host.log("machine").count("--> [booting]") == 1


def test_not_ready(one):
    host = one()
    host.fault("not_ready")
    assert host.get("/")[0] == host.get("/health")[0] == 503
    host.heal("not_ready")
    assert host.get("/")[0] == 200


def test_bmc_wrong_password(one):
    host = one()
    host.fault("bmc_wrong_password")
    assert "password invalid" in freeipmi("ipmipower", host, "--stat").stdout
    host.heal()
    assert bmc_says(host) == "on"
    assert ipmitool(host, "chassis", "power", "status").returncode == 0


def test_dies(one):
    host = one()
    host.fault("dies")
    assert not host.serving() and bmc_says(host) == "on"
    assert host.faults() == ["dies"]
    host.heal("dies")
    wait(host.serving)


def test_reboot_brings_a_crashed_server_back(one):
    host = one()
    host.fault("dies")
    host.power_off()
    host.power_on()
    wait(host.serving)
    assert host.faults() == []


def test_dies_under_load(one):
    host = one()
    host.fault("dies_under_load", 3)
    assert host.get("/")[0] == 200  # one at a time does no harm
    summary = load("--to", address_of(host), "--connections", 4, "--duration", 0.5)
    assert summary["errors"]["reset"] >= 2
    assert host.powered() and host.phase() == "no-service"
    host.heal("dies_under_load")
    host.heal("dies")
    wait(host.serving)


def test_power_loss(one):
    host = one()
    host.fault("power_loss")
    assert not host.powered() and bmc_says(host) == "off"
    assert host.orders() == []
    host.power_on()
    wait(host.serving)


def test_unhealthy(one):
    host = one()
    assert host.get("/health")[0] == 200
    host.fault("unhealthy")
    assert host.get("/health")[0] == 503 and host.get("/")[0] == 200
    host.heal("unhealthy")
    assert host.get("/health")[0] == 200


def test_unhealthy_slow(one):
    host = one()
    host.fault("unhealthy_slow", 400)
    began = time.monotonic()
    assert host.get("/health")[0] == 200
    assert time.monotonic() - began >= 0.4


def test_ignores_order(one):
    host = one()
    host.fault("ignores_order")
    assert ": ok" in freeipmi("ipmipower", host, "--off").stdout
    assert host.serving() and orders(host, "ipmi") == ["off"]
    host.power_off()  # a person's hand is not ignored
    assert ": ok" in freeipmi("ipmipower", host, "--on").stdout
    assert not host.powered()
    host.heal("ignores_order")
    assert ": ok" in freeipmi("ipmipower", host, "--on").stdout
    wait(host.serving)


def test_ignores_soft(one):
    host = one()
    host.fault("ignores_soft")
    assert ": ok" in freeipmi("ipmipower", host, "--soft").stdout
    assert host.serving()
    assert ": ok" in freeipmi("ipmipower", host, "--off").stdout
    wait(lambda: not host.powered())
    assert orders(host, "ipmi") == ["soft", "off"]


def test_press_button(one):
    host = one()
    host.press_button()
    assert host.phase() == "stopping"
    wait(lambda: not host.powered())
    host.fault("press_button")
    wait(host.serving)
    assert [(o["via"], o["order"]) for o in host.orders()] == [("rig", "soft"),
                                                              ("rig", "on")]


def test_every_fault_is_documented():
    text = (RIG / "README.md").read_text(encoding="utf-8")
    assert [kind for kind in FAULT_KINDS if f"`{kind}" not in text] == []


@pytest.mark.parametrize("kind, value", [("no_such_fault", None), ("boot_slow", None),
                                         ("unhealthy", 3), ("lost_packets", 10)])
def test_nonsense_is_refused(one, kind, value):
    with pytest.raises(ValueError):
        one().fault(kind, value)


def test_healing_everything_leaves_nothing(one):
    host = one(kind="both", network="loopback")
    for kind, value in (("lost_packets", 100), ("unhealthy", None),
                        ("bmc_wrong_password", None), ("bmc_hangs", None),
                        ("ignores_order", None)):
        host.fault(kind, value)
    host.heal()
    assert host.faults() == [] and bmc_says(host) == "on"
    host.power_off()
    send_magic(host)
    wait(host.serving)
