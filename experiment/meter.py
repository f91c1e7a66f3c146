"""Watts of every machine, once a second, over its own power protocol: DCMI over IPMI, Redfish, or
the power driver. Asked for from outside, with sessions of the experiment's own; what the proxy
says of energy is not used.

A reading that did not come is a row without watts. Nothing is filled in."""

import base64
import http.client
import json
import os
import re
import select
import ssl
import subprocess
import threading
import time
import urllib.parse

PATIENCE_S = 4.0  # with one answer
SESSIONS_EVERY_S = 30


class Dcmi:
    """A BMC, in one session that stays open: that of ipmitool's shell."""

    way = "DCMI over IPMI"

    def __init__(self, host):
        self.host = host
        self.shell = None
        self.rest = b""
        self.failures = 0

    def _open(self):
        address, port = self.host.ipmi.split(":")
        self.rest = b""
        self.shell = subprocess.Popen(
            ["stdbuf", "-oL", "ipmitool", "-I", "lanplus", "-C", "3", "-N", "1", "-R", "2",
             "-H", address, "-p", port, "-U", self.host.ipmi_user, "-E", "shell"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env=dict(os.environ, IPMI_PASSWORD=self.host.ipmi_password))

    def _ask(self, words, pattern):
        """The number that the answer to a command has, or None."""
        try:
            if self.shell is None or self.shell.poll() is not None:
                self.close()
                self._open()
            self.shell.stdin.write(words.encode() + b"\n")
            self.shell.stdin.flush()
            found = self._answer(pattern)
        except OSError:
            found = None
        self.failures = 0 if found is not None else self.failures + 1
        if self.failures >= 2:  # one may be a packet that was lost
            self.close()  # a BMC that was started anew knows no session of before
        return found

    def _answer(self, pattern):
        until = time.monotonic() + PATIENCE_S
        while True:
            *lines, self.rest = self.rest.split(b"\n")
            for line in lines:
                found = re.search(pattern, line)
                if found:
                    return int(found[1])
                if b"Unable" in line or b"rror" in line:
                    return None
            left_s = until - time.monotonic()
            if left_s <= 0 or not select.select([self.shell.stdout], [], [], left_s)[0]:
                return None
            got = os.read(self.shell.stdout.fileno(), 65536)
            if not got:
                return None
            self.rest += got

    def watts(self):
        return self._ask("dcmi power reading", rb"Instantaneous power reading: +(\d+) Watts")

    def sessions(self):
        """Open ones beside this; None when it does not tell."""
        found = self._ask("session info active", rb"active sessions +: (\d+)")
        return None if found is None else found - 1

    def close(self):
        if self.shell:
            self.shell.kill()
            self.shell.wait()
            for pipe in (self.shell.stdin, self.shell.stdout):
                try:
                    pipe.close()
                except OSError:
                    pass  # what it had not read yet
            self.shell = None
        self.failures = 0


class Redfish:
    """A system of a Redfish service, over one connection, by basic authentication."""

    way = "Redfish"

    def __init__(self, host, service):
        self.path = urllib.parse.urlsplit(host.redfish).path
        self.address = urllib.parse.urlsplit(service.url)
        login = "%s:%s" % (service.user, service.password)
        self.headers = {"Authorization": "Basic " + base64.b64encode(login.encode()).decode()}
        self.context = ssl.create_default_context(cafile=service.ca)
        self.connection = self.metrics_path = None

    def _get(self, path):
        if self.connection is None:
            self.connection = http.client.HTTPSConnection(
                self.address.hostname, self.address.port, timeout=PATIENCE_S,
                context=self.context)
        self.connection.request("GET", path, headers=self.headers)
        answer = self.connection.getresponse()
        body = answer.read()
        return json.loads(body) if answer.status == 200 else {}

    def watts(self):
        """EnvironmentMetrics of the system's chassis."""
        try:
            reading = self._get(self._metrics()).get("PowerWatts", {}).get("Reading")
            return None if reading is None else float(reading)
        except (OSError, ValueError, http.client.HTTPException, KeyError, IndexError):
            self.close()
            return None

    def _metrics(self):
        if self.metrics_path is None:
            system = self._get(self.path)
            chassis = self._get(system["Links"]["Chassis"][0]["@odata.id"])
            self.metrics_path = chassis["EnvironmentMetrics"]["@odata.id"]
        return self.metrics_path

    def sessions(self):
        return None

    def close(self):
        if self.connection:
            self.connection.close()
            self.connection = None


class Driver:
    """The room's power driver."""

    way = "power driver"

    def __init__(self, host, command):
        self.command = command + ["watts", host.url]

    def watts(self):
        try:
            done = subprocess.run(self.command, stdout=subprocess.PIPE, text=True,
                                  stderr=subprocess.DEVNULL, timeout=PATIENCE_S, check=False)
            return float(done.stdout) if done.returncode == 0 else None
        except (subprocess.TimeoutExpired, ValueError):
            return None

    def sessions(self):
        return None

    def close(self):
        pass


def meter_of(room, host):
    if host.bmc:
        return Dcmi(host)
    if host.redfish:
        return Redfish(host, room.redfish)
    return Driver(host, room.powerdriver)


def _table(directory, name):
    file = open(os.path.join(directory, name + ".csv"), "w", encoding="ascii", buffering=1)
    file.write("t,machine,%s\n" % name)
    return file


class Meters:
    """A thread for each machine; rows go to watts.csv and sessions.csv as they come."""

    def __init__(self, room, directory):
        self.watts_file = _table(directory, "watts")
        self.sessions_file = _table(directory, "sessions")
        self.lock = threading.Lock()
        self.ending = threading.Event()
        self.meters = {host.name: meter_of(room, host) for host in room}
        self.threads = [threading.Thread(target=self._read, args=item, daemon=True)
                        for item in self.meters.items()]

    def start(self):
        for thread in self.threads:
            thread.start()

    def _read(self, name, meter):
        second = time.monotonic()
        next_sessions = second
        try:
            while not self.ending.wait(max(0.0, second - time.monotonic())):
                watts = meter.watts()
                self._row(self.watts_file, name, watts)
                if time.monotonic() >= next_sessions:
                    next_sessions += SESSIONS_EVERY_S
                    sessions = meter.sessions()
                    if sessions is not None:
                        self._row(self.sessions_file, name, sessions)
                # Who was late asks at once, and then at the next whole second again.
                second = max(second + 1, time.monotonic())
        finally:
            meter.close()

    def _row(self, file, name, value):
        with self.lock:
            file.write("%.3f,%s,%s\n" % (time.time(), name,
                                         "" if value is None else "%g" % value))

    def stop(self):
        self.ending.set()
        for thread in self.threads:
            thread.join(timeout=3 * PATIENCE_S)
        with self.lock:
            self.watts_file.close()
            self.sessions_file.close()
