"""The figures of all runs, and whether what was promised holds."""

import math
import os

import faults
import outcome
import soakkit
import stats
from forecast import NoForecast, forecast
from plan import ALWAYS_ON, SAMPLE_EVERY_S, specs_of
from written import BrokenPiece

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
LEAST_COVERED_GOAL = 0.5  # of the time of the machine with fewest readings
SAMPLES_GOAL = 0.5  # of those planned
FAULTS_GOAL = 0.95  # of those planned: one of them may not work out
DOWN_GOAL_S = 10  # from a kill of all of httpd until its port is open: stock needs a tenth of one
PROCESSES_GOAL = 12  # the parent, the keeper with its tools, children that end and that come
SESSIONS_GOAL = 4  # of all BMCs at the end: the keeper's own, and one that runs out
WORD = "experiment"  # at the beginning of each line


class Results:
    """All runs of a plan that are whole, by (policy, seed)."""

    def __init__(self, plan, folder_of):
        self.plan = plan
        self.runs, self.references = {}, {}
        self.broken = []  # why runs whose pieces are all there are left out
        for policy, seed in plan.runs():
            folders = [folder_of(policy, seed, i) for i in range(plan.pieces())]
            if all(os.path.exists(os.path.join(f, "done.json")) for f in folders):
                try:
                    self._add(outcome.Run(policy, seed, folders))
                except BrokenPiece as error:
                    self.broken.append(str(error))

    def _add(self, run):
        for number, piece in enumerate(run.pieces):
            check_piece(self.plan, run, number, piece)
        if run.policy == ALWAYS_ON:
            self.references[run.seed] = run.reference()
        self.runs[run.policy, run.seed] = self._figures(run)

    def _figures(self, run):
        reference = self.references.get(run.seed)
        stock = None if run.policy == ALWAYS_ON else reference
        first = run.pieces[0].done
        figures = {
            "policy": run.policy, "seed": run.seed, "seconds": run.seconds,
            "pieces": len(run.pieces), "began": run.pieces[0].began,
            "count": run.count(stock),
            "compared": reference is not None, "energy": run.energy(), "power": run.power(),
            "holds": run.holds(), "wakes": run.wakes(), "cpu_s": run.processor_s(),
            "over_time": run.over_time(), "faults": run.faults(stock),
            "troubles": run.troubles(), "stalls": run.stalls(), "sessions": run.sessions(),
            "leaks": {name: {"slope": run.slope(name), "points": run.series(name)}
                      for name, *_ in LEAKS},
            "lives": {name: run.lives(name) for name in ("parent_pid", "keeper_pid")},
            "untrue": sum((p.done.get("untrue", []) for p in run.pieces), []),
            "crashes": sum((p.done["crashes"] for p in run.pieces), []),
            "keepers": [p.done.get("keepers", 0) for p in run.pieces],
            "planned_faults": planned_faults(self.plan, run),
            "processes": max(p.done["processes"] for p in run.pieces),
            "unexpected": sum((p.done["unexpected"] for p in run.pieces), []),
            "load_average": [p.done["load_average"][0] for p in run.pieces],
            "watts_by": {n: m["watts_by"] for n, m in run.pieces[0].machines.items()},
            "versions": first["versions"],
            "modules": sorted({p.done["versions"]["module"] for p in run.pieces}),
            "network": first["network"],
            "module": first["module"], "disk": first["disk"]}
        if run.policy != ALWAYS_ON:
            try:
                figures["forecast"] = forecast(self.plan, run.policy, run.arrivals(),
                                               run.pieces[-1].done["model"])
            except NoForecast as error:
                figures["forecast"], figures["no_forecast"] = None, str(error)
        return figures

    def of(self, policy):
        return [self.runs[key] for key in sorted(self.runs) if key[0] == policy]

    def pairs(self, policy):
        """(run, the run with all servers on, of the same seed)."""
        return [(run, self.runs[ALWAYS_ON, run["seed"]]) for run in self.of(policy)
                if (ALWAYS_ON, run["seed"]) in self.runs]

    def saved(self, policy):
        """Shares of the energy, seed by seed; mean watts of the time that readings cover. Runs
        that cannot be compared are left out."""
        return known(saved(run, always) for run, always in self.pairs(policy))


