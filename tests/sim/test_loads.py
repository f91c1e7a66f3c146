# SPDX-License-Identifier: Apache-2.0
"""Traces from files, shapes, fleets from models."""
import json

import pytest

from simkit import good, refused, report, run, steady

SERVER = {"name": "http://a", "machine": None, "capacity": 8,
          "watts": [140 + 6 * i for i in range(11)], "off_watts": 3,
          "boot_s": {"p50": 60, "p95": 90, "count": 9}, "watts_source": "curve"}


@pytest.mark.parametrize("text, words", [
    ("", ["no numbers"]),
    ("seconds,requests_per_second\n", ["no numbers"]),
    ("0,1\n", ["two lines"]),
    ("0,1\n1,x\n", ["stdin:2", "REQUESTS_PER_SECOND"]),
    ("0,1\n1,-1\n", ["stdin:2"]),
    ("0,1\n0,1\n", ["stdin:2", "ascend"]),
    ("0,1\n1,1,1\n", ["stdin:2"]),
    ("0,1\n1,1e30\n", ["stdin:2", "at most"]),
    ("0,1\n99999999,1\n", ["stdin:2", "days"]),
    ("0,1\n1e308,1\n", ["stdin:2", "days"]),
    ("0,1000001\n1,1\n", ["stdin:1", "1000001 requests/s; at most 1000000 "]),
    ("0,0\n10,0\n", ["no requests"]),
    ("\0\0\0", ["stdin:1"]),
    ("0,1\n" + "1" * 500 + ",1\n", ["stdin:2", "too long"]),
])
def test_a_bad_trace_is_refused_with_its_line(text, words):
    said = refused("--trace", "-", text=text, status=1)
    for word in words:
        assert word in said


def test_a_missing_file_is_named(tmp_path):
    assert "nothing.csv" in refused("--trace", tmp_path / "nothing.csv", status=1)
    assert "cannot be read" in refused("--trace", tmp_path, status=1)


def test_scale_brings_the_peak_to_servers():
    text = "".join("%d,%g\n" % (300 * i, 1 + i % 10) for i in range(200))
    got = report("--trace", "-", "--scale", "peak=14", "--rate", "60", "--policy", "lcp",
                 text=text)
    assert 13 <= got["by"]["optimum"]["peak_on"] <= 15
    flat = report("--trace", "-", "--scale", "peak=30", "--rate", "60", "--policy", "lcp",
                  text=text)
    assert flat["by"]["optimum"]["peak_on"] < 20  # 0.9 of all is the roof


def test_smoothing_takes_peaks_away():
    text = "".join("%d,%g\n" % (60 * i, 600 if i % 20 == 10 else 60) for i in range(200))
    args = ("--trace", "-", "--rate", "60", "--policy", "lcp")
    rough = report(*args, text=text)
    smooth = report(*args, "--smooth", "20m", text=text)
    assert rough["by"]["optimum"]["peak_on"] > smooth["by"]["optimum"]["peak_on"]
    assert smooth["requests"] == pytest.approx(rough["requests"], rel=0.05)


@pytest.mark.parametrize("shape, seconds, mean", [
    ("day", 86400, 0.55), ("week", 7 * 86400, 0.55 * 6 / 7), ("bursts", 86400, None),
    ("flash", 86400, None), ("walk", 86400, None)])
def test_shapes_are_as_long_and_as_high_as_they_say(shape, seconds, mean):
    got = report("--shape", shape, "--scale", "peak=14", "--rate", "60", "--policy",
                 "reactive")
    assert got["seconds"] == seconds
    per_peak = got["requests"] / seconds / (14 * 60)
    assert 0.05 < per_peak < 0.7
    if mean:
        assert per_peak == pytest.approx(mean, rel=0.02)


def test_bursts_are_as_rare_as_their_lengths_say():
    """On 165 s of 645 s on average at 100 %, else at 5 %."""
    got = report("--shape", "bursts", "--length", "7d", "--scale", "peak=14", "--rate", "60",
                 "--policy", "reactive")
    expected = (165 + 0.05 * 480) / 645
    assert got["requests"] / got["seconds"] / 840 == pytest.approx(expected, rel=0.15)


