"""The report: status.json, the page, Prometheus metrics and the section in mod_status."""

import html.parser
import http.client
import http.server
import json
import math
import os
import re
import signal
import threading
import time
import urllib.parse

import pytest
from proxy import Proxy, wait

STATES = {"unknown", "on", "draining", "stopping", "asleep", "waking", "failed"}
WAYS = ("wake=lever sleep=lever", "capacity=4 watts=50:120 offwatts=3 boot=7s")


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512

    def handle_error(self, request, client_address):
        pass  # a client that has gone away


class Backend:
    """Answers 200 at once; /slow waits for `release`, /bad answers 500."""

    def __init__(self):
        self.release = threading.Event()
        backend = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                if self.path.startswith("/slow"):
                    backend.release.wait(20)
                self.send_response(500 if self.path.startswith("/bad") else 200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, *arguments):
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = "http://127.0.0.1:%d" % self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.release.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def backends():
    made = [Backend() for _ in range(2)]
    yield made
    for backend in made:
        backend.close()


def lever(base):
    """A power driver that says that everything is on, and does nothing."""
    path = os.path.join(str(base), "lever")
    with open(path, "w") as f:
        f.write("#!/bin/sh\necho on\n")
    os.chmod(path, 0o755)
    return {"lever": [path]}


def build(base, backends, main="", **more):
    """Observe mode: everything is measured, nothing is switched."""
    more.setdefault("policy_on", "observe")
    more.setdefault("members", [(b.url, "%s %s machine=m%d" % (*WAYS, i))
                                for i, b in enumerate(backends)])
    more.setdefault("balancer", "    GreenHealth interval=200ms timeout=1s rise=1 fall=2")
    return Proxy(str(base / "proxy"), main=main, drivers=lever(base), **more)


def answer(proxy, path, method="GET", body=None):
    """(status, headers, body) without any of urllib's help."""
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=10)
    try:
        connection.request(method, path, body=body)
        response = connection.getresponse()
        return response.status, response.headers, response.read().decode()
    finally:
        connection.close()


# ---------------------------------------------------------------- status.json

NUMBER = (int, float)
MEMBER = {"url": str, "machine": (str, type(None)), "state": str, "wish": str,
          "since_s": NUMBER, "health": str, "reverse_health": str, "in_flight": int,
          "capacity": int, "requests": int, "errors": int, "watts": NUMBER,
          "watts_source": str, "joules": NUMBER, "boot_s": dict, "wakes": int,
          "sleeps": int, "failures": int, "last_error": str}
BALANCER = {"name": str, "mode": str, "policy": str, "panic": bool, "load": dict,
            "capacity_awake": int, "wanted_awake": int, "reason": str, "energy": dict,
            "members": list}
LOAD = {"in_flight": int, "arrivals_per_s": int, "held": int, "p50_ms": NUMBER,
        "p99_ms": NUMBER}
ENERGY = {"watts": NUMBER, "joules": NUMBER, "joules_always_on": NUMBER, "source": str}
BOOT = {"first_guess": NUMBER, "p50": NUMBER, "p95": NUMBER, "count": int}
EVENT = {"at": NUMBER, "balancer": (str, type(None)), "member": (str, type(None)),
         "from": (str, type(None)), "to": (str, type(None)), "reason": str}


def check_fields(what, fields):
    for name, kind in fields.items():
        assert name in what, "%s is missing in %s" % (name, what)
        assert isinstance(what[name], kind), (name, what[name])
        assert kind is bool or not isinstance(what[name], bool), (name, what[name])


def check_report(report):
    """The promise of docs/status.md, field by field."""
    check_fields(report, {"version": str, "now": NUMBER, "keeper": dict,
                          "token": type(None), "balancers": list, "events": list})
    check_fields(report["keeper"], {"pid": int, "up_s": NUMBER, "stale": bool,
                                    "paused": bool})
    for balancer in report["balancers"]:
        check_fields(balancer, BALANCER)
        check_fields(balancer["load"], LOAD)
        check_fields(balancer["energy"], ENERGY)
        assert balancer["mode"] in ("on", "off", "observe")
        assert balancer["energy"]["source"] in ("measured", "curve", "assumed")
        for member in balancer["members"]:
            check_fields(member, MEMBER)
            check_fields(member["boot_s"], BOOT)
            assert member["state"] in STATES
            assert member["wish"] in ("auto", "keep_on", "keep_off")
            assert member["health"] in ("good", "bad", "none")
            assert member["reverse_health"] in ("none", "off", "answers", "powered")
            assert member["watts_source"] in ("measured", "curve", "assumed")
    assert len(report["events"]) <= 200
    for event in report["events"]:
        check_fields(event, EVENT)
    assert [e["at"] for e in report["events"]] == sorted(e["at"] for e in report["events"])


