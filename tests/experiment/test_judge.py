"""What must never be judged as good: requests that were lost and look saved, watts that nobody
read, leaks that two pieces hide, files that were cut."""

import json
import os
import sys

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:0] = [os.path.join(ROOT, name) for name in (
    "experiment", "rig", "tests/integration", "tests", "tests/experiment")]

import forecast  # noqa: E402
import outcome  # noqa: E402
import plan  # noqa: E402
import report  # noqa: E402
import results  # noqa: E402
import stats  # noqa: E402
import written  # noqa: E402
from pieces import BEGAN, SECONDS, made_piece, sample  # noqa: E402

FINE = [(t / 10, 100000, 200, "none", 0) for t in range(90)]
FORECAST = {"joules": [1000.0], "mean_on": [1.0], "p99_ms": [1.0], "late_percent": [0.0],
            "optimum": 900.0, "bound": 800.0}


def watts_of(value, machine="web1"):
    return [(t, str(value), machine) for t in range(99, 112)]


class Lab:
    """A plan of ten seconds, its pieces, and what is judged of them."""

    def __init__(self, folder):
        self.folder = folder
        self.plan = plan.Plan(hours=1, speedup=360, servers=1)

    def piece(self, policy, rows=FINE, watts=None, **more):
        watts = watts_of(200 if policy == plan.ALWAYS_ON else 100) if watts is None else watts
        return made_piece(self.folder / policy, rows, watts=watts, of=(self.plan, policy, 1),
                          **more)

    def results(self):
        return results.Results(self.plan, lambda policy, seed, number: str(self.folder / policy))

    def judged(self):
        """{name: (value, was it met)} without the policy's name."""
        verdict = results.judge(self.results())
        return {name.replace("threshold_", ""): (value, good)
                for name, value, _, good in verdict.lines}

    def short(self):
        return {name for name, (_, good) in self.judged().items() if not good}


@pytest.fixture
def lab(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "forecast", lambda *_: FORECAST)
    return Lab(tmp_path)


def test_what_is_fine_is_good(lab):
    lab.piece(plan.ALWAYS_ON)
    lab.piece("threshold")
    assert lab.short() == set()
    assert lab.judged()["saved_percent"] == ("50", True)


# --- requests ---------------------------------------------------------------------------

def test_without_always_on_nobody_knows_what_is_lost(lab):
    lab.piece("threshold", FINE[:70] + [(7.0, 1000, 502, "none", 0)])
    judged = lab.judged()
    assert judged["lost"] == judged["missing"] == ("unknown", False)
    assert {"runs", "compared"} <= lab.short()
    found = lab.results()
    (row,) = report.request_table(found).rows
    assert row[3] == "–" and "No policy has been compared" in report.headline(found)


def test_requests_that_were_never_made_are_missed(lab):
    lab.piece(plan.ALWAYS_ON)
    lab.piece("threshold", FINE[:60])
    assert lab.short() == {"missing"} and lab.judged()["missing"] == (30, False)


def test_requests_that_stock_httpd_never_got_are_told(lab):
    lab.piece(plan.ALWAYS_ON, FINE[:60])
    lab.piece("threshold")
    assert lab.judged()["unmatched"] == (30, False)


def test_what_failed_after_the_proxy_was_back_is_lost(lab):
    """The keeper came a second after the port: that excuses nothing."""
    killed = {"fault": "proxy_killed", "machine": None, "at": 104.0, "answered": 104.1,
              "done": 105.1, "hit": True}
    rows = list(FINE)
    rows[45] = (4.5, 1000, 502, "none", 0)
    lab.piece(plan.ALWAYS_ON, events=[killed])
    lab.piece("threshold", rows, events=[killed])
    assert lab.judged()["lost"] == (1, False)