def test_a_model_is_read(tmp_path):
    model = tmp_path / "fleet.json"
    model.write_text(json.dumps({"servers": [SERVER] * 5}))
    got = report("--shape", "day", "--length", "2h", "--model", model, "--policy", "lcp")
    assert got["options"]["servers"] == 5
    assert got["options"]["setup_p95_s"] == 90
    assert got["options"]["off_watts"] == 3


@pytest.mark.parametrize("shape", ["day", "walk"])
def test_the_optimum_s_plan_holds_for_single_requests(shape):
    """It is late with as few as the program says, at much the same energy."""
    by = report("--shape", shape, "--length", "6h", "--mode", "discrete", "--rate", "60",
                "--policy", "plan")["by"]
    assert by["plan"]["over_optimum"] == pytest.approx(1, abs=0.02)
    assert by["plan"]["late_percent"] <= 1
    assert by["plan"]["peak_on"] == by["optimum"]["peak_on"]
    assert by["plan"]["p50_ms"] > 0


def test_a_plan_is_of_whole_servers_that_are_alike(tmp_path):
    model = tmp_path / "fleet.json"
    model.write_text(json.dumps({"servers": [SERVER, dict(SERVER, capacity=16)]}))
    load = ("--shape", "day", "--length", "1h", "--policy", "plan")
    assert "--mode discrete" in refused(*load)
    said = refused(*load, "--mode", "discrete", "--model", model, status=1)
    assert "--policy plan" in said and "2 types" in said


@pytest.mark.parametrize("cores", [1, 2, 4])
def test_hindsight_knows_what_servers_carry_together(cores):
    """One of few cores carries little within the goal when it is alone."""
    by = report("--shape", "day", "--cores", cores, "--policy", "hindsight,autoscale")["by"]
    assert by["hindsight"]["late_percent"] <= 0.5
    assert by["hindsight"]["over_optimum"] < 1.15 < by["autoscale"]["over_optimum"]


def test_watts_that_the_model_assumes_are_told(tmp_path):
    model, page = tmp_path / "fleet.json", tmp_path / "page.html"
    load = ("--shape", "day", "--length", "2h", "--model", model, "--policy", "lcp")
    model.write_text(json.dumps({"servers": [SERVER] * 5}))
    assert "assumed" not in good(*load, "--report", page)
    assert report(*load)["options"]["watts_assumed"] == 0
    assert '"watts_assumed":0' in page.read_text()
    unknown = dict(SERVER, watts_source="assumed")
    model.write_text(json.dumps({"servers": [SERVER] * 3 + [unknown] * 2}))
    assert "assumed, says the model: watts of 2 of 5 servers" in good(*load, "--report", page)
    assert report(*load)["options"]["watts_assumed"] == 2
    assert '"watts_assumed":2' in page.read_text()


def test_servers_of_different_types_get_a_linear_program(tmp_path):
    model = tmp_path / "fleet.json"
    large = dict(SERVER, capacity=16, watts=[52 + 40 * i for i in range(11)])
    model.write_text(json.dumps({"servers": [SERVER] * 3 + [large] * 3}))
    got = report("--shape", "day", "--length", "6h", "--model", model, "--policy", "all")
    by = got["by"]
    assert "linear program" in by["optimum"]["note"]
    assert by["bound"]["joules"] <= by["optimum"]["joules"]
    for name in ("oracle", "always-on", "lcp"):
        assert by[name]["joules"] > by["optimum"]["joules"]


def test_servers_of_different_types_that_are_too_few(tmp_path):
    """All of them are on all the time, as with servers that are alike."""
    model = tmp_path / "fleet.json"
    model.write_text(json.dumps({"servers": [SERVER, dict(SERVER, capacity=16)]}))
    done = run("--json", "--trace", "-", "--model", model, "--policy", "lcp",
               text=steady(1000, 3600))
    assert done.returncode == 0 and "--scale" in done.stderr, done.stderr
    by = {p["policy"]: p for p in json.loads(done.stdout)["policies"]}
    assert by["optimum"]["mean_on"] == pytest.approx(2, abs=1e-3)
    assert by["optimum"]["joules"] <= by["always-on"]["joules"] * 1.000001
    assert by["bound"]["joules"] <= by["optimum"]["joules"] * 1.000001


