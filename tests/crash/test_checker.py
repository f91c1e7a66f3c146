"""Each kind of broken promise is found, and a clean history has none."""

import copy

import pytest
from checker import Applied, History, Read, Write, check


def clean():
    keys = ["a", "b", "c", "d"]
    writes = [Write(k, start=i, end=i + 0.5, status=201, state="met", seq=i + 1, need=2,
                    copies_seen=2) for i, k in enumerate(keys)]
    writes.append(Write("r", start=9, end=9.5, status=409, state="rejected", seq=5, need=2))
    writes.append(Write("n", start=9, end=9.5, status=503, state="", stored=False))
    applied = [Applied(k, i + 1) for i, k in enumerate(keys)]
    return History(writes=writes,
                   reads=[Read(5, 5.1, 200, token=2, keys=["a", "b", "c"])],
                   replicas={"r1": list(applied), "r2": list(applied), "r3": list(applied)},
                   aside=set(),
                   final=dict({k: "everywhere" for k in keys}, r="rejected", n=None))


def test_a_clean_history_breaks_nothing():
    assert check(clean()) == []


def acknowledged_too_early(h):
    h.writes[2].copies_seen = 1


def lost(h):
    for name in h.replicas:
        h.replicas[name] = h.replicas[name][:3]
    h.final["d"] = None


def missing_at_one(h):
    h.replicas["r2"] = h.replicas["r2"][:3]


def unordered_handover(h):
    r = h.replicas["r3"]
    r[1], r[2] = r[2], r[1]


def gap(h):
    del h.replicas["r3"][1]
    h.settled = False


def twice(h):
    h.replicas["r1"].append(Applied("b", 6))


def two_logs(h):
    h.replicas["r1"][3] = Applied("z", 4)


def overtaken(h):
    for name in h.replicas:
        h.replicas[name] = [Applied(k, i + 1) for i, k in enumerate(["b", "a", "c", "d"])]


def stale_read(h):
    h.reads[0].keys = ["a"]


def changed_verdict(h):
    h.final["r"] = "everywhere"


def applied_though_rejected(h):
    for name in h.replicas:
        h.replicas[name].append(Applied("r", 5))


def never_decided(h):
    h.final["c"] = "open"


def stored_though_refused(h):
    for name in h.replicas:
        h.replicas[name].append(Applied("n", 5))


@pytest.mark.parametrize("break_it, promise", [
    (acknowledged_too_early, "P1"), (lost, "P1"), (missing_at_one, "P1"),
    (unordered_handover, "P2"), (gap, "P2"), (two_logs, "P2"), (twice, "P3"),
    (overtaken, "P4"), (stale_read, "P5"), (changed_verdict, "P6"),
    (applied_though_rejected, "P6"), (never_decided, "P6"), (stored_though_refused, "P6")])
def test_what_is_broken_is_found(break_it, promise):
    history = copy.deepcopy(clean())
    break_it(history)
    assert any(line.startswith(promise) for line in check(history)), check(history)
