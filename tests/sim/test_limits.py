# SPDX-License-Identifier: Apache-2.0
"""No policy needs less than the bound at the share that it lets be late."""
import os
import random
import time

from simkit import report

CASES = 12
ROUNDING = 2e-3  # the limits take ten seconds for one, in load and in servers
POLICIES = "threshold,autoscale,lcp,kpa,news,reactive,oracle"


def test_no_policy_passes_below_the_bound():
    seed = int(os.environ.get("GB_SEED", time.time_ns() % 1000000))
    print("GB_SEED=%d" % seed)
    rnd = random.Random(seed)
    for _ in range(CASES):
        case = ("--shape", rnd.choice(("day", "flash", "bursts", "walk")),
                "--length", "%dh" % rnd.choice((1, 2)), "--seed", rnd.randrange(1, 10000),
                "--servers", rnd.choice((3, 8, 20)),
                "--setup", "%ds" % rnd.choice((10, 60, 260)),
                "--queue", rnd.choice(("fifo", "late-last")),
                "--server", rnd.choice(("autoscale2012", "r740-2017", "rx1330m5-2022")))
        for name, policy in report(*case, "--policy", POLICIES)["by"].items():
            late = policy["late_percent"]
            if name in ("optimum", "bound") or late > 99:
                continue
            bound = report(*case, "--policy", "always-on", "--late",
                           "%.4f%%" % max(late, 1e-3))["by"]["bound"]
            assert bound["joules"] is not None
            assert policy["joules"] >= bound["joules"] * (1 - ROUNDING), (
                seed, case, name, late, policy["joules"] / bound["joules"])
