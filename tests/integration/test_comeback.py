"""Servers that come back get a growing share, those that fail requests are taken out,
and no connection of before a sleep is used after it."""

import os
import re
import signal
import socket
import struct
import subprocess
import threading
import time

import pytest
from proxy import HTTPD, MODULES, ROOT, Proxy, wait
from room import HostSpec

LOAD = os.path.join(ROOT, "build", "rig", "load")

# The operator alone decides who sleeps.
STILL = """
    GreenDwell awake=1h asleep=1s cycles=64/day
    GreenHealth uri=/health interval=300ms timeout=1s rise=2 fall=3
    GreenReverseHealth interval=500ms fall=2
    GreenWake timeout=8s retry=1s
"""


def start_load(proxy, connections, seconds, path):
    return subprocess.Popen(
        [LOAD, "--to", "127.0.0.1:%d" % proxy.port, "--connections", str(connections),
         "--duration", str(seconds), "--path", path],
        stdout=subprocess.PIPE, text=True)


# ---------------------------------------------------------------- slow start

RAMP_S = 4


def test_share_grows_where_bybusyness_floods(site):
    """20 at once over two servers of capacity 10.  One comes back: under bypower it gets
    a tenth of its capacity at first, and half of the load at the end; under bybusyness,
    at the same time and over the same servers, half of the load at once."""
    specs = [HostSpec(n, capacity=60, service_ms=60, boot_s=0.5, shutdown_s=0.2)
             for n in ("web1", "web2")]
    room, proxy = site(specs, start=False, keys={s.name: "capacity=10" for s in specs},
                       balancer=STILL + "GreenAwake min=1\nGreenSlowStart %ds\n" % RAMP_S)
    proxy.members = [(u, re.sub(r"capacity=60", "", k)) for u, k in proxy.members]
    proxy.main = """
        <Proxy "balancer://stock">
            BalancerMember "%s" machine=web1 capacity=10
            BalancerMember "%s" machine=web2 capacity=10
            ProxySet lbmethod=bybusyness
            GreenBalance on
            GreenSlowStart %ds
            %s
        </Proxy>
        ProxyPass "/stock/" "balancer://stock/"
    """ % (room["web1"].url, room["web2"].url, RAMP_S, STILL)
    proxy.start()
    web1, web2 = room["web1"].url, room["web2"].url
    wait(lambda: set(proxy.states().values()) == {"on"}, 10, "both are on")
    assert proxy.ctl("--balancer", "app", "sleep", web2).returncode == 0, proxy.ctl("status")
    proxy.wait_state(web2, "asleep", 15)
    loads = [start_load(proxy, 20, RAMP_S + 8, "/power"),
             start_load(proxy, 20, RAMP_S + 8, "/stock/x")]
    try:
        time.sleep(1)
        proxy.ctl("--balancer", "app", "wake", web2)
        proxy.wait_state(web2, "on", 15)
        seen, keeper = [], proxy.keeper_pid()
        begin = time.monotonic()
        while time.monotonic() < begin + RAMP_S + 1.2:
            at = time.monotonic() - begin
            power, stock = proxy.member(web2), proxy.members_status("stock")[web2]
            seen.append((at, power["capacity_in_force"], power["in_flight"],
                         stock["in_flight"]))
            if keeper and at > RAMP_S / 2:  # the next keeper goes on with it
                os.kill(keeper, signal.SIGKILL)
                keeper = 0
            time.sleep(0.05)
    finally:
        for load in loads:
            load.terminate()
            load.wait()
    proxy.allow(r"keeper")

    def mean(column, begin_s, end_s):
        rows = [row[column] for row in seen if begin_s <= row[0] < end_s]
        return sum(rows) / len(rows)
    table = ["%.1f s: in force %.1f, in flight %.1f, bybusyness %.1f" % (
        s, mean(1, s, s + 1), mean(2, s, s + 1), mean(3, s, s + 1)) for s in range(RAMP_S)]
    print("\n".join(table))
    forces = [row[1] for row in seen]
    assert forces == sorted(forces) and forces[0] <= 3 and forces[-1] == 10, table
    # Of 20 in flight, in proportion to the capacities in force: 20 x 2/12 = 3.3, and half.
    assert mean(2, 0.2, 1) < 6, table
    assert mean(2, RAMP_S, RAMP_S + 2) > 7, table
    assert mean(3, 0.2, 1) > mean(2, 0.2, 1) + 2, table


