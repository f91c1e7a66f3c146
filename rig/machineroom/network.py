"""The room's network: loopback, or a switch and namespaces of its own."""

import contextlib
import ctypes
import os
import random
import re
import socket
import subprocess
import threading

# Below the kernel's ephemeral ports: an outgoing connection must not take the port of
# a machine that is off.
_PORTS = range(20000, 32000)
_CLONE_NEWNET = 0x40000000
_FIRST_HOST = 11


def _claim(what):
    """A socket that holds a name against the other rooms of this machine, or None when
    one of them holds it."""
    claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        claim.bind(f"\0greenbalance-rig-{what}")
    except OSError:
        claim.close()
        return None
    return claim


class Ports:
    """Free ports of 127.0.0.1, kept reserved while this object lives."""

    def __init__(self):
        self._sockets = []

    def pick(self, kind):
        for _ in range(10000):
            port = random.choice(_PORTS)
            claim = _claim(f"port-{port}")
            if not claim:
                continue
            self._sockets.append(claim)
            # Without SO_REUSEADDR, which alone tells whether the port is free.
            with socket.socket(socket.AF_INET, kind) as test:
                try:
                    test.bind(("127.0.0.1", port))
                except OSError:
                    continue
            if kind == socket.SOCK_STREAM:
                self._reserve(port)
            return port
        raise OSError("no free port")

    def _reserve(self, port):
        # A bound socket that does not listen, with SO_REUSEADDR on both sides, lets
        # the server bind, and refuses connections while there is none.
        held = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", port))
        self._sockets.append(held)

    def release(self):
        for held in self._sockets:
            held.close()
        self._sockets = []


def in_netns(netns, function):
    """Calls the function inside the namespace (None: here) and returns its result."""
    if netns is None:
        return function()
    outcome = {}

    def work():
        try:
            # Only this thread moves; it ends right after.
            libc = ctypes.CDLL(None, use_errno=True)
            with open(f"/run/netns/{netns}", "rb") as handle:
                if libc.setns(handle.fileno(), _CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), f"setns {netns}")
            outcome["value"] = function()
        except BaseException as error:  # handed to the caller below
            outcome["error"] = error

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if "error" in outcome:
        raise outcome["error"]
    return outcome["value"]


def _ip(arguments, batch=None):
    subprocess.run(["ip", *arguments], input=batch, text=True, check=True,
                   capture_output=True)


def _batch(netns, lines):
    select = ["-n", netns] if netns else []
    _ip([*select, "-batch", "-"], "\n".join(lines) + "\n")


class Switch:
    """A bridge in its own namespace, a namespace for each machine, and one port for
    the caller, who is 10.98.K.1."""

    def __init__(self, room_id, client_netns=None, subnet=None):
        self.prefix = f"gb{room_id}_"
        self.namespace = self.prefix + "switch"
        self.interface = self.prefix + "lb"
        self.client_netns = client_netns
        self.subnet = subnet  # the K

    def netns(self, name):
        return self.prefix + name

    def address(self, index):
        return f"10.98.{self.subnet}.{_FIRST_HOST + index}"

    @property
    def broadcast(self):
        return f"10.98.{self.subnet}.255"

    def _client(self):
        return ["-n", self.client_netns] if self.client_netns else []

    def _subnets_in_use(self):
        shown = subprocess.run(["ip", *self._client(), "-4", "route", "show", "table",
                                "all"], text=True, check=True, capture_output=True)
        return {int(k) for k in re.findall(r"\b10\.98\.(\d+)\.", shown.stdout)}

    @contextlib.contextmanager
    def _claim_subnet(self):
        """Holds a K that no other room takes meanwhile."""
        for candidate in random.sample(range(1, 255), 254):
            claim = _claim(f"subnet-{candidate}")
            if not claim:
                continue
            with claim:
                # Looked up with the claim held: its last holder may have just left
                # an address there.
                if candidate not in self._subnets_in_use():
                    self.subnet = candidate
                    yield
                    return
        raise OSError("no free 10.98.K.0/24")

    def up(self, machines):
        """machines: (name, mac) in the order of their addresses."""
        with self._claim_subnet():
            self._add_namespaces(machines)
            self._connect(machines)

    def _add_namespaces(self, machines):
        lines = [f"netns add {self.namespace}"]
        lines += [f"netns add {self.netns(name)}" for name, _ in machines]
        # The handle stays ours even when the caller lives elsewhere.
        client = f"netns {self.client_netns} " if self.client_netns else ""
        lines.append(f"link add {self.interface} {client}type veth "
                     f"peer name uplink netns {self.namespace}")
        for index, (name, mac) in enumerate(machines):
            lines.append(f"link add eth0 netns {self.netns(name)} address {mac} "
                         f"type veth peer name port{index} netns {self.namespace}")
        _batch(None, lines)

    def _connect(self, machines):
        ports = ["uplink"] + [f"port{index}" for index in range(len(machines))]
        _batch(self.namespace,
               ["link add br0 type bridge mcast_snooping 0",
                "link set br0 addrgenmode none up"]
               + [f"link set {port} addrgenmode none master br0 up" for port in ports])
        for name, _ in machines:
            # As an off machine's card is: link up, no address, no ARP.
            _batch(self.netns(name), ["link set lo up",
                                      "link set eth0 addrgenmode none arp off up"])
        _batch(self.client_netns, [
            f"addr add 10.98.{self.subnet}.1/24 brd + dev {self.interface}",
            f"link set {self.interface} addrgenmode none up"])

    def down(self):
        # The caller's end first, and by itself: a namespace's own veths vanish only
        # some time after it.
        subprocess.run(["ip", *self._client(), "link", "del", self.interface],
                       capture_output=True, check=False)
        for entry in _list_netns():
            if entry.startswith(self.prefix):
                subprocess.run(["ip", "netns", "del", entry], capture_output=True,
                               check=False)


def _list_netns():
    try:
        return os.listdir("/run/netns")
    except FileNotFoundError:
        return []


def netns_permitted():
    """Can this process make namespaces? Tried, because privileges alone do not tell."""
    name = f"gbtry{os.getpid()}"
    try:
        _ip(["netns", "add", name])
        try:
            # Entering one mounts; a chroot may allow the one and not the other.
            _ip(["-n", name, "link", "set", "lo", "up"])
        finally:
            _ip(["netns", "del", name])
    except (OSError, subprocess.CalledProcessError):
        return False
    return True
