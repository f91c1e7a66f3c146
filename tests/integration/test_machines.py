"""Power belongs to a machine: members of two balancers, http and https, a virtual host."""

import json
import os
import socket
import ssl
import subprocess
import threading
import time

from conftest import QUICK
from proxy import Proxy, ROOT, free_port, hints, wait
from room import HostSpec, Room

LOAD = os.path.join(ROOT, "build", "rig", "load")


def test_doors_of_one_machine_share_state_order_and_energy(base):
    """web1 and web2 stand in two balancers, one of them in a virtual host."""
    room = Room(str(base / "room"), [
        HostSpec("web1", capacity=4, boot_s=1.0, shutdown_s=0.3, service_ms=50),
        HostSpec("web2", capacity=4, boot_s=1.0, shutdown_s=0.3, service_ms=50)],
        network="loopback")
    room.up()
    try:
        port = free_port()
        first, second = room["web1"], room["web2"]
        thrifty = "watts=50:100"  # the first, so that it stays

        def lines(suffix):
            return "\n".join(
                '    BalancerMember "%s%s" %s capacity=4 boot=2s %s' % (
                    h.url, suffix, hints(h, wake="ipmi", sleep="ipmi"),
                    thrifty if h is first else "") for h in (first, second))

        # The same machines again, by another name of theirs, in a virtual host.
        other = lines("").replace("127.0.0.1:%s" % first.url.rsplit(":")[-1],
                                  "localhost:%s" % first.url.rsplit(":")[-1])
        other = other.replace("http://127.0.0.1:%s" % second.url.rsplit(":")[-1],
                              "http://localhost:%s" % second.url.rsplit(":")[-1])
        vhost = """
Listen 127.0.0.1:%d
<VirtualHost 127.0.0.1:%d>
    ServerName other
    <Proxy "balancer://other">
%s
        ProxySet lbmethod=bypower
        GreenBalance on
        %s
    </Proxy>
    ProxyPass "/" "balancer://other/"
</VirtualHost>""" % (port, port, other, QUICK)
        proxy = Proxy(str(base / "proxy"),
                      members=[(h.url, "%s capacity=4 boot=2s %s" % (
                          hints(h, wake="ipmi", sleep="ipmi"), thrifty if h is first else ""))
                               for h in (first, second)],
                      balancer=QUICK, secrets=room.secrets_text(), vhosts=vhost)
        with proxy:
            wait(lambda: proxy.states()[second.url] == "asleep", 30,
                 lambda: str(proxy.states()))
            status = proxy.status()
            names = {b["name"]: {m["machine"]: m for m in b["members"]}
                     for b in status["balancers"]}
            assert set(names["balancer://app"]) == set(names["balancer://other"])
            for machine, member in names["balancer://app"].items():
                assert member["state"] == names["balancer://other"][machine]["state"]
            # Load on the second balancer alone wakes the machine for both.
            done = subprocess.run([LOAD, "--to", "127.0.0.1:%d" % port, "--connections", "8",
                                   "--duration", "6"], stdout=subprocess.PIPE, text=True,
                                  check=True)
            assert json.loads(done.stdout)["failed"] == 0
            wait(lambda: proxy.states()[second.url] == "asleep", 40,
                 lambda: str(proxy.states()))
            orders = [o["order"] for o in second.orders() if o["via"] == "ipmi"]
            assert orders.count("on") == 1 and orders.count("soft") == 2, orders
            time.sleep(1.2)
            joules = {m["machine"]: m["joules"] for m in proxy.members_status().values()}
            total = proxy.balancer_status()["energy"]["joules"]
            assert abs(total - sum(joules.values())) < 0.05 * total
    finally:
        room.down()


class TlsDoor:
    """An https door to a machine's http server: shut while that does not listen."""

    def __init__(self, base, host):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days",
                        "2", "-subj", "/CN=localhost", "-keyout", str(base / "door.key"),
                        "-out", str(base / "door.crt")], check=True,
                       stderr=subprocess.DEVNULL)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(str(base / "door.crt"), str(base / "door.key"))
        self.target = ("127.0.0.1", int(host.url.rsplit(":", 1)[1]))
        self.port = free_port()
        self.url = "https://127.0.0.1:%d" % self.port
        self.shut = False
        self.thread = threading.Thread(target=self.watch, daemon=True)
        self.thread.start()

    def watch(self):
        listener = None
        while not self.shut:
            try:
                socket.create_connection(self.target, 1).close()
                if not listener:
                    listener = socket.create_server(("127.0.0.1", self.port))
                    listener.settimeout(0.05)
            except OSError:
                if listener:
                    listener.close()
                listener = None
                time.sleep(0.05)
                continue
            try:
                client, _ = listener.accept()
            except OSError:
                continue
            client.settimeout(10)
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()
        if listener:
            listener.close()

    def serve(self, client):
        try:
            with socket.create_connection(self.target, 2) as server, \
                    self.context.wrap_socket(client, server_side=True) as tls:
                back = threading.Thread(target=self.pump, args=(server, tls), daemon=True)
                back.start()
                self.pump(tls, server)
                back.join(10)
        except OSError:
            client.close()

    @staticmethod
    def pump(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except (OSError, ValueError):
            pass

    def close(self):
        self.shut = True
        self.thread.join(10)


def test_http_and_https_doors_are_one_machine(base):
    room = Room(str(base / "room"), [
        HostSpec("web1", capacity=8, boot_s=1.0, shutdown_s=0.3, service_ms=20),
        HostSpec("web2", capacity=8, boot_s=1.0, shutdown_s=0.3, service_ms=20)],
        network="loopback")
    room.up()
    first, second = room["web1"], room["web2"]
    door = TlsDoor(base, second)
    try:
        keys = hints(second, wake="ipmi", sleep="ipmi")
        members = [(first.url, hints(first, wake="ipmi", sleep="ipmi") + " capacity=8 boot=2s"),
                   (second.url, keys + " capacity=8 boot=2s machine=two"),
                   (door.url, "capacity=8 machine=two")]
        proxy = Proxy(str(base / "proxy"), members=members, balancer=QUICK,
                      secrets=room.secrets_text(),
                      main="SSLProxyEngine on\nSSLProxyVerify none\n"
                           "SSLProxyCheckPeerName off\nSSLProxyCheckPeerCN off")
        with proxy:
            wait(lambda: proxy.states()[second.url] == "asleep", 30,
                 lambda: str(proxy.states()))
            assert proxy.states()[door.url] == "asleep"
            assert proxy.ctl("wake", "two").returncode == 0
            wait(lambda: proxy.member(door.url)["health"] == "good" and
                 proxy.states()[second.url] == proxy.states()[door.url] == "on", 15,
                 lambda: str(proxy.members_status()))
            # One door's illness closes that door alone.
            door.close()
            wait(lambda: proxy.member(door.url)["health"] == "bad", 15,
                 lambda: str(proxy.members_status()))
            proxy.allow(r"GB0503")
            assert proxy.states()[second.url] == "on"
            for _ in range(30):
                assert proxy.get("/")[0] == 200
            orders = [o["order"] for o in second.orders() if o["via"] == "ipmi"]
            assert orders == ["soft", "on"], orders
            energy = proxy.balancer_status()["energy"]
            joules = {m["machine"]: m["joules"] for m in proxy.members_status().values()}
            assert set(joules) >= {"two"} and len(joules) == 2
            assert abs(energy["joules"] - sum(joules.values())) < 0.05 * energy["joules"]
    finally:
        door.close()
        room.down()