# ---------------------------------------------------------------- outliers

# What is said of a server that breaks off, resets or is late.
FAULTS = [r"GB1103", r"AH01102: error reading status line", r"AH01110: error reading response",
          r"AH00898: Error reading from remote server"]

class Faulty:
    """A backend whose health check passes, and whose requests fail as `mode` says."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = "http://127.0.0.1:%d" % self.listener.getsockname()[1]
        self.mode = "reset"
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                connection = self.listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        with connection:
            head = connection.recv(65536)
            mode = "well" if b" /health" in head else self.mode
            if mode == "well":
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"
                                   b"Connection: close\r\n\r\nok")
            elif mode == "short":
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 90000\r\n\r\nx")
            elif mode == "late":
                time.sleep(3)
            elif mode == "reset":
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                      struct.pack("ii", 1, 0))
            elif mode == "refuses":  # 503 of its own: it is alive
                connection.sendall(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n"
                                   b"Connection: close\r\n\r\n")


def ask(proxy, times, path="/"):
    """Statuses of requests one after the other; None: broken off."""
    statuses = []
    for _ in range(times):
        try:
            statuses.append(proxy.get(path, timeout=10)[0])
        except OSError:
            statuses.append(None)
        except Exception as error:  # http.client.IncompleteRead
            assert "IncompleteRead" in repr(error), error
            statuses.append(None)
    return statuses


def half_of_them_stay(proxy, bad):
    """Of three members at most one goes: the second bad one stays, bad as it is."""
    ask(proxy, 3, "/half/")
    wait(lambda: proxy.members_status("half")[bad[0].url]["ejected_s"] > 0, 2, "one is out")
    assert ask(proxy, 5, "/half/") == [502] * 5
    time.sleep(0.3)
    assert proxy.members_status("half")[bad[1].url]["ejected_s"] == 0


def test_failing_server_is_taken_out_and_replaced(site):
    faulty, bad = Faulty(), [Faulty(), Faulty()]
    room, proxy = site(
        [HostSpec("web1", capacity=4, boot_s=0.5, shutdown_s=0.2),
         HostSpec("web2", capacity=4, boot_s=0.5, shutdown_s=0.2)], start=False,
        balancer=STILL + "GreenAwake min=2\nGreenOutlier errors=5 within=5s eject=1500ms\n"
                         "GreenSlowStart 10s\n")
    proxy.main = """
        <Proxy "balancer://half">
            BalancerMember "%s" capacity=1 retry=0 watts=1:2
            BalancerMember "%s" capacity=1 retry=0 watts=1:2
            BalancerMember "%s" machine=web1
            ProxySet lbmethod=bypower
            GreenBalance on
            GreenOutlier errors=2 within=5s eject=20s
            %s
        </Proxy>
        ProxyPass "/half/" "balancer://half/"
    """ % (bad[0].url, bad[1].url, room["web1"].url, STILL)
    proxy.members.insert(0, (faulty.url, "capacity=4 timeout=1 retry=0 watts=1:2"))
    proxy.start()
    proxy.allow(*FAULTS)
    web2 = room["web2"].url
    wait(lambda: set(proxy.states().values()) == {"on"}, 10, "all are on")
    assert proxy.ctl("sleep", web2).returncode == 0
    proxy.wait_state(web2, "asleep", 15)
    proxy.ctl("auto", web2)

    half_of_them_stay(proxy, bad)
    # What the server says itself is no fault of this kind.
    faulty.mode = "refuses"
    assert ask(proxy, 7) == [503] * 7
    time.sleep(0.3)
    assert proxy.member(faulty.url)["ejected_s"] == 0
    # Each of these is.
    for mode, times in (("short", 2), ("reset", 2), ("late", 1)):
        faulty.mode = mode
        statuses = ask(proxy, times)
        assert all(s in (None, 502, 504) for s in statuses), (mode, statuses)
    wait(lambda: proxy.member(faulty.url)["ejected_s"] > 0, 2, "it is taken out")
    assert ask(proxy, 8) == [200] * 8
    assert proxy.member(faulty.url)["health"] == "good"
    assert b"taken out" in proxy.get("/green/")[1]
    line = next(x for x in proxy.log().splitlines() if "GB1103" in x and faulty.url in x)
    assert "5 requests failed at it within 5 s: out for 2 s" in line, line
    # Two are to be awake: another one comes for it.
    proxy.wait_state(web2, "on", 15)

    # It comes back, slowly; still bad, it is out for twice as long.
    faulty.mode = "reset"
    wait(lambda: proxy.member(faulty.url)["ejected_s"] == 0, 5, "its time is over")
    wait(lambda: proxy.member(faulty.url)["capacity_in_force"] == 1, 2, "slow start")
    ask(proxy, 5)
    wait(lambda: proxy.member(faulty.url)["ejected_s"] > 1.6, 2, "it is out again")
    assert "out for 3 s" in proxy.log()
    faulty.mode = "well"
    wait(lambda: proxy.member(faulty.url)["ejected_s"] == 0, 8, "its time is over")
    assert ask(proxy, 8) == [200] * 8
    for backend in [faulty] + bad:
        backend.listener.close()


# ---------------------------------------------------------------- connections

# Two servers in a network namespace: httpd for HTTP, TLS and HTTP/2, and one for AJP.
BACKEND_CONF = """
ServerRoot {dir}
ServerName box
PidFile {dir}/httpd.pid
DefaultRuntimeDir {dir}
{modules}
Listen 10.97.{net}.2:80
Listen 10.97.{net}.2:443
Listen 10.97.{net}.2:81
User www-data
Group www-data
ErrorLog {dir}/error.log
KeepAliveTimeout 300
MaxKeepAliveRequests 0
LogFormat "%p %{{remote}}p %U" connections
CustomLog {dir}/access.log connections
DocumentRoot {dir}/www
<VirtualHost 10.97.{net}.2:443>
    SSLEngine on
    SSLCertificateFile {dir}/box.pem