def test_the_report_tells_what_is_there(base, backends):
    with build(base, backends) as proxy:
        wait(lambda: all(m["health"] == "good" and m["state"] == "on"
                         for m in proxy.members_status().values()), 10,
             lambda: str(proxy.members_status()))
        report = proxy.status()
        check_report(report)
        assert abs(report["now"] - time.time()) < 5
        assert report["keeper"]["pid"] in proxy.keeper_pids()
        assert 0 <= report["keeper"]["up_s"] < 60
        assert not report["keeper"]["stale"] and not report["keeper"]["paused"]
        (balancer,) = report["balancers"]
        assert balancer["name"] == "balancer://app" and balancer["mode"] == "observe"
        assert not balancer["panic"]
        assert {m["url"] for m in balancer["members"]} == {b.url for b in backends}
        for member in balancer["members"]:
            assert member["machine"] in ("m0", "m1")
            assert member["capacity"] == 4
            assert member["boot_s"] == {"first_guess": 7, "p50": 7, "p95": 7, "count": 0}
            assert member["since_s"] < 60 and member["last_error"] == ""


def test_requests_are_counted_while_and_after_they_run(base, backends):
    with build(base, backends) as proxy:
        threads = [threading.Thread(target=proxy.get, args=("/slow", 30)) for _ in range(3)]
        for thread in threads:
            thread.start()
        wait(lambda: proxy.balancer_status()["load"]["in_flight"] == 3, 10, "three in flight")
        assert sum(m["in_flight"] for m in proxy.members_status().values()) == 3
        for backend in backends:
            backend.release.set()
        for thread in threads:
            thread.join()
        assert proxy.get("/bad")[0] == 500
        wait(lambda: proxy.balancer_status()["load"]["in_flight"] == 0, 10, "none in flight")
        members = proxy.members_status().values()
        assert sum(m["requests"] for m in members) == 4
        assert sum(m["errors"] for m in members) == 1


def test_a_machine_behind_two_balancers_is_shown_twice_and_counted_once(base, backends):
    """m0 has a door in each balancer, and two in the second one."""
    url = backends[0].url
    other = url.replace("127.0.0.1", "localhost")
    second = """
<Proxy "balancer://two">
    BalancerMember "%s/x" %s %s machine=m0
    BalancerMember "%s" %s %s machine=m0
    ProxySet lbmethod=bypower
    GreenBalance observe
</Proxy>
ProxyPass "/two/" "balancer://two/"
""" % (url, *WAYS, other, *WAYS)
    with build(base, backends, main=second) as proxy:
        wait(lambda: proxy.balancer_status("two")["energy"]["joules"] > 0, 10, "joules")
        report = proxy.status()
        check_report(report)
        by_name = {b["name"]: b for b in report["balancers"]}
        doors = [m for b in report["balancers"] for m in b["members"] if m["machine"] == "m0"]
        assert len(doors) == 3
        assert len({(m["watts"], m["joules"], m["state"]) for m in doors}) == 1
        two = by_name["balancer://two"]["energy"]
        assert two["watts"] == doors[0]["watts"] and two["joules"] == doors[0]["joules"]
        machines = {m["machine"]: m["joules"] for b in report["balancers"]
                    for m in b["members"]}
        assert abs(report["energy"]["joules"] - sum(machines.values())) < 0.5
        metrics = parse_metrics(answer(proxy, "/green/metrics")[2])
        shown = [labels for name, labels, _ in metrics["greenbalance_watts"]["samples"]
                 if labels["balancer"] == "balancer://two"]
        assert len(shown) == 1


def test_balancers_of_one_name_are_told_apart(base, backends):
    lines = "\n".join("""
<VirtualHost 127.0.0.1:*>
    ServerName %s
    <Proxy "balancer://same">
        BalancerMember "%s"
        ProxySet lbmethod=bypower
        GreenBalance observe
    </Proxy>
    ProxyPass "/" "balancer://same/"
</VirtualHost>""" % (name, backend.url) for name, backend in zip("ab", backends))
    location = '<Location "/green">\nSetHandler greenbalance-status\n</Location>'
    with build(base, backends, members=(), vhosts=lines.replace(
            "    ProxyPass \"/\"", location + "\n    ProxyPass \"/green\" \"!\"\n"
            "    ProxyPass \"/\"")) as proxy:
        report = proxy.status()
        check_report(report)
        assert [b["name"] for b in report["balancers"]] == ["balancer://same"] * 2
        assert len({b["label"] for b in report["balancers"]}) == 2
        parse_metrics(answer(proxy, "/green/metrics")[2])  # no sample twice


