"""A real virtual machine in the place of a simulated one: QEMU with ACPI.

One process a machine, there with the power off too. It takes orders over the same
socket, in the same words and with the same records as rig/machine.c, so that the BMC,
the network card, the power driver and the tests see no difference:

    python3 vm.py --socket web1.panel --netns NAME --address 10.98.1.11/24 ...

    on       QEMU starts, or a suspended guest wakes
    soft     the guest's power button is pressed: it shuts down by ACPI
    off      QEMU is killed: the power is gone

Suspended to RAM counts as off, as a server's main supply does then. Up it draws by its busy
places, which its server is asked for once a second; those of busybox are never busy.
"""

import argparse
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
import urllib.request

_READY = b"vm: ready"
_TICK_S = 0.5
_LOAD_EVERY_S, _LOAD_PATIENCE_S = 1.0, 0.3  # orders wait while its server is asked
_CONSOLE_BYTES = 4096  # in which _READY is looked for


class Qmp:
    """QEMU's monitor, over a socket that QEMU inherits. Orders are sent and their answers
    skipped; what counts is the events."""

    def __init__(self):
        self.ours, self.theirs = socket.socketpair()
        self.ours.setblocking(False)
        self.rest = b""

    def order(self, name):
        self.ours.send(json.dumps({"execute": name}).encode() + b"\n")

    def events(self):
        try:
            got = self.ours.recv(65536)
        except BlockingIOError:
            return []
        lines = (self.rest + got).split(b"\n")
        self.rest = lines.pop()
        return [message["event"] for message in map(json.loads, filter(None, lines))
                if "event" in message]

    def close(self):
        self.ours.close()


