"""The keeper's health checks and reverse health checks against real servers, good and
bad, without httpd: health_harness.c runs them around a keeper made by hand."""

import os
import shutil
import socket
import statistics
import subprocess
import time

import pytest
from doorkit import (  # noqa: F401  fixtures among them
    OK, Deaf, Server, certificate, closed_port, harness, one, programs, servers, status,
    tls_context)
from healthkit import Harness


# ---------------------------------------------------------------- what answers are worth

def test_good_server_is_good(harness, servers):
    server = servers(OK)
    told = one(harness, "http://" + server.address, "good", uri="/health?x=1")
    assert told["error"] == ""
    request = server.requests[0].decode()
    assert request.startswith("GET /health?x=1 HTTP/1.1\r\n")
    assert "\r\nHost: %s\r\n" % server.address in request
    assert "\r\nUser-Agent: mod_greenbalance/" in request
    assert "Cookie" not in request


def test_host_is_sent_as_configured(harness, servers):
    server = servers(OK)
    one(harness, "http://" + server.address, "good", host="app.example.org")
    assert b"\r\nHost: app.example.org\r\n" in server.requests[0]


def test_status_outside_the_range_is_bad(harness, servers):
    told = one(harness, "http://" + servers(status(503)).address, "bad")
    assert told["error"] == "HTTP status 503, expected 200-399"


def test_expected_status_is_configurable(harness, servers):
    one(harness, "http://" + servers(status(503)).address, "good", **{"from": 500, "to": 599})


def test_redirects_are_judged_and_not_followed(harness, servers):
    server = servers(status(302, b"Location: /elsewhere\r\nSet-Cookie: a=b\r\n"))
    one(harness, "http://" + server.address, "good")
    time.sleep(0.3)
    assert all(r.startswith(b"GET / ") for r in server.requests)
    assert not any(b"Cookie" in r for r in server.requests)


def test_slow_but_in_time_is_good(harness, servers):
    def slow(connection, request):
        time.sleep(0.15)
        return OK

    one(harness, "http://" + servers(slow).address, "good", interval=1000, timeout=900)


def test_stuck_server_is_bad(harness, servers):
    told = one(harness, "http://" + servers().address, "bad", timeout=150)
    assert told["error"] == "no whole answer within 150 ms"


def test_answer_that_stops_in_the_middle_is_bad(harness, servers):
    def stop(connection, request):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")

    told = one(harness, "http://" + servers(stop).address, "bad")
    assert told["error"] == "connection closed before the answer was whole"


def test_closed_port_is_refused(harness):
    told = one(harness, "http://127.0.0.1:%d" % closed_port(), "bad")
    assert told["error"] == "no connection: Connection refused"


def test_silent_host_times_out(harness, servers):
    told = one(harness, "http://" + servers(kind=Deaf).address, "bad", timeout=150)
    assert told["error"] == "no connection within 150 ms"


@pytest.mark.parametrize("answer, error", [
    (b"\x00\x01\x02 garbage \xff\xfe\r\n\r\n", "answer is not HTTP/1"),
    (b"SSH-2.0-OpenSSH_9.2\r\n", "answer is not HTTP/1"),
    (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 40000, "header of the answer is over 32 KiB"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: soon\r\n\r\n",
     "answer has a Content-Length that is not a number"),
])
def test_nonsense_is_bad(harness, servers, answer, error):
    assert one(harness, "http://" + servers(answer).address, "bad")["error"] == error


def test_large_body_is_judged_by_its_status(harness, servers):
    answer = b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 1000000
    one(harness, "http://" + servers(answer).address, "good", interval=1000, timeout=1000)


def test_unix_socket(harness, servers, tmp_path):
    path = str(tmp_path / "s")
    server = servers(OK, path=path)
    one(harness, "http://localhost/", "good", uds=path)
    assert b"\r\nHost: localhost\r\n" in server.requests[0]


def test_missing_unix_socket_is_bad(harness, tmp_path):
    told = one(harness, "http://localhost/", "bad", uds=str(tmp_path / "none"))
    assert told["error"] == "no connection: No such file or directory"


# ---------------------------------------------------------------- schemes

