"""Work that lasts survives every decision to sleep its server, which sleeps once the
work has ended."""

import http.client
import os
import socket
import struct
import threading
import time

import pytest
from proxy import wait
from room import HostSpec

# Drains that end soon; the operator alone decides who sleeps.
SHORT = """
    GreenAwake min=1
    GreenDwell awake=1h asleep=1s cycles=64/day
    GreenHealth uri=/health interval=300ms timeout=1s rise=2 fall=3
    GreenReverseHealth interval=500ms fall=2
    GreenWake timeout=8s retry=1s
    GreenSlowStart 0
"""
DECISIONS = 3
LATE_S = 5  # the promise is 1 s after the last of the work; the machine may be busy


class Stream:
    """A response that is read as it comes."""

    def __init__(self, proxy, path):
        self.connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=60)
        self.connection.request("GET", path)
        self.response = self.connection.getresponse()
        assert self.response.status == 200
        self.server = self.response.getheader("X-Served-By")
        self.body, self.ended_at, self.error = b"", None, None
        self.thread = threading.Thread(target=self.read)
        self.thread.start()

    def read(self):
        try:
            while True:
                piece = self.response.read1(65536)
                if not piece:
                    break
                self.body += piece
        except (OSError, http.client.HTTPException) as error:
            self.error = error
        self.ended_at = time.time()
        self.connection.close()

    def end(self):
        self.thread.join(240)
        assert self.error is None and not self.thread.is_alive(), self.error


class WebSocket:
    def __init__(self, proxy, path):
        self.socket = socket.create_connection(("127.0.0.1", proxy.port), 60)
        self.socket.sendall((
            "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n"
            "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n" % path).encode())
        head = b""
        while b"\r\n\r\n" not in head:
            piece = self.socket.recv(1)
            assert piece, head
            head += piece
        assert head.startswith(b"HTTP/1.1 101"), head
        assert b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head

    def frame(self, opcode, payload):
        mask = b"abcd"
        self.socket.sendall(struct.pack("!BB", 0x80 | opcode, 0x80 | len(payload)) + mask +
                            bytes(c ^ mask[i % 4] for i, c in enumerate(payload)))

    def receive(self, count):
        data = b""
        while len(data) < count:
            piece = self.socket.recv(count - len(data))
            assert piece, "the WebSocket was cut off"
            data += piece
        return data

    def echo(self, text):
        self.frame(1, text)
        assert self.receive(2 + len(text))[2:] == text

    def end(self):
        self.frame(8, b"")
        assert self.receive(2)[0] == 0x88
        self.socket.close()
        self.ended_at = time.time()


def transitions(proxy, url, origin, to):
    return [e for e in proxy.status()["events"]
            if e["member"] == url and e["from"] == origin and e["to"] == to]


def decide(proxy, urls, times=DECISIONS, timeout_s=30, meanwhile=lambda: None):
    """Decides to sleep all of them, so often that each is taken back so many times."""
    for k in range(times):
        for url in urls:
            proxy.ctl("auto", url)
        for url in urls:  # refused within the tick that takes it back
            wait(lambda u=url: proxy.ctl("sleep", u).returncode == 0, 5, "the order to sleep")

        def taken_back():
            meanwhile()
            return all(len(transitions(proxy, u, "draining", "on")) > k for u in urls)
        wait(taken_back, timeout_s, lambda: "taken back %d times: %s, %s" % (
            k + 1, proxy.states(), proxy.status()["events"]))
    for url in urls:
        assert not transitions(proxy, url, "draining", "stopping")


def drain(proxy, url):
    """Sees to it that it drains: a drain that ended is decided anew."""
    if proxy.member(url)["state"] == "on":
        proxy.ctl("sleep", url)
    return proxy.member(url)["state"] == "draining"


def slept_after(proxy, url, ended_at):
    """Seconds from the end of the work to STOPPING."""
    wait(lambda: transitions(proxy, url, "draining", "stopping") or
         (drain(proxy, url) and False), LATE_S,
         lambda: "%s goes to sleep: %s" % (url, proxy.member(url)))
    return transitions(proxy, url, "draining", "stopping")[-1]["at"] - ended_at


