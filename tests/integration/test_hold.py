"""Requests that find nobody awake wait for a server; those that find all full, for room."""

import concurrent.futures
import http.client
import os
import re
import signal
import socket
import subprocess
import threading
import time

import pytest
from proxy import free_port, wait
from room import HostSpec
from test_first_start import set_bit

# min=0: everything sleeps when nothing is asked for.
SLEEPY = """
    GreenAwake min=0
    GreenThreshold wake=80%% sleep=50%%
    GreenDwell awake=2s asleep=1s cycles=64/day
    GreenHealth uri=/health interval=300ms timeout=1s rise=2 fall=3
    GreenReverseHealth interval=500ms fall=2
    GreenWake timeout=8s retry=1s packets=3
    GreenDrain timeout=10s
    GreenSlowStart 0
    GreenHold %s
"""
# One child, so that half of its threads is all that may wait.
WIDE = ("ServerLimit 1\nThreadLimit 450\nThreadsPerChild 450\nMaxRequestWorkers 450\n"
        "StartServers 1\nMinSpareThreads 10\nMaxSpareThreads 450\n")
NARROW = ("ServerLimit 1\nThreadsPerChild 8\nMaxRequestWorkers 8\nStartServers 1\n"
          "MinSpareThreads 2\nMaxSpareThreads 8\n")


class Answer:
    def __init__(self, status, headers, body, began, ended):
        self.status, self.headers, self.body = status, headers, body
        self.began, self.ended = began, ended

    @property
    def took_s(self):
        return self.ended - self.began


def ask(proxy, method="GET", path="/", body=None, headers=None, timeout=60):
    began = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=timeout)
    try:
        connection.request(method, path, body=body, headers=headers or {})
        answer = connection.getresponse()
        return Answer(answer.status, dict(answer.getheaders()), answer.read(), began,
                      time.monotonic())
    finally:
        connection.close()


def at_once(count, what):
    """what(i) in `count` threads that begin together; their results."""
    gate = threading.Barrier(count)

    def one(i):
        gate.wait()
        return what(i)

    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


def held(proxy):
    return proxy.balancer_status()["load"]["held"]


def all_asleep(proxy, timeout_s=40):
    wait(lambda: set(proxy.states().values()) == {"asleep"}, timeout_s,
         lambda: "all sleep: %s" % proxy.states())


def orders_on(room):
    return {host.spec.name: sum(o["order"] == "on" for o in host.orders()) for host in room}


def specs(count, capacity=16, service_ms=50, boot_s=1.0, **more):
    return [HostSpec("web%d" % (i + 1), capacity=capacity, service_ms=service_ms,
                     boot_s=boot_s, shutdown_s=0.3, **more) for i in range(count)]


def test_200_at_once_with_everything_asleep(site):
    """MPM: one child of 450 threads, so that 225 may wait."""
    room, proxy = site(specs(3), balancer=SLEEPY % "max=200 timeout=40s", mpm_conf=WIDE)
    all_asleep(proxy)
    before = orders_on(room)
    answers = at_once(200, lambda i: ask(proxy))
    proxy.ctl("pause")  # or they would sleep before they are asked
    assert [a.status for a in answers] == [200] * 200
    given = {name: n - before[name] for name, n in orders_on(room).items()}
    assert max(given.values()) == 1, given
    most = []
    for host in room:
        try:
            most.append(host.stats()["max_in_flight"])
        except OSError:
            continue  # was not woken, or sleeps again
    assert most and max(most) <= 16, most
    assert proxy.balancer_status()["load"]["held"] == 0
    assert proxy.balancer_status()["load"]["in_flight"] == 0


def test_the_first_request_wakes_and_is_answered(site):
    room, proxy = site(specs(1), balancer=SLEEPY % "timeout=40s")
    all_asleep(proxy)
    answer = ask(proxy)
    assert answer.status == 200 and b"web1" in answer.body
    assert answer.took_s < 20


def test_bodies_are_kept(site):
    """A body that is larger than any buffer, beside mod_reqtimeout; and Expect."""
    room, proxy = site(specs(1), balancer=SLEEPY % "timeout=40s", modules=["reqtimeout"],
                       main="RequestReadTimeout header=5 body=2,MinRate=500")
    all_asleep(proxy)
    body = b"x" * 300000
    answer = ask(proxy, "POST", body=body)
    assert answer.status == 200 and b"body 300000" in answer.body
    all_asleep(proxy)
    done = subprocess.run(
        ["curl", "-s", "-o", "-", "-w", "%{http_code}", "-H", "Expect: 100-continue",
         "--data-binary", "@-", proxy.url()], input=body, stdout=subprocess.PIPE, timeout=60)
    assert done.stdout.endswith(b"200") and b"body 300000" in done.stdout