class Machine:
    def __init__(self, options):
        self.options = options
        self.phase = "off"
        self.qemu = None
        self.qmp = None
        self.console = b""
        self.goes_on_at = None  # a boot that is slow: QEMU stands still until then
        self.busy, self.asked_at = 0.0, 0.0
        self.selector = selectors.DefaultSelector()
        self.joules = 0.0
        self.drawn_at_us = time.monotonic_ns() // 1000
        self.drawn_watts = 0.0
        self.enter("off")

    # --- what it draws, by the model of rig/meter.c ------------------------

    def watts(self):
        idle, peak = self.options.watts
        up = idle + (peak - idle) * (self.busy if self.phase == "up" else 0.0)
        return {"off": self.options.off_watts, "suspended": self.options.off_watts,
                "booting": peak}.get(self.phase, up)

    def ask_load(self):
        """How busy its server is; one that does not answer is as busy as before."""
        if self.phase != "up" or time.monotonic() - self.asked_at < _LOAD_EVERY_S:
            return
        self.asked_at = time.monotonic()
        try:
            url = "http://%s/_stats" % self.options.address.split("/")[0]
            with urllib.request.urlopen(url, timeout=_LOAD_PATIENCE_S) as told:
                self.busy = min(1.0, json.load(told)["in_flight"] / self.options.capacity)
        except (OSError, ValueError, KeyError):
            return
        self.draw()

    def draw(self):
        now_us = time.monotonic_ns() // 1000
        self.joules += self.drawn_watts * (now_us - self.drawn_at_us) / 1e6
        self.drawn_at_us, self.drawn_watts = now_us, self.watts()
        path = self.options.watts_file
        for name, text in ((path + ".meter", f"{now_us} {self.joules:.6f} "
                            f"{self.drawn_watts:.3f}\n"),
                           (path, f"{self.drawn_watts:.0f}\n")):
            with open(name + ".new", "w", encoding="ascii") as file:
                file.write(text)
            os.rename(name + ".new", name)

    def enter(self, phase):
        print(f"{time.time():.3f} [{self.phase}] --> [{phase}]", flush=True)
        self.phase = phase
        self.draw()

    # --- power ---------------------------------------------------------------

    def command(self):
        """QEMU's, in the machine's network; it ends with this process."""
        o = self.options
        still = ["-S"] if self.goes_on_at else []
        return ["nsenter", f"--net=/run/netns/{o.netns}",
                "setpriv", "--pdeathsig", "KILL",
                "qemu-system-x86_64", "-accel", o.accelerator, "-machine", "pc",
                "-cpu", "max", "-m", str(o.memory_mb), "-smp", "1", "-nodefaults",
                "-no-user-config", "-display", "none", "-no-reboot",
                "-kernel", o.kernel, "-initrd", o.image, "-append",
                "console=ttyS0 quiet panic=-1 mem_sleep_default=deep "
                f"gb_ip={o.address} gb_name={o.name}",
                "-serial", "stdio",
                "-netdev", "tap,id=n0,ifname=tap0,script=no,downscript=no",
                "-device", f"virtio-net-pci,netdev=n0,mac={o.mac},romfile=",
                "-chardev", f"socket,id=monitor,fd={self.qmp.theirs.fileno()}",
                "-mon", "chardev=monitor,mode=control"] + still

    def boot(self):
        self.qmp = Qmp()
        self.console = b""
        self.busy = 0.0
        slow_s = self.fault_value("boot_slow")
        self.goes_on_at = time.monotonic() + slow_s if slow_s else None
        self.qemu = subprocess.Popen(
            self.command(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=sys.stderr, pass_fds=[self.qmp.theirs.fileno()])
        self.qmp.theirs.close()
        self.qmp.order("qmp_capabilities")
        os.set_blocking(self.qemu.stdout.fileno(), False)
        self.selector.register(self.qemu.stdout, selectors.EVENT_READ, self.hear_console)
        self.selector.register(self.qmp.ours, selectors.EVENT_READ, self.hear_monitor)
        self.enter("booting")

    def fault_value(self, kind):
        try:
            with open(os.path.join(self.options.faults, kind), encoding="ascii") as file:
                return float(file.read())
        except (OSError, ValueError):
            return 0.0

    def go_on(self):
        if self.qemu and self.goes_on_at and time.monotonic() >= self.goes_on_at:
            self.goes_on_at = None
            self.qmp.order("cont")

    def ended(self):
        """QEMU is gone, whoever ended it."""
        self.selector.unregister(self.qemu.stdout)
        self.selector.unregister(self.qmp.ours)
        self.qemu.stdout.close()
        self.qmp.close()
        self.qemu.kill()
        self.qemu.wait()
        self.qemu = None
        self.enter("off")

    def hear_console(self):
        got = self.qemu.stdout.read()
        if got == b"":
            self.ended()
            return
        sys.stdout.write((got or b"").decode(errors="replace"))
        sys.stdout.flush()
        self.console = (self.console + (got or b""))[-_CONSOLE_BYTES:]
        if self.phase == "booting" and _READY in self.console:
            self.enter("up")

    def hear_monitor(self):
        try:
            events = self.qmp.events()
        except OSError:
            events = []  # it ends; the console's end says so
        for event in events:
            if event == "SUSPEND":
                self.enter("suspended")
            elif event == "WAKEUP" and self.phase == "suspended":
                self.enter("up")

    def power_on(self, via):
        self.record(via, "on")
        self.switch_on()

    def switch_on(self):
        if self.phase == "off":
            self.boot()
        elif self.phase == "suspended":
            self.qmp.order("system_wakeup")

    def soft(self):
        if self.phase in ("booting", "up"):
            self.qmp.order("system_powerdown")
            self.enter("stopping")

    def cut(self):
        if self.qemu:
            self.ended()

    # --- orders, as rig/machine.c takes them --------------------------------

    def record(self, via, order):
        with open(self.options.orders, "a", encoding="ascii") as file:
            file.write(json.dumps({"t": round(time.time(), 6), "via": via,
                                   "order": order}) + "\n")

    def ignores(self, via):
        return via != "rig" and os.path.exists(
            os.path.join(self.options.faults, "ignores_order"))

    def obey_set(self, via, name, value):
        order = {"power": "on" if value == "1" else "off", "shutdown": "soft",
                 "reset": "reset", "mains": "mains", "button": "button"}.get(name)
        if order is None:
            return name in ("boot", "identify")
        if order == "button":
            order = "on" if self.phase in ("off", "suspended") else "soft"
        if order != "mains":
            self.record(via, order)
        if not self.ignores(via):
            {"on": self.switch_on, "off": self.cut, "soft": self.soft,
             "mains": self.cut, "reset": self.reset}[order]()
        return True

    def reset(self):
        self.cut()
        self.switch_on()

    def tell(self, name):
        return {"power": f"power:{int(self.phase not in ('off', 'suspended'))}\n",
                "boot": "boot:default\n", "phase": f"phase:{self.phase}\n",
                "watts": f"watts:{self.watts():.0f}\n"}.get(name)

    def obey(self, line):
        """The answer's text; None when it refuses."""
        via, verb, *words = line.split(" ")
        if verb == "packet":
            self.record(via, "packet")
            if self.phase in ("off", "suspended"):
                self.power_on(via)
            return ""
        if verb == "get":
            told = [self.tell(name) for name in words]
            return None if None in told else "".join(told)
        if verb != "set" or len(words) % 2:
            return None
        pairs = zip(words[::2], words[1::2])
        return "" if all(self.obey_set(via, *pair) for pair in pairs) else None

    def take_order(self):
        connection, _ = self.listener.accept()
        with connection:
            connection.settimeout(5)
            try:
                line = connection.recv(255).decode()
                answer = self.obey(line) if " " in line else None
                connection.send(b"1" if answer is None else b"0" + answer.encode())
            except OSError:
                pass  # who asked has gone

    # --- life ------------------------------------------------------------------

    def run(self):
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(self.options.socket)
        os.chmod(self.options.socket, 0o666)
        self.listener.listen(64)
        self.selector.register(self.listener, selectors.EVENT_READ, self.take_order)
        if self.options.on:
            self.boot()
        while True:
            for key, _ in self.selector.select(_TICK_S):
                # One callback may have unregistered the next one's file.
                if key.fd in self.selector.get_map():
                    key.data()
            self.go_on()
            self.ask_load()

    def end(self):
        self.cut()
        try:
            os.unlink(self.options.socket)
        except FileNotFoundError:
            pass


def _network(options):
    """The machine's place in the room's network becomes a bridge to the guest's card.
    The guest has the machine's hardware address, so the place takes another: a bridge
    keeps frames for its own ports to itself."""
    other = "06" + options.mac[2:]
    lines = [f"link set {options.interface} address {other}",
             "link add br0 type bridge mcast_snooping 0",
             "link set br0 addrgenmode none up",
             f"link set {options.interface} master br0",
             "tuntap add dev tap0 mode tap",
             "link set tap0 addrgenmode none master br0 up"]
    subprocess.run(["ip", "-n", options.netns, "-batch", "-"], text=True, check=True,
                   input="\n".join(lines) + "\n")


def _options():
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("socket", "orders", "faults", "watts-file", "netns", "interface",
                 "address", "mac", "name", "kernel", "image"):
        parser.add_argument("--" + name, required=True)
    parser.add_argument("--watts", default="100:200",
                        type=lambda text: tuple(map(float, text.split(":"))))
    parser.add_argument("--off-watts", type=float, default=5)
    parser.add_argument("--capacity", type=int, default=16)
    parser.add_argument("--memory-mb", type=int, default=160)
    parser.add_argument("--accelerator", required=True)
    parser.add_argument("--on", action="store_true")
    return parser.parse_args()


def main():
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGINT, lambda *_: sys.exit(0))
    _network(options)
    machine = Machine(options)
    try:
        machine.run()
    finally:
        machine.end()


if __name__ == "__main__":
    main()