@pytest.mark.parametrize("text, words", [
    ("", ["no JSON"]),
    ("[]", ["0 servers"]),
    ('{"servers": []}', ["0 servers"]),
    ('{"servers": [{}]}', ["servers[0]", "name"]),
    (json.dumps({"servers": [SERVER, dict(SERVER, capacity=0)]}), ["servers[1]", "capacity"]),
    (json.dumps({"servers": [dict(SERVER, watts=[1, 2])]}), ["watts", "11"]),
    (json.dumps({"servers": [dict(SERVER, boot_s={"p50": 9, "p95": 8})]}), ["boot_s"]),
    (json.dumps({"servers": [dict(SERVER, off_watts=-1)]}), ["off_watts"]),
    (json.dumps({"servers": [SERVER] * 1001}), ["1001 servers", "1000"]),
], ids=range(9))
def test_a_bad_model_is_refused_with_its_place(tmp_path, text, words):
    model = tmp_path / "fleet.json"
    model.write_text(text)
    said = refused("--shape", "day", "--length", "1h", "--model", model, status=1)
    for word in words:
        assert word in said


def test_the_oracle_and_the_optimum_are_in_order():
    by = report("--shape", "walk", "--length", "12h", "--seed", "4")["by"]
    assert by["bound"]["joules"] <= by["optimum"]["joules"] <= by["oracle"]["joules"]
    assert by["oracle"]["joules"] < by["always-on"]["joules"]
    assert by["optimum"]["late_percent"] <= 1
    assert "t_wait" in by["hindsight"]["note"]


def test_a_bound_that_nobody_keeps_is_none():
    done = run("--json", "--trace", "-", "--servers", 2, "--rate", 60, "--cores", 8,
               "--service-time", "120ms", "--policy", "always-on", text=steady(500, 600))
    bound = [p for p in json.loads(done.stdout)["policies"] if p["policy"] == "bound"][0]
    assert bound["joules"] is None and bound["over_optimum"] is None
    assert "too few" in bound["note"]


@pytest.mark.parametrize("mode", ["fluid", "discrete"])
def test_every_policy_begins_with_all_on(mode):
    """The set-up is longer than the trace: who is on was on from the beginning, though one
    server would have done in the first second."""
    by = report("--trace", "-", "--servers", "8", "--rate", "60", "--setup", "2h",
                "--mode", mode, "--policy", "news,lcp,kpa,reactive",
                text="0,60\n" + "".join("%d,450\n" % t for t in range(1, 600)))["by"]
    for name in ("news", "lcp", "kpa", "reactive", "oracle"):
        assert by[name]["peak_on"] == 8


@pytest.mark.parametrize("mode", ["fluid", "discrete"])
def test_most_on_leaves_out_the_beginning(mode):
    """Load for one of eight, then for about three."""
    by = report("--trace", "-", "--servers", "8", "--rate", "60", "--setup", "10s",
                "--mode", mode, "--policy", "news,lcp,reactive",
                text=steady(30, 3600) + "".join("%d,140\n" % t for t in range(3600, 5400, 10)))
    by = by["by"]
    for name in ("news", "lcp", "reactive", "oracle"):
        assert 3 <= by[name]["peak_on"] <= 5, name
    assert by["always-on"]["peak_on"] == 8


def test_policies_by_name_only():
    by = report("--trace", "-", "--servers", "10", "--rate", "60", "--policy",
                "reactive,moving-average,straight-line,opt-reactive",
                text=steady(210, 7200))["by"]
    for name in ("reactive", "moving-average", "opt-reactive"):
        assert 3.5 < by[name]["mean_on"] < 4.6
    assert by["opt-reactive"]["joules"] <= by["reactive"]["joules"]
