"""The plan of an experiment: its pieces, its load, its command line, and going on with it."""

import importlib.machinery
import importlib.util
import json
import os
import re
import signal
import sys
import threading

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:0] = [os.path.join(ROOT, name) for name in (
    "experiment", "rig", "tests/integration", "tests")]

import plan  # noqa: E402


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
                                  "1,0\n2,0\n", "1,nan\n2,nan\n", "1,inf\n2,1\n",
                                  "1,2\nnan,3\n3,4\n", "1,2\n2,nan\n3,4\n", "1,2\ninf,4\n",
                                  "0,1\n60,1O\n120,4\n", "0,1\n60\n120,4\n", "x,y\nx,y\n0,1\n1,2\n",
                                  "5,2\n4,2\n", "1,2\n2,\N{SNOWMAN}\n", "1,2\n2,\0\n",
                                  "1," + "2" * 200000 + "\n"])
def test_bad_traces(tmp_path, text):
    path = tmp_path / "trace.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(plan.PlanError, match="seconds,requests_per_second"):
        plan.read_trace(str(path))


def test_a_trace_of_a_million_lines(tmp_path):
    path = tmp_path / "trace.csv"
    path.write_text("".join("%d,%d\n" % (t, t % 7) for t in range(10 ** 6)), encoding="ascii")
    made = plan.Plan(hours=24, trace=plan.read_trace(str(path)), rate=100)
    assert max(rate for _, rate in made.profile(1, 0)) == 100


def saved(tmp_path, **more):
    path = str(tmp_path / "plan.json")
    plan.Plan().save(path)
    with open(path, encoding="utf-8") as file:
        told = dict(json.load(file), **more)
    with open(path, "w", encoding="utf-8") as file:
        json.dump(told, file)
    return path


@pytest.mark.parametrize("more", [
    {"hours": "3"}, {"hours": None}, {"hours": float("nan")}, {"hours": 1e9}, {"servers": 2.5},
    {"servers": True}, {"policies": []}, {"policies": "threshold"}, {"policies": [1]},
    {"policies": ["always-on"]}, {"seeds": [1.5]}, {"seeds": [-1]}, {"seeds": []}, {"more": 1},
    {"machines": "real"}, {"trace": [[1]]}, {"trace": [[0, 1], [0, 1]]}, {"trace": {}},
    {"trace": [["0", 1], [1, 1]]}, {"watts": "a:b"}, {"capacity": 0}, {"service_ms": 0.0},
    {"hours": 8000, "speedup": 1}])
def test_a_plan_that_was_spoilt(tmp_path, more):
    with pytest.raises(plan.PlanError, match="put it back as it was"):
        plan.Plan.load(saved(tmp_path, **more))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "{}", "\0", "[" * 100000])
def test_what_is_no_plan(tmp_path, text):
    path = tmp_path / "plan.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(plan.PlanError, match="put it back as it was"):
        plan.Plan.load(str(path))
    assert plan.Plan.load(saved(tmp_path, rate=0)).digest() == plan.Plan().digest()
    assert plan.Plan(seeds=[1, 2], policies=["news"]).digest() == plan.Plan().digest()
    assert plan.Plan(faults="every 5").digest() != plan.Plan().digest()


# --- the command line ----------------------------------------------------------------

@pytest.mark.parametrize("words, told", [
    (["--policies", "best"], "there is no best"), (["--seeds", "1,x"], "numbers with commas"),
    (["--seeds", "1,1"], "that differ"), (["--servers", "1"], "2 to 64"),
    (["--hours", "0.5"], "a minute at least"), (["--piece", "91"], "1 to 90"),
    (["--faults", "/nowhere/x"], "No such file.* default, all, steady, or a file"),
    (["--faults", "/dev/null"], "none in it"),
    (["--trace", "/dev/null"], "seconds,requests_per_second"), (["--speedup", "0"], "1 to 1000"),
    (["--machines", "real"], "invalid choice"), (["--resume"], "no .* to go on with"),
    (["--at-once", "0"], "1 to 16"), (["--rate", "-1"], "--rate"), (["--rate", "nan"], "--rate"),
    (["--hours", "nan"], "--hours"), (["--hours", "inf"], "--hours"),
    (["--policies", "news,news"], "that differ"), (["--policies", ""], "no policy without a name"),
    (["--seeds", "-1"], "--seeds"), (["--seeds", "9" * 30], "--seeds")])
def test_wrong_options_are_told_before_anything_is_done(runner, tmp_path, capsys, words, told):
    out = str(tmp_path / "out")
    with pytest.raises(SystemExit) as ended:
        runner.parse(["--out", out] + words)
    assert ended.value.code == 2 and re.search(told, capsys.readouterr().err)
    assert not os.path.exists(out)


