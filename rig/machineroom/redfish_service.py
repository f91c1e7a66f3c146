"""The room's Redfish service: the program. One for all machines of a room, over TLS.

    python3 redfish_service.py CONFIGURATION.json

It orders over the machines' front panels, as `redfish`, and does wrong what the files
in the machines' faults/ folders say; see README.md. Every request is written down in
its record, one JSON line each, without what is secret in it.
"""

import base64
import hashlib
import hmac
import http.server
import json
import os
import secrets
import socket
import socketserver
import ssl
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from machineroom import redfish_tree as tree  # noqa: E402
from machineroom import wire  # noqa: E402

SESSIONS_MOST = 8
_ORDERS = {"On": "power 1", "ForceOn": "power 1", "GracefulShutdown": "shutdown 1",
           "ForceOff": "power 0"}


class Service:
    """What lasts from one request to the next; every method may run in any thread."""

    def __init__(self, settings):
        self.settings = settings
        self.machines = settings["machines"]
        self.lock = threading.Lock()
        self.sessions = {}  # token: {id, user, requests}
        self.tasks = {}  # id: {ends_at, fails}
        self.versions = dict.fromkeys(self.machines, 0)  # of the systems' ETags

    def faults_of(self, name):
        folder = self.machines[name]["faults"]
        return {kind for kind in os.listdir(folder) if kind.startswith("redfish_")}

    def faults(self, path):
        """Those of the machine that a path is about; of all, when it is about none."""
        words = path.split("/")
        named = [name for name in self.machines if name in words]
        found = set()
        for name in named or self.machines:
            found |= self.faults_of(name)
        return found

    def value(self, kind, fallback=0.0):
        for machine in self.machines.values():
            try:
                with open(os.path.join(machine["faults"], kind), encoding="ascii") as file:
                    return float(file.read() or fallback)
            except FileNotFoundError:
                continue
        return fallback

    def heal(self, kind):
        for machine in self.machines.values():
            try:
                os.unlink(os.path.join(machine["faults"], kind))
            except FileNotFoundError:
                pass

    def knows(self, user, password):
        good = self.settings["password"]
        if "redfish_wrong_password" in self.faults("/"):
            good = "not-" + good
        return user == self.settings["user"] and hmac.compare_digest(
            password.encode(), good.encode())

    def log_in(self, user):
        """(token, id), or None when there is no room."""
        with self.lock:
            full = "redfish_session_limit" in self.faults("/")
            if full or len(self.sessions) >= SESSIONS_MOST:
                return None
            token, number = secrets.token_hex(16), secrets.token_hex(4)
            self.sessions[token] = {"id": number, "user": user, "requests": 0}
            return token, number

    def log_out(self, number):
        with self.lock:
            for token, session in self.sessions.items():
                if session["id"] == number:
                    del self.sessions[token]
                    return True
        return False

    def admits(self, token):
        """Is it a session's token? With redfish_forgets it is only so many times."""
        most = self.value("redfish_forgets")
        with self.lock:
            session = self.sessions.get(token)
            if session is None:
                return False
            session["requests"] += 1
            if most and session["requests"] > most:
                del self.sessions[token]
                return False
        return True

    def session_list(self):
        with self.lock:
            return {each["id"]: each["user"] for each in self.sessions.values()}

    def begin_task(self, fails):
        number = secrets.token_hex(4)
        ends_at = time.monotonic() + self.value("redfish_task", 0.2)
        with self.lock:
            self.tasks[number] = {"ends_at": ends_at, "fails": fails}
        return number

    def task_of(self, number):
        """running, done, failed or gone; one that has ended is forgotten."""
        with self.lock:
            task = self.tasks.get(number)
            if task is None:
                return "gone"
            if time.monotonic() < task["ends_at"]:
                return "running"
            del self.tasks[number]
        return "failed" if task["fails"] else "done"

    def order(self, name, reset):
        """Passes a reset type on to the machine."""
        machine = self.machines[name]
        order = _ORDERS.get(reset, "reset 1")
        if reset == "PushPowerButton":
            order = "power 1" if tree.power_state(machine) == "Off" else "shutdown 1"
        wire.ask(machine["panel"], f"redfish set {order}")

    def record(self, **what):
        line = json.dumps({"t": time.time(), **what}) + "\n"
        with self.lock:
            with open(self.settings["record"], "a", encoding="ascii") as file:
                file.write(line)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60
    disable_nagle_algorithm = True

    def log_message(self, *unused):
        pass

    @property
    def service(self):
        return self.server.service

    @property
    def plain_path(self):
        return self.path.split("?")[0].rstrip("/")

    # --- answers -----------------------------------------------------------

    def answer(self, status, shown=None, **headers):
        body = b"" if shown is None else json.dumps(shown).encode()
        self.send(status, body, **headers)

    def send(self, status, body, **headers):
        self.service.record(method=self.command, path=self.plain_path, status=status)
        self.send_response(status)
        self.send_header("OData-Version", "4.0")
        if self.close_connection:
            self.send_header("Connection", "close")
        if body:
            self.send_header("Content-Type", "application/json; charset=utf-8")
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def refuse(self, status, name, message, **headers):
        extended = {"MessageId": f"Base.1.8.{name}", "Message": message,
                    "MessageSeverity": "Critical", "Resolution": "None."}
        self.answer(status, {"error": {
            "code": f"Base.1.8.{name}", "message": message,
            "@Message.ExtendedInfo": [extended]}}, **headers)

    # --- what is common ----------------------------------------------------

    def misbehaves(self):
        """Does a fault answer in its own way?"""
        faults = self.service.faults(self.plain_path)
        if "redfish_slow" in faults:
            time.sleep(self.service.value("redfish_slow"))
        if "redfish_hangs" in faults:
            self.service.record(method=self.command, path=self.plain_path, status=0)
            self.server.ended.wait()
            self.close_connection = True
        elif "redfish_busy" in faults:
            self.refuse(503, "ServiceTemporarilyUnavailable", "The service is busy.",
                        Retry_After="1")
        elif "redfish_garbage" in faults:
            self.send(200, b'{"PowerState": "On", \xff\x00')
        elif "redfish_huge" in faults:
            self.send(200, b'{"Filler": "' + b"x" * 300000 + b'"}')
        elif "redfish_redirects" in faults:
            self.answer(308, Location="https://elsewhere.invalid" + self.path)
        else:
            return False
        return True

    def admitted(self):
        token = self.headers.get("X-Auth-Token")
        kind, _, encoded = self.headers.get("Authorization", "").partition(" ")
        if token is not None and self.service.admits(token):
            return True
        if kind == "Basic" and "redfish_no_basic" not in self.service.faults("/"):
            try:
                user, _, password = base64.b64decode(encoded).decode().partition(":")
            except ValueError:
                user = password = ""
            if self.service.knows(user, password):
                return True
        self.refuse(401, "NoValidSession", "There is no valid session.",
                    WWW_Authenticate='Basic realm="room"')
        return False

    def etag(self, shown):
        name = self.plain_path.rsplit("/", 1)[-1]
        text = f"{json.dumps(shown)}{self.service.versions.get(name, 0)}"
        return '"%s"' % hashlib.sha256(text.encode()).hexdigest()[:12]

    # --- methods -----------------------------------------------------------

    def do_GET(self):
        path = self.plain_path
        has_sessions = "redfish_no_sessions" not in self.service.faults("/")
        if path == tree.ROOT:
            if not self.misbehaves():
                self.answer(200, tree.root(has_sessions))
            return
        if path != "/redfish" and not self.admitted() or self.misbehaves():
            return
        if path.startswith(tree.MONITORS + "/"):
            self.tell_task(path.rsplit("/", 1)[1])
            return
        shown = tree.look_up(path, self.service.machines, self.service.faults_of,
                             self.service.session_list())
        if shown is None or (path.startswith(tree.ROOT + "/SessionService")
                             and not has_sessions):
            self.refuse(404, "ResourceMissingAtURI", f"There is nothing at {path}.")
        else:
            self.answer(200, shown, ETag=self.etag(shown))

    do_HEAD = do_GET

    def tell_task(self, number):
        state = self.service.task_of(number)
        if state == "running":
            self.answer(202, self.task(number, "Running"),
                        Location=f"{tree.MONITORS}/{number}")
        elif state == "failed" and "redfish_task_status" in self.service.faults("/"):
            self.refuse(500, "InternalError", "The task has failed.")
        elif state == "failed":
            self.answer(200, self.task(number, "Exception",
                                       [{"MessageId": "Base.1.8.InternalError",
                                         "Message": "The task has failed."}]))
        elif state == "done":
            self.answer(204)
        else:
            self.refuse(404, "ResourceMissingAtURI", "There is no such task.")

    @staticmethod
    def task(number, state, messages=()):
        return {"@odata.id": f"{tree.ROOT}/TaskService/Tasks/{number}",
                "@odata.type": "#Task.v1_4_3.Task", "Id": number, "Name": "Reset",
                "TaskState": state, "TaskMonitor": f"{tree.MONITORS}/{number}",
                "Messages": list(messages)}

    def do_POST(self):
        path = self.plain_path
        try:
            length = int(self.headers.get("Content-Length", 0))
            sent = json.loads(self.rfile.read(min(length, 65536)) or b"{}")
        except ValueError:
            self.refuse(400, "MalformedJSON", "The body is no JSON.")
            return
        if path == tree.SESSIONS:
            if not self.misbehaves():
                self.log_in(sent)
            return
        if not self.admitted() or self.misbehaves():
            return
        words = path.split("/")
        if (len(words) == 7 and words[3] == "Systems"
                and words[4] in self.service.machines
                and words[5:] == ["Actions", "ComputerSystem.Reset"]):
            self.reset(words[4], sent.get("ResetType"))
        else:
            self.refuse(405, "ActionNotSupported", "There is no such action.")

    def log_in(self, sent):
        if "redfish_no_sessions" in self.service.faults("/"):
            self.refuse(404, "ResourceMissingAtURI", "There are no sessions.")
        elif not self.service.knows(str(sent.get("UserName")), str(sent.get("Password"))):
            # As some do: the answer quotes what was sent.
            self.refuse(401, "ResourceAtUriUnauthorized",
                        f"The password {sent.get('Password')} is not right.")
        else:
            made = self.service.log_in(sent["UserName"])
            if not made:
                self.refuse(503, "SessionLimitExceeded", "Too many sessions are open.",
                            Retry_After="1")
                return
            place = f"{tree.SESSIONS}/{made[1]}"
            self.answer(201, {"@odata.id": place, "@odata.type": "#Session.v1_3_0.Session",
                              "Id": made[1], "Name": "Session",
                              "UserName": sent["UserName"]},
                        X_Auth_Token=made[0], Location=place)

    def matches(self, name, faults):
        """Does the order's If-Match hold? Answers when it does not."""
        wanted = self.headers.get("If-Match")
        if "redfish_stale_etag" in faults:
            self.service.versions[name] += 1
            self.service.heal("redfish_stale_etag")
        if wanted is None:
            if "redfish_etag" in faults:
                self.refuse(428, "PreconditionRequired", "If-Match is required.")
                return False
            return True
        path = f"{tree.ROOT}/Systems/{name}"
        shown = tree.look_up(path, self.service.machines, self.service.faults_of, {})
        text = f"{json.dumps(shown)}{self.service.versions[name]}"
        if wanted in ("*", '"%s"' % hashlib.sha256(text.encode()).hexdigest()[:12]):
            return True
        self.refuse(412, "PreconditionFailed", "The ETag does not match.")
        return False

    def reset(self, name, kind):
        faults = self.service.faults_of(name)
        if kind not in tree.allowed(faults):
            self.refuse(400, "ActionParameterValueNotInList", f"{kind} is not allowed.")
            return
        if not self.matches(name, faults):
            return
        fails = "redfish_task_fails" in faults
        if not fails:
            self.service.order(name, kind)
        if "redfish_conflict" in faults:
            self.refuse(409, "ResourceInUse", "It is already in that state.")
        elif fails or "redfish_task" in faults:
            number = self.service.begin_task(fails)
            self.answer(202, self.task(number, "New"),
                        Location=f"{tree.MONITORS}/{number}", Retry_After="1")
        else:
            self.answer(204)

    def do_DELETE(self):
        if not self.admitted() or self.misbehaves():
            return
        path = self.plain_path
        if path.startswith(tree.SESSIONS + "/") and self.service.log_out(
                path.rsplit("/", 1)[1]):
            self.answer(204)
        else:
            self.refuse(404, "ResourceMissingAtURI", "There is no such session.")


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, service, port):
        super().__init__(("127.0.0.1", port), Handler)
        self.service = service
        self.ended = threading.Event()

    def _context(self):
        wrong = "redfish_wrong_name" in self.service.faults("/")
        name = "elsewhere" if wrong else "redfish"
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(
            os.path.join(self.service.settings["certificates"], name + ".pem"))
        return context

    def finish_request(self, request, client_address):
        """In the request's own thread: a slow handshake holds nobody else up."""
        request.settimeout(Handler.timeout)
        request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            with self._context().wrap_socket(request, server_side=True) as line:
                super().finish_request(line, client_address)
        except OSError as error:  # the client is gone, or does not trust us
            print(f"{client_address}: {error!r}", flush=True)


def main():
    with open(sys.argv[1], encoding="ascii") as file:
        settings = json.load(file)
    service = Service(settings)
    server = Server(service, settings["port"])
    server.serve_forever()


if __name__ == "__main__":
    main()
