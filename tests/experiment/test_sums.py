"""The sums under the experiment's report: energy with gaps, slopes, what became of a request."""

import importlib.machinery
import importlib.util
import os
import random
import re
import sys

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:0] = [os.path.join(ROOT, name) for name in (
    "experiment", "rig", "tests/integration", "tests", "tests/experiment")]

import faults  # noqa: E402
import outcome  # noqa: E402
import plan  # noqa: E402
import stats  # noqa: E402
from pieces import made_piece  # noqa: E402
from room import HostSpec  # noqa: E402


def test_trapezoids_of_a_ramp():
    readings = [(t, 10.0 * t) for t in range(11)]
    joules, covered, gaps = stats.integrate(readings, 0, 10)
    assert joules == pytest.approx(500) and covered == pytest.approx(10) and gaps == []
    joules, covered, gaps = stats.integrate(readings, 2.5, 4)
    assert joules == pytest.approx((25 + 40) / 2 * 1.5) and covered == pytest.approx(1.5)


def test_a_gap_counts_for_nothing_and_is_told():
    readings = [(0, 100), (1, 100), (2, None), (3, None), (4, 100), (5, 100)]
    joules, covered, gaps = stats.integrate(readings, 0, 8)
    assert joules == pytest.approx(200) and covered == pytest.approx(2)
    assert gaps == [(1, 4), (5, 8)]
    assert stats.integrate([], 0, 8) == (0, 0, [(0, 8)])
    # One reading that is missing is no gap yet: its neighbours are near enough.
    assert stats.integrate([(0, 50), (1, None), (2, 50)], 0, 2) == (100, 2, [])


def test_slope_and_its_interval():
    dice = random.Random(3)
    flat = [(t, 1000 + dice.gauss(0, 20)) for t in range(0, 3600, 5)]
    slope, low, high = stats.slope_per_hour(flat)
    assert low < 0 < high and abs(slope) < 20
    leak = [(t, v + t / 3600 * 500) for t, v in flat]
    slope, low, high = stats.slope_per_hour(leak)
    assert 400 < low < 500 < high < 600
    assert stats.slope_per_hour(flat[:1]) is None


def test_interval_of_a_mean():
    mean, half = stats.mean_interval([1.0, 2.0, 3.0])
    assert mean == 2 and half == pytest.approx(4.303 / 3 ** 0.5, rel=1e-3)
    assert stats.mean_interval([5.0]) == (5.0, None)


def test_counters_that_begin_anew():
    assert outcome.counted([5, 7, 7, 2, 3]) == 5


@pytest.mark.parametrize("start, end, kind", [
    (9.0, 10.05, outcome.IN_FLIGHT), (9.0, 9.5, outcome.FAILED), (11.0, 11.1, outcome.FAILED),
    (9.0, 12.0, outcome.FAILED),
    (20.1, 20.1, outcome.DOWN), (19.9, 20.01, outcome.IN_FLIGHT), (21.5, 21.6, outcome.FAILED)])
def test_why_a_request_failed(start, end, kind):
    windows = [(10.0, 10.1, 10.1, "dies"), (20.0, 21.2, 20.4, "proxy_killed")]
    assert outcome.why_failed(start, end, windows) == kind


