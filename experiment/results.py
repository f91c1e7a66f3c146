"""The figures of all runs, and whether what was promised holds."""

import os

import outcome
import soakkit
import stats
from forecast import forecast
from plan import ALWAYS_ON

# What may leak, its title, and how much more at the end of a run is noise.
LEAKS = (("keeper_kb", "keeper, resident KB", 1024), ("keeper_fds", "keeper, descriptors", 4),
         ("parent_kb", "parent, resident KB", 2048), ("parent_fds", "parent, descriptors", 4),
         ("children_pss_kb", "children, proportional KB", 16384),
         ("children_fds", "children, descriptors", 24), ("processes", "processes", 2))
SHORT_S, SHORT_FACTOR = 1800, 4  # a run in which the load's own rise shows, and more is noise
FORECAST_GOAL, FORECAST_SEEDS = 0.03, 5  # chance alone is more in a single run of minutes
AVAILABLE_GOAL = 0.9999
ANNOUNCED_GOAL_PERMILLE = 1  # who announces a 503 to everybody is available, too
SAVED_GOAL_PERCENT = 1  # that it saves at all; how much is for the reader
COVERED_GOAL = 0.8  # of the time; a BMC that hangs, as a fault, tells no watts
PROCESSES_GOAL = 12  # the parent, the keeper with its tools, children that end and that come
SESSIONS_GOAL = 4  # of all BMCs at the end: the keeper's own, and one that runs out
WORD = "experiment"  # at the beginning of each line


class Results:
    """All runs of a plan that are whole, by (policy, seed)."""

    def __init__(self, plan, folder_of):
        self.plan = plan
        self.runs, self.references = {}, {}
        for policy, seed in plan.runs():
            folders = [folder_of(policy, seed, i) for i in range(plan.pieces())]
            if all(os.path.exists(os.path.join(f, "done.json")) for f in folders):
                run = outcome.Run(policy, seed, folders)
                if policy == ALWAYS_ON:
                    self.references[seed] = run.reference()
                self.runs[policy, seed] = self._figures(run)

    def _figures(self, run):
        reference = self.references.get(run.seed)
        first = run.pieces[0].done
        figures = {
            "policy": run.policy, "seed": run.seed, "seconds": run.seconds,
            "pieces": len(run.pieces), "began": run.pieces[0].began,
            "count": run.count(None if run.policy == ALWAYS_ON else reference),
            "compared": reference is not None, "energy": run.energy(), "power": run.power(),
            "holds": run.holds(), "wakes": run.wakes(), "cpu_s": run.processor_s(),
            "over_time": run.over_time(), "faults": run.faults(None if run.policy == ALWAYS_ON else reference),
            "troubles": run.troubles(), "stalls": run.stalls(), "sessions": run.sessions(),
            "leaks": {name: {"slope": run.slope(name), "points": run.series(name)}
                      for name, *_ in LEAKS},
            "lives": {name: run.lives(name) for name in ("parent_pid", "keeper_pid")},
            "untrue": sum((p.done.get("untrue", []) for p in run.pieces), []),
            "crashes": sum((p.done["crashes"] for p in run.pieces), []),
            "keepers": max(p.done.get("keepers", 0) for p in run.pieces),
            "processes": max(p.done["processes"] for p in run.pieces),
            "unexpected": sum((p.done["unexpected"] for p in run.pieces), []),
            "load_average": [p.done["load_average"][0] for p in run.pieces],
            "watts_by": {n: m["watts_by"] for n, m in run.pieces[0].machines.items()},
            "versions": first["versions"],
            "modules": sorted({p.done["versions"]["module"] for p in run.pieces}),
            "network": first["network"],
            "module": first["module"], "disk": first["disk"]}
        if run.policy != ALWAYS_ON:
            figures["forecast"] = forecast(self.plan, run.policy, run.arrivals(),
                                           run.pieces[-1].done["model"])
        return figures

    def of(self, policy):
        return [self.runs[key] for key in sorted(self.runs) if key[0] == policy]

    def pairs(self, policy):
        """(run, the run with all servers on, of the same seed)."""
        return [(run, self.runs[ALWAYS_ON, run["seed"]]) for run in self.of(policy)
                if (ALWAYS_ON, run["seed"]) in self.runs]

    def saved(self, policy):
        """Shares of the energy, seed by seed; mean watts of the time that readings cover."""
        return [1 - mean_watts(run) / mean_watts(always) for run, always in self.pairs(policy)]


