#!/usr/bin/python3 -B
"""The application of tests/commit/backend.py the older way: a primary that ships what it has
stored to a standby, and the standby.

    shipping.py --port P --dir DIR [--fsync] [--to PORT --every SECONDS]

Without --to it is a standby: what comes by PUT /shipped is stored as if it had been written
here.  With --to it is a primary: SECONDS after its first write, and so on from then, all that
is new is shipped, and writes are answered at once.  --every 0: a write is answered when the
standby has stored it, too; those that come meanwhile are shipped together.
"""

import http.client
import json
import os
import socket
import sys
import threading
import time

sys.path[:0] = [os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "commit")]

import backend  # noqa: E402


class Standby(backend.Store):
    def receive(self, lines):
        """Stores what a primary has, durably: whole lines of its file."""
        with self.lock:
            os.write(self.file, lines)
            if self.fsync:
                os.fsync(self.file)
            for line in lines.splitlines():
                self.take(json.loads(line))


class Primary(backend.Store):
    def __init__(self, directory, fsync, port, every_s):
        super().__init__(directory, "l1", fsync)
        self.every_s, self.shipped_bytes = every_s, 0
        self.standby = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        self.shipping, self.begun = threading.Lock(), threading.Event()
        if every_s:
            threading.Thread(target=self.ship_now_and_then, daemon=True).start()

    def write(self, *request):
        answer = super().write(*request)
        self.begun.set()
        if not self.every_s:
            self.ship()
        return answer

    def ship(self):
        """On return the standby has whatever was in the file at the call."""
        with self.shipping:
            with open(self.path, "rb") as file:
                file.seek(self.shipped_bytes)
                lines = file.read()
            lines = lines[:lines.rfind(b"\n") + 1]
            if not lines:
                return
            self.standby.request("PUT", "/shipped", lines)
            answer = self.standby.getresponse()
            answer.read()
            if answer.status != 204:
                raise OSError("the standby says %d" % answer.status)
            self.shipped_bytes += len(lines)

    def ship_now_and_then(self):
        self.begun.wait()
        due = time.monotonic()
        while True:
            due += self.every_s
            time.sleep(max(0.0, due - time.monotonic()))
            self.ship()


class Served(backend.Served):
    def answer(self, method, target, headers, body):
        if method == "PUT" and target == "/shipped":
            self.server.store.receive(body.encode("latin-1"))
            return self.send(204, "", {})
        return super().answer(method, target, headers, body)


class Server(backend.Server):
    def __init__(self, arguments):
        super().__init__(arguments)
        self.store = Standby(arguments.dir, "l1", arguments.fsync) if arguments.to is None \
            else Primary(arguments.dir, arguments.fsync, arguments.to, arguments.every)

    def serve(self):
        while True:
            connection, _ = self.listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            Served(self, connection).start()


def main():
    parser = backend.arguments("a primary or its standby")
    parser.add_argument("--to", type=int)
    parser.add_argument("--every", type=float, default=0)
    parser.set_defaults(level="l1", tls=None)
    backend.serve(Server(parser.parse_args()))


if __name__ == "__main__":
    main()
