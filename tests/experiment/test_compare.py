"""experiment/compare: two experiments that agree, that do not, and that cannot be compared."""

import importlib.machinery
import importlib.util
import json
import os

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PLAN = {"hours": 12, "speedup": 60, "policies": ["news"], "seeds": [1, 2, 3], "servers": 8}


@pytest.fixture(scope="module")
def compare():
    loader = importlib.machinery.SourceFileLoader(
        "experiment_compare", os.path.join(ROOT, "experiment", "compare"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(
        "experiment_compare", loader))
    loader.exec_module(module)
    return module


def run_of(policy, seed, watts, lost=0, late=0.5, **more):
    joules = watts or 0
    return {"policy": policy, "seed": seed, "seconds": 100.0,
            "energy": {"joules": 50 * joules, "covered": 0.5, "mean_watts": watts},
            "power": {"mean_on": 4.0}, "count": {"lost": lost, "wrong": 0, "late_percent": late},
            "forecast": {"joules": [100 * joules, 102 * joules], "optimum": 90 * joules}, **more}


@pytest.fixture
def out(tmp_path):
    """An experiment's --out whose policy draws so many watts, seed by seed."""
    def make(name, watts, plan=None, **more):
        folder = tmp_path / name
        folder.mkdir()
        runs = [run_of("news", seed, w, **more) for seed, w in enumerate(watts, 1)]
        runs += [run_of("always-on", seed, 1000.0) for seed in (1, 2, 3)]
        (folder / "plan.json").write_text(json.dumps({**PLAN, **(plan or {})}))
        (folder / "figures.json").write_text(json.dumps(
            {"%s-%d" % (r["policy"], r["seed"]): r for r in runs}))
        return str(folder)
    return make


def test_intervals_that_meet_agree(compare, out, capsys):
    assert compare.main([out("a", [600, 620, 640]), out("b", [630, 650, 670])]) == 0
    told = capsys.readouterr().out
    assert "| news: mean W of all servers | 620.000 ± 49.68" in told and "**differ**" not in told
    assert "compare news_saved here=38 there=35 ok" in told
    assert "compare always-on_watts here=1000 there=1000 ok" in told


def test_intervals_apart_differ(compare, out, capsys):
    assert compare.main([out("a", [600, 601, 602]), out("b", [660, 661, 662])]) == 1
    told = capsys.readouterr().out
    assert "compare news_watts here=601 there=661 short" in told
    assert "compare news_servers here=4 there=4 ok" in told


@pytest.mark.parametrize("more, name", [({"lost": 1}, "lost"), ({"late": 9.0}, "late")])
def test_one_lost_request_and_lateness_differ(compare, out, capsys, more, name):
    same = [600, 610, 620]
    assert compare.main([out("a", same), out("b", same, **more)]) == 1
    assert "compare news_%s " % name in capsys.readouterr().out


def test_what_cannot_be_compared(compare, out, tmp_path, capsys):
    whole = out("a", [600, 610, 620])
    for other, why in ((out("b", [600, 610]), "not all of its runs"),
                       (out("c", [600, 610, 620], plan={"seeds": [1, 2, 4]}), "seeds is"),
                       (out("d", [600, 610, None]), "seed 3: a machine's watts were never read"),
                       (out("e", [600, 610, 620], forecast=None), "seed 1: there is no forecast"),
                       (out("f", [600, 610, 620], energy={"joules": 5}), "another version"),
                       (str(tmp_path / "none"), "has ended")):
        assert compare.main([whole, other]) == 2
        assert why in capsys.readouterr().err
