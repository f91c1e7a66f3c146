"""The sums under the experiment's report: energy with gaps, slopes, what became of a request."""

import os
import random
import sys

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:0] = [os.path.join(ROOT, name) for name in (
    "experiment", "rig", "tests/integration", "tests", "tests/experiment")]

import outcome  # noqa: E402
import plan  # noqa: E402
import stats  # noqa: E402
from pieces import made_piece  # noqa: E402


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
    own = run.pieces[0].samples
    assert energy["module_joules"] == pytest.approx(1000 - own[0]["joules"])
    own[2]["joules"] = 1.0  # httpd was killed, and went on from its checkpoint
    assert run.energy()["module_joules"] == pytest.approx(1000 - own[0]["joules"])
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