def test_lost_is_what_stock_httpd_answers(tmp_path):
    """Four requests fail: one in both, one in flight at a kill, one announced, one is lost."""
    fine = [(t / 10, 100000, 200, "none", 0) for t in range(90)]
    always, policy = list(fine), list(fine)
    always[20] = policy[20] = (2.0, 1000, 502, "none", 0)
    policy[40] = (4.0, 60000, 502, "none", 0)
    policy[60] = (6.0, 1000, 503, "none", 1)
    policy[70] = (7.0, 1000, 503, "none", 0)
    policy[75] = (7.5, 1000, 200, "wrong", 0)
    event = {"fault": "dies", "machine": "web1", "at": 104.05, "done": 104.06, "hit": True}
    reference = outcome.Run(plan.ALWAYS_ON, 1, [made_piece(tmp_path / "a", always)]).reference()
    run = outcome.Run("threshold", 1, [made_piece(tmp_path / "b", policy, [event])])
    count = run.count(reference)
    assert (count["requests"], count["answered"]) == (90, 85)
    assert (count["lost"], count["both"], count["in_flight"], count["announced"],
            count["wrong"], count["unmatched"]) == (1, 1, 1, 1, 1, 0)
    assert count["first_lost"][0][:2] == (0, 7.0)
    assert count["available"] == pytest.approx(85 / 89)
    assert count["available_apart"] == pytest.approx(85 / 88)
    (row,) = run.faults(reference)
    assert (row["in_flight"], row["lost"], row["t"]) == (1, 1, pytest.approx(4.05))


def test_energy_servers_and_cycles_of_a_piece(tmp_path):
    watts = [(t, "100") for t in range(99, 105)] + [(105, "")] + \
        [(t, "100") for t in range(108, 112)]
    run = outcome.Run("threshold", 1, [made_piece(tmp_path / "a", [(1, 1, 200, "none", 0)],
                                                  watts=watts)])
    energy = run.energy()
    assert energy["joules"] == pytest.approx(600) and energy["covered"] == pytest.approx(0.6)
    assert energy["gaps"] == [(0, "web1", pytest.approx(4), pytest.approx(8))]
    power = run.power()
    assert power["mean_on"] == pytest.approx(0.5) and power["cycles"] == {"web1": 1}
    assert power["boots"] == 1 and power["boot_p50"] == pytest.approx(2)
    assert run.lives("keeper_pid") == (1, 9)
    assert run.wakes() == {"count": 1, "p50": 2.5, "p95": 2.5}
    over = run.over_time()
    assert sum(over["on"]) * over["step_s"] == pytest.approx(5) and over["watts"][5] is None


def test_phases_in_a_console():
    text = "1.500 [off] --> [booting]\nLoading... 4.25 [booting] --> [up]\nvm: ready\n" \
        "9.000 [up] --> [no-service]\n"
    assert outcome.phases_told(text) == [[1.5, "off", "booting"], [4.25, "booting", "up"],
                                         [9.0, "up", "no-service"]]


# --- faults -----------------------------------------------------------------------

SPECS = [HostSpec("web1"), HostSpec("web2", kind="wol"), HostSpec("web3", kind="plain")]


def text_of(name):
    with open(os.path.join(ROOT, "experiment", name), encoding="ascii") as file:
        return file.read()


def test_each_fault_as_often_as_the_others_and_the_same_for_a_seed():
    mix = faults.Mix(text_of("faults-default"))
    schedule = mix.schedule(7200, SPECS, 7)
    assert schedule == mix.schedule(7200, SPECS, 7) != mix.schedule(7200, SPECS, 8)
    assert len(schedule) >= 450
    counts = {}
    for entry in schedule:
        counts[entry["kind"]] = counts.get(entry["kind"], 0) + 1
    assert set(counts) == {e["kind"] for e in mix.drawn} and len(counts) == 10
    assert max(counts.values()) - min(counts.values()) <= 2
    assert all(e["machine"] == "web2" for e in schedule if e["kind"] == "lost_packets")


def test_no_machine_has_two_faults_at_once():
    for seed in range(20):
        until = {}
        for e in faults.Mix(text_of("faults-all")).schedule(3600, SPECS, seed):
            if e["machine"]:
                assert e["at"] > until.get(e["machine"], -1)
                until[e["machine"]] = e["at"] + e["heal_s"]