def test_what_a_spreadsheet_writes_is_a_trace(tmp_path):
    path = tmp_path / "trace.csv"
    path.write_bytes(b"\xef\xbb\xbfseconds,rate\r\n0,10\r\n3600,40\r\n")
    assert plan.read_trace(str(path)) == [[0, 10], [3600, 40]]
    path.write_bytes(b"\xef\xbb\xbf0,10\r\n3600,40\r\n")  # no heading
    assert plan.read_trace(str(path)) == [[0, 10], [3600, 40]]


def test_the_highest_rate_that_is_played():
    trace = [[0, 10], [3600, 20], [7200, 40], [10800, 40]]
    assert plan.Plan(hours=1, trace=trace, rate=100).highest_rate() == 25
    assert plan.Plan(hours=3, trace=trace, rate=100).highest_rate() == 100
    assert plan.Plan().begins_clock() == "7:12"


@pytest.mark.parametrize("text, told", [
    ("at 3 dies web9", "no such machine"), ("at 3 bmc_hangs web4", "cannot have that"),
    ("at 60 graceful", "a piece has ended by then"), ("every 100\ndies", "none of them comes")])
def test_faults_that_never_come_are_told(runner, tmp_path, capsys, text, told):
    (tmp_path / "faults").write_text(text, encoding="ascii")
    with pytest.raises(SystemExit):
        runner.parse(["--out", str(tmp_path / "out"), "--hours", "1", "--faults",
                      str(tmp_path / "faults")])
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--hours", "3"], ["--faults", "none"], ["--seeds", "1"],
                                   ["--piece", "60"], ["--policies=threshold"]])
def test_what_the_plan_says_is_not_said_again(runner, tmp_path, capsys, words):
    """Not even the very same: nobody shall think that it had been heard."""
    plan.Plan().save(str(tmp_path / "plan.json"))
    going_on = ["--resume", "--out", str(tmp_path), "--at-once", "2", "--first"]
    assert runner.parse(going_on)[1] == plan.Plan()
    with pytest.raises(SystemExit):
        runner.parse(going_on + words)
    assert "without %s" % words[0].split("=")[0] in capsys.readouterr().err


def test_two_at_once_in_one_directory(runner, tmp_path):
    plan.Plan().save(str(tmp_path / "plan.json"))
    options, _ = runner.parse(["--resume", "--out", str(tmp_path)])
    lock = runner.lock_out(options, str(tmp_path / "plan.json"))
    with pytest.raises(SystemExit, match="another experiment/run is at work"):
        runner.lock_out(options, str(tmp_path / "plan.json"))
    lock.release()
    options.resume = False  # somebody was faster
    with pytest.raises(SystemExit, match="just now"):
        runner.lock_out(options, str(tmp_path / "plan.json"))


@pytest.mark.parametrize("kind", ["file", "below a file", "dangling"])
def test_directories_that_are_none(runner, tmp_path, kind):
    (tmp_path / "file").write_text("", encoding="ascii")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere" / "at" / "all")
    out = str(tmp_path / ("file/x" if "below" in kind else kind))
    options, _ = runner.parse(["--out", out])
    with pytest.raises(SystemExit, match="--out: nothing can be written there"):
        runner.lock_out(options, os.path.join(out, "plan.json"))
    with pytest.raises(SystemExit):
        runner.parse(["--out", ""])


@pytest.mark.usefixtures("fake_pieces")
def test_a_piece_that_was_killed_is_told(runner, tmp_path, capsys):
    (tmp_path / "piece.py").write_text("import os; os.kill(os.getpid(), 9)", encoding="ascii")
    runner.run_pieces(plan.Plan(), str(tmp_path / "out"), "news", 5)
    assert "was killed by signal 9; --resume" in capsys.readouterr().out


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


def test_a_piece_that_begins_while_all_are_interrupted_is_ended_too(runner, tmp_path, monkeypatch):
    (tmp_path / "piece.py").write_text("import time\ntime.sleep(60)\n", encoding="ascii")
    monkeypatch.setattr(runner, "HERE", str(tmp_path))
    monkeypatch.setattr(runner, "stopping", threading.Event())
    runner.stopping.set()
    assert runner.run_piece([], False) == -signal.SIGTERM and not runner.running


def test_policies_may_have_spaces_between(runner, tmp_path):
    words = ["--out", str(tmp_path / "out"), "--policies", "threshold, news"]
    assert runner.parse(words)[1].policies == ["threshold", "news"]


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