def test_who_goes_away_frees_the_place(site):
    room, proxy = site(specs(1, boot_s=6), balancer=SLEEPY % "max=1 timeout=40s")
    proxy.allow("GB1003")
    all_asleep(proxy)
    with socket.create_connection(("127.0.0.1", proxy.port)) as s:
        s.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        wait(lambda: held(proxy) == 1, 10, "it waits")
        over = ask(proxy)
        assert over.status == 503 and over.took_s < 5
        assert int(over.headers["Retry-After"]) >= 1
    wait(lambda: held(proxy) == 0, 10, "its place is free")
    assert ask(proxy).status == 200
    assert len(re.findall(r"GB1003: .*: 1 requests? w.*GreenHold max= is 1,", proxy.log())) == 1


@pytest.mark.parametrize("stays_s, late", [(0.1, 0), (2.5, 1)])
def test_who_goes_away_is_late_only_if_that_was_late(site, stays_s, late):
    """Whether a client is there still is looked at once a second, and when it gets late."""
    room, proxy = site(specs(1, boot_s=20), mpm_conf=WIDE, balancer=(
        SLEEPY % "max=9 timeout=60s").replace("timeout=8s", "timeout=60s") +
        "GreenQueue fifo late=950ms\n")
    all_asleep(proxy)

    def load():
        return proxy.balancer_status()["load"]
    before = load()["late"]
    with socket.create_connection(("127.0.0.1", proxy.port)) as s:
        s.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        time.sleep(stays_s)
    wait(lambda: proxy.status()["balancers"][0]["waits"]["aborted"] == 1, 10, "it is seen")
    arrived = wait(lambda: load()["arrived"], 10, "it is counted")
    time.sleep(1.2)
    assert (arrived, load()["late"] - before) == (1, late)


def test_a_failed_wake_is_told_at_once(site):
    room, proxy = site(specs(1), balancer=SLEEPY % "timeout=60s")
    all_asleep(proxy)
    room["web1"].fault("bmc_wrong_password")
    proxy.allow("GB0702", "GB0705", "GB040[27]", "GB06", "GB0703")
    answers = at_once(5, lambda i: ask(proxy))
    assert [a.status for a in answers] == [503] * 5
    assert max(a.took_s for a in answers) < 40, "not at the deadline"
    assert all(int(a.headers["Retry-After"]) > 60 for a in answers), \
        "the next try is in ten minutes"
    again = ask(proxy)
    assert again.status == 503 and again.took_s < 5


def test_the_deadline_ends_the_wait(site):
    room, proxy = site(specs(1, boot_s=7), balancer=SLEEPY % "timeout=1s")
    proxy.allow("GB0133")  # the configuration says so, too
    all_asleep(proxy)
    answer = ask(proxy)
    assert answer.status == 503 and answer.took_s < 6
    assert int(answer.headers["Retry-After"]) >= 1
    proxy.wait_state(room["web1"].url, "on", 40)
    assert ask(proxy).status == 200


def test_half_of_the_threads_answer_all_the_same(site):
    room, proxy = site(specs(1, boot_s=6), balancer=SLEEPY % "max=100 timeout=40s",
                       mpm_conf=NARROW)
    all_asleep(proxy)
    proxy.allow("GB1003")
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        waiters = [pool.submit(ask, proxy) for _ in range(6)]
        wait(lambda: held(proxy) == 4, 10, lambda: "four of eight threads wait: %d"
             % held(proxy))
        wait(lambda: sum(f.done() for f in waiters) == 2, 10, "the others are answered")
        assert all(f.result().status == 503 for f in waiters if f.done())
        assert proxy.get("/server-status?auto")[0] == 200
        assert sorted(f.result().status for f in waiters) == [200] * 4 + [503] * 2


def test_max_is_lowered_to_what_the_mpm_can_carry(site):
    room, proxy = site(specs(1), balancer=SLEEPY % "max=500 timeout=40s", mpm_conf=NARROW)
    proxy.allow("GB1002")
    assert "GreenHold max=500 is lowered to 4" in proxy.log()


def test_prefork_wakes_and_answers_503(site):
    room, proxy = site(specs(1), balancer=SLEEPY % "timeout=40s", mpm="prefork")
    proxy.allow("GB1001")
    all_asleep(proxy)
    answer = ask(proxy)
    assert answer.status == 503 and int(answer.headers["Retry-After"]) >= 1
    proxy.wait_state(room["web1"].url, "on", 30)
    assert ask(proxy).status == 200