def test_ajp_server_that_answers_a_cping_is_good(harness, servers):
    server = servers(b"AB\x00\x01\x09")
    one(harness, "ajp://" + server.address, "good")
    assert server.requests[0] == b"\x12\x34\x00\x01\x0a"


def test_ajp_by_name(harness, servers):
    one(harness, "ajp://localhost:%d" % servers(b"AB\x00\x01\x09").port, "good")


@pytest.mark.parametrize("answer, error", [
    (b"HTTP/1.1 400 Bad Request\r\n\r\n", "answer to CPING is not an AJP CPONG"),
    (b"AB\x00\x01\x09\x09", "answer to CPING is not an AJP CPONG"),
    (b"AB\x00", "connection closed before a CPONG"),
    (None, "no CPONG within 150 ms"),
])
def test_ajp_nonsense_is_bad(harness, servers, answer, error):
    told = one(harness, "ajp://" + servers(answer).address, "bad", timeout=150)
    assert told["error"] == error


def test_other_schemes_are_connected_to(harness, servers):
    harness.rig(state="on")
    up = harness.door("fcgi://" + servers().address)
    named = harness.door("ws://localhost:%d" % servers().port)
    down = harness.door("fcgi://127.0.0.1:%d" % closed_port())
    portless = harness.door("uwsgi://127.0.0.1")
    harness.start()
    harness.verdict(up, "good")
    harness.verdict(named, "good")
    assert "refused" in harness.verdict(down, "bad")["error"]
    assert "needs a port" in harness.verdict(portless, "bad")["error"]


def test_self_signed_certificate(harness, servers, certificate):
    server = servers(OK, tls=tls_context(certificate))
    harness.rig(state="on")
    options = {"interval": 1000, "timeout": 10000, "rise": 1, "fall": 1}
    lax = harness.door("https://" + server.address, **options)
    strict = harness.door("https://localhost:%d" % server.port, verify=1, **options)
    harness.start()
    harness.verdict(lax, "good")
    told = harness.verdict(strict, "bad")
    assert told["error"].startswith("TLS: ") and "certificate" in told["error"]


def test_certificate_is_verified_by_name(programs, servers, certificate, tmp_path):
    """With the certificate among the system's, in a mount namespace of its own."""
    bundle = "/etc/ssl/certs/ca-certificates.crt"
    wrapper = tmp_path / "wrapper"
    wrapper.write_text("#!/bin/sh\nexec unshare -m sh -c 'mount --bind %s %s && exec %s'\n"
                       % (certificate[0], bundle, programs["plain"]))
    wrapper.chmod(0o755)
    if os.geteuid() != 0 or not os.path.exists(bundle) or subprocess.run(
            ["unshare", "-m", "mount", "--bind", certificate[0], bundle]).returncode:
        pytest.skip("needs root and mount namespaces")
    names = []
    context = tls_context(certificate)
    context.sni_callback = lambda sock, name, ctx: names.append(name)
    server = servers(OK, tls=context)
    options = {"interval": 1000, "timeout": 1000, "rise": 1, "fall": 1, "verify": 1}
    with Harness(str(wrapper)) as harness:
        harness.rig(state="on")
        right = harness.door("https://localhost:%d" % server.port, **options)
        hosted = harness.door("https://" + server.address, host="app.test", **options)
        wrong = harness.door("https://" + server.address, host="other.test", **options)
        harness.start()
        harness.verdict(right, "good")
        harness.verdict(hosted, "good")
        assert "TLS: " in harness.verdict(wrong, "bad")["error"]
    assert "app.test" in names
    assert any(b"\r\nHost: app.test\r\n" in r for r in server.requests)


@pytest.fixture
def nghttpd(tmp_path, certificate):
    if not shutil.which("nghttpd"):
        pytest.skip("nghttpd (nghttp2-server) is not installed")
    running = []
    (tmp_path / "index.html").write_text("ok\n")

    def run(tls):
        port = closed_port()
        command = ["nghttpd", "-d", str(tmp_path), "-a", "127.0.0.1"]
        command += [str(port), certificate[1], certificate[0]] if tls \
            else ["--no-tls", str(port)]
        running.append(subprocess.Popen(command, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL))
        return "127.0.0.1:%d" % port

    yield run
    for process in running:
        process.terminate()
        process.wait()


