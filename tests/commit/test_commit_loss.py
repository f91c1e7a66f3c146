"""tests/bench/commit-loss, in short: what a crash costs with GreenCommit, and with the older ways."""

import json
import os
import subprocess
import sys
import tempfile

import pytest
from replicas import ROOT, Replica

sys.path[:0] = [os.path.join(ROOT, "tests", "bench")]

from losskit import Machine  # noqa: E402

OURS, SHIPPED, PAIR = "quorum=2", "shipped every 5 s", "synchronous pair"
SETTING = ["--rate", "30", "--span", "3", "--after", "1.5", "--wait", "8000"]


def bench(*arguments):
    """(exit status, what it says)"""
    with tempfile.TemporaryFile("w+") as out:
        done = subprocess.run(
            ["timeout", "170", os.path.join(ROOT, "tests", "bench", "commit-loss"), *arguments],
            stdout=out, stderr=subprocess.STDOUT)
        out.seek(0)
        return done.returncode, out.read()


def records(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def total(runs, way, what, told="met"):
    return sum(run["ways"][way][what][told] for run in runs)


@pytest.fixture(scope="module")
def crashes(tmp_path_factory):
    """Three crashes, at the same time."""
    path = tmp_path_factory.mktemp("loss") / "runs"
    status, said = bench("--crashes", "3", "--jobs", "3", "--out", str(path), *SETTING,
                         "--ways", ",".join((OURS, SHIPPED, PAIR)))
    assert status == 0, said
    return path


def test_what_was_met_outlives_the_machine_that_answered(crashes):
    runs = records(crashes)
    assert len(runs) == 3
    for way in (OURS, PAIR):
        assert total(runs, way, "told") > 20, runs
        assert total(runs, way, "lost") == total(runs, way, "lost", "late") == 0, runs
    assert sum(run["ways"][OURS]["divergent"] + run["ways"][OURS]["twice"] for run in runs) == 0


def test_what_was_not_shipped_is_lost(crashes):
    """The experiment can see a loss: here nothing was shipped yet when the primary died."""
    runs = records(crashes)
    assert 0 < total(runs, SHIPPED, "lost") < total(runs, SHIPPED, "told"), runs


def test_each_way_draws_what_is_awake(crashes):
    for run in records(crashes):
        assert 285 <= run["ways"][OURS]["watts_before"] < 420, run
        assert 280 <= run["ways"][PAIR]["watts_before"] < 400, run


def test_the_account_of_a_machine(tmp_path):
    """Asleep, ordered on, on, lost: 10 s each, 2 s of them busy."""
    machine = Machine(Replica(str(tmp_path), "r1", "l1"))
    machine.phases = [(0.0, "off"), (20.0, "on"), (30.0, "lost")]
    machine.orders = [(5.0, "on", "r2"), (10.0, "on", "r1"), (12.0, "on", "r1")]
    asleep, boots, on, busy = 5 * 10, 200 * 10, 140 * 10, 60 * 2
    assert machine.joules(0, 40, 2) == asleep + boots + on + busy
    assert machine.joules(5, 15, 0) == (asleep + boots) / 2


def test_what_is_done_is_not_done_again(crashes):
    before = crashes.read_bytes()
    status, said = bench("--crashes", "3", "--out", str(crashes), *SETTING)
    assert status == 0 and "3 runs, 0 failed" in said and crashes.read_bytes() == before
    status, said = bench("--crashes", "3", "--out", str(crashes), "--rate", "31")
    assert status != 0 and "take another file" in said


def test_a_loss_is_told(crashes, tmp_path):
    runs = records(crashes)
    runs[1]["ways"][OURS]["lost"]["met"] = 6
    path = tmp_path / "runs"
    path.write_text("".join(json.dumps(run) + "\n" for run in runs))
    status, said = bench("--crashes", "0", "--out", str(path), *SETTING)
    assert status == 1 and "commit_loss_server_quorum2 value=2 low=0 high=6 goal=0 short" in said