def check_piece(plan, run, number, piece):
    """BrokenPiece of one that is not this plan's: then its figures are of something else."""
    def wrong(name, why):
        raise BrokenPiece(os.path.join(piece.folder, name), why)
    done = piece.done
    if (done["policy"], done["seed"], done["piece"]) != (run.policy, run.seed, number):
        wrong("done.json", "it is of %s, seed %s, piece %s" % (done["policy"], done["seed"],
                                                              done["piece"]))
    if abs(piece.seconds - plan.piece_s()) > 1e-3 or len(piece.machines) != plan.servers or \
            done.get("plan", plan.digest()) != plan.digest():
        wrong("done.json", "plan.json was another one when this was measured: put it back, or")
    try:
        with open(os.path.join(piece.folder, "profile"), encoding="ascii") as file:
            played = file.read()
    except (OSError, ValueError) as error:
        wrong("profile", str(error))
    if played != plan.profile_text(run.seed, number):
        wrong("profile", "it is not the load that plan.json says: put that back, or")


def planned_faults(plan, run):
    """How many were to come in a run."""
    mix = faults.Mix(plan.faults)
    if plan.machines == "vm":
        mix.for_vms()
    return sum(len(mix.schedule(plan.piece_s(), specs_of(plan), 1000 * run.seed + number))
               for number in range(len(run.pieces)))


def mean_watts(run):
    """Of all machines together, over the time that readings cover; None: a machine has none."""
    return run["energy"]["mean_watts"]


def saved(run, always):
    """How much less than with all servers on a run drew, as a share; None of what is not known."""
    own, stock = mean_watts(run), mean_watts(always)
    return 1 - own / stock if own is not None and stock else None


def forecast_off(run):
    """greensim's mean watts over those measured, less 1; None of what is not known."""
    if not run["forecast"] or not mean_watts(run):
        return None
    return stats.mean_interval(run["forecast"]["joules"])[0] / run["seconds"] / \
        mean_watts(run) - 1


def known(values):
    return [value for value in values if value is not None]


# --- what was promised ------------------------------------------------------------

def judge(results):
    """Prints a line for each figure that has a goal; the verdict. What the goals are for stands
    in docs/experiment.md."""
    verdict = soakkit.Verdict(WORD)
    plan = results.plan
    verdict.least("runs", len(results.runs), len(plan.runs()))
    for why in results.broken:
        print("%s broken: %s" % (WORD, why))
    verdict.most("broken_runs", len(results.broken), 0)
    # The tree may have been built anew between two pieces.
    verdict.most("different_modules", len({m for run in results.runs.values()
                                           for m in run["modules"]}), 1)
    for policy in plan.policies:
        runs = results.of(policy)
        if runs:
            judge_requests(verdict, policy, runs)
            judge_measuring(verdict, policy, runs + [stock for _, stock in results.pairs(policy)])
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
    # Without the run with all servers on nobody knows what is lost: that is not none.
    compared = all(run["compared"] for run in runs)
    for name in ("lost", "missing", "unmatched"):
        if compared:
            verdict.most("%s_%s" % (policy, name), total(name), 0)
        else:
            verdict.line("%s_%s" % (policy, name), "unknown", "<=0", False)
    verdict.most("%s_wrong" % policy, total("wrong"), 0)
    verdict.least("%s_available" % policy,
                  min(run["count"]["available_apart"] for run in runs), AVAILABLE_GOAL)
    verdict.most("%s_announced_permille" % policy,
                 1000 * total("announced") / max(1, total("requests")),
                 ANNOUNCED_GOAL_PERMILLE)
    down = [f["down_s"] for run in runs for f in run["faults"] if f["down_s"] is not None]
    if down:
        verdict.most("%s_proxy_down_s" % policy, max(down), DOWN_GOAL_S)