def test_http2(harness, servers, nghttpd, certificate):
    harness.rig(state="on")
    options = {"interval": 1000, "timeout": 1000, "rise": 1, "fall": 2}
    clear = harness.door("h2c://" + nghttpd(False), uri="/index.html", **options)
    tls = harness.door("h2://" + nghttpd(True), uri="/index.html", **options)
    missing = harness.door("h2c://" + nghttpd(False), uri="/none", **options)
    old = harness.door("h2://" + servers(OK, tls=tls_context(certificate)).address,
                       **options)
    plain = harness.door("h2c://" + servers(OK).address, **options)
    harness.start()
    harness.verdict(clear, "good")
    harness.verdict(tls, "good")
    assert harness.verdict(missing, "bad")["error"] == "HTTP status 404, expected 200-399"
    assert harness.verdict(old, "bad")["error"] == "does not speak HTTP/2"
    assert "answer" in harness.verdict(plain, "bad")["error"]


def test_libcurls_answers_are_bounded(harness, servers, certificate):
    tls = tls_context(certificate)
    options = {"interval": 1000, "timeout": 1000, "rise": 1, "fall": 1}
    harness.rig(state="on")
    body = harness.door("https://" + servers(
        b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 1000000, tls=tls).address, **options)
    header = harness.door("https://" + servers(
        b"HTTP/1.1 200 OK\r\n" + b"X: aaaaaaaaaaaaaaaaaaaaaaaaa\r\n" * 2000, tls=tls).address,
        **options)
    garbage = harness.door("https://" + servers(b"\x01garbage\r\n\r\n", tls=tls).address,
                           **options)
    stuck = harness.door("https://" + servers().address, **options)
    harness.start()
    harness.verdict(body, "good")
    assert harness.verdict(header, "bad")["error"] == "header of the answer is over 32 KiB"
    assert "not the HTTP" in harness.verdict(garbage, "bad")["error"]
    assert harness.verdict(stuck, "bad")["error"] == "no whole answer within 1 s"


def test_every_probe_has_a_connection_of_its_own_and_closes_it(harness, servers,
                                                              certificate):
    """A descriptor that is left open once a probe would end the keeper within a day."""
    tls = tls_context(certificate)
    options = {"interval": 150, "timeout": 150}
    closed, left_open = [], []

    def patient(answer):
        def wait_for_the_end(connection, request):
            connection.settimeout(0.4)
            connection.sendall(answer)
            try:
                connection.recv(1)
                closed.append(answer)
            except ConnectionError:
                closed.append(answer)
            except socket.timeout:
                left_open.append(answer)

        return wait_for_the_end

    harness.rig(state="on")
    targets = [servers(patient(OK)), servers(patient(OK), tls=tls),
               servers(patient(b"AB\x00\x01\x09")), servers(), servers(patient(OK))]
    for scheme, server in zip(("http", "https", "ajp", "fcgi"), targets):
        harness.door("%s://%s" % (scheme, server.address), **options)
    harness.door("http://localhost:%d" % targets[4].port, **options)
    harness.start()
    time.sleep(1)
    begun = len(os.listdir("/proc/%d/fd" % harness.process.pid))
    count = [len(server.arrivals) for server in targets]
    time.sleep(3)
    assert len(os.listdir("/proc/%d/fd" % harness.process.pid)) <= begun + 5
    for server, before in zip(targets, count):
        assert len(server.arrivals) - before >= 10
    assert len(closed) > 40 and not left_open


# ---------------------------------------------------------------- names

def test_names_are_resolved(harness, servers):
    harness.rig(state="on")
    known = harness.door("http://localhost:%d" % servers(OK).port)
    unknown = harness.door("http://no-such-host.invalid:80", timeout=2000, interval=2000,
                           fall=1)
    harness.start()
    harness.verdict(known, "good")
    assert "name" in harness.verdict(unknown, "bad", 10)["error"]