def test_without_a_balancer_of_ours_there_is_an_empty_report(base):
    with build(base, [], members=()) as proxy:
        report = proxy.status()
        check_report(report)
        assert report["balancers"] == [] and report["events"] == []
        assert report["keeper"]["pid"] == 0 and report["keeper"]["up_s"] == 0
        assert report["keeper"]["stale"]
        metrics = parse_metrics(answer(proxy, "/green/metrics")[2])
        assert metrics["greenbalance_keeper_up"]["samples"] == [
            ("greenbalance_keeper_up", {}, 0.0)]
        assert "No balancer" in check_page(answer(proxy, "/green/")[2])


def test_a_keeper_that_stands_still_is_told(base, backends):
    with build(base, backends) as proxy:
        wait(lambda: proxy.keeper_pid(), 10, "a keeper")
        pid = proxy.keeper_pid()
        os.kill(pid, signal.SIGSTOP)
        try:
            wait(lambda: proxy.status()["keeper"]["stale"], 5, "stale")
            assert proxy.status()["keeper"]["pid"] == pid
            assert "does not move on" in check_page(answer(proxy, "/green/")[2])
            wait(lambda: proxy.status()["keeper"]["pid"] == 0, 12, "counted as dead")
            report = proxy.status()
            check_report(report)
            assert report["keeper"]["up_s"] == 0 and report["keeper"]["stale"]
            assert len(report["balancers"][0]["members"]) == 2
            assert "keeper process is not running" in check_page(
                answer(proxy, "/green/")[2])
            metrics = parse_metrics(answer(proxy, "/green/metrics")[2])
            assert metrics["greenbalance_keeper_up"]["samples"][0][2] == 0
            assert proxy.get("/")[0] == 200
        finally:
            os.kill(pid, signal.SIGCONT)
        wait(lambda: not proxy.status()["keeper"]["stale"], 5, "it moves on")
        assert proxy.keeper_pid() == pid


def test_a_member_added_at_run_time_has_no_machine(base, backends):
    main = ('<Proxy "balancer://app">\n    ProxySet growth=4\n</Proxy>')
    with build(base, backends[:1], main=main) as proxy:
        own = {"Referer": proxy.url("/balancer-manager")}
        page = proxy.get("/balancer-manager?b=app", headers=own)[1].decode()
        nonce = re.search(r"nonce=([0-9a-f-]{36})", page).group(1)
        body = urllib.parse.urlencode({
            "b": "app", "nonce": nonce, "b_wyes": "1", "b_nwrkr": backends[1].url})
        connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=10)
        connection.request("POST", "/balancer-manager", body=body, headers=dict(
            own, **{"Content-Type": "application/x-www-form-urlencoded"}))
        assert connection.getresponse().status == 200
        connection.close()

        def shown():
            proxy.get("/")  # a child finds a new member with a request
            return proxy.members_status().get(backends[1].url)

        member = wait(shown, 10, "the new member in the report")
        check_report(proxy.status())
        assert member["machine"] is None and member["state"] == "unknown"
        assert "never powered" in check_page(answer(proxy, "/green/")[2])
        parse_metrics(answer(proxy, "/green/metrics")[2])


# ---------------------------------------------------------------- metrics

SAMPLE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$')
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"')
SUFFIXES = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("",), "gauge": ("",)}


def parse_labels(text):
    labels, at = {}, 0
    while at < len(text):
        match = LABEL.match(text, at)
        assert match, "labels %r at %d" % (text, at)
        assert match.group(1) not in labels, "a label twice: %r" % text
        labels[match.group(1)] = re.sub(r'\\(.)', lambda m: {"n": "\n"}.get(m[1], m[1]),
                                        match.group(2))
        at = match.end()
        if at < len(text):
            assert text[at] == "," and at + 1 < len(text), text
            at += 1
    return labels


