"""One simulated machine, as tests and the demo see it."""

import http.client
import json
import os
import socket
import ssl
import time

from . import bmc as bmc_module
from . import redfish as redfish_module
from . import wire
from .network import in_netns

# Faults that are a file for the machine's programs to see; see README.md for each.
_FILE_FAULTS = {"boot_fails", "boot_slow", "boot_no_service", "hangs_in_shutdown",
                "lost_packets", "dies_under_load", "unhealthy", "unhealthy_slow",
                "ignores_order", "ignores_soft", "not_ready", "order_hangs"}
_NEEDS_VALUE = ({"boot_slow", "lost_packets", "unhealthy_slow", "order_hangs"}
                | redfish_module.NEEDS_VALUE)
# Things that just happen, ordered over the front panel.
_EVENT_FAULTS = {"dies": "crash", "power_loss": "mains", "press_button": "button"}
_BMC_FAULTS = {"bmc_busy", "bmc_hangs", "bmc_wrong_password"}
# Those that a virtual machine can have: what is in its own hands is real there.
VM_FAULTS = _BMC_FAULTS | {"boot_slow", "ignores_order", "lost_packets", "power_loss",
                           "press_button"}
FAULT_KINDS = sorted(_FILE_FAULTS | set(_EVENT_FAULTS) | _BMC_FAULTS
                     | redfish_module.FAULTS)