STUCK_RESOLVER = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <string.h>
#include <unistd.h>
int getaddrinfo(const char *n, const char *s, const struct addrinfo *h,
                struct addrinfo **r)
{
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **) =
        (int (*)(const char *, const char *, const struct addrinfo *,
                 struct addrinfo **))dlsym(RTLD_NEXT, "getaddrinfo");
    if (n && strstr(n, "stuck")) {
        sleep(30);
        return EAI_AGAIN;
    }
    return real(n, s, h, r);
}
"""


def test_stuck_resolver_delays_nobody(programs, servers, tmp_path):
    (tmp_path / "stuck.c").write_text(STUCK_RESOLVER)
    library = str(tmp_path / "stuck.so")
    subprocess.run(["gcc", "-shared", "-fPIC", str(tmp_path / "stuck.c"), "-o", library,
                    "-ldl"], check=True)
    with Harness(programs["plain"], {"LD_PRELOAD": library}) as harness:
        harness.rig(state="on")
        stuck = [harness.door("http://stuck%d.test:80" % i, fall=2) for i in range(10)]
        good = harness.door("http://" + servers(OK).address, interval=100, timeout=100)
        harness.start()
        assert harness.verdict(good, "good")["t"] < 10000
        assert "not resolved" in harness.verdict(stuck[0], "bad")["error"]
        harness.wait(lambda h: all(h.doors.get(d, {}).get("verdict") == "bad"
                                   for d in stuck), 5)
        time.sleep(1)
        harness.show()
        before = harness.doors[good]["probes"]
        threads = len(os.listdir("/proc/%d/task" % harness.process.pid))
        time.sleep(1)
        harness.show()
        assert harness.doors[good]["probes"] - before >= 2
        assert harness.doors[good]["verdict"] == "good"
        assert threads <= 2 + len(stuck), "a thread for each look-up that hangs"
        began = time.monotonic()
    assert time.monotonic() - began < 10, "its end waits for no look-up"


# ---------------------------------------------------------------- time

def test_stuck_servers_delay_no_other(harness, servers):
    harness.rig(state="on")
    stuck, silent = servers(), servers(kind=Deaf)
    for i in range(40):
        harness.door("http://" + (stuck, silent)[i % 2].address, interval=1000,
                     timeout=1000)
    server = servers(OK)
    good = harness.door("http://" + server.address, interval=100, timeout=100)
    harness.start()
    harness.verdict(good, "good")
    time.sleep(3)
    harness.show()
    assert harness.doors[good]["verdict"] == "good"
    gaps = [b - a for a, b in zip(server.arrivals, server.arrivals[1:])]
    assert statistics.median(gaps) < 0.5
    assert len(server.arrivals) >= 6


def test_failed_server_is_bad_after_fall_probes(harness, servers):
    mode = {"answer": OK}

    def answer(connection, request):
        if mode["answer"] is None:
            time.sleep(2)
        return mode["answer"]

    harness.rig(state="on")
    server = servers(answer)
    door = harness.door("http://" + server.address, interval=300, timeout=300, fall=3)
    harness.start()
    harness.verdict(door, "good")
    mode["answer"] = None
    before = len(server.arrivals)
    harness.verdict(door, "bad", 5 * (3 * 0.3 + 0.3))
    # One may have been on its way before, and the next one be on it by now.
    assert 2 <= len(server.arrivals) - before <= 5
    mode["answer"] = OK
    harness.verdict(door, "good")


def test_a_running_probe_is_never_doubled(harness, servers):
    server = servers()
    told = one(harness, "http://" + server.address, "bad", interval=200, timeout=5000,
               fall=5)
    assert told["error"] == "no whole answer within 200 ms"  # never beyond the interval
    gaps = [b - a for a, b in zip(server.arrivals, server.arrivals[1:])]
    assert min(gaps) > 0.1  # one that is doubled comes at once


def test_starts_are_spread_over_the_interval(harness, servers):
    server = servers(OK, backlog=500)
    harness.rig(state="on")
    for i in range(200):
        harness.door("http://127.0.1.%d:%d" % (i + 1, server.port), interval=2000,
                     timeout=2000)
    harness.start()
    time.sleep(0.3)
    seen = []
    for _ in range(8):
        before = harness.cpu()["probes"]
        time.sleep(0.25)
        seen.append(harness.cpu()["probes"] - before)
    assert sum(seen) > 100
    assert max(seen) < 150, seen  # 25 are due in each quarter of a second; a burst is 200


def test_want_of_descriptors_takes_nobody_out(harness, servers):
    harness.rig(state="on")
    doors = [harness.door("http://" + servers(OK).address) for _ in range(5)]
    harness.start()
    for door in doors:
        harness.verdict(door, "good")
    harness.say("fdlimit", 3)
    time.sleep(1.5)
    harness.say("fdlimit", 1024)
    harness.show()
    assert [harness.doors[d]["verdict"] for d in doors] == ["good"] * 5
    assert "GB0505" in harness.log_text()
    assert not any(e.get("verdict") == "bad" for e in harness.events)


# ---------------------------------------------------------------- states

def test_machine_that_is_to_be_off_is_not_probed_and_its_health_is_forgotten(
        harness, servers):
    server = servers(OK)
    rig = harness.rig(state="on", interval=60000)
    door = harness.door("http://" + server.address, rig, interval=100, timeout=100)
    harness.start()
    harness.verdict(door, "good")
    harness.state(rig, "draining")
    time.sleep(0.3)
    harness.show()
    assert harness.doors[door]["verdict"] == "good"
    harness.state(rig, "asleep")
    harness.verdict(door, "none")
    time.sleep(1.3)  # the reverse health check's two quick rounds
    count = len(server.arrivals)
    time.sleep(0.6)
    assert len(server.arrivals) == count
    harness.state(rig, "waking")
    harness.verdict(door, "good")
    harness.state(rig, "on")
    time.sleep(0.3)
    harness.show()
    assert harness.doors[door]["verdict"] == "good"  # it was earned while waking
    assert not any(e.get("verdict") == "bad" for e in harness.events)


def test_member_is_seen_soon_after_its_readiness(harness, servers):
    rig = harness.rig(state="asleep")
    port = closed_port()
    harness.door("http://127.0.0.1:%d" % port, rig, interval=2000, timeout=1000, rise=1)
    harness.start()
    took = []
    for _ in range(5):
        harness.state(rig, "waking")
        harness.verdict(0, "bad")
        server = servers(OK, port=port)
        began = time.monotonic()
        harness.verdict(0, "good")
        took.append(time.monotonic() - began)
        server.close()
        harness.state(rig, "asleep")
        harness.verdict(0, "none")
    assert statistics.median(took) < 0.75, took  # it is asked every 100 ms, not every 2 s


def test_waking_host_that_answered_nothing_at_all_is_seen_soon(harness, servers):
    """Its first packets were lost: a probe that waits its whole time-out for them would
    see it a second late."""
    took = []
    for _ in range(3):
        rig = harness.rig(state="waking")
        deaf = servers(kind=Deaf)
        door = harness.door("http://" + deaf.address, rig, interval=2000, timeout=5000,
                            rise=1)
        if rig == 0:
            harness.start()
        harness.verdict(door, "bad")
        began = time.monotonic()
        deaf.hear()
        harness.verdict(door, "good")
        took.append(time.monotonic() - began)
    assert min(took) < 1, took


# ---------------------------------------------------------------- reverse health check

def door_to(harness, rig, address, **options):
    options = {"interval": 200, "timeout": 200, "fall": 2, **options}
    return harness.door("http://" + address, rig, **options)


def nowhere():
    return "127.0.0.1:%d" % closed_port()


def test_silence_proves_off_where_no_bmc_is_known(harness):
    rig = harness.rig(state="stopping")
    door_to(harness, rig, nowhere())
    harness.start()
    assert harness.proof(rig, "off")["t"] > 400


def test_host_that_drops_everything_is_silent_too(harness, servers):
    rig = harness.rig(state="stopping")
    door_to(harness, rig, servers(kind=Deaf).address)
    harness.start()
    harness.proof(rig, "off")


def test_known_bmc_has_to_say_off(harness):
    rig = harness.rig(state="stopping", bmc="on")
    door_to(harness, rig, nowhere())
    harness.start()
    harness.proof(rig, "powered")
    harness.bmc(rig, "off")
    told = harness.proof(rig, "off")
    assert told["at_once"] == 1
    assert not any(e.get("proof") == "off" for e in harness.events[:-1])


def test_bmc_that_does_not_answer_proves_nothing(harness):
    rig = harness.rig(state="stopping", bmc="silent")
    door_to(harness, rig, nowhere())
    harness.start()
    harness.wait(lambda h: "GB0603" in h.log_text(), 10)
    harness.show()
    assert harness.rigs[rig]["proof"] == "none"
    assert harness.rigs[rig]["asked"] >= 3
    assert harness.rigs[rig]["at_once"] == 1


def test_answering_machine_is_not_off_and_its_bmc_is_left_alone(harness, servers):
    rig = harness.rig(state="stopping", bmc="off")
    server = servers(OK)
    door_to(harness, rig, server.address)
    harness.start()
    harness.proof(rig, "answers")
    time.sleep(1)
    harness.show()
    assert harness.rigs[rig]["asked"] == 0
    server.close()
    harness.proof(rig, "off")


def test_wrong_answers_are_no_silence(harness, servers):
    stuck, broken = harness.rig(state="stopping"), harness.rig(state="stopping")
    door_to(harness, stuck, servers().address)
    door_to(harness, broken, servers(status(503)).address)
    harness.start()
    harness.proof(stuck, "powered")
    harness.proof(broken, "powered")
    assert not any(e.get("proof") == "off" for e in harness.events)


def test_every_door_has_to_be_silent(harness, servers):
    half, unasked = harness.rig(state="stopping"), harness.rig(state="stopping")
    server = servers(OK)
    door_to(harness, half, nowhere())
    door_to(harness, half, server.address)
    door_to(harness, unasked, nowhere())
    door_to(harness, unasked, "no-such-host.invalid:80")
    harness.start()
    harness.proof(half, "answers")
    server.close()
    harness.proof(half, "off")
    assert harness.rigs.get(unasked, {}).get("proof", "none") == "none"


def test_machine_asleep_is_asked_at_the_interval_only(harness):
    rig = harness.rig(state="asleep", bmc="off", interval=1500)
    door_to(harness, rig, nowhere())
    harness.start()
    harness.proof(rig, "off")
    time.sleep(2.3)
    harness.show()
    assert 2 <= harness.rigs[rig]["asked"] <= 3


def test_machine_that_is_asleep_and_answers_is_found_out(harness, servers):
    rig = harness.rig(state="asleep", bmc="off", interval=500)
    port = closed_port()
    door_to(harness, rig, "127.0.0.1:%d" % port)
    harness.start()
    harness.proof(rig, "off")
    servers(OK, port=port)
    harness.proof(rig, "answers")
    harness.wait(lambda h: "GB0602" in h.log_text(), 5)  # its BMC must be another one's


def test_old_proof_does_not_count_for_a_new_stay(harness):
    rig = harness.rig(state="stopping", bmc="off")
    door_to(harness, rig, nowhere())
    harness.start()
    harness.proof(rig, "off")
    harness.bmc(rig, "silent")
    harness.state(rig, "waking")
    harness.proof(rig, "none")
    harness.state(rig, "stopping")
    time.sleep(1.5)
    harness.show()
    assert harness.rigs[rig]["proof"] == "none"


def test_unknown_machine_is_asked_when_it_does_not_serve(harness):
    rig = harness.rig(state="unknown", bmc="off", interval=60000)
    door = door_to(harness, rig, nowhere())
    harness.start()
    harness.verdict(door, "bad")
    assert harness.rigs.get(rig, {}).get("proof", "none") == "none"
    harness.proof(rig, "off", 4)  # the first rounds are quick


def test_machine_that_lost_its_power_is_found_out(harness, servers):
    rig = harness.rig(state="on", bmc="off", interval=60000)
    server = servers(OK)
    door = door_to(harness, rig, server.address)
    harness.start()
    harness.verdict(door, "good")
    time.sleep(0.5)
    harness.show()
    assert harness.rigs[rig]["asked"] == 0  # while it serves nobody asks
    server.close()
    harness.verdict(door, "bad")
    harness.wait(lambda h: h.rigs.get(rig, {}).get("unpowered"), 4)
    assert harness.rigs[rig]["asked"] >= 2
    assert harness.rigs[rig]["proof"] == "none"


def test_machine_that_does_not_serve_and_has_power_is_not_unpowered(harness):
    rig = harness.rig(state="on", bmc="on", interval=300)
    door = door_to(harness, rig, nowhere())
    harness.start()
    harness.verdict(door, "bad")
    time.sleep(1.5)
    harness.show()
    assert harness.rigs[rig]["asked"] >= 3
    assert not harness.rigs[rig]["unpowered"]
