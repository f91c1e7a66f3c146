#!/usr/bin/python3 -B
"""A replica for tests: a list that only grows and items by name, kept in its own file.

    backend.py --port P --dir DIR [--level l0|l1] [--fsync] [--tls CERT KEY]

    POST /append        appends the body; 201 {"n": length, "hash": of all before and it}
    POST /even, /odd    the same, and 409 when the length is not even (odd)
    PUT /item/NAME      sets it: 201 when new, else 200, or with If-None-Match: * 412;  DELETE: 204, or 404
    GET /item/NAME, /list (every write that was applied, in order), /keys (theirs), /count,
        /health
    GET /echo           what came: {"replica", "target", "headers"}
    GET /decide         200 or 202, as the mode says ("decide")

With --level l1 a key that it knows gets the answer of the first time and changes nothing:
the record is one line with the write itself.  Its file survives kill -9 of the process; with
--fsync also the loss of what was not synced.

DIR/mode, a JSON object that may be changed while it runs, says how it misbehaves:
    {"status": 500, "times": 3, "methods": ["POST"]}   answers so, without doing it
    {"delay_ms": 200}           before the write,     {"after_ms": 200} after it
    {"reset": "before"|"after"} closes instead of answering, before or after the write
    {"cut": true}               half an answer
    {"differ": true}            applies, and answers with another status
    {"digest": "text"}          sends Green-Commit-Digest
    {"policy": "quorum=3"}      sends Green-Commit-Policy
    {"decide": 202}
    {"pad": 1000}               so many bytes more in its answer
    {"head": ["X: y"]}          lines of its header, as they are
    {"trailer": ["X: y"]}       in chunks, with a trailer
    {"paths": ["/append"]}      all of that for these writes alone
Entries of "times" count down over the process's life.
"""

import argparse
import hashlib
import json
import os
import socket
import ssl
import sys
import threading
import time


class Store:
    def __init__(self, directory, level, fsync):
        self.path = os.path.join(directory, "writes")
        self.level, self.fsync = level, fsync
        self.lock = threading.Lock()
        self.writes, self.items, self.known = [], {}, {}
        self.hash = hashlib.sha256(b"").hexdigest()
        kept = 0
        if os.path.exists(self.path):
            with open(self.path, "rb") as f:
                for line in f:
                    if not line.endswith(b"\n"):
                        break  # torn by a crash: it was never answered
                    self.take(json.loads(line))
                    kept += len(line)
        self.file = os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o644)
        os.ftruncate(self.file, kept)
        os.lseek(self.file, kept, os.SEEK_SET)

    def take(self, record):
        if record["key"]:
            self.known[record["key"]] = (record["status"], record["answer"])
        if not record["applied"]:
            return
        self.writes.append(record)
        self.hash = record["hash"]
        if record["target"].startswith("/item/"):
            if record["method"] == "DELETE":
                self.items.pop(record["target"], None)
            else:
                self.items[record["target"]] = record["body"]

    def decide(self, method, target, only_new=False):
        """(status, is it applied)"""
        length = len([w for w in self.writes if w["method"] == "POST"]) \
            if target in ("/even", "/odd") else 0
        if target == "/append":
            return 201, True
        if target in ("/even", "/odd"):
            fits = length % 2 == (0 if target == "/even" else 1)
            return (201, True) if fits else (409, False)
        if target.startswith("/item/") and method == "PUT":
            if only_new and target in self.items:
                return 412, False
            return (200 if target in self.items else 201), True
        if target.startswith("/item/") and method == "DELETE":
            return (204, True) if target in self.items else (404, False)
        return 405, False

    def write(self, method, target, body, key, role, seq, only_new=False):
        with self.lock:
            if self.level == "l1" and key in self.known:
                return self.known[key]
            status, applied = self.decide(method, target, only_new)
            digest = hashlib.sha256((self.hash + method + target + body).encode()).hexdigest()
            answer = "" if status == 204 else json.dumps(
                {"n": len(self.writes) + applied, "hash": digest})
            record = {"method": method, "target": target, "body": body, "key": key,
                      "role": role, "seq": seq, "status": status, "answer": answer,
                      "applied": applied, "hash": digest}
            if applied or self.level == "l1":
                os.write(self.file, (json.dumps(record) + "\n").encode())
                if self.fsync:
                    os.fsync(self.file)
            self.take(record)
            return status, answer


class Mode:
    def __init__(self, directory):
        self.path = os.path.join(directory, "mode")
        self.stamp, self.values, self.left = None, {}, None
        self.lock = threading.Lock()

    def now(self, method, target):
        try:
            stamp = os.stat(self.path).st_mtime_ns
        except OSError:
            stamp = 0
        with self.lock:
            if stamp != self.stamp:
                self.stamp, self.values = stamp, {}
                if stamp:
                    try:
                        with open(self.path) as f:
                            self.values = json.load(f)
                    except ValueError:
                        self.stamp = None  # half written: looked at again
                self.left = self.values.get("times")
            if method not in self.values.get("methods", [method]) or \
                    target not in self.values.get("paths", [target]):
                return {}
            if self.left is not None:
                if self.left <= 0:
                    return {}
                if method != "GET":
                    self.left -= 1
            return self.values


REASONS = {200: "OK", 201: "Created", 204: "No Content", 404: "Not Found"}