def mean_watts(run):
    """Of all machines together, over the time that readings cover."""
    energy = run["energy"]
    return energy["joules"] / energy["covered"] / run["seconds"]


def forecast_off(run):
    """greensim's mean watts over those measured, less 1."""
    return stats.mean_interval(run["forecast"]["joules"])[0] / run["seconds"] / \
        mean_watts(run) - 1


# --- what was promised ------------------------------------------------------------

def judge(results):
    """Prints a line for each figure that has a goal; the verdict. What the goals are for stands
    in docs/experiment.md."""
    verdict = soakkit.Verdict(WORD)
    plan = results.plan
    verdict.least("runs", len(results.runs), len(plan.runs()))
    # The tree may have been built anew between two pieces.
    verdict.most("different_modules", len({m for run in results.runs.values()
                                           for m in run["modules"]}), 1)
    for policy in plan.policies:
        runs = results.of(policy)
        if runs:
            judge_requests(verdict, policy, runs)
            judge_proxy(verdict, policy, runs)
            judge_energy(verdict, policy, results)
            if not plan.faults:
                judge_without_faults(verdict, policy, runs)
    for (policy, seed), run in results.runs.items():
        if run["stalls"]:
            print("%s %s_%d_machine_stood_still times=%d seconds=%.1f: what it has no time for "
                  "fails" % (WORD, policy, seed, len(run["stalls"]),
                             sum(s for _, s in run["stalls"])))
    return verdict


def judge_requests(verdict, policy, runs):
    def total(name):
        return sum(run["count"][name] for run in runs)
    verdict.least("%s_requests" % policy, total("requests"), 1)
    verdict.most("%s_lost" % policy, total("lost"), 0)
    verdict.most("%s_wrong" % policy, total("wrong"), 0)
    verdict.least("%s_available" % policy,
                  round(min(run["count"]["available_apart"] for run in runs), 6),
                  AVAILABLE_GOAL)
    verdict.most("%s_announced_permille" % policy,
                 round(1000 * total("announced") / max(1, total("requests")), 3),
                 ANNOUNCED_GOAL_PERMILLE)


def judge_proxy(verdict, policy, runs):
    """Its states, its processes, and what may leak."""
    verdict.most("%s_untrue_states" % policy, sum(len(run["untrue"]) for run in runs), 0)
    verdict.most("%s_crashes_and_bugs" % policy, sum(len(run["crashes"]) for run in runs), 0)
    verdict.most("%s_keepers" % policy, max(run["keepers"] for run in runs), 1)
    verdict.most("%s_processes" % policy, max(run["processes"] for run in runs),
                 PROCESSES_GOAL)
    for name, _, noise in LEAKS:
        # Growth of which the interval is sure, over the run.
        sure = [run["leaks"][name]["slope"][1] * run["seconds"] / 3600 for run in runs
                if run["leaks"][name]["slope"]]
        if sure:
            short = max(run["seconds"] for run in runs) < SHORT_S
            verdict.most("%s_%s_growth" % (policy, name), round(max(0.0, max(sure)), 1),
                         SHORT_FACTOR * noise if short else noise)
    for run in runs:
        if len(run["sessions"]) > 1:
            verdict.most("%s_bmc_sessions" % policy, run["sessions"][-1][1], SESSIONS_GOAL)


def judge_energy(verdict, policy, results):
    verdict.least("%s_watts_covered" % policy,
                  round(min(run["energy"]["covered"] for run in results.of(policy)), 4),
                  COVERED_GOAL)
    saved = results.saved(policy)
    if saved:
        mean, half = stats.mean_interval(saved)
        verdict.least("%s_saved_percent" % policy, round(100 * mean, 2), SAVED_GOAL_PERCENT)
        if half is not None:
            print("%s %s_saved_interval value=+-%.2f" % (WORD, policy, 100 * half))


def judge_without_faults(verdict, policy, runs):
    verdict.most("%s_warnings_in_the_log" % policy,
                 sum(len(run["unexpected"]) for run in runs), 0)
    mean, _ = stats.mean_interval([forecast_off(run) for run in runs])
    if len(runs) >= FORECAST_SEEDS:
        verdict.most("%s_forecast_off" % policy, round(abs(mean), 4), FORECAST_GOAL)
    else:
        print("%s %s_forecast_off value=%.4f of %d seeds; judged from %d on" % (
            WORD, policy, mean, len(runs), FORECAST_SEEDS))