def test_a_machine_that_boots_has_nothing_in_flight(lab):
    rows = list(FINE)
    rows[45] = (4.5, 1000, 502, "none", 0)
    for phase, lost in (("up", 0), ("booting", 1), ("off", 1)):
        pressed = {"fault": "press_button", "machine": "web1", "at": 104.5, "done": 104.5,
                   "hit": True, "phase": phase}
        reference = outcome.Run(plan.ALWAYS_ON, 1, [made_piece(
            lab.folder / ("a" + phase), FINE)]).reference()
        run = outcome.Run("threshold", 1, [made_piece(lab.folder / phase, rows, [pressed])])
        assert run.count(reference)["lost"] == lost


def test_two_requests_of_one_microsecond(lab):
    """Stock httpd answered one of them: the other one is no excuse."""
    tie = (3.05, 1000, 200, "none", 0)
    failed = (3.05, 1000, 502, "none", 0)
    reference = outcome.Run(plan.ALWAYS_ON, 1, [made_piece(
        lab.folder / "a", FINE + [tie, failed])]).reference()
    run = outcome.Run("threshold", 1, [made_piece(lab.folder / "b", FINE + [tie, failed])])
    assert run.count(reference)["lost"] == 1


@pytest.mark.parametrize("status", [0, 101, 400, 999])
def test_what_is_no_answer(lab, status):
    lab.piece(plan.ALWAYS_ON)
    lab.piece("threshold", FINE[:-1] + [(8.9, 1000, status, "none", 0)])
    assert lab.judged()["lost"] == (1, False)


def test_goals_are_met_before_they_are_rounded(lab):
    lab.piece(plan.ALWAYS_ON, watts=watts_of(10000))
    lab.piece("threshold", watts=watts_of(9900.4))
    assert lab.judged()["saved_percent"] == ("0.996", False)


def test_a_proxy_that_stays_down_is_told(lab):
    killed = {"fault": "proxy_killed", "machine": None, "at": 101.0, "answered": 112.0,
              "done": 112.0, "hit": True}
    lab.piece(plan.ALWAYS_ON)
    lab.piece("threshold", events=[killed])
    assert lab.judged()["proxy_down_s"] == ("11", False)


# --- watts ------------------------------------------------------------------------------

def test_each_machine_counts_by_its_own_readings(lab):
    """That which is always on was read half as long as that which is off."""
    watts = watts_of(200)[:6] + watts_of(10, "web2")
    run = outcome.Run("threshold", 1, [made_piece(lab.folder / "a", FINE, watts=watts,
                                                  machines=("web1", "web2"))])
    energy = run.energy()
    assert energy["mean_watts"] == pytest.approx(210)
    assert energy["least_covered"] == pytest.approx(0.4)
    assert energy["covered"] == pytest.approx(0.7)


@pytest.mark.parametrize("who", [plan.ALWAYS_ON, "threshold"])
def test_a_machine_without_readings_saves_nothing(lab, who):
    lab.plan.servers = 2
    for policy in (plan.ALWAYS_ON, "threshold"):
        watts = watts_of(100) + ([] if policy == who else watts_of(100, "web2"))
        lab.piece(policy, watts=watts, machines=("web1", "web2"))
    assert {"compared", "watts_covered_of_a_machine"} <= lab.short()
    assert "saved_percent" not in lab.judged()
    report.write(lab.results(), results.judge(lab.results()), str(lab.folder))


@pytest.mark.parametrize("text", ["", "nan", "inf", "-inf", "-5", "1e300"])
def test_readings_that_are_none(lab, text):
    run = outcome.Run("threshold", 1, [made_piece(lab.folder / "a", FINE, watts=watts_of(text))])
    energy = run.energy()
    assert (energy["joules"], energy["covered"], energy["mean_watts"]) == (0, 0, None)


# --- what may leak ------------------------------------------------------------------------