def judge_measuring(verdict, policy, runs):
    """Was there enough to see: what was not measured is not good. runs: those with all servers
    on among them."""
    verdict.least("%s_watts_covered" % policy, min(run["energy"]["covered"] for run in runs),
                  COVERED_GOAL)
    verdict.least("%s_watts_covered_of_a_machine" % policy,
                  min(run["energy"]["least_covered"] for run in runs), LEAST_COVERED_GOAL)
    verdict.least("%s_samples" % policy,
                  min(len(run["leaks"]["parent_kb"]["points"]) * SAMPLE_EVERY_S / run["seconds"]
                      for run in runs), SAMPLES_GOAL)
    planned = min(run["planned_faults"] for run in runs)
    if planned:
        verdict.least("%s_faults" % policy, min(len(run["faults"]) for run in runs),
                      math.floor(FAULTS_GOAL * planned))


def judge_proxy(verdict, policy, runs):
    """Its states, its processes, and what may leak."""
    verdict.most("%s_untrue_states" % policy, sum(len(run["untrue"]) for run in runs), 0)
    verdict.most("%s_crashes_and_bugs" % policy, sum(len(run["crashes"]) for run in runs), 0)
    keepers = {count for run in runs for count in run["keepers"]}
    verdict.line("%s_keepers" % policy, max(keepers - {1}, default=1), "1", keepers == {1})
    verdict.most("%s_processes" % policy, max(run["processes"] for run in runs),
                 PROCESSES_GOAL)
    for name, _, noise in LEAKS:
        # Growth of which the interval is sure, over the run.
        slopes = [run["leaks"][name]["slope"] for run in runs]
        short = max(run["seconds"] for run in runs) < SHORT_S
        most = SHORT_FACTOR * noise if short else noise
        if None in slopes:
            verdict.line("%s_%s_growth" % (policy, name), "unknown", "<=%s" % most, False)
            continue
        sure = max(slope[1] * run["seconds"] / 3600 for slope, run in zip(slopes, runs))
        verdict.most("%s_%s_growth" % (policy, name), round(max(0.0, sure), 1), most)
    for run in runs:
        if len(run["sessions"]) > 1:
            verdict.most("%s_bmc_sessions" % policy, run["sessions"][-1][1], SESSIONS_GOAL)


def judge_energy(verdict, policy, results):
    runs, saved = results.of(policy), results.saved(policy)
    verdict.least("%s_compared" % policy, len(saved), len(runs))
    if saved:
        mean, half = stats.mean_interval(saved)
        verdict.least("%s_saved_percent" % policy, 100 * mean, SAVED_GOAL_PERCENT)
        if half is not None:
            print("%s %s_saved_interval value=+-%.2f" % (WORD, policy, 100 * half))
    for run in runs:
        if not run["forecast"]:
            print("%s %s_%d_no_forecast: %s" % (WORD, policy, run["seed"], run["no_forecast"]))
    verdict.least("%s_forecasts" % policy, len(known(map(forecast_off, runs))), len(runs))


def judge_without_faults(verdict, policy, runs):
    verdict.most("%s_warnings_in_the_log" % policy,
                 sum(len(run["unexpected"]) for run in runs), 0)
    off = known(map(forecast_off, runs))
    if len(off) >= FORECAST_SEEDS:
        verdict.most("%s_forecast_off" % policy, abs(stats.mean_interval(off)[0]), FORECAST_GOAL)
    elif off:
        print("%s %s_forecast_off value=%.4f of %d seeds; judged from %d on" % (
            WORD, policy, stats.mean_interval(off)[0], len(off), FORECAST_SEEDS))