</VirtualHost>
<VirtualHost 10.97.{net}.2:81>
    Protocols h2c http/1.1
</VirtualHost>
"""

AJP_BACKEND = r"""
import socket, struct, sys, threading
log = open(sys.argv[2], "a", buffering=1)
def packet(payload): return b"AB" + struct.pack("!H", len(payload)) + payload
def text(word): return struct.pack("!H", len(word)) + word + b"\0"
def read(c, n):
    data = b""
    while len(data) < n:
        piece = c.recv(n - len(data))
        if not piece: raise EOFError
        data += piece
    return data
def serve(c, peer):
    try:
        while True:
            magic, length = struct.unpack("!HH", read(c, 4))
            body = read(c, length)
            if body[0] == 10:
                c.sendall(packet(b"\x09")); continue
            if body[0] != 2: continue
            log.write("8009 %d /\n" % peer[1])
            c.sendall(packet(b"\x04" + struct.pack("!H", 200) + text(b"OK") + struct.pack("!H", 1)
                             + b"\xa0\x03" + text(b"2")) + packet(b"\x03" + struct.pack("!H", 2) + b"ok\0")
                      + packet(b"\x05\x01"))
    except (EOFError, OSError): c.close()
server = socket.create_server((sys.argv[1], 8009))
while True:
    threading.Thread(target=serve, args=server.accept(), daemon=True).start()