def parse_metrics(text):
    """Strict: HELP and TYPE once, before the samples; families in one piece; names and
    labels well formed; no sample twice; counters end in _total and are not negative;
    a histogram's buckets ascend, in bounds and counts, up to +Inf, which is its count."""
    families, current, seen = {}, None, set()
    assert text.endswith("\n")
    for line in text[:-1].split("\n"):
        assert line and line == line.rstrip(), "%r" % line
        if line.startswith("#"):
            _, word, name, rest = line.split(" ", 3)
            if word == "HELP":
                assert name not in families, "%s is in two pieces" % name
                assert rest
                families[name] = {"help": rest, "type": None, "samples": []}
                current = name
            else:
                assert word == "TYPE" and name == current, line
                assert families[name]["type"] is None and not families[name]["samples"]
                assert rest in SUFFIXES
                families[name]["type"] = rest
            continue
        match = SAMPLE.match(line)
        assert match, line
        name, labels, value = match.group(1), parse_labels(match.group(2) or ""), \
            float(match.group(3))
        family = families[current]
        assert name in [current + s for s in SUFFIXES[family["type"]]], (name, current)
        assert name.startswith("greenbalance_")
        assert math.isfinite(value)
        assert name != current + "_bucket" or "le" in labels
        assert family["type"] != "counter" or (name.endswith("_total") and value >= 0)
        key = (name, tuple(sorted(labels.items())))
        assert key not in seen, "twice: %s" % line
        seen.add(key)
        family["samples"].append((name, labels, value))
    for name, family in families.items():
        if family["type"] == "histogram":
            check_histogram(name, family["samples"])
    return families


def check_histogram(name, samples):
    rows = {}
    for sample, labels, value in samples:
        row = rows.setdefault(tuple(sorted(l for l in labels.items() if l[0] != "le")), [])
        row.append((sample, float(labels.get("le", "nan")), value))
    for row in rows.values():
        buckets = [(bound, value) for sample, bound, value in row if sample.endswith("_bucket")]
        assert buckets == sorted(buckets) and buckets[-1][0] == math.inf, row
        assert [value for _, value in buckets] == sorted(value for _, value in buckets)
        assert len({bound for bound, _ in buckets}) == len(buckets)
        assert [s for s, _, _ in row[len(buckets):]] == [name + "_sum", name + "_count"], row
        assert row[-1][2] == buckets[-1][1] and row[-2][2] >= 0


def test_the_parser_is_strict():
    good = "# HELP greenbalance_a A.\n# TYPE greenbalance_a gauge\n"
    assert parse_metrics(good + 'greenbalance_a{x="a\\"\\\\\\nb"} 1\n')[
        "greenbalance_a"]["samples"][0][1] == {"x": 'a"\\\nb'}
    for bad in ('greenbalance_a{x="a"b"} 1', 'greenbalance_a{x="\\q"} 1',
                'greenbalance_a{x="1",} 1', 'greenbalance_a{x="1",x="2"} 1',
                "greenbalance_a NaN", "greenbalance_a", "greenbalance_a 1 ",
                "greenbalance_b 1", "greenbalance_a 1\ngreenbalance_a 1", ""):
        with pytest.raises((AssertionError, ValueError)):
            parse_metrics(good + bad + "\n")
    good = ("# HELP greenbalance_h H.\n# TYPE greenbalance_h histogram\n"
            'greenbalance_h_bucket{le="1"} 2\ngreenbalance_h_bucket{le="+Inf"} 3\n'
            "greenbalance_h_sum 4\ngreenbalance_h_count 3\n")
    parse_metrics(good)
    for part, bad in (('"1"} 2', '"1"} 4'), ("count 3", "count 2"), ("+Inf", "2"),
                      ('le="1"', 'x="1"'), ("greenbalance_h_sum 4\n", "")):
        with pytest.raises(AssertionError):
            parse_metrics(good.replace(part, bad))


def test_metrics_are_well_formed_and_complete(base, backends):
    with build(base, backends) as proxy:
        wait(lambda: all(m["state"] == "on" for m in proxy.members_status().values()), 10,
             "both on")
        proxy.get("/")
        status, headers, text = answer(proxy, "/green/metrics")
        assert status == 200
        assert headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        families = parse_metrics(text)
        for name in ("server_state", "in_flight", "requests_total", "wakes_total",
                     "wake_seconds", "sleeps_total", "watts", "energy_joules_total",
                     "energy_always_on_joules_total", "wanted_servers", "keeper_up"):
            assert "greenbalance_" + name in families
        for backend in backends:
            mine = [(labels["state"], value) for _, labels, value in
                    families["greenbalance_server_state"]["samples"]
                    if labels["member"] == backend.url]
            assert {state for state, _ in mine} == STATES
            assert [state for state, value in mine if value == 1] == ["on"]
            assert sum(value for _, value in mine) == 1
        results = {(labels["member"], labels["result"]) for _, labels, _ in
                   families["greenbalance_wakes_total"]["samples"]}
        assert results == {(b.url, r) for b in backends for r in ("ok", "failed")}
        requests = sum(v for _, _, v in families["greenbalance_requests_total"]["samples"])
        assert requests == 1
        assert families["greenbalance_keeper_up"]["samples"][0][2] == 1


