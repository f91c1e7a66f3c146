"""A room of simulated machines: brought up, found again, torn down."""

import atexit
import dataclasses
import fcntl
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys

from . import guest as guest_module
from . import kvm
from .host import Host
from .network import Ports, Switch, netns_permitted
from .process import Process, wait_until
from .redfish import Redfish
from .spec import HostSpec

RIG = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.path.join(os.path.dirname(RIG), "build", "rig")


def build():
    """Builds what is missing or stale; rooms that start together take turns."""
    os.makedirs(BUILD, exist_ok=True)
    with open(os.path.join(BUILD, ".lock"), "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = subprocess.run(["make", "-s", "-C", RIG], text=True, check=False,
                              capture_output=True)
    if done.returncode:
        raise RuntimeError(f"the rig does not build:\n{done.stderr}")


class Room:
    def __init__(self, directory, hosts, network="auto", seed=1, client_netns=None,
                 guest=None):
        """guest(host): what a virtual machine has beside a web server, as keywords of
        guest.make(); called when the room's network stands."""
        names = [spec.name for spec in hosts]
        if len(set(names)) != len(names) or not 1 <= len(names) <= 200:
            raise ValueError("a room has 1 to 200 hosts with different names")
        if network not in ("auto", "netns", "loopback"):
            raise ValueError(f"network {network!r}: auto, netns or loopback")
        if client_netns and network != "netns":
            raise ValueError("client_netns needs network='netns'")
        self.directory = os.path.abspath(directory)
        self.specs = list(hosts)
        self.network = network
        self.seed = seed
        self.client_netns = client_netns
        self._guest = guest or (lambda host: {})
        self.run = None  # short folder for sockets, also /…/directory/run
        self.certificate = None
        self.redfish = None  # the service of the machines of that kind
        self.hosts = {}
        self._id = None
        self._switch = None
        self._janitor = None
        self._ports = Ports()
        self._made_directory = False
        self._is_up = False

    def __getitem__(self, name):
        return self.hosts[name]

    def __iter__(self):
        return iter(self.hosts.values())

    def __enter__(self):
        self.up()
        return self

    def __exit__(self, *unused):
        self.down()

    # --- up ----------------------------------------------------------------

    def up(self, detached=False):
        """Returns when every BMC answers and every powered machine serves. A detached
        room outlives this process."""
        if self._is_up:
            raise RuntimeError("the room is up already")
        if os.path.exists(self._file("room.json")):
            # Before anything is ours to take down: that room is somebody else's.
            raise RuntimeError(f"there is a room in {self.directory} already: "
                               f"rig/room.py down {self.directory}")
        build()
        self._is_up = True
        if not detached:
            atexit.register(self._down_at_exit, os.getpid())
        try:
            self._make_folders()
            if not detached:
                self._start_janitor()
            self._make_network()
            self._make_certificate()
            self._place_redfish()
            self._place_hosts()
            self.save()
            for host in self:
                self._start_host(host)
            self._start_redfish()
            self.save()
            self._wait_ready()
        except BaseException:
            self.down()
            raise
        return self

    def _make_folders(self):
        self._made_directory = not os.path.isdir(self.directory)
        os.makedirs(self.directory, exist_ok=True)
        while not self.run:
            self._id = secrets.token_hex(2)
            try:
                os.mkdir(f"/tmp/gb{self._id}", 0o755)
                self.run = f"/tmp/gb{self._id}"
            except FileExistsError:
                continue
        # Sockets need short paths, and the proxy's user a way to them.
        os.chmod(self.run, 0o755)
        # Copies: whoever runs the driver may not be let into the project's folder.
        os.mkdir(os.path.join(self.run, "bin"), 0o755)
        for program in (os.path.join(BUILD, "chassis"), os.path.join(BUILD, "dcmi.so"),
                        os.path.join(RIG, "powerdriver")):
            shutil.copy(program, os.path.join(self.run, "bin"))
            os.chmod(os.path.join(self.run, "bin", os.path.basename(program)), 0o755)
        os.symlink(self.run, self._file("run"))
        self.save()

    def _file(self, name):
        return os.path.join(self.directory, name)

    def _start_janitor(self):
        """Tears the room down when this process ends without having done so, even
        by SIGKILL: then the pipe's end closes."""
        self._janitor = subprocess.Popen(
            ["sh", "-c", 'read -r word || exec "$@"', "janitor", sys.executable,
             os.path.join(RIG, "room.py"), "down", self.directory],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, start_new_session=True)

    def _make_network(self):
        if self.network == "auto":
            wants = any(spec.has_nic or spec.vm for spec in self.specs)
            self.network = "netns" if wants and netns_permitted() else "loopback"
        if self.network == "netns":
            self._switch = Switch(self._id, self.client_netns)
            self._switch.up([(spec.name, self._mac(index))
                             for index, spec in enumerate(self.specs)])
        elif any(spec.vm for spec in self.specs):
            raise RuntimeError("a virtual machine needs the room in network namespaces")

    def _mac(self, index):
        # Locally administered; 67:62 reads "gb".
        return f"02:67:62:{self._id[:2]}:{self._id[2:]}:{index + 1:02x}"

    def _make_certificate(self):
        if not any(spec.tls for spec in self.specs):
            return
        names = ["DNS:localhost", "IP:127.0.0.1"]
        if self._switch:
            names += [f"IP:{self._switch.address(index)}"
                      for index in range(len(self.specs))]
        self.certificate = self._file("certificate.pem")
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
             "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
             "/CN=machine room", "-addext", "subjectAltName=" + ",".join(names),
             "-keyout", self._file("key.pem"), "-out", self.certificate],
            check=True, capture_output=True)

    def _place_redfish(self):
        if any(spec.has_redfish for spec in self.specs):
            self.redfish = Redfish(self._file("redfish"),
                                   self._ports.pick(socket.SOCK_STREAM),
                                   secrets.token_hex(6))

    def _start_redfish(self):
        if self.redfish:
            self.redfish.configure({
                host.name: {"panel": host.panel, "watts_file": host.watts_file,
                            "faults": os.path.join(host.folder, "faults")}
                for host in self if host.redfish})
            self.redfish.start()

    def _place_hosts(self):
        for index, spec in enumerate(self.specs):
            self.hosts[spec.name] = Host(self, spec, index, self._place(index, spec))
        with open(os.path.join(self.run, "members"), "w", encoding="ascii") as file:
            for host in self:
                file.write(f"{host.url} {host.panel}\n")

    def _place(self, index, spec):
        """Where a host is reached; what of it is needed to find it again."""
        place = {"mac": self._mac(index)}
        scheme, port = ("https", 443) if spec.tls else ("http", 80)
        if spec.unix_socket:
            place["listen"] = os.path.join(self.run, f"{spec.name}.http")
            place["url"] = f"unix:{place['listen']}|http://localhost"
        else:
            if self._switch:
                place["listen"] = f"{self._switch.address(index)}:{port}"
            else:
                place["listen"] = f"127.0.0.1:{self._ports.pick(socket.SOCK_STREAM)}"
            place["url"] = f"{scheme}://{place['listen']}"
        if spec.has_nic and self._switch:
            place["wolto"] = f"{self._switch.broadcast}:9"
            place["wolif"] = self._switch.interface
        elif spec.has_nic:
            place["wolto"] = f"127.0.0.1:{self._ports.pick(socket.SOCK_DGRAM)}"
        if spec.has_bmc:
            place["ipmi_port"] = self._ports.pick(socket.SOCK_DGRAM)
            place["ipmi_password"] = secrets.token_hex(6)
        return place

    def _start_host(self, host):
        os.makedirs(os.path.join(host.folder, "faults"))
        host.machine = Process.start(self._machine_argv(host),
                                     os.path.join(host.folder, "machine.log"))
        if host.spec.has_nic:
            host.nic = Process.start(self._nic_argv(host),
                                     os.path.join(host.folder, "nic.log"))
        if host.bmc:
            host.bmc.configure(self.run, host.watts_file)
            host.bmc.start()

    def _virtual_machine_argv(self, host):
        spec = host.spec
        image = os.path.join(host.folder, "guest.img")
        kernel = guest_module.make(image, **self._guest(host))
        argv = [sys.executable, os.path.join(RIG, "machineroom", "vm.py"),
                "--name", spec.name, "--socket", host.panel,
                "--orders", os.path.join(host.folder, "orders.log"),
                "--faults", os.path.join(host.folder, "faults"),
                "--watts-file", host.watts_file, "--watts", spec.watts,
                "--off-watts", str(spec.off_watts),
                "--netns", self._switch.netns(spec.name), "--interface", "eth0",
                "--address", f"{self._switch.address(host.index)}/24",
                "--mac", host.mac, "--kernel", kernel, "--image", image,
                "--accelerator", kvm.accelerator(kernel),
                "--capacity", str(spec.capacity)]
        return argv + (["--on"] if spec.powered else [])

    def _machine_argv(self, host):
        spec = host.spec
        if spec.vm:
            return self._virtual_machine_argv(host)
        argv = [f"{BUILD}/machine", "--socket", host.panel,
                "--orders", os.path.join(host.folder, "orders.log"),
                "--faults", os.path.join(host.folder, "faults"),
                "--watts-file", host.watts_file, "--watts", spec.watts,
                "--off-watts", str(spec.off_watts),
                "--boot-ms", str(round(spec.boot_s * 1000)),
                "--shutdown-ms", str(round(spec.shutdown_s * 1000))]
        if self._switch:
            argv += ["--netns", self._switch.netns(spec.name), "--interface", "eth0",
                     "--address", f"{self._switch.address(host.index)}/24"]
        if spec.powered:
            argv.append("--on")
        return argv + ["--"] + self._server_argv(host)

    def _server_argv(self, host):
        spec = host.spec
        argv = [f"{BUILD}/host", "--name", spec.name, "--listen", host.place["listen"],
                "--capacity", str(spec.capacity), "--queue", str(spec.queue),
                "--service-ms", str(spec.service_ms), "--law", spec.law,
                "--seed", str(self.seed + host.index), "--watts", spec.watts,
                "--watts-file", host.watts_file,
                "--faults", os.path.join(host.folder, "faults")]
        if spec.tls:
            argv += ["--certificate", self.certificate, "--key", self._file("key.pem")]
        return argv

    def _nic_argv(self, host):
        argv = [f"{BUILD}/nic", "--socket", host.panel, "--mac", host.mac,
                "--faults", os.path.join(host.folder, "faults"),
                "--seed", str(self.seed + host.index)]
        if host.spec.secureon:
            argv += ["--secureon", host.spec.secureon]
        if self._switch:
            return argv + ["--netns", self._switch.netns(host.name),
                           "--interface", "eth0"]
        return argv + ["--udp", host.wolto]

    def _wait_ready(self):
        if self.redfish:
            self.redfish.wait_ready()
        for host in self:
            self._wait_for(host, lambda h=host: h.phase() != "down", "its panel")
            if host.bmc:
                self._wait_for(host, host.bmc.answers, "its BMC")
            if host.nic:
                log = os.path.join(host.folder, "nic.log")
                self._wait_for(host, lambda path=log: os.path.getsize(path) > 0,
                               "its network card")
            if host.spec.powered:
                self._wait_for(host, host.serving, "its server",
                               60 if host.spec.vm else 10)

    @staticmethod
    def _wait_for(host, condition, what, timeout_s=10):
        """Fails at once, with the log, when one of the host's programs has ended."""
        def ready():
            for program, process in host.processes().items():
                if not process.alive():
                    raise RuntimeError(f"{host.name}: the {program} has ended: "
                                       f"{host.log(program)}")
            if condition():
                return True
            if host.phase() == "no-service":
                raise RuntimeError(f"{host.name}: the server has ended: "
                                   f"{host.log('machine')}")
            return False

        wait_until(ready, timeout_s, f"{host.name}: {what}")

    # --- found again -------------------------------------------------------

    def save(self):
        """Writes down what `load` and the janitor need."""
        record = {"id": self._id, "network": self.network, "seed": self.seed,
                  "client_netns": self.client_netns, "run": self.run,
                  "certificate": self.certificate,
                  "made_directory": self._made_directory,
                  "redfish": self._redfish_record(),
                  "subnet": self._switch.subnet if self._switch else None,
                  "hosts": [self._host_record(host) for host in self]}
        with open(self._file("room.json.new"), "w", encoding="ascii") as file:
            os.fchmod(file.fileno(), 0o600)  # it has the BMCs' passwords
            json.dump(record, file, indent=1)
        os.rename(self._file("room.json.new"), self._file("room.json"))

    def _redfish_record(self):
        if not self.redfish:
            return None
        process = self.redfish.process
        return {"port": self.redfish.port, "password": self.redfish.password,
                "process": process.identity() if process else None}

    @staticmethod
    def _host_record(host):
        return {"spec": dataclasses.asdict(host.spec), "place": host.place,
                "processes": {name: process.identity()
                              for name, process in host.processes().items()}}

    @classmethod
    def load(cls, directory):
        """The room that is up in the directory, perhaps by another process."""
        path = os.path.join(os.path.abspath(directory), "room.json")
        with open(path, encoding="ascii") as file:
            record = json.load(file)
        specs = [HostSpec(**entry["spec"]) for entry in record["hosts"]]
        room = cls(directory, specs or [HostSpec("none")], seed=record["seed"])
        room.network = record["network"]
        room.client_netns = record["client_netns"]
        room.run = record["run"]
        room.certificate = record["certificate"]
        room._id = record["id"]
        room._made_directory = record["made_directory"]
        room._is_up = True
        if record["network"] != "loopback":
            # Even with half a network: what there is has to go.
            room._switch = Switch(room._id, room.client_netns, record["subnet"])
        if record["redfish"]:
            running = record["redfish"]["process"]
            room.redfish = Redfish(room._file("redfish"), record["redfish"]["port"],
                                   record["redfish"]["password"],
                                   Process(*running) if running else None)
        for index, (spec, entry) in enumerate(zip(specs, record["hosts"])):
            host = Host(room, spec, index, entry["place"])
            processes = {name: Process(*identity)
                         for name, identity in entry["processes"].items()}
            host.machine = processes.get("machine")
            host.nic = processes.get("nic")
            if host.bmc:
                host.bmc.process = processes.get("bmc")
            room.hosts[spec.name] = host
        return room

    # --- down --------------------------------------------------------------

    def down(self):
        """Ends every process and removes everything that the room made; may be
        called again."""
        if not self._is_up:
            return
        self._is_up = False
        atexit.unregister(self._down_at_exit)
        self._stop_processes()
        if self._switch:
            self._switch.down()
        self._ports.release()
        self._remove_files()
        if self._janitor:
            self._janitor.communicate(b"done\n")

    def _down_at_exit(self, owner):
        # A forked child that exits must not take its parent's room with it.
        if os.getpid() == owner:
            self.down()

    def _stop_processes(self):
        # First those that could still switch a machine on, then the machines.
        running = [entry for host in self for entry in host.processes().items()]
        switches = [process for name, process in running if name != "machine"]
        machines = [process for name, process in running if name == "machine"]
        if self.redfish and self.redfish.process:
            switches.append(self.redfish.process)
        for group in (switches, machines):
            for process in group:
                process.ask_to_end()
            for process in group:
                process.stop()

    def _remove_files(self):
        for host in self:
            shutil.rmtree(host.folder, ignore_errors=True)
        if self.redfish:
            shutil.rmtree(self.redfish.folder, ignore_errors=True)
        for name in ("run", "room.json", "room.json.new", "certificate.pem", "key.pem"):
            try:
                os.unlink(self._file(name))
            except FileNotFoundError:
                pass
        if self.run:
            shutil.rmtree(self.run, ignore_errors=True)
        if self._made_directory:
            try:
                os.rmdir(self.directory)
            except OSError:
                pass  # the caller has put something there

    # --- for tests and the demo --------------------------------------------

    @property
    def powerdriver(self):
        """The command of a GreenPowerDriver for this room's machines."""
        return [os.path.join(self.run, "bin", "powerdriver"), self.run]

    def secrets_text(self):
        """Lines for the product's GreenSecrets file."""
        lines = [f"ipmi {host.ipmi} {host.ipmi_user} {host.ipmi_password}"
                 for host in self if host.ipmi]
        lines += [f"redfish {host.redfish} {self.redfish.user} {self.redfish.password}"
                  for host in self if host.redfish]
        lines += [f"secureon {host.mac} {host.spec.secureon}"
                  for host in self if host.spec.secureon]
        return "".join(line + "\n" for line in lines)

    @staticmethod
    def wait(condition, timeout_s, what="the condition"):
        """Polls; returns the first true value, or raises TimeoutError."""
        return wait_until(condition, timeout_s, what)