@pytest.mark.parametrize("text, words", [
    ("dies", "every SECONDS"), ("every 0", "every SECONDS"), ("every x", "every SECONDS"),
    ("every 5\nexplodes", "there is no fault explodes"), ("every 5\ndies web1", "KIND"),
    ("every 5\ndies value=3", "dies takes no value"), ("every 5\nboot_slow heal=x", "heal"),
    ("at 3", "at SECOND KIND"), ("at -1 dies", "at SECOND"), ("at 3 dies a b", "one machine"),
    ("every nan\ndies", "every SECONDS"), ("at 1e99 dies", "at SECOND")])
def test_bad_files_of_faults(text, words):
    with pytest.raises(faults.FaultsError, match=words):
        faults.Mix(text)


def test_faults_at_their_time():
    mix = faults.Mix("at 3 dies web3 heal=2 # now\n\nat 1.5 graceful\nat 99 graceful")
    assert [(e["at"], e["kind"], e["machine"], e["heal_s"]) for e in mix.schedule(50, SPECS, 1)
            ] == [(1.5, "graceful", None, 0), (3, "dies", "web3", 2)]
    with pytest.raises(faults.FaultsError, match="web9"):
        faults.Mix("at 3 dies web9").schedule(50, SPECS, 1)
    with pytest.raises(faults.FaultsError, match="web1"):
        faults.Mix("at 3 lost_packets web1").schedule(50, SPECS, 1)


def test_virtual_machines_get_what_they_can_have():
    specs = [HostSpec("web1", kind="both", vm=True), HostSpec("web2", kind="plain", vm=True)]
    for name in ("faults-default", "faults-all", "faults-steady"):
        mix = faults.Mix(text_of(name))
        mix.for_vms()
        kinds = {e["kind"] for e in mix.schedule(3600, specs, 1)}
        assert "power_loss" in kinds and "boot_slow" in kinds and "dies" not in kinds
        assert kinds.isdisjoint({"boot_fails", "unhealthy", "order_hangs"})


# --- the plan ----------------------------------------------------------------------

def test_pieces_and_squeezed_durations():
    made = plan.Plan(hours=120)
    assert made.wall_s() == 7200 and made.pieces() == 2 and made.piece_s() == 3600
    assert made.dwell_s() == (5, 1) and made.boot_s() == 2
    assert plan.Plan(hours=91, speedup=60, piece_minutes=90).pieces() == 2
    assert plan.Plan(hours=90, speedup=60, piece_minutes=90).pieces() == 1


def test_pieces_of_a_load_are_the_whole():
    whole = plan.Plan(hours=4, piece_minutes=4)
    parts = plan.Plan(hours=4, piece_minutes=1)
    assert (whole.pieces(), parts.pieces()) == (1, 4)
    points = {}
    for number in range(4):
        own = parts.profile(5, number)
        assert own[0][0] == 0 and own[-1][0] == 60
        assert all(a[0] <= b[0] for a, b in zip(own, own[1:]))
        points.update({number * 60 + at: rate for at, rate in own[:-1]})
    assert points == dict(p for p in whole.profile(5, 0)[:-1])
    assert 0 < max(points.values()) <= whole.peak_rate()


def test_a_trace_is_scaled_and_begins_anew(tmp_path):
    path = tmp_path / "trace.csv"
    path.write_text("seconds,rate\n0,10\n3600,40\n7200,20\n", encoding="ascii")
    made = plan.Plan(hours=3, trace=plan.read_trace(str(path)), rate=100)
    points = dict(made.profile(1, 0))
    assert points[0] == 25 and points[60] == 100 and points[55] == 25 and points[120] == 25


@pytest.mark.parametrize("text", ["", "a,b\n", "1,2\n", "1,2\n1,3\n", "1,-2\n2,3\n",
                                  "1,0\n2,0\n", "1,nan\n2,nan\n", "1,inf\n2,1\n"])
def test_bad_traces(tmp_path, text):
    path = tmp_path / "trace.csv"
    path.write_text(text, encoding="ascii")
    with pytest.raises(plan.PlanError, match="seconds,requests_per_second"):
        plan.read_trace(str(path))