"""


def run(*words, check=True):
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if check and done.returncode:
        raise OSError("%s: %s" % (" ".join(words), done.stdout))
    return done.stdout


class Box:
    """A machine that is suspended: its processes stop, and its link is dead at once; it
    wakes with its connections as they were.  What a driver is told stands in a file, for
    the keeper's user may do none of it."""

    def __init__(self, directory):
        self.dir = str(directory)
        self.net = os.getpid() % 250
        self.ns, self.veth = "gbcb%d" % os.getpid(), "gbcb%d" % (os.getpid() % 100000)
        self.address = "10.97.%d.2" % self.net
        self.pids, self.stop = [], False
        for name in ("www", "orders"):
            os.makedirs(os.path.join(self.dir, name))
        os.chmod(os.path.join(self.dir, "orders"), 0o777)
        for name in ("index.html", "health"):
            with open(os.path.join(self.dir, "www", name), "w") as f:
                f.write("ok")
        self.driver = os.path.join(self.dir, "driver")
        with open(self.driver, "w") as f:
            f.write("#!/bin/sh\nd=%s/orders\ncase $1 in status) cat $d/is;; *) echo $1 > $d/new"
                    " && mv $d/new $d/want;; esac\n" % self.dir)
        os.chmod(self.driver, 0o755)
        self.say("on")

    def say(self, state):
        with open(os.path.join(self.dir, "orders", "is"), "w") as f:
            f.write(state + "\n")

    def up(self):
        run("ip", "netns", "add", self.ns)
        run("ip", "link", "add", self.veth, "type", "veth", "peer", "name", "eth0",
            "netns", self.ns)
        run("ip", "addr", "add", "10.97.%d.1/24" % self.net, "dev", self.veth)
        run("ip", "link", "set", self.veth, "up")
        run("ip", "-n", self.ns, "addr", "add", self.address + "/24", "dev", "eth0")
        run("ip", "-n", self.ns, "link", "set", "eth0", "up")
        run("ip", "-n", self.ns, "link", "set", "lo", "up")
        run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=box",
            "-days", "2", "-keyout", self.dir + "/box.pem", "-out", self.dir + "/crt")
        with open(self.dir + "/box.pem", "a") as f, open(self.dir + "/crt") as crt:
            f.write(crt.read())
        names = ["mpm_event", "authz_core", "log_config", "dir", "ssl", "socache_shmcb", "http2"]
        with open(self.dir + "/httpd.conf", "w") as f:
            f.write(BACKEND_CONF.format(dir=self.dir, net=self.net, modules="\n".join(
                "LoadModule %s_module %s/mod_%s.so" % (n, MODULES, n) for n in names
                if os.path.exists("%s/mod_%s.so" % (MODULES, n)))))
        with open(self.dir + "/ajp.py", "w") as f:
            f.write(AJP_BACKEND)
        enter = ["ip", "netns", "exec", self.ns]
        for words in ([HTTPD, "-f", self.dir + "/httpd.conf", "-DFOREGROUND"],
                      ["/usr/bin/python3", self.dir + "/ajp.py", self.address,
                       self.dir + "/access.log"]):
            self.pids.append(subprocess.Popen(enter + words, start_new_session=True,
                                              stderr=subprocess.DEVNULL))
        for port in (80, 443, 81, 8009):
            wait(lambda p=port: socket.create_connection((self.address, p), 1).close() or True,
                 15, "port %d of the box" % port)
        self.thread = threading.Thread(target=self.obey)
        self.thread.start()

    def obey(self):
        want = os.path.join(self.dir, "orders", "want")
        while not self.stop:
            if os.path.exists(want):
                with open(want) as f:
                    order = f.read().strip()
                os.unlink(want)
                self.switch(order == "on")
            time.sleep(0.02)

    def switch(self, on):
        if not on:
            run("ip", "-n", self.ns, "link", "set", "eth0", "down")
        for process in self.pids:
            os.killpg(process.pid, signal.SIGCONT if on else signal.SIGSTOP)
        if on:
            run("ip", "-n", self.ns, "link", "set", "eth0", "up")
        self.say("on" if on else "off")

    def connections(self):
        """(port of the service, port of the client) of the requests so far, not probes."""
        with open(self.dir + "/access.log") as f:
            rows = [line.split() for line in f]
        return [(int(r[0]), int(r[1])) for r in rows if len(r) == 3 and r[2] != "/health"]

    def established(self):
        return run("ss", "-Htn", "state", "established", "dst", self.address).splitlines()

    def down(self):
        self.stop = True
        if hasattr(self, "thread"):
            self.thread.join(10)
        for process in self.pids:
            for number in (signal.SIGCONT, signal.SIGKILL):
                try:
                    os.killpg(process.pid, number)
                except ProcessLookupError:
                    pass
            process.wait(10)
        run("ip", "netns", "del", self.ns, check=False)
        run("ip", "link", "del", self.veth, check=False)


