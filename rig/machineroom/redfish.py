"""The room's Redfish service, as the room starts and ends it: one for all machines."""

import base64
import json
import os
import ssl
import subprocess
import sys
import urllib.request

from .process import Process, wait_until

USER = "operator"
_PROGRAM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "redfish_service.py")

# Faults of the service; each is a file in the faults/ folder of a machine.
FAULTS = {"redfish_task", "redfish_task_fails", "redfish_task_status",
          "redfish_conflict", "redfish_forgets", "redfish_etag", "redfish_stale_etag",
          "redfish_slow", "redfish_hangs", "redfish_busy", "redfish_garbage",
          "redfish_huge", "redfish_null_watts", "redfish_old_watts",
          "redfish_wrong_name", "redfish_wrong_password", "redfish_session_limit",
          "redfish_no_sessions", "redfish_no_basic", "redfish_action_info", "redfish_button_only",
          "redfish_redirects"}
NEEDS_VALUE = {"redfish_task", "redfish_forgets", "redfish_slow"}


class Redfish:
    """Attributes: url (the service's), ca (a file), user, password."""

    def __init__(self, folder, port, password, process=None):
        self.folder = folder
        self.port = port
        self.user = USER
        self.password = password
        self.process = process
        self.url = f"https://127.0.0.1:{port}"
        self.ca = os.path.join(folder, "ca.pem")
        self._record = os.path.join(folder, "requests.log")

    def system(self, name):
        """The URL of a machine's ComputerSystem."""
        return f"{self.url}/redfish/v1/Systems/{name}"

    def configure(self, machines):
        """machines: name -> panel, watts_file, faults."""
        os.makedirs(self.folder, exist_ok=True)
        self._make_certificates()
        with open(os.path.join(self.folder, "service.json"), "w",
                  encoding="ascii") as file:
            os.fchmod(file.fileno(), 0o600)
            json.dump({"port": self.port, "user": self.user, "password": self.password,
                       "certificates": self.folder, "record": self._record,
                       "machines": machines}, file)

    def _make_certificates(self):
        """An authority, and two certificates of it: one with the service's name, and
        one with another's."""
        def make(name, subject, *more):
            path = os.path.join(self.folder, name)
            subprocess.run(
                ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                 "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                 "-subj", f"/CN={subject}", "-keyout", path + ".key", "-out",
                 path + ".pem", *more], check=True, capture_output=True)
            return path

        authority = make("ca", "room authority")
        signed = ["-CA", authority + ".pem", "-CAkey", authority + ".key"]
        for name, subject in (("redfish", "IP:127.0.0.1,DNS:localhost"),
                              ("elsewhere", "DNS:elsewhere.invalid")):
            path = make(name, name, *signed, "-addext", "basicConstraints=CA:FALSE",
                        "-addext", f"subjectAltName={subject}")
            with open(path + ".key", encoding="ascii") as key, \
                    open(path + ".pem", "a", encoding="ascii") as both:
                both.write(key.read())

    def start(self):
        self.process = Process.start(
            [sys.executable, "-B", _PROGRAM, os.path.join(self.folder, "service.json")],
            os.path.join(self.folder, "service.log"))

    def stop(self):
        """As if its network cable were pulled, but that connecting is refused."""
        self.process.stop()

    def wait_ready(self):
        wait_until(self.answers, 10, "the Redfish service answering")

    def answers(self):
        try:
            return self.get("/redfish/v1/")["Id"] == "RootService"
        except OSError:
            return False

    def get(self, path):
        """A resource, by basic authentication: it makes no session."""
        login = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        request = urllib.request.Request(self.url + path,
                                         headers={"Authorization": "Basic " + login})
        context = ssl.create_default_context(cafile=self.ca)
        with urllib.request.urlopen(request, timeout=5, context=context) as answer:
            return json.load(answer)

    def sessions(self):
        """How many are open."""
        return len(self.get("/redfish/v1/SessionService/Sessions")["Members"])

    def requests(self, method=None, part=""):
        """What was asked for and answered: {t, method, path, status}."""
        try:
            with open(self._record, encoding="ascii") as file:
                asked = [json.loads(line) for line in file if line.endswith("\n")]
        except FileNotFoundError:
            return []
        return [each for each in asked
                if method in (None, each["method"]) and part in each["path"]]