class Host:
    """Attributes: name, spec, url, mac, wolto, wolif, ipmi, ipmi_user,
    ipmi_password, redfish (its system's URL); those that its kind does not have are None."""

    def __init__(self, room, spec, index, place):
        self._room = room
        self.spec = spec
        self.name = spec.name
        self.index = index
        self.folder = os.path.join(room.directory, spec.name)
        self.panel = os.path.join(room.run, f"{spec.name}.panel")
        self.machine = None
        self.nic = None
        self.bmc = None
        self.place = place
        self.url = place["url"]
        self.mac = place["mac"]
        self.wolto = place.get("wolto")
        self.wolif = place.get("wolif")
        self.ipmi = self.ipmi_user = self.ipmi_password = None
        if spec.has_bmc:
            self.bmc = bmc_module.Bmc(self.folder, spec.name, place["ipmi_port"],
                                      place["ipmi_password"])
            self.ipmi = f"127.0.0.1:{self.bmc.port}"
            self.ipmi_user = bmc_module.USER
            self.ipmi_password = self.bmc.password
        self.redfish = room.redfish.system(spec.name) if spec.has_redfish else None

    def __repr__(self):
        return f"<Host {self.name} {self.url} {self.phase()}>"

    def processes(self):
        """The programs that run for this host, by name; the server is the machine's
        own."""
        running = {"machine": self.machine, "nic": self.nic,
                   "bmc": self.bmc.process if self.bmc else None}
        return {name: process for name, process in running.items() if process}

    def log(self, program):
        """The end of what a program said."""
        with open(os.path.join(self.folder, f"{program}.log"), "rb") as file:
            return file.read()[-2000:].decode(errors="replace").strip()

    # --- power -------------------------------------------------------------

    def phase(self):
        """off, booting, up, no-service or stopping; down without a room; a virtual
        machine also suspended."""
        try:
            return wire.ask(self.panel, "rig get phase").removeprefix("phase:")
        except OSError:
            return "down"

    def powered(self):
        return self.phase() not in ("off", "down", "suspended")

    def power_on(self):
        wire.ask(self.panel, "rig set power 1")

    def power_off(self, hard=True):
        wire.ask(self.panel, "rig set power 0" if hard else "rig set shutdown 1")

    def press_button(self):
        """A person in the room: on when it is off, otherwise a soft shutdown."""
        self.fault("press_button")

    # --- service -----------------------------------------------------------

    def serving(self):
        """Does the server answer? Whether it calls itself healthy does not matter."""
        if self.phase() != "up":
            return False
        try:
            return self.get("/_stats", timeout_s=0.5)[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def stats(self):
        return json.loads(self.get("/_stats")[2])

    def get(self, path="/", timeout_s=5.0):
        """(status, headers, body) of a GET from where the proxy would be."""
        return in_netns(self._room.client_netns, lambda: self._get(path, timeout_s))

    def _get(self, path, timeout_s):
        connection = http.client.HTTPConnection("localhost", timeout=timeout_s)
        connection.sock = self._connect(timeout_s)
        try:
            connection.request("GET", path, headers={"Connection": "close"})
            response = connection.getresponse()
            return response.status, dict(response.getheaders()), response.read()
        finally:
            connection.close()

    def _connect(self, timeout_s):
        if self.spec.unix_socket:
            stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            stream.settimeout(timeout_s)
            stream.connect(self.place["listen"])
            return stream
        address, port = self.place["listen"].rsplit(":", 1)
        stream = socket.create_connection((address, int(port)), timeout_s)
        if not self.spec.tls:
            return stream
        context = ssl.create_default_context(cafile=self._room.certificate)
        return context.wrap_socket(stream, server_hostname=address)

    # --- faults ------------------------------------------------------------

    def _fault_file(self, kind):
        return os.path.join(self.folder, "faults", kind)

    def _mark(self, kind, value):
        # By rename, so that nobody reads a fault without its value.
        path = self._fault_file(kind)
        with open(path + ".new", "w", encoding="ascii") as file:
            file.write("" if value is None else f"{float(value):g}\n")
        os.rename(path + ".new", path)

    def fault(self, kind, value=None):
        if kind not in FAULT_KINDS:
            raise ValueError(f"no such fault: {kind!r}; there are {FAULT_KINDS}")
        if (kind in _NEEDS_VALUE) != (value is not None) and kind != "dies_under_load":
            raise ValueError(f"{kind} {'needs a' if value is None else 'takes no'} value")
        if self.spec.vm and kind not in VM_FAULTS:
            raise ValueError(f"{self.name}: {kind} is for simulated machines")
        if kind in _EVENT_FAULTS:
            wire.ask(self.panel, f"rig set {_EVENT_FAULTS[kind]} 1")
            return
        if (kind in _BMC_FAULTS or kind == "order_hangs") and not self.bmc:
            raise ValueError(f"{self.name} has no BMC")
        if kind in redfish_module.FAULTS and not self.redfish:
            raise ValueError(f"{self.name} has no Redfish service")
        if kind == "lost_packets" and not self.spec.has_nic:
            raise ValueError(f"{self.name} has no wake-on-LAN card")
        self._mark(kind, value)
        if kind == "bmc_hangs":
            self.bmc.freeze(True)
        elif kind == "bmc_busy":
            self.bmc.fill_sessions()
        elif kind == "bmc_wrong_password":
            self._change_password(f"not-{self.ipmi_password}"[:16])

    def heal(self, kind=None):
        for each in self.faults() if kind is None else [kind]:
            if each not in FAULT_KINDS:
                raise ValueError(f"no such fault: {each!r}; there are {FAULT_KINDS}")
            try:
                os.unlink(self._fault_file(each))
            except FileNotFoundError:
                continue
            if each == "bmc_hangs":
                self.bmc.freeze(False)
            elif each == "bmc_busy":
                self.bmc.restart()
                self._room.save()
            elif each == "bmc_wrong_password":
                self._change_password(None)

    def faults(self):
        """The kinds that are on."""
        return sorted(set(os.listdir(os.path.join(self.folder, "faults")))
                      & set(FAULT_KINDS))

    def _change_password(self, password):
        self.bmc.configure(self._room.run, self.watts_file, password)
        self.bmc.restart()
        self._room.save()

    # --- records -----------------------------------------------------------

    @property
    def watts_file(self):
        return os.path.join(self.folder, "watts")

    def _records(self, name):
        try:
            with open(os.path.join(self.folder, name), encoding="ascii") as file:
                return [json.loads(line) for line in file if line.startswith("{")]
        except FileNotFoundError:
            return []

    def orders(self):
        """Every order received, oldest first: {t, via, order}."""
        return self._records("orders.log")

    def packets(self):
        """Every magic packet with this card's address that arrived: {t, verdict} with
        verdict wake, lost or wrong-password."""
        return [heard for heard in self._records("nic.log") if "t" in heard]

    def watts(self):
        """Modelled by the power curve from state and load; what the BMC reports."""
        with open(self.watts_file, encoding="ascii") as file:
            return int(file.read())

    def energy_joules(self):
        """Modelled too: the watts integrated since the room came up."""
        with open(self.watts_file + ".meter", encoding="ascii") as file:
            at_us, joules, watts = file.read().split()
        since_s = time.monotonic() - int(at_us) / 1e6
        return float(joules) + float(watts) * max(0.0, since_s)