# ---------------------------------------------------------------- the page

class Page(html.parser.HTMLParser):
    """Every tag closed in its order; nothing loaded from anywhere; no script."""

    VOID = {"meta", "path", "br", "link", "img"}

    def __init__(self):
        super().__init__()
        self.open, self.words, self.links, self.meta = [], [], [], []

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        assert tag not in ("script", "link", "img", "iframe", "object", "base", "form"), tag
        assert not [a for a in attributes if a.startswith("on") or a == "src"], attributes
        if tag == "a":
            self.links.append(attributes["href"])
        if tag == "meta":
            self.meta.append(attributes)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open and self.open.pop() == tag, tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.words.append(data)


def read_page(text):
    page = Page()
    page.feed(text)
    page.close()
    assert not page.open, page.open
    return page


def check_page(text):
    return " ".join(" ".join(read_page(text).words).split())


def test_the_page_is_plain_and_complete(base, backends):
    with build(base, backends) as proxy:
        wait(lambda: all(m["state"] == "on" for m in proxy.members_status().values()), 10,
             "both on")
        status, headers, text = answer(proxy, "/green/")
        assert status == 200
        assert headers["Content-Type"] == "text/html; charset=utf-8"
        assert headers["Cache-Control"] == "no-store"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Content-Security-Policy"].startswith("default-src 'none'; ")
        page = read_page(text)
        words = " ".join(" ".join(page.words).split())
        for backend in backends:
            assert backend.url in words
        assert "balancer://app" in words and "m0" in words and "not measured" in words
        assert {"http-equiv": "refresh", "content": "5"} in page.meta
        assert page.links == ["/green/status.json", "/green/history.json", "/green/metrics"]
        assert "prefers-color-scheme:dark" in text and "<svg " in text
        for link in page.links:
            assert answer(proxy, link)[0] == 200


def test_paths_and_methods(base, backends):
    """The location works with and without its slash, at any depth; nothing else does."""
    main = """
<Location "/a/b/green">
    SetHandler greenbalance-status
</Location>
ProxyPass "/a" "!"
"""
    with build(base, backends, main=main) as proxy:
        for location in ("/green", "/a/b/green"):
            assert answer(proxy, location)[0] == 200
            assert answer(proxy, location + "/")[0] == 200
            links = read_page(answer(proxy, location)[2]).links
            assert links == [location + "/" + name
                             for name in ("status.json", "history.json", "metrics")]
            check_report(json.loads(answer(proxy, location + "/status.json?x=1")[2]))
            parse_metrics(answer(proxy, location + "/metrics")[2])
            for path in ("/x", "/status.json/", "/metrics/x", "/command", "/status.jso",
                         "/status.jsonx", "/%00"):
                assert answer(proxy, location + path)[0] in (400, 404), path
            for method in ("POST", "PUT", "DELETE"):
                status, headers, _ = answer(proxy, location + "/status.json", method, "x=1")
                assert status == 405
                assert "GET" in headers["Allow"]
        for path in ("/green/", "/green/status.json", "/green/metrics"):
            status, headers, body = answer(proxy, path, "HEAD")
            assert status == 200 and body == ""
            assert int(headers["Content-Length"]) > 100


def test_what_is_in_the_address_is_escaped(base, backends):
    """With LocationMatch the end of a path is not known: it may stand in the links."""
    main = ('<LocationMatch "^/odd">\n    SetHandler greenbalance-status\n'
            '</LocationMatch>\nProxyPass "/odd" "!"')
    with build(base, backends, main=main) as proxy:
        status, _, text = answer(proxy, "/odd%22%3E%3Cscript%3Ealert(1)%3C/script%3E")
        assert "<script" not in text
        if status == 200:
            read_page(text)


# ---------------------------------------------------------------- mod_status

def test_mod_status_has_a_section(base, backends):
    with build(base, backends, main="ExtendedStatus On") as proxy:
        wait(lambda: proxy.status()["balancers"][0]["energy"]["joules"] > 0, 10, "joules")
        text = proxy.get("/server-status")[1].decode()
        assert "<h2>GreenBalance</h2>" in text and backends[0].url in text
        lines = dict(line.split(": ", 1) for line in
                     proxy.get("/server-status?auto")[1].decode().splitlines()
                     if line.startswith("GreenBalance"))
        assert lines["GreenBalanceKeeperUp"] == "1"
        assert lines["GreenBalance[0]Name"] == "balancer://app"
        assert lines["GreenBalance[0]Servers"] == "2"
        assert float(lines["GreenBalanceWatts"]) > 0
