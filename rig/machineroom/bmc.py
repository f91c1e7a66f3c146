"""A machine's management controller: OpenIPMI's ipmi_sim, on 127.0.0.1."""

import os
import signal
import socket

from .process import Process, wait_until

USER = "admin"

_LAN_CONF = """\
name "{name}"
set_working_mc 0x20
  startlan 1
    addr 127.0.0.1 {port}
    priv_limit admin
    allowed_auths_callback none md2 md5 straight
    allowed_auths_user none md2 md5 straight
    allowed_auths_operator none md2 md5 straight
    allowed_auths_admin none md2 md5 straight
    guid {guid}
  endlan
  chassis_control "{chassis} {panel} ipmi"
  user 1 true "" "none" user 10 none
  user 2 true "{user}" "{password}" admin 10 none md2 md5 straight
loadlib "{dcmi}" "{watts_file}"
"""

_EMULATOR = """\
mc_setbmc 0x20
mc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02
sel_enable 0x20 1000 0x0a
mc_enable 0x20
"""

# RMCP, no session, Get Channel Authentication Capabilities: any BMC answers it.
_PING = bytes.fromhex("0600ff07" "00" "00000000" "00000000" "09" "2018c8810038" "0e04" "35")

# RMCP+ Open Session Request: who sends it and never goes on keeps one of the BMC's slots.
_OPEN_HEAD = bytes.fromhex("0600ff07" "0610" "00000000" "00000000" "2000" "00000000")
_OPEN_TAIL = bytes.fromhex("0000000801000000" "0100000801000000" "0200000801000000")
_SESSIONS = 64


class Bmc:
    def __init__(self, folder, name, port, password, process=None):
        self.folder = folder
        self.name = name
        self.port = port
        self.password = password
        self.process = process

    def configure(self, run, watts_file, password=None):
        """Writes the configuration; run is the room's folder of sockets."""
        os.makedirs(os.path.join(self.folder, "state"), exist_ok=True)
        text = _LAN_CONF.format(
            name=self.name, port=self.port, user=USER,
            password=password or self.password,
            guid=os.urandom(16).hex(), chassis=f"{run}/bin/chassis",
            panel=f"{run}/{self.name}.panel", dcmi=f"{run}/bin/dcmi.so",
            watts_file=watts_file)
        for name, content in (("lan.conf", text), ("sim.emu", _EMULATOR)):
            with open(os.path.join(self.folder, name), "w", encoding="ascii") as file:
                os.fchmod(file.fileno(), 0o600)
                file.write(content)

    def start(self):
        self.process = Process.start(
            ["ipmi_sim", "-c", os.path.join(self.folder, "lan.conf"),
             "-f", os.path.join(self.folder, "sim.emu"),
             "-s", os.path.join(self.folder, "state"), "-n"],
            os.path.join(self.folder, "bmc.log"))

    def answers(self, timeout_s=0.1):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.settimeout(timeout_s)
            try:
                probe.connect(("127.0.0.1", self.port))
                probe.send(_PING)
                return bool(probe.recv(256))
            except OSError:
                return False

    def fill_sessions(self):
        """Takes every session slot, as consoles do that never log out; the BMC gives
        them back after half a minute."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as console:
            console.settimeout(1)
            console.connect(("127.0.0.1", self.port))
            for number in range(1, _SESSIONS + 1):
                console.send(_OPEN_HEAD + number.to_bytes(4, "little") + _OPEN_TAIL)
                console.recv(256)

    def wait_ready(self):
        wait_until(self.answers, 10, f"the BMC of {self.name} answering")

    def freeze(self, frozen):
        self.process.signal(signal.SIGSTOP if frozen else signal.SIGCONT)

    def restart(self):
        # It has nothing to save, so it need not be asked.
        self.process.signal(signal.SIGKILL)
        self.process.stop()
        self.start()
        self.wait_ready()