def test_streams_of_http2_wait_too(site):
    room, proxy = site(specs(1), balancer=SLEEPY % "timeout=40s", modules=["http2"],
                       main="Protocols h2c http/1.1\nH2MinWorkers 8\nH2MaxWorkers 40")
    all_asleep(proxy)
    done = subprocess.run(
        ["curl", "-s", "--http2-prior-knowledge", "--parallel", "--parallel-immediate",
         "--write-out", "%{http_code} %{http_version}\n", "-o", "/dev/null",
         proxy.url("/[1-10]")], stdout=subprocess.PIPE, text=True, timeout=60)
    assert done.stdout.split("\n")[:-1] == ["200 2"] * 10, done.stdout


def test_tls_and_kept_connections_wait_too(site, base):
    """Two requests on one TLS connection: the first waits, the second is served at once;
    and HTTP/2 over TLS."""
    port = free_port()
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-addext", "basicConstraints=critical,CA:FALSE", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-keyout", str(base / "key"),
         "-out", str(base / "cert")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert made.returncode == 0
    room, proxy = site(
        specs(1), balancer=SLEEPY % "timeout=40s", modules=["http2"],
        vhosts="Listen 127.0.0.1:%d\n<VirtualHost *:%d>\nServerName localhost\n"
               "SSLEngine on\nSSLCertificateFile %s\nSSLCertificateKeyFile %s\n"
               "Protocols h2 http/1.1\nProxyPass / balancer://app/\n</VirtualHost>\n"
               % (port, port, base / "cert", base / "key"))
    for version in ("--http1.1", "--http2"):
        all_asleep(proxy)
        url = "https://127.0.0.1:%d/" % port
        done = subprocess.run(
            ["curl", "-sk", version, "-o", "/dev/null", "-o", "/dev/null", "-w",
             "%{http_code} %{http_version} %{num_connects}\n", url, url],
            stdout=subprocess.PIPE, text=True, timeout=60)
        spoken = {"--http1.1": "1.1", "--http2": "2"}[version]
        assert done.stdout == "200 %s 1\n200 %s 0\n" % (spoken, spoken), done.stdout


@pytest.mark.parametrize("victim", ["keeper", "graceful"])
def test_waiting_survives(site, victim):
    room, proxy = site(specs(1, boot_s=3), balancer=SLEEPY % "timeout=40s")
    all_asleep(proxy)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        waiters = [pool.submit(ask, proxy) for _ in range(8)]
        wait(lambda: held(proxy) == 8, 10, "they wait")
        if victim == "keeper":
            proxy.allow("GB03")
            os.kill(proxy.keeper_pid(), signal.SIGKILL)
        else:
            proxy.graceful()
        assert [f.result().status for f in waiters] == [200] * 8
    assert orders_on(room)["web1"] <= 2  # the one before, and this one
    assert held(proxy) == 0


def test_a_killed_child_leaves_no_place(site):
    room, proxy = site(specs(1, boot_s=4), balancer=SLEEPY % "timeout=40s")
    proxy.allow("AH00052", "AH00051")
    all_asleep(proxy)
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        waiters = [pool.submit(ask, proxy) for _ in range(12)]
        wait(lambda: held(proxy) == 12, 10, "they wait")
        os.kill(proxy.children()[0], signal.SIGKILL)
        results = []
        for f in waiters:
            try:
                results.append(f.result().status)
            except (OSError, http.client.HTTPException):
                results.append(0)
    assert set(results) <= {0, 200}, results
    wait(lambda: held(proxy) == 0, 10, "no place is left")
    assert ask(proxy).status == 200
    assert proxy.balancer_status()["load"]["in_flight"] == 0


def test_the_queue_keeps_servers_at_their_capacity(site):
    room, proxy = site(specs(1, capacity=2, service_ms=100, kind="plain"),
                       balancer=SLEEPY % "max=50 timeout=30s" + "GreenQueue fifo\n",
                       mpm_conf=WIDE)
    answers = at_once(20, lambda i: ask(proxy))
    assert [a.status for a in answers] == [200] * 20
    assert room["web1"].stats()["max_in_flight"] <= 2
    assert held(proxy) == 0
    waits = proxy.status()["balancers"][0]["waits"]
    assert waits["served"] >= 10, waits