class Served(threading.Thread):
    def __init__(self, server, connection):
        super().__init__(daemon=True)
        self.server, self.connection = server, connection

    def run(self):
        try:
            with self.connection, self.connection.makefile("rb") as lines:
                while self.one(lines):
                    pass
        except (OSError, ValueError):
            pass

    def one(self, lines):
        words = lines.readline().decode("latin-1").split()
        if len(words) != 3:
            return False
        headers = {}
        while True:
            line = lines.readline().decode("latin-1").rstrip("\r\n")
            if not line:
                break
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        if headers.get("expect", "").lower() == "100-continue":
            self.connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = self.body(lines, headers)
        return self.answer(words[0], words[1], headers, body)

    @staticmethod
    def body(lines, headers):
        if headers.get("transfer-encoding", "").lower() != "chunked":
            return lines.read(int(headers.get("content-length", 0))).decode("latin-1")
        parts = []
        while True:
            size = int(lines.readline().split(b";")[0], 16)
            parts.append(lines.read(size))
            lines.readline()
            if not size:
                return b"".join(parts).decode("latin-1")

    def answer(self, method, target, headers, body):
        mode = self.server.mode.now(method, target)
        if method == "GET" and target.split("?")[0].split(";")[0] == "/echo":
            return self.send(200, json.dumps({
                "replica": self.server.name, "target": target, "headers": headers}), {})
        if method == "GET":
            return self.send(*self.server.read(target, mode), {})
        time.sleep(mode.get("delay_ms", 0) / 1000)
        if mode.get("reset") == "before":
            return self.reset()
        more = {"Green-Commit-" + name.capitalize(): mode[name]
                for name in ("digest", "policy") if name in mode}
        if "status" in mode:
            return self.send(mode["status"], "misbehaving\n", more)
        key = headers.get("idempotency-key", "").strip('"')
        status, text = self.server.store.write(
            method, target, body, key, headers.get("green-commit-role"),
            headers.get("green-commit-seq"), headers.get("if-none-match") == "*")
        time.sleep(mode.get("after_ms", 0) / 1000)
        if mode.get("reset") == "after":
            return self.reset()
        if mode.get("differ"):
            status = 202 if status != 202 else 200
        more["X-Replica"] = self.server.name
        text += " " * mode.get("pad", 0)
        return self.send(status, text, more, cut=mode.get("cut"), mode=mode)

    def reset(self):
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                   b"\x01\x00\x00\x00\x00\x00\x00\x00")
        return False

    def send(self, status, text, more, cut=False, mode=None):
        payload = text.encode()
        head = "HTTP/1.1 %d %s\r\n" % (status, REASONS.get(status, "Status"))
        trailer = (mode or {}).get("trailer")
        head += "".join(line + "\r\n" for line in (mode or {}).get("head", []))
        if trailer:
            head += "Transfer-Encoding: chunked\r\n"
            payload = b"%x\r\n%s\r\n0\r\n%s\r\n" % (
                len(payload), payload, b"".join(line.encode() + b"\r\n" for line in trailer))
        elif status != 204:
            head += "Content-Length: %d\r\nContent-Type: application/json\r\n" % len(payload)
        head += "".join("%s: %s\r\n" % item for item in more.items())
        data = head.encode("latin-1") + b"\r\n" + payload
        self.connection.sendall(data[:len(data) // 2] if cut else data)
        return not cut


class Server:
    def __init__(self, arguments):
        os.makedirs(arguments.dir, exist_ok=True)
        self.name = arguments.name or str(arguments.port)
        self.store = Store(arguments.dir, arguments.level, arguments.fsync)
        self.mode = Mode(arguments.dir)
        self.listener = socket.create_server(("127.0.0.1", arguments.port), backlog=128)
        self.tls = None
        if arguments.tls:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain(*arguments.tls)

    def read(self, target, mode):
        path = target.split("?")[0]
        if path == "/health":
            return 200, "fine\n"
        if path == "/decide":
            return mode.get("decide", 200), ""
        with self.store.lock:
            if path == "/list":
                return 200, json.dumps(self.store.writes)
            if path == "/keys":
                return 200, json.dumps([w["key"] for w in self.store.writes])
            if path == "/count":
                return 200, json.dumps({"n": len(self.store.writes), "hash": self.store.hash,
                                        "replica": self.name})
            if path in self.store.items:
                return 200, self.store.items[path]
        return 404, "nothing here\n"

    def serve(self):
        while True:
            connection, _ = self.listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.tls:
                try:
                    connection = self.tls.wrap_socket(connection, server_side=True)
                except (OSError, ssl.SSLError):
                    continue
            Served(self, connection).start()


def arguments(description):
    """What every server of this kind takes."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--dir", required=True)
    parser.add_argument("--name")
    parser.add_argument("--fsync", action="store_true")
    return parser


def serve(server):
    """Until it is interrupted."""
    print("ready", flush=True)
    try:
        server.serve()
    except KeyboardInterrupt:
        sys.exit(0)


def main():
    parser = arguments("a replica for tests")
    parser.add_argument("--level", choices=("l0", "l1"), default="l1")
    parser.add_argument("--tls", nargs=2)
    serve(Server(parser.parse_args()))


if __name__ == "__main__":
    main()
