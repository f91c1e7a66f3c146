"""The keeper's side of commit.sock as a script says, to test httpd's children alone.

    with FakeKeeper(proxy) as keeper:
        keeper.says = lambda frame: reply(DONE, STATUS=201, BODY=b"done")

It takes the place of the real keeper's socket.  A function that returns None has the
connection closed without an answer; frames that came are in keeper.frames.
"""

import os
import pwd
import socket
import struct
import threading

SUBMIT, ASK, REPLY = 1, 2, 3
TAGS = ["", "LOG", "ID", "NONCE", "PRINCIPAL", "METHOD", "TARGET", "HEADERS", "BODY", "WAIT",
        "ASYNC", "RESULT", "SAYS", "FIELD", "TOKEN", "STATUS", "RETRY", "SERVED_BY"]
NUMBERS = {"NONCE": 8, "WAIT": 8, "ASYNC": 1, "RESULT": 1, "SAYS": 1, "STATUS": 4, "RETRY": 4}
DONE, LATE, BUSY, OTHER, FULL, TOO_BIG, NOBODY, EXPIRED = range(1, 9)


def frame(kind, **fields):
    text = b""
    for name, value in fields.items():
        if name in NUMBERS:
            value = int(value).to_bytes(NUMBERS[name], "little")
        elif isinstance(value, str):
            value = value.encode()
        text += struct.pack("<HI", TAGS.index(name), len(value)) + value
    return b"GBC1" + struct.pack("<II", kind, len(text)) + text


def reply(says, **fields):
    return frame(REPLY, SAYS=says, **fields)


class Frame(dict):
    """Fields by name: bytes, or numbers."""

    def __init__(self, kind, text):
        super().__init__()
        self.kind = kind
        while text:
            tag, length = struct.unpack("<HI", text[:6])
            value, text = text[6:6 + length], text[6 + length:]
            assert len(value) == length and TAGS[tag] not in self
            if TAGS[tag] in NUMBERS:
                assert length == NUMBERS[TAGS[tag]]
                value = int.from_bytes(value, "little")
            self[TAGS[tag]] = value

    def headers(self):
        lines = self["HEADERS"].decode("latin-1").split("\r\n")
        assert lines.pop() == ""
        return [tuple(line.split(": ", 1)) for line in lines]


def receive(connection, count):
    """So many bytes, or None when it was closed before."""
    data = b""
    while len(data) < count:
        try:
            more = connection.recv(count - len(data))
        except ConnectionResetError:
            return None
        if not more:
            return None
        data += more
    return data


def receive_frame(connection):
    head = receive(connection, 12)
    if head is None:
        return None
    assert head[:4] == b"GBC1"
    kind, length = struct.unpack("<II", head[4:])
    text = receive(connection, length)
    return None if text is None else Frame(kind, text)


class FakeKeeper:
    def __init__(self, proxy, user="www-data"):
        self.path = proxy.path("run", "green", "commit.sock")
        self.user = user
        self.frames, self.connections = [], 0
        self.says = lambda asked: reply(DONE, STATUS=200)
        self.listener, self.open = None, set()

    def start(self):
        self.listener = socket.socket(socket.AF_UNIX)
        fresh = self.path + ".fake"
        if os.path.exists(fresh):
            os.unlink(fresh)
        self.listener.bind(fresh)
        os.chmod(fresh, 0o600)
        os.chown(fresh, pwd.getpwnam(self.user).pw_uid, -1)
        self.listener.listen(256)
        os.rename(fresh, self.path)
        threading.Thread(target=self.accept, args=(self.listener,), daemon=True).start()
        return self

    def stop(self):
        """As when its process dies."""
        listener, self.listener = self.listener, None
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for connection in list(self.open):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def __enter__(self):
        return self.start()

    def __exit__(self, *error):
        if self.listener:
            self.stop()

    def accept(self, listener):
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            self.connections += 1
            self.open.add(connection)
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        try:
            with connection:
                while True:
                    asked = receive_frame(connection)
                    if asked is None:
                        return
                    self.frames.append(asked)
                    answer = self.says(asked)
                    if answer is None:
                        return
                    connection.sendall(answer)
        except OSError:
            pass
        finally:
            self.open.discard(connection)