def test_two_pieces_hide_no_leak():
    """A megabyte in each of them, and processes begin anew."""
    groups = [[(begin + t, 5000 + t / 3.6) for t in range(0, 3600, 5)] for begin in (0, 3600)]
    slope, low, high = stats.slope_per_hour(*groups)
    assert slope == pytest.approx(1000) and 990 < low <= high < 1010
    assert stats.slope_per_hour([(1, 2)], [(3, 4)]) is None
    assert stats.slope_per_hour([(1, 2), (1, 3), (1, 4), (1, 5)]) is None


def test_a_leak_that_nobody_could_see_is_none(lab):
    gone = [sample(BEGAN + t, keeper_kb=0) for t in range(10)]
    lab.piece(plan.ALWAYS_ON)
    lab.piece("threshold", samples=gone)
    assert {"samples", "keeper_kb_growth", "processes_growth"} <= lab.short()
    assert lab.judged()["keeper_kb_growth"] == ("unknown", False)


@pytest.mark.parametrize("count", [0, 2])
def test_one_keeper(lab, count):
    lab.piece(plan.ALWAYS_ON)
    lab.piece("threshold", keepers=count)
    assert lab.short() == {"keepers"}


def test_faults_that_did_not_happen_are_missed(lab):
    lab.plan.faults = "at 3 graceful\nat 5 graceful"
    done = [{"fault": "graceful", "machine": None, "at": 103, "done": 103.1, "hit": True}]
    lab.piece(plan.ALWAYS_ON, events=done * 2)
    lab.piece("threshold")
    assert lab.judged()["faults"] == (0, False)


# --- files ----------------------------------------------------------------------------------

def spoil(path, change):
    with open(path, encoding="ascii") as file:
        text = file.read()
    with open(path, "w", encoding="utf-8") as file:
        file.write(change(text))


@pytest.mark.parametrize("name, change, told", [
    ("requests.csv", lambda t: t[:-10], "it is cut"),
    ("requests.csv", lambda t: t[:t.rindex("\n", 0, -1) + 1], "89 requests, the generator"),
    ("requests.csv", lambda t: t.replace("0.100000", "nan", 1), "no request"),
    ("requests.csv", lambda t: t.replace("0.100000", "-1", 1), "no request"),
    ("requests.csv", lambda t: t.replace(",200,", ",\N{SNOWMAN},", 1), "ascii"),
    ("requests.csv", lambda t: "", "its first line"),
    ("watts.csv", lambda t: t[:-3], "it is cut"),
    ("watts.csv", lambda t: t + "111.5,web9,100\n", "no machine web9"),
    ("watts.csv", lambda t: t + "50,web1,100\n", "goes back"),
    ("watts.csv", lambda t: t + "inf,web1,100\n", "goes back, or is none"),
    ("watts.csv", lambda t: t + "112,web1,1o0\n", "could not convert"),
    ("sessions.csv", lambda t: t + "1\n", "it is cut"),
    ("samples.jsonl", lambda t: t[:-9], "line 10: it is cut"),
    ("samples.jsonl", lambda t: t.replace("5000", "NaN", 1), "no number"),
    ("samples.jsonl", lambda t: t.replace("5000", "1e999", 1), "no number"),
    ("samples.jsonl", lambda t: t.replace('"keeper_kb"', '"x"', 1), "keeper_kb"),
    ("samples.jsonl", lambda t: "[" * 100000 + "\n", "without end|line 1"),
    ("events.jsonl", lambda t: '{"fault": "dies"}\n', "line 1"),
    ("events.jsonl", lambda t: '[1]\n', "line 1"),
    ("machines.json", lambda t: "{}", "no machine"),
    ("machines.json", lambda t: "[]", "no machine"),
    ("machines.json", lambda t: t.replace("[90,", '["x",'), "no number"),
    ("done.json", lambda t: "", "Expecting value"),
    ("done.json", lambda t: t[:100], "done.json"),
    ("done.json", lambda t: "[]", "done.json"),
    ("done.json", lambda t: t.replace('"keepers": 1', '"x": 1'), "'keepers' is missing"),
    ("done.json", lambda t: t.replace('"crashes": []', '"crashes": 0'), "lists"),
    ("done.json", lambda t: t.replace("10.0", "NaN"), "no number"),
    ("done.json", lambda t: t.replace("10.0", "20.0"), "plan.json was another"),
    ("done.json", lambda t: t.replace('"seed": 1', '"seed": 2'), "seed 2"),
    ("done.json", lambda t: t.replace('"threshold"', '"news"'), "it is of news"),
    ("profile", lambda t: t.replace("0", "1", 1), "not the load")])