# --- the command line ----------------------------------------------------------------

@pytest.mark.parametrize("words, told", [
    (["--policies", "best"], "there is no best"), (["--seeds", "1,x"], "numbers with commas"),
    (["--seeds", "1,1"], "that differ"), (["--servers", "1"], "2 to 64"),
    (["--hours", "0.5"], "a minute at least"), (["--piece", "91"], "1 to 90"),
    (["--faults", "/nowhere/x"], "No such file"), (["--faults", "/dev/null"], "none in it"),
    (["--trace", "/dev/null"], "seconds,requests_per_second"), (["--speedup", "0"], "1 to 1000"),
    (["--machines", "real"], "invalid choice"), (["--resume"], "no .* to go on with"),
    (["--at-once", "0"], "1 to 16"), (["--rate", "-1"], "--rate")])
def test_wrong_options_are_told_before_anything_is_done(runner, tmp_path, capsys, words, told):
    out = str(tmp_path / "out")
    with pytest.raises(SystemExit) as ended:
        runner.parse(["--out", out] + words)
    assert ended.value.code == 2 and re.search(told, capsys.readouterr().err)
    assert not os.path.exists(out)


# --- pieces that are done are not done again ---------------------------------------------

FAKE_PIECE = """
import json, os, sys
plan, policy, seed, number, folder, *before = sys.argv[1:]
with open(os.environ["CALLS"], "a") as file:
    file.write(" ".join([policy, seed, number] + before) + "\\n")
if number == "1" and not os.path.exists(os.environ["CALLS"] + ".fine"):
    sys.exit(3)
os.makedirs(os.path.join(folder, "state"))
with open(os.path.join(folder, "done.json"), "w") as file:
    file.write("{}")
"""


@pytest.fixture(scope="module")
def runner():
    """experiment/run, as a module."""
    path = os.path.join(ROOT, "experiment", "run")
    loader = importlib.machinery.SourceFileLoader("experiment_run", path)
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(
        "experiment_run", loader))
    loader.exec_module(module)
    return module


@pytest.fixture
def fake_pieces(runner, tmp_path, monkeypatch):
    """They only write down that they were run."""
    (tmp_path / "piece.py").write_text(FAKE_PIECE, encoding="ascii")
    monkeypatch.setattr(runner, "HERE", str(tmp_path))
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))


@pytest.mark.usefixtures("fake_pieces")
def test_a_piece_that_failed_is_run_again_and_no_other(runner, tmp_path):
    made = plan.Plan(hours=4, piece_minutes=1)
    out = str(tmp_path / "out")

    def calls():
        runner.run_pieces(made, out, "news", 5)
        with open(tmp_path / "calls", encoding="ascii") as file:
            told = file.read().splitlines()
        os.unlink(tmp_path / "calls")
        return told

    folder = os.path.join(out, "runs", "news-5")
    assert calls() == ["news 5 0", "news 5 1 %s/0/state" % folder]
    (tmp_path / "calls.fine").write_text("", encoding="ascii")
    assert calls() == ["news 5 %d %s/%d/state" % (n, folder, n - 1) for n in (1, 2, 3)]
    with pytest.raises(FileNotFoundError):
        calls()


def test_an_experiment_is_never_overwritten_and_goes_on_as_it_was(runner, tmp_path):
    out = str(tmp_path / "out")
    words = ["--out", out, "--hours", "7", "--seeds", "3,4", "--faults", "default"]
    _, made = runner.parse(words)
    os.makedirs(out)
    made.save(os.path.join(out, "plan.json"))
    with pytest.raises(SystemExit):
        runner.parse(words)
    assert runner.parse(["--resume", "--out", out])[1] == made
    assert made.runs() == [(policy, seed) for seed in (3, 4)
                           for policy in (plan.ALWAYS_ON, "threshold")]