@pytest.fixture
def box(base):
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    os.makedirs(base / "box")
    machine = Box(base / "box")
    try:
        try:
            machine.up()
        except OSError as error:
            pytest.skip("no network namespace here: %s" % error)
        yield machine
    finally:
        machine.down()


SCHEMES = {"http": 80, "https": 443, "h2c": 81, "ajp": 8009}


def ask_all(proxy, schemes, times):
    """Requests by all schemes at once; their statuses."""
    statuses = []

    def one(scheme):
        for _ in range(times):
            try:
                statuses.append(proxy.get("/%s/" % scheme, timeout=20)[0])
            except OSError as error:
                statuses.append(error)
    threads = [threading.Thread(target=one, args=(s,)) for s in schemes for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return statuses


@pytest.mark.parametrize("mpm", ["event", "prefork"])
def test_no_connection_outlives_a_sleep(box, base, mpm):
    schemes = {"prefork": ["http", "ajp"], "event": list(SCHEMES)}[mpm]
    if not os.path.exists(MODULES + "/mod_proxy_http2.so"):
        schemes = [s for s in schemes if s != "h2c"]
    text = ["SSLProxyEngine on\nSSLProxyVerify none\nSSLProxyCheckPeerName off\n"
            "SSLProxyCheckPeerExpire off"]
    for scheme in schemes:
        text.append("""
            <Proxy "balancer://%s">
                BalancerMember "%s://%s:%d" machine=box wake=box sleep=box %s
                ProxySet lbmethod=bypower
                GreenBalance on
                GreenAwake min=0
                GreenSlowStart 0
                %s
            </Proxy>
            ProxyPass "/%s/" "balancer://%s/"
            """ % (scheme, scheme, box.address, SCHEMES[scheme],
                   "enablereuse=on keepalive=on", STILL, scheme, scheme))
    proxy = Proxy(str(base / "proxy"), main="\n".join(text), mpm=mpm,
                  drivers={"box": [box.driver]},
                  modules=["proxy_ajp"] + (["http2", "proxy_http2"] if "h2c" in schemes else []))
    # No room to wait under prefork.  The box is on as soon as one of its services is good;
    # a balancer whose only door is another one may be in panic until that is good, too.
    proxy.allow(r"GB1001", r"GB0407: \S+: panic: 0 of 1")
    with proxy:
        url = next(m["url"] for m in proxy.balancer_status("http")["members"])

        def state():
            return proxy.members_status("http")[url]["state"]
        wait(lambda: state() == "on", 10, "it is on")
        assert ask_all(proxy, schemes, 4) == [200] * 16 * len(schemes)
        before = set(box.connections())
        assert {port for port, _ in before} == {SCHEMES[s] for s in schemes}, before
        assert len(box.established()) >= len(schemes)

        done = proxy.ctl("--balancer", "http", "sleep", url)
        assert done.returncode == 0, done.stdout
        wait(lambda: state() == "asleep", 20, lambda: "asleep: %s" % proxy.status())
        if mpm == "event":  # closed in time, without a request
            wait(lambda: not box.established(), 5, lambda: "closed: %s" % box.established())
        proxy.ctl("--balancer", "http", "wake", url)
        wait(lambda: state() == "on", 20, "it is on again")
        statuses = ask_all(proxy, schemes, 5)
        assert statuses == [200] * 20 * len(schemes), statuses
        asked = 16 * len(schemes) + len(statuses)  # noted when they have been answered
        wait(lambda: len(box.connections()) >= asked, 10, "every request is noted")
        rows = box.connections()
        after = rows[-len(statuses):]
        assert len(rows) == asked
        assert not before & set(after), "connections of before the sleep: %s" % (
            before & set(after))
