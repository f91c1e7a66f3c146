"""The BMC, asked by two independent clients."""

import re
import subprocess

import pytest

from rigkit import freeipmi, ipmitool, orders, wait


def dcmi_watts(host):
    done = freeipmi("ipmi-dcmi", host, "--get-system-power-statistics")
    assert done.returncode == 0, done.stdout + done.stderr
    return int(re.search(r"Current Power\s*:\s*(\d+)", done.stdout).group(1))


def test_ipmitool_powers_a_machine_on(one):
    host = one(powered=False)
    assert "off" in ipmitool(host, "chassis", "power", "status").stdout
    assert not host.serving()
    assert ipmitool(host, "chassis", "power", "on").returncode == 0
    assert "on" in ipmitool(host, "chassis", "power", "status").stdout
    wait(host.serving)
    assert orders(host) == ["on"]
    assert host.orders()[0]["via"] == "ipmi"


def test_ipmipower_powers_a_machine_on(one):
    host = one(powered=False)
    assert ": off" in freeipmi("ipmipower", host, "--stat").stdout
    assert ": ok" in freeipmi("ipmipower", host, "--on").stdout
    assert ": on" in freeipmi("ipmipower", host, "--stat").stdout
    wait(host.serving)


def test_soft_off_takes_the_shutdown_time(one):
    host = one(shutdown_s=0.5)
    assert ": ok" in freeipmi("ipmipower", host, "--soft").stdout
    assert ": on" in freeipmi("ipmipower", host, "--stat").stdout
    assert not host.serving()
    wait(lambda: not host.powered())
    assert ": off" in freeipmi("ipmipower", host, "--stat").stdout
    assert orders(host) == ["soft"]


def test_hard_off_is_at_once(one):
    host = one()
    assert ": ok" in freeipmi("ipmipower", host, "--off").stdout
    assert not host.powered()
    assert orders(host) == ["off"]


def test_reset_boots_again(one):
    host = one(boot_s=0.5)
    assert ipmitool(host, "chassis", "power", "reset").returncode == 0
    assert host.phase() == "booting"
    wait(host.serving)
    assert orders(host) == ["reset"]


def test_second_power_on_boots_no_second_host(one):
    host = one(powered=False)
    for _ in range(2):
        assert ipmitool(host, "chassis", "power", "on").returncode == 0
    wait(host.serving)
    running = subprocess.run(
        ["ps", "--ppid", str(host.machine.pid), "-o", "pid="], text=True, check=True,
        capture_output=True).stdout.split()
    assert len(running) == 1
    assert orders(host) == ["on", "on"]


def test_dcmi_watts_follow_state_and_load(one):
    host = one(capacity=4, watts="80:180", off_watts=7, boot_s=0.5)
    assert dcmi_watts(host) == 80
    host.power_off()
    assert dcmi_watts(host) == 7
    host.power_on()
    assert dcmi_watts(host) == 180  # booting draws the curve's peak
    wait(host.serving)
    wait(lambda: dcmi_watts(host) == 80)


def test_wrong_password_and_user_are_refused(one):
    host = one()
    assert ipmitool(host, "chassis", "power", "status", password="wrong").returncode != 0
    host.ipmi_password = "wrong"
    assert "password invalid" in freeipmi("ipmipower", host, "--stat").stdout
    host.ipmi_user = "nobody"
    assert "username invalid" in freeipmi("ipmipower", host, "--stat").stdout


@pytest.mark.parametrize("kind", ["wol", "plain"])
def test_only_its_kinds_have_a_bmc(one, kind):
    host = one(kind=kind, network="loopback")
    assert host.ipmi is None and host.bmc is None