def test_streams_outlive_three_decisions(site):
    specs = [HostSpec("web%d" % i, capacity=1, service_ms=1, boot_s=0.5, shutdown_s=0.2)
             for i in (1, 2, 3, 4)]
    room, proxy = site(specs, balancer=SHORT + "GreenDrain timeout=1s\n",
                       keys={s.name: "upgrade=websocket" for s in specs})
    url = {h.spec.name: h.url for h in room}
    wait(lambda: set(proxy.states().values()) == {"on"}, 10, "all are on")

    # One place each, filled in order: each stream has a server of its own.
    download = Stream(proxy, "/download?bytes=300000&slow=7")
    events = Stream(proxy, "/events?events=80&every=100")
    echo = WebSocket(proxy, "/echo")
    echo.echo(b"before")
    assert (download.server, events.server) == ("web1", "web2")
    work = [url["web1"], url["web2"], url["web3"]]
    decide(proxy, work, meanwhile=lambda: echo.echo(b"meanwhile"))
    assert all(host.powered() for host in room)
    # Whoever comes meanwhile is served elsewhere.
    assert proxy.get("/")[0] == 200

    echo.echo(b"after")
    echo.end()
    late = {"websocket": slept_after(proxy, url["web3"], echo.ended_at)}
    download.end()
    assert len(download.body) == 300000
    late["download"] = slept_after(proxy, url["web1"], download.ended_at)
    events.end()
    assert events.body.count(b"data: ") == 80 and events.body.endswith(b"1 left\n\n")
    late["events"] = slept_after(proxy, url["web2"], events.ended_at)
    print("STOPPING after the end of the work, s:", late)
    for address in work:
        proxy.wait_state(address, "asleep", 20)


@pytest.mark.skipif(not os.environ.get("GB_LONG"), reason="3 minutes: GB_LONG=1")
def test_download_of_three_minutes(site):
    specs = [HostSpec(n, capacity=1, boot_s=0.5, shutdown_s=0.2) for n in ("web1", "web2")]
    room, proxy = site(specs, balancer=SHORT + "GreenDrain timeout=50s\n")
    web1 = room["web1"].url
    wait(lambda: set(proxy.states().values()) == {"on"}, 10, "all are on")
    download = Stream(proxy, "/download?bytes=3000000&slow=180")
    assert download.server == "web1"
    decide(proxy, [web1], timeout_s=80)
    download.end()
    assert len(download.body) == 3000000
    assert slept_after(proxy, web1, download.ended_at) <= LATE_S


class Visitor:
    """Asks with its session's cookie, again and again."""

    def __init__(self, proxy):
        self.proxy, self.cookie, self.servers, self.changed = proxy, None, [], []

    def visit(self, path="/?session=SID"):
        connection = http.client.HTTPConnection("127.0.0.1", self.proxy.port, timeout=20)
        headers = {"Cookie": self.cookie} if self.cookie else {}
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        response.read()
        connection.close()
        assert response.status == 200, response.status
        if response.getheader("Set-Cookie"):
            self.cookie = response.getheader("Set-Cookie").split(";")[0]
        self.changed.append(response.getheader("X-Route-Changed"))
        self.servers.append(response.getheader("X-Served-By"))
        return self.servers[-1]


def sticky_site(site, sticky, drain):
    specs = [HostSpec(n, capacity=4, service_ms=1, boot_s=0.5, shutdown_s=0.2)
             for n in ("web1", "web2")]
    room, proxy = site(
        specs, keys={n: "route=" + n for n in ("web1", "web2")},
        balancer=SHORT + "ProxySet stickysession=SID\nGreenSticky %s\n"
                         "GreenDrain timeout=%s\n" % (sticky, drain),
        main='Header set X-Route-Changed "%{BALANCER_ROUTE_CHANGED}e"\n')
    wait(lambda: set(proxy.states().values()) == {"on"}, 10, "all are on")
    return room, proxy


def test_sticky_session_is_waited_for(site):
    room, proxy = sticky_site(site, "wait=1s", "200ms")
    web1 = room["web1"].url
    visitor = Visitor(proxy)
    assert visitor.visit() == "web1" and visitor.cookie == "SID=s.web1"
    decide(proxy, [web1], meanwhile=visitor.visit)
    assert set(visitor.servers) == {"web1"}
    back = transitions(proxy, web1, "draining", "on")
    assert any("a session of it was used" in e["reason"] for e in back), back
    # Who has no session goes elsewhere while it drains.
    wait(lambda: drain(proxy, web1), 5, "it drains")
    assert Visitor(proxy).visit("/") == "web2"
    visitor.visit()
    ended_at = time.time()
    # The session has ended after 1 s without a request.
    assert -0.3 < slept_after(proxy, web1, ended_at + 1) < LATE_S
    proxy.wait_state(web1, "asleep", 20)
    assert visitor.visit() == "web2"  # by failover, as its server is away


def test_sticky_session_is_moved(site):
    room, proxy = sticky_site(site, "move", "20s")
    web1 = room["web1"].url
    visitor = Visitor(proxy)
    assert visitor.visit() == "web1"
    download = Stream(proxy, "/download?bytes=100000&slow=2")
    assert download.server == "web1"
    proxy.ctl("sleep", web1)
    wait(lambda: proxy.member(web1)["state"] == "draining", 5, "it drains")
    assert visitor.visit() == "web2" and visitor.changed[-1] == "1"
    assert visitor.cookie == "SID=s.web2"
    assert visitor.visit() == "web2"
    assert proxy.member(web1)["state"] == "draining"
    download.end()
    assert len(download.body) == 100000
    assert slept_after(proxy, web1, download.ended_at) <= LATE_S
    proxy.wait_state(web1, "asleep", 20)
