"""Pieces of a run on disk, as experiment/piece.py leaves them, for tests that run nothing."""

import json
import os

import plan
import report
import results

BEGAN, SECONDS = 100.0, 10.0
SERVER = {"name": "http://127.0.0.1:1", "machine": "web1", "capacity": 4, "off_watts": 5,
          "watts": list(range(100, 201, 10)), "boot_s": {"p50": 2, "p95": 2, "count": 9},
          "watts_source": "curve"}
# Off from 105 to 107, up again at 109.
PHASES = [[90, "off", "up"], [104, "up", "stopping"], [105, "stopping", "off"],
          [107, "off", "booting"], [109, "booting", "up"]]
LOG = """\
[Sun Nov 22 10:00:00.000000 2026] [greenbalance:notice] GB0401: 127.0.0.1:1 (web1): -> waking: x
[Sun Nov 22 10:00:02.500000 2026] [greenbalance:notice] GB0401: 127.0.0.1:1 (web1): -> on: x
"""


def sample(t, **more):
    return dict({"t": t, "keeper_pid": 7, "parent_pid": 6, "keeper_kb": 5000, "keeper_fds": 9,
                 "parent_kb": 9000, "parent_fds": 8, "children": 2,
                 "children_pss_kb": 20000, "children_fds": 40, "processes": 4, "cpu": {"1": t / 100},
                 "joules": 100 * (t - BEGAN), "waits": {
                     "served": 0, "refused": 0, "timed_out": 0, "aborted": 0, "turned_away": 0,
                     "p99_s": None}}, **more)


def made_piece(folder, rows, events=(), watts=(), of=None, samples=None,
               machines=("web1",), **more):
    """rows: start, latency in us, status, error, later; watts: t, text, and the machine if it
    is not web1; of: plan, policy and seed; more: of done.json."""
    os.makedirs(folder)
    plan, policy, seed = of or (None, "threshold", 1)
    done = {"began": BEGAN, "seconds": SECONDS, "crashes": [], "processes": 4, "keepers": 1,
            "untrue": [], "unexpected": [], "own_joules": {"web1": 900}, "energy": {"joules": 1000},
            "load_average": [1.0, 1.0, 1.0], "network": "loopback", "disk": True,
            "module": "build/mod_greenbalance.so", "model": {"servers": [SERVER] * 2},
            "versions": {"commit": "0", "httpd": "httpd", "kernel": "6", "processors": 2,
                         "module": "abc"},
            "policy": policy, "seed": seed, "piece": 0, "summary": {"requests": len(rows)}, **more}
    files = {"requests.csv": "start_s,latency_us,status,served_by,error,later\n" + "".join(
        "%.6f,%d,%d,web1,%s,%d\n" % row for row in rows),
        "events.jsonl": "".join(json.dumps(e) + "\n" for e in events),
        "samples.jsonl": "".join(json.dumps(s) + "\n" for s in (
            samples or [sample(BEGAN + t) for t in range(10)])),
        "profile": plan.profile_text(seed, 0) if plan else "",
        "watts.csv": "t,machine,watts\n" + "".join(
            "%.3f,%s,%s\n" % (t, *(machine or ["web1"]), text) for t, text, *machine in watts),
        "sessions.csv": "t,machine,sessions\n101.0,web1,1\n", "error.log": LOG,
        "machines.json": json.dumps({name: {"phases": PHASES, "watts_by": "Redfish"}
                                     for name in machines}),
        "done.json": json.dumps(done)}
    for name, text in files.items():
        with open(os.path.join(folder, name), "w", encoding="ascii") as file:
            file.write(text)
    return str(folder)


def made_report(folder, command):
    """(directory, verdict) of a report: one request of 90 is lost, half of the energy is saved."""
    fine = [(t / 10, 100000 + t * 1000, 200, "none", 0) for t in range(90)]
    failed = fine[:70] + [(7.0, 1000, 503, "none", 0)] + fine[71:]
    made = plan.Plan(hours=1, speedup=360, servers=1, faults="at 4 dies web1", command=command)
    event = {"fault": "dies", "machine": "web1", "at": 104.0, "done": 104.1, "hit": True}
    for policy, rows, watts in ((plan.ALWAYS_ON, fine, 200), ("threshold", failed, 100)):
        made_piece(folder / policy, rows, [event], [(t, str(watts)) for t in range(99, 112)],
                   of=(made, policy, 1))
    found = results.Results(made, lambda policy, seed, piece: str(folder / policy))
    verdict = results.judge(found)
    report.write(found, verdict, str(folder))
    return str(folder), verdict