def test_files_that_were_spoilt_make_no_figures(lab, name, change, told, capsys):
    lab.piece(plan.ALWAYS_ON)
    folder = lab.piece("threshold")
    assert lab.results().broken == []
    spoil(os.path.join(folder, name), change)
    found = lab.results()
    with pytest.raises(AssertionError, match=told):
        raise AssertionError(found.broken[0])
    assert "remove the directory %s, and --resume" % folder in found.broken[0]
    verdict = results.judge(found)
    assert not verdict.good and found.broken[0] in capsys.readouterr().out
    report.write(found, verdict, str(lab.folder))
    assert "left out" in (lab.folder / "report.md").read_text(encoding="utf-8")


def test_a_file_that_is_gone(lab):
    lab.piece(plan.ALWAYS_ON)
    folder = lab.piece("threshold")
    for name in ("watts.csv", "samples.jsonl", "machines.json", "profile", "error.log"):
        os.rename(os.path.join(folder, name), os.path.join(folder, "gone"))
        assert name in lab.results().broken[0]
        os.rename(os.path.join(folder, "gone"), os.path.join(folder, name))
    assert lab.short() == set()


def test_a_plan_that_was_changed_meanwhile(lab):
    lab.piece(plan.ALWAYS_ON)
    lab.piece("threshold", plan=lab.plan.digest())
    assert lab.short() == set()
    lab.plan.faults = "at 3 graceful"  # the load stays the same
    assert "plan.json was another one" in lab.results().broken[0]


def test_numbers():
    assert written.number(1.5) == 1.5
    for bad in (float("nan"), float("inf"), True, None, "1", 10 ** 400):
        with pytest.raises(ValueError, match="no number"):
            written.number(bad)


# --- the forecast ----------------------------------------------------------------------------

@pytest.mark.parametrize("program, told", [
    ("exit 3", "ended with 3"), ("echo oh >&2; exit 1", "oh"), ("echo nonsense", "understood"),
    ("echo '{}'", "understood"), ("echo '[]'", "understood"), ("kill -9 $$", "ended with -9"),
    ("printf '\\377'", "understood"),
    ("echo '%s'" % json.dumps({
        "policies": [{"policy": "threshold", "joules": float("nan"), "mean_on": 1, "p99_ms": 1,
                      "late_response_percent": 1},
                     {"policy": "optimum", "joules": 1}, {"policy": "bound", "joules": 1}]}),
     "cannot be"), (None, "cannot be run")])
def test_a_simulator_that_fails_is_told(tmp_path, monkeypatch, program, told):
    lab, path = Lab(tmp_path), tmp_path / "greensim"
    if program:
        path.write_text("#!/bin/sh\n%s\n" % program, encoding="ascii")
        path.chmod(0o755)
    monkeypatch.setattr(forecast, "GREENSIM", str(path))
    lab.piece(plan.ALWAYS_ON)
    lab.piece("threshold")
    found = lab.results()
    assert told in found.runs["threshold", 1]["no_forecast"]
    assert lab.short() == {"forecasts"}
    assert "no forecast" in str(report.trouble_table(found).rows)
    report.write(found, results.judge(found), str(tmp_path))


def test_ten_seconds():
    assert plan.Plan(hours=1, speedup=360).wall_s() == SECONDS
