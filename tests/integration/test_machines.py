"""Power belongs to a machine: members of two balancers, http and https, a virtual host."""

import json
import os
import subprocess
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

        def lines(suffix):
            return "\n".join(
                '    BalancerMember "%s%s" %s capacity=4 boot=2s' % (
                    h.url, suffix, hints(h, wake="ipmi", sleep="ipmi")) for h in (first, second))

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
                      members=[(h.url, "%s capacity=4 boot=2s" %
                                hints(h, wake="ipmi", sleep="ipmi")) for h in (first, second)],
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
