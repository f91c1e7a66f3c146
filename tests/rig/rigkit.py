"""What the rig's tests share: waiting, the IPMI clients, magic packets, the load
generator, and the search for leftovers."""

import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys

RIG = pathlib.Path(__file__).resolve().parents[2] / "rig"
sys.path.insert(0, str(RIG))

from room import Room  # noqa: E402

# Deadlines are generous: they only say how long a broken rig may take to fail.
PATIENCE_S = 10


def wait(condition, what="the condition"):
    return Room.wait(condition, PATIENCE_S, what)


def orders(host, via=None):
    return [each["order"] for each in host.orders() if via in (None, each["via"])]


def ipmitool(host, *words, password=None):
    address, port = host.ipmi.split(":")
    return subprocess.run(
        ["ipmitool", "-I", "lanplus", "-C", "3", "-N", "1", "-R", "1", "-H", address,
         "-p", port, "-U", host.ipmi_user, "-P", password or host.ipmi_password, *words],
        text=True, capture_output=True, timeout=60, check=False)


def freeipmi(program, host, *words):
    """The tools that the product runs."""
    path = shutil.which(program) or f"/usr/sbin/{program}"
    return subprocess.run(
        [path, "-h", host.ipmi, "-u", host.ipmi_user, "-p", host.ipmi_password,
         "-D", "LAN_2_0", "-I", "3", "-l", "admin", "-W", "opensesspriv",
         "--session-timeout=2000", "--retransmission-timeout=300", *words],
        text=True, capture_output=True, timeout=60, check=False)


def magic_packet(mac, password=""):
    parse = lambda text: bytes.fromhex(text.replace(":", ""))  # noqa: E731
    return b"\xff" * 6 + parse(mac) * 16 + parse(password)


def send_magic(host, mac=None, password="", copies=1, port=None):
    address, default_port = host.wolto.split(":")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        for _ in range(copies):
            sender.sendto(magic_packet(mac or host.mac, password),
                          (address, int(port or default_port)))


def load(*words):
    """Runs the load generator to its end and returns its summary."""
    done = subprocess.run([str(RIG.parent / "build/rig/load"), *map(str, words)],
                          text=True, capture_output=True, timeout=60, check=True)
    return json.loads(done.stdout)


def address_of(host):
    return host.url.split("//")[1]


def leftovers(room_id):
    """Processes, namespaces, links and files whose names carry the room's id."""
    mark = f"gb{room_id}".encode()
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            command = pathlib.Path("/proc", pid, "cmdline").read_bytes()
        except OSError:
            continue
        if mark in command:
            found.append(command.decode(errors="replace"))
    for folder in ("/run/netns", "/sys/class/net", "/tmp"):
        if os.path.isdir(folder):
            found += [name for name in os.listdir(folder) if name.startswith(mark.decode())]
    return found
