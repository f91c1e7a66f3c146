"""The simulated server, over real connections."""

import http.client
import json
import socket
import ssl
import threading
import time
import urllib.request

import pytest

from rigkit import address_of, load, wait


def test_every_path_names_the_host(one):
    host = one()
    for path in ("/", "/any/path?x=1"):
        status, headers, body = host.get(path)
        assert status == 200 and headers["X-Served-By"] == "web1"
        assert b"web1" in body


def test_health_and_stats_take_no_capacity(one):
    host = one(capacity=1, queue=0)
    thread = threading.Thread(target=lambda: host.get("/?ms=1000"))
    thread.start()
    wait(lambda: host.stats()["in_flight"] == 1)
    assert host.get("/health")[0] == 200
    assert host.get("/")[0] == 503  # no place, and no queue
    thread.join()
    assert host.stats() == {"served": 1, "in_flight": 0, "queued": 0,
                            "max_in_flight": 1, "refused": 1, "abandoned": 0}


def test_beyond_capacity_requests_queue(one):
    host = one(capacity=2, service_ms=20)
    summary = load("--to", address_of(host), "--connections", 6, "--duration", 0.6)
    stats = host.stats()
    assert stats["max_in_flight"] == 6 and stats["served"] == summary["ok"]
    # Two places of 20 ms: 100 a second, so six clients wait 60 ms each.
    assert 50 <= summary["p50_ms"] and summary["ok"] <= 70


def test_keep_alive_bodies_and_head(one):
    connection = http.client.HTTPConnection(address_of(one()), timeout=5)
    with_chunks = {"Transfer-Encoding": "chunked"}
    for method, body, headers, expect in (
            ("POST", b"x" * 100000, {}, b"body 100000\n"),
            ("PUT", iter([b"abc", b"defg"]), with_chunks, b"body 7\n"),
            ("GET", None, {}, b"body 0\n")):
        connection.request(method, "/", body, headers, encode_chunked=bool(headers))
        response = connection.getresponse()
        assert response.read().endswith(expect) and not response.will_close
    connection.request("HEAD", "/?bytes=500")
    response = connection.getresponse()
    assert response.headers["Content-Length"] == "500" and response.read() == b""
    connection.request("GET", "/?bytes=300000")
    assert len(connection.getresponse().read()) == 300000


def test_slow_download_trickles(one):
    host = one()
    began = time.monotonic()
    _, _, body = host.get("/?slow=0.5&bytes=100000")
    assert len(body) == 100000 and time.monotonic() - began >= 0.5


def test_service_time_can_be_asked_for(one):
    host = one(service_ms=0)
    began = time.monotonic()
    host.get("/?ms=300")
    assert time.monotonic() - began >= 0.3


def test_client_that_leaves_frees_its_place(one):
    host = one(capacity=1)
    address, port = address_of(host).split(":")
    with socket.create_connection((address, int(port))) as client:
        client.send(b"GET /?ms=60000 HTTP/1.1\r\n\r\n")
        wait(lambda: host.stats()["in_flight"] == 1)
    wait(lambda: host.stats()["in_flight"] == 0)
    assert host.stats()["abandoned"] == 1 and host.get("/")[0] == 200


@pytest.mark.parametrize("request_bytes, status", [
    (b"nonsense\r\n\r\n", 400),
    (b"GET /?ms=abc HTTP/1.1\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nX: " + b"y" * 20000, 431)])
def test_malformed_requests_are_refused(one, request_bytes, status):
    address, port = address_of(one()).split(":")
    with socket.create_connection((address, int(port)), timeout=5) as client:
        client.sendall(request_bytes)
        assert client.recv(100).startswith(f"HTTP/1.1 {status} ".encode())


def test_tls_with_the_rooms_certificate(one):
    host = one(tls=True)
    assert host.url.startswith("https://")
    context = ssl.create_default_context(cafile=host._room.certificate)
    with urllib.request.urlopen(host.url + "/?bytes=200000", context=context,
                                timeout=5) as answer:
        assert len(answer.read()) == 200000
    assert host.stats()["served"] == 1


def test_unix_socket(one):
    host = one(unix_socket=True)
    assert host.url.startswith("unix:/") and host.url.endswith("|http://localhost")
    assert b"web1" in host.get("/")[2]


def test_watts_and_energy_follow_the_load(one):
    host = one(capacity=2, watts="50:150")
    before = host.energy_joules()
    threads = [threading.Thread(target=host.get, args=("/?ms=1000",)) for _ in range(2)]
    for thread in threads:
        thread.start()
    wait(lambda: host.watts() > 140, "watts near the peak")
    for thread in threads:
        thread.join()
    wait(lambda: host.watts() == 50, "idle watts")
    # One second at 150 W and some time at 50 W: the energy cannot be less.
    assert host.energy_joules() - before >= 150


def test_energy_while_off_is_what_the_bmc_draws(one):
    host = one(powered=False, off_watts=10)
    first, began = host.energy_joules(), time.monotonic()
    time.sleep(0.5)
    used = host.energy_joules() - first
    assert used == pytest.approx(10 * (time.monotonic() - began), rel=0.2)


def test_stats_are_json(one):
    assert set(json.loads(one().get("/_stats")[2])) >= {"served", "in_flight", "queued",
                                                         "max_in_flight"}