def test_late_last_makes_late_only_the_excess(site):
    """Four times what the servers can do at once: with late-last those in time are
    served first, and those late already all the same, after them."""
    room, proxy = site(specs(1, capacity=2, service_ms=100, kind="plain"),
                       balancer=SLEEPY % "max=100 timeout=60s" +
                       "GreenQueue late-last late=1s\n", mpm_conf=WIDE)
    late = at_once(40, lambda i: ask(proxy))          # 2 s of work
    assert [a.status for a in late] == [200] * 40
    ended_at = []
    slow = [threading.Thread(target=lambda: ended_at.append(ask(proxy).ended))
            for _ in range(60)]
    for thread in slow:
        thread.start()
    time.sleep(1.2)
    fresh = at_once(4, lambda i: ask(proxy))
    for thread in slow:
        thread.join()
    # 60 of before need 3 s, and fresh ones overtake what is late by then.
    assert [a.status for a in fresh] == [200] * 4
    last = max(a.ended for a in fresh)
    assert sum(at > last for at in ended_at) > 5, "fresh ones were served at the end"


def test_a_session_goes_to_its_full_server(site):
    room, proxy = site(specs(2, capacity=1, service_ms=400, kind="plain"),
                       balancer=SLEEPY % "max=50 timeout=30s" +
                       "GreenQueue fifo\nProxySet stickysession=ROUTE\n",
                       keys={"web1": "route=a", "web2": "route=b"})
    answers = at_once(3, lambda i: ask(proxy, headers={"Cookie": "ROUTE=x.b"}))
    assert all(a.status == 200 and b"web2" in a.body for a in answers)


def test_a_burst_makes_one_order_a_machine(site):
    """More than may wait: the others get a 503 with Retry-After, and order nothing."""
    room, proxy = site(specs(2, boot_s=3), balancer=SLEEPY % "max=50 timeout=40s",
                       mpm_conf=WIDE)
    proxy.allow("AH00484", "AH10159", "GB1003")  # its clients keep their connections
    all_asleep(proxy)
    before = orders_on(room)
    load = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(
        os.path.abspath(__file__)))), "build", "rig", "load")
    with subprocess.Popen([load, "--to", "127.0.0.1:%d" % proxy.port, "--rate", "3000",
                           "--duration", "4"], stdout=subprocess.DEVNULL) as burst:
        assert burst.wait(60) == 0
    wait(lambda: "on" in proxy.states().values(), 30, "a server is on")
    # An order whose reply is late is asked after and may be repeated; wakes are not.
    wakes = {h.spec.name: len(re.findall(r"%s \(asleep.*-> waking" % h.spec.name, proxy.log()))
             for h in room}
    given = {name: n - before[name] for name, n in orders_on(room).items()}
    assert max(wakes.values()) == 1 and max(given.values()) <= 2, (wakes, given)
    assert proxy.status()["balancers"][0]["waits"]["turned_away"] > 100


def test_disabling_the_only_server_makes_requests_wait(site):
    room, proxy = site(specs(2), balancer=(SLEEPY % "timeout=40s").replace("min=0", "min=1"))
    wait(lambda: sorted(proxy.states().values()) == ["asleep", "on"], 40, "one sleeps")
    awake = next(u for u, state in proxy.states().items() if state == "on")
    host = next(h for h in room if h.url == awake)
    proxy.allow("GB0407.*panic")  # nobody serves, and that is told
    set_bit(proxy, awake, "D", "1")
    time.sleep(0.5)  # the keeper looks ten times a second
    answer = ask(proxy)
    assert answer.status == 200 and host.spec.name.encode() not in answer.body


@pytest.mark.parametrize("mode", ["off", "observe"])
def test_without_management_it_is_as_with_stock_httpd(site, mode):
    room, proxy = site(specs(1, kind="plain"), balancer=SLEEPY % "timeout=40s", policy_on=mode)
    proxy.allow("AH01170", "GB0407.*panic")
    if mode == "observe":
        proxy.wait_state(room["web1"].url, "on", 20)
    set_bit(proxy, room["web1"].url, "D", "1")
    time.sleep(0.5)
    answer = ask(proxy)
    assert answer.status == 503 and "Retry-After" not in answer.headers
    set_bit(proxy, room["web1"].url, "D", "0")
    assert ask(proxy).status == 200


def test_switching_off_wakes_and_requests_wait_for_it(site):
    room, proxy = site(specs(1, boot_s=3), balancer=SLEEPY % "timeout=40s")
    all_asleep(proxy)
    proxy.policy_on = "off"
    proxy.graceful()
    wait(lambda: set(proxy.states().values()) == {"waking"}, 20, "it is woken")
    assert ask(proxy).status == 200
    assert proxy.states()[room["web1"].url] == "on"
