"""The load generator against servers that count for themselves."""

import csv
import json
import socket
import threading

import pytest

from rigkit import address_of, load
from room import HostSpec


@pytest.fixture
def host(one):
    return one(capacity=64, service_ms=1)


def answer_with(behaviour):
    """A server on a free port that treats each connection with the behaviour."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=behaviour, args=(client,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    return listener


def outcome_of(behaviour, *words):
    listener = answer_with(behaviour)
    try:
        return load("--to", f"127.0.0.1:{listener.getsockname()[1]}", "--points",
                    "0 50, 0.2 50", "--timeout-ms", 500, *words)
    finally:
        listener.close()


def test_open_loop_keeps_its_rate(host):
    summary = load("--to", address_of(host), "--rate", 1000, "--duration", 1)
    assert summary["failed"] == 0
    # Poisson: 1000 ± 32; five of these leave a chance of one in a million.
    assert 840 < summary["requests"] < 1160


def test_arrivals_repeat_with_their_seed(host):
    runs = [load("--to", address_of(host), "--rate", 200, "--duration", 0.3, "--seed",
                 seed)["requests"] for seed in (7, 7)]
    assert runs[0] == runs[1]


def test_two_thousand_a_second(host):
    summary = load("--to", address_of(host), "--rate", 2000, "--duration", 1)
    assert summary["failed"] == 0 and summary["requests"] > 1775


def test_profile_is_followed(host, tmp_path):
    profile = tmp_path / "profile"
    profile.write_text("# seconds rate\n0 0\n0.5 800\n\n1 0\n", encoding="ascii")
    table = tmp_path / "requests.csv"
    summary = load("--to", address_of(host), "--profile", profile, "--csv", table)
    starts = [float(row["start_s"]) for row in csv.DictReader(table.open())]
    assert len(starts) == summary["requests"]
    assert 300 < len(starts) < 500
    middle = [start for start in starts if 0.25 <= start < 0.75]
    assert 0.65 < len(middle) / len(starts) < 0.85


def test_counts_are_the_servers_own(rooms, tmp_path):
    room = rooms(HostSpec("web1"), HostSpec("web2"))
    for host, connections in ((room["web1"], 3), (room["web2"], 5)):
        table = tmp_path / "requests.csv"
        summary = load("--to", address_of(host), "--connections", connections,
                       "--duration", 0.3, "--csv", table)
        assert summary["served_by"] == {host.name: host.stats()["served"]}
        rows = list(csv.DictReader(table.open()))
        assert len(rows) == summary["requests"] == summary["by_status"]["200"]
        assert {(row["status"], row["served_by"], row["error"]) for row in rows} == {
            ("200", host.name, "none")}
        assert all(int(row["latency_us"]) >= 20000 for row in rows)


def test_new_connections_bodies_and_headers(host):
    summary = load("--to", address_of(host), "--connections", 2, "--duration", 0.3,
                   "--new-connections", "--method", "POST", "--body-bytes", 300000,
                   "--header", "X-Test: 1", "--host-header", "www.example.org")
    assert summary["failed"] == 0
    assert summary["ok"] == host.stats()["served"] > 2


def test_statuses_from_400_fail(host):
    host.fault("unhealthy")
    summary = load("--to", address_of(host), "--path", "/health", "--connections", 1,
                   "--duration", 0.2)
    assert summary["ok"] == 0
    assert summary["failed"] == summary["requests"] == summary["by_status"]["503"]
    assert summary["errors"] == {}


def test_nobody_listening_is_a_connect_error(one):
    host = one(powered=False)
    summary = load("--to", address_of(host), "--rate", 50, "--duration", 0.2)
    assert summary["errors"] == {"connect": summary["requests"]}


def test_silence_is_a_timeout():
    summary = outcome_of(lambda client: client.recv(1000) and client.recv(1))
    assert summary["errors"] == {"timeout": summary["requests"]}


def test_close_without_an_answer_is_a_reset():
    def close(client):
        client.recv(1000)
        client.close()

    summary = outcome_of(close)
    assert summary["errors"] == {"reset": summary["requests"]}


def test_close_within_an_answer_is_short():
    def half(client):
        client.recv(1000)
        client.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
        client.close()

    summary = outcome_of(half)
    assert summary["errors"] == {"short": summary["requests"]}


def test_what_is_not_http_is_bad():
    summary = outcome_of(lambda client: client.send(b"220 mail ready\r\n\r\n"))
    assert summary["errors"] == {"bad": summary["requests"]}


def test_connection_closed_between_requests_is_never_retried():
    """The server answers once and closes on the second request: the second is lost,
    and there are no more requests on the wire than are recorded."""
    seen = []

    def once(client):
        while client.recv(1000):
            seen.append(1)
            if len(seen) % 2 == 0:
                client.close()
                return
            client.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    listener = answer_with(once)
    try:
        summary = load("--to", f"127.0.0.1:{listener.getsockname()[1]}",
                       "--connections", 1, "--duration", 0.5)
    finally:
        listener.close()
    assert summary["requests"] == len(seen)
    assert summary["errors"] == {"reset": len(seen) // 2}


def test_chunked_and_interim_responses_are_understood():
    def chunked(client):
        while client.recv(1000):
            client.send(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
                        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
                        b"X-Served-By: odd\r\n\r\n5;a=b\r\nhello\r\n")
            client.send(b"0\r\nTrailer: x\r\n\r\n")

    summary = outcome_of(chunked)
    assert summary["failed"] == 0 and summary["served_by"] == {"odd": summary["ok"]}


def test_live_lines(host, tmp_path):
    live = tmp_path / "live"
    summary = load("--to", address_of(host), "--rate", 100, "--duration", 1.2,
                   "--live", live)
    lines = [json.loads(line) for line in live.read_text().splitlines()]
    assert lines and set(lines[0]) == {"t", "rate", "done", "failed", "later", "p99_ms"}
    assert 0 < lines[0]["done"] <= summary["requests"] and lines[0]["p99_ms"] > 0


def test_expected_bodies(host):
    good = load("--to", address_of(host), "--rate", 50, "--duration", 0.3,
                "--expect", "served by {server}")
    assert good["failed"] == 0 and good["requests"] > 0
    bad = load("--to", address_of(host), "--rate", 50, "--duration", 0.3,
               "--expect", "served by somebody else")
    assert bad["errors"] == {"wrong": bad["requests"]} and bad["failed"] == bad["requests"]


def test_refused_honestly():
    def later(client):
        client.recv(4096)
        client.sendall(b"HTTP/1.1 503 Busy\r\nRetry-After: 3\r\nContent-Length: 0\r\n\r\n")
        client.close()

    summary = outcome_of(later, "--new-connections")
    assert summary["later"] == summary["failed"] == summary["requests"] > 0
