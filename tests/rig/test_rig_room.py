"""Rooms come up, are found again, and leave nothing behind."""

import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from rigkit import RIG, leftovers, wait
from room import HostSpec, Room

CLI = [sys.executable, str(RIG / "room.py")]


def cli(*words):
    return subprocess.run([*CLI, *map(str, words)], text=True, capture_output=True,
                          timeout=60, check=False)


def test_nothing_is_left_after_down(tmp_path, network):
    room = Room(tmp_path / "room", [HostSpec("web1", kind="both", tls=True),
                                    HostSpec("web2", kind="wol", powered=False),
                                    HostSpec("web3", unix_socket=True)],
                network=network)
    room.up()
    assert room.network == network
    assert leftovers(room._id)
    room["web1"].fault("bmc_hangs")  # a stopped process has to go too
    room["web2"].power_on()
    room.down()
    assert leftovers(room._id) == [] and not (tmp_path / "room").exists()
    room.down()


def test_callers_own_files_stay(tmp_path):
    (tmp_path / "mine").touch()
    with Room(tmp_path, [HostSpec("web1")]):
        assert len(os.listdir(tmp_path)) > 1
    assert os.listdir(tmp_path) == ["mine"]


def test_failed_up_leaves_nothing(tmp_path):
    room = Room(tmp_path / "room", [HostSpec("web1"), HostSpec("web2", watts="oops")])
    with pytest.raises(RuntimeError, match="usage: machine"):
        room.up()
    assert leftovers(room._id) == [] and not (tmp_path / "room").exists()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_killed_owner_leaves_nothing(tmp_path, number):
    script = ("import sys, time; sys.path.insert(0, sys.argv[1])\n"
              "from room import HostSpec, Room\n"
              "room = Room(sys.argv[2], [HostSpec('web1', kind='both')]).up()\n"
              "print(room._id, flush=True); time.sleep(60)\n")
    with subprocess.Popen([sys.executable, "-c", script, str(RIG), str(tmp_path / "r")],
                          stdout=subprocess.PIPE, text=True) as owner:
        room_id = owner.stdout.readline().strip()
        assert leftovers(room_id)
        owner.send_signal(number)
    wait(lambda: leftovers(room_id) == [])
    wait(lambda: not (tmp_path / "r").exists())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_command_line_takes_its_room_down(tmp_path, number):
    with subprocess.Popen([*CLI, "up", str(tmp_path / "r"), "--hosts", "2", "--wait"],
                          stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout.readline().startswith("network: ")
        room_id = Room.load(tmp_path / "r")._id
        owner.send_signal(number)
    assert leftovers(room_id) == [] and not (tmp_path / "r").exists()


def test_room_by_hand(tmp_path):
    folder = tmp_path / "room"
    try:
        assert cli("up", folder, "--hosts", 2, "--boot", 0.2).returncode == 0
        assert "already" in cli("up", folder).stderr
        assert "web2 up 100 W" in cli("status", folder).stdout
        cli("power", folder, "web1", "off")
        assert cli("power", folder, "web1", "status").stdout == "off\n"
        cli("fault", folder, "web2", "unhealthy")
        assert "faults: unhealthy" in cli("status", folder).stdout
        cli("heal", folder, "web2")
        assert "faults" not in cli("status", folder).stdout
        cli("fault", folder, "web2", "bmc_wrong_password")
        room = Room.load(folder)
        assert room["web2"].serving() and not room["web1"].powered()
    finally:
        assert cli("down", folder).returncode == 0
    assert leftovers(room._id) == [] and not folder.exists()
    assert cli("down", folder).returncode == 0
    assert cli("status", folder).returncode != 0


def test_rooms_do_not_collide(rooms, network):
    first, second = (rooms(HostSpec("web1", kind="both", boot_s=0.1),
                           HostSpec("web2", kind="both"), network=network)
                     for _ in range(2))
    urls = {host.url for room in (first, second) for host in room}
    assert len(urls) == 4
    first["web1"].power_off()
    assert second["web1"].serving()
    first.down()
    assert second["web1"].serving() and second["web2"].serving()


def test_twenty_machines(rooms, network):
    began = time.monotonic()
    room = rooms(*[HostSpec(f"web{number}", kind="both", boot_s=0.1, shutdown_s=0.1)
                   for number in range(20)], network=network)
    assert time.monotonic() - began < 15
    for host in room:
        host.power_off(hard=False)
    wait(lambda: not any(host.powered() for host in room))
    for host in room:
        host.power_on()
    wait(lambda: all(host.serving() for host in room))


def test_secrets_are_in_the_products_format(rooms):
    secureon = "01:02:03:04:05:06"
    room = rooms(HostSpec("web1"), HostSpec("web2", kind="wol", secureon=secureon),
                 network="loopback")
    assert room.secrets_text() == (
        f"ipmi {room['web1'].ipmi} admin {room['web1'].ipmi_password}\n"
        f"secureon {room['web2'].mac} {secureon}\n")


@pytest.mark.parametrize("fields", [{"name": "Bad name"}, {"name": "switch"},
                                    {"name": "web1", "kind": "telnet"},
                                    {"name": "web1", "tls": True, "unix_socket": True}])
def test_bad_specs_are_refused(fields):
    with pytest.raises(ValueError):
        HostSpec(**fields)


def test_programs_build_without_warnings(tmp_path):
    compilers = [name for name in ("gcc", "clang") if shutil.which(name)]
    builds = [subprocess.Popen(["make", "-s", "-C", str(RIG), f"CC={compiler}",
                                "CFLAGS=-O0 -Werror", f"OUT={tmp_path}/{compiler}"],
                               text=True, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT) for compiler in compilers]
    assert [build.communicate()[0] for build in builds] == [""] * len(compilers)
