"""The report: the same tables as report.md, and with plots as report.html."""

import contextlib
import json
import os
import re

import faults
import outcome
import stats
from plan import ALWAYS_ON, OFF_WATTS
from results import LEAKS, SHORT_S, forecast_off, known, mean_watts

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LIBRARY = "/usr/share/javascript/dygraphs/dygraph.min.js"
LICENCE = "/usr/share/doc/libjs-dygraphs/copyright"
POINTS = 240  # of a plot of the proxy's own figures


class Table:
    """A title, the heads of its columns, rows of text, and what is to be said below it."""

    def __init__(self, title, head, rows, notes=()):
        self.title, self.head, self.rows, self.notes = title, head, rows, list(notes)

    def markdown(self):
        lines = ["## " + self.title, "", "| " + " | ".join(self.head) + " |",
                 "|" + "---|" * len(self.head)]
        lines += ["| " + " | ".join(str(c).replace("|", "\\|") for c in row) + " |"
                  for row in self.rows]
        for note in self.notes:
            lines += ["", note]
        return lines + [""]


def number(value, places=1):
    return "–" if value is None else "{:,.{}f}".format(value, places)


def plus(values, places=1, unit=""):
    """Their mean with its 95 % interval."""
    if not values:
        return "–"
    mean, half = stats.mean_interval(values)
    return number(mean, places) + ("" if half is None else " ± " + number(half, places)) + unit


# --- what stands first ---------------------------------------------------------------

def headline(results):
    """One sentence about the policy that saved most."""
    best = max((p for p in results.plan.policies if results.saved(p)), default=None,
               key=lambda p: sum(results.saved(p)) / len(results.saved(p)))
    if best is None:
        return "No policy has been compared with all servers on yet."
    runs = [run for run, _ in results.pairs(best)]
    requests = sum(run["count"]["requests"] for run in runs)
    lost = sum(run["count"]["lost"] + run["count"]["wrong"] for run in runs)
    faults_done = sum(len(run["faults"]) for run in runs)
    beside = "without faults" if not results.plan.faults else "beside %s %s" % (
        number(faults_done, 0), "fault" if faults_done == 1 else "faults")
    saved = results.saved(best)
    return "With %s the servers drew %s less than with all of them on%s. Of %s requests, %s, " \
        "%s %s lost or answered wrongly." % (
            best, plus([100 * s for s in saved], 1, " %"),
            ", in a single run" if len(saved) == 1 else "", number(requests, 0), beside,
            number(lost, 0) if lost else "none", "was" if lost <= 1 else "were")


def measured(results):
    some = next(iter(results.runs.values()))
    return "Measured: every request, by a load generator outside of the proxy, which repeats " \
        "none; the proxy's processor time, memory and descriptors; what machines did, and when. " \
        "Watts were read once a second over %s, from outside." % (
            ", ".join(sorted(set(some["watts_by"].values()))))


def modelled(results):
    plan = results.plan
    load = "the trace %s from its beginning" % plan.trace_name if plan.trace else \
        "a made-up day from %s on" % plan.begins_clock()
    if plan.hours < 24 and not plan.trace:
        load += ", not all of it: other hours save more or less"
    kind = "QEMU's virtual machines, each with a kernel of its own" if plan.machines == "vm" \
        else "processes that boot, serve and shut down, behind real power protocols (no " \
        "virtual machines%s)" % (plan.no_vm and ": " + plan.no_vm)
    return "Modelled: the watts themselves. No electricity was measured: a machine of the room " \
        "draws what its power curve (%s W, %d W off) says for its state and load, and its BMC, " \
        "Redfish service or driver tells that. The machines are %s. The load is %s. It is " \
        "squeezed %g-fold: %g %s in %.0f seconds. Optimum, bound and forecast are greensim's." % (
            plan.watts.replace(":", " to "), OFF_WATTS, kind,
            load, plan.speedup, plan.hours, "hour" if plan.hours == 1 else "hours",
            plan.wall_s())


def circumstances(results):
    plan, some = results.plan, next(iter(results.runs.values()))
    v = some["versions"]
    mix = faults.Mix(plan.faults)
    often = "no faults" if not plan.faults else "faults every %g s" % mix.every_s \
        if mix.every_s else "faults as the file says"
    return "%d servers with room for %d requests of %g ms on average; seeds %s; up to " \
        "%.0f requests/s (--rate %.0f); %s; %s; Linux %s on %d processors (load average %s at " \
        "the end of pieces); commit %s, %s with checksum %s." % (
            plan.servers, plan.capacity, plan.service_ms, ", ".join(map(str, plan.seeds)),
            plan.highest_rate(), plan.peak_rate(), often,
            v["httpd"].replace("Server version: ", ""), v["kernel"], v["processors"],
            " ".join("%.1f" % x for run in results.runs.values() for x in run["load_average"]),
            v["commit"], some["module"],
            ", ".join(sorted({m for run in results.runs.values() for m in run["modules"]})))


# --- tables ----------------------------------------------------------------------------

def promised(verdict):
    return Table("What was promised", ["", "value", "goal", ""],
                 [[name, value, goal, "ok" if good else "short"]
                  for name, value, goal, good in verdict.lines],
                 ["What each of them is, and why its goal, stands in docs/experiment.md (“What is "
                  "judged”). Growth is what its interval is sure of, over the run: KB where the "
                  "name says kb, else a number."])


def energy_table(results):
    rows = []
    for policy in [ALWAYS_ON] + results.plan.policies:
        runs = results.of(policy)
        if runs:
            rows.append([policy] + energy_cells(results, policy, runs))
    notes = ["%s. Wh are of the run's own %.0f s. Readings more than %g s apart have a gap "
             "between them, which counts for nothing; what is saved, the ratio to the optimum and "
             "what greensim is off by go by the mean watts of the time covered. The module's own "
             "account is its status page's: it reads watts every 30 s, squeezed or not, and what it "
             "has counted since its last checkpoint is gone when httpd is killed." % (
                 "Means over seeds, with their 95 % interval" if len(results.plan.seeds) > 1 else
                 "Of one seed: chance is not told apart", results.plan.wall_s(), stats.GAP_S),
             "Optimum: the least for whoever knows the load in advance, with at most 1 % late in each "
             "10 s; bound: no policy with at most 1 % of all requests late needs less. Off by: above 0 "
             "where greensim says more than was measured. Servers on is a mean over the run, power "
             "cycles are all servers' together." + (
                 " Greensim knows nothing of the faults." if results.plan.faults else "")]
    return Table("Energy", [
        "", "Wh measured", "time covered", "less than always on", "÷ optimum", "optimum Wh",
        "bound Wh", "greensim says Wh", "off by", "the module's own account Wh", "servers on",
        "power cycles"], rows, notes)


def energy_cells(results, policy, runs):
    wh = plus([run["energy"]["joules"] / 3600 for run in runs], 2)
    covered = "%.1f %%" % (100 * min(run["energy"]["covered"] for run in runs))
    power = [plus([run["power"]["mean_on"] for run in runs], 2),
             plus([float(sum(run["power"]["cycles"].values())) for run in runs])]
    if policy == ALWAYS_ON:
        return [wh, covered] + ["–"] * 7 + power
    told = [run["forecast"] for run in runs if run["forecast"]]
    return [wh, covered, plus([100 * s for s in results.saved(policy)], 1, " %"),
            plus([mean_watts(run) * run["seconds"] / run["forecast"]["optimum"]
                  for run in runs if run["forecast"] and mean_watts(run)], 3),
            plus([f["optimum"] / 3600 for f in told], 2),
            plus([f["bound"] / 3600 for f in told], 2),
            plus([stats.mean_interval(f["joules"])[0] / 3600 for f in told], 2),
            plus([100 * off for off in known(map(forecast_off, runs))], 1, " %"),
            plus([run["energy"]["module_joules"] / 3600 for run in runs], 2)] + power


def request_table(results):
    rows, notes = [], []
    for (policy, seed), run in results.runs.items():
        c, stock = run["count"], policy == ALWAYS_ON
        rows.append([
            policy, seed, number(c["requests"], 0), number(c["lost"], 0), c["wrong"],
            c["failed"] if stock else number(c["both"], 0), c["announced"], c["in_flight"], c["down"],
            "%.4f %%" % (100 * c["available"]), "%.4f %%" % (100 * c["available_apart"])])
        for piece, start, ms, status, _ in c["first_lost"][:5]:
            notes.append("%s, seed %d: lost at %.2f s of piece %d, after %.0f ms, status %d" % (
                policy, seed, start, piece + 1, ms, status))
    return Table("Requests", [
        "", "seed", "requests", "lost", "wrong", "failed in both", "announced 503",
        "in flight at what was killed", "while the proxy was down", "available",
        "available apart from kills"], rows, [
            "Lost: stock bybusyness with every server on has answered the very request under the "
            "same fault. Of always-on, “failed in both” is what it failed by itself. Available: "
            "answered, of all but announced 503s (with Retry-After)."] + notes)


def latency_table(results):
    rows = []
    for (policy, seed), run in results.runs.items():
        ms = run["count"]["ms"]
        rows.append([policy, seed] + [number(ms[p], 0) for p in
                                      ("p50", "p90", "p99", "p99.9", "max")] +
                    ["%.2f %%" % run["count"]["late_percent"]])
    return Table("Latency", ["", "seed", "p50 ms", "p90 ms", "p99 ms", "p99.9 ms", "longest ms",
                             "above %d ms" % outcome.LATE_MS], rows, [
                                 "Of requests that were answered, by the load generator: waiting "
                                 "for a server is in it."])


def machine_table(results):
    rows = []
    for (policy, seed), run in results.runs.items():
        p, h, w = run["power"], run["holds"], run["wakes"]
        waited = h.get("served", 0), sum(h.get(name, 0) for name in (
            "refused", "timed_out", "turned_away"))
        rows.append([policy, seed, p["boots"],
                     "%.2f, %.2f, %.2f" % (p["boot_p50"], p["boot_p95"], p["boot_most"])
                     if p["boots"] else "–",
                     "%.2f, %.2f" % (w["p50"], w["p95"]) if w["count"] else "–",
                     " ".join(str(n) for n in p["cycles"].values()), *waited,
                     "%.2f" % h["worst_p99_s"] if any(waited) or h["worst_p99_s"] else "–"])
    return Table("Waking and waiting", [
        "", "seed", "boots", "boot s: p50, p95, longest", "order to ready s: p50, p95",
        "power cycles of each server", "requests that waited", "waited in vain",
        "waited s, p99"], rows, [
            "A boot is the machine's own; order to ready is by the keeper's log. A request waits "
            "where no server can take it; its p99 is the proxy's own, the highest that it told."])


def own_table(results):
    rows, seconds = [], results.plan.wall_s()
    short = "" if seconds >= SHORT_S else " A run of %.0f s is short for that: an hour is made up " \
        "from it, and the load's own rise shows. Judged is the growth within the run." % seconds
    for (policy, seed), run in results.runs.items():
        cells = []
        for name, *_ in LEAKS:
            slope = run["leaks"][name]["slope"]
            cells.append("%+.0f (%+.0f to %+.0f)" % slope if slope else "–")
        sessions = [count for _, count in run["sessions"]]
        rows.append([policy, seed, "%.1f" % run["cpu_s"], "%.3f" % (
            1000 * run["cpu_s"] / max(1, run["count"]["requests"]))] +
            ["%d, %.1f" % (run["lives"][name][0], run["lives"][name][1] / 60)
             if run["lives"][name][0] else "–" for name in ("parent_pid", "keeper_pid")] + cells +
            ["%d, %d" % (max(sessions), sessions[-1]) if sessions else "–"])
    return Table("The proxy itself", [
        "", "seed", "processor s", "processor ms a request", "lives of httpd: number, longest min",
        "lives of the keeper: number, longest min"] + [title for _, title, _ in LEAKS] +
        ["BMC sessions: most, at the end"], rows, [
            "From memory on: growth an hour with its 95 % interval, without the first fifth of each "
            "piece." + short + " A process that is killed takes its growth with it: mind how long "
            "they lived, and see --faults steady. Processor time is of all of httpd, the keeper and "
            "its tools, and of what the experiment asks the status page."])


def kind_table(results):
    """Faults by kind, over all runs of a policy."""
    rows = []
    for policy in [ALWAYS_ON] + results.plan.policies:
        kinds = {}
        for run in results.of(policy):
            for fault in run["faults"]:
                kinds.setdefault(fault["fault"], []).append(fault)
        for kind, rows_of in sorted(kinds.items()):
            down = [f["down_s"] for f in rows_of if f["down_s"] is not None]
            rows.append([policy, kind, len(rows_of), sum(f["hit"] for f in rows_of)] +
                        [sum(f[name] for f in rows_of) for name in
                         ("in_flight", "down", "announced", "failed", "lost", "wrong")] +
                        ["%.2f" % max(down) if down else "–",
                         number(max(f["most_ms"] for f in rows_of), 0)])
    return Table("Faults by kind", [
        "", "fault", "times", "hit something", "in flight", "proxy down", "announced 503",
        "failed", "lost", "wrong", "proxy down s, longest", "longest answer ms"], rows)


def trouble_table(results):
    """What the experiment itself stumbled over; nothing of it is left out of the figures."""
    rows = [[policy, seed, "%.0f" % (trouble["at"] - run["began"]), trouble["trouble"]]
            for (policy, seed), run in results.runs.items() for trouble in run["troubles"]]
    rows += [[policy, seed, "%.0f" % (at - run["began"]), "the machine stood still for %.1f s: "
              "it had no time for any of this" % seconds]
             for (policy, seed), run in results.runs.items() for at, seconds in run["stalls"]]
    rows += [[policy, seed, "–", "no forecast: " + run["no_forecast"]]
             for (policy, seed), run in results.runs.items() if "no_forecast" in run]
    rows += [["–", "–", "–", "left out: " + why] for why in results.broken]
    return Table("Troubles of the experiment itself", ["", "seed", "at s", ""], rows)


def fault_table(run):
    rows = []
    for f in run["faults"]:
        rows.append([
            "%.0f" % f["t"], f["fault"] + ("" if f["hit"] else " (nothing to hit)"),
            f["machine"] or "", f["phase"] or "", f["in_flight"],
            "%d in %.2f s" % (f["down"], f["down_s"]) if f["down_s"] is not None else "",
            f["announced"], f["failed"], f["lost"], number(f["p99_ms"], 0),
            number(f["most_ms"], 0)])
    return Table("Faults: %s, seed %d" % (run["policy"], run["seed"]), [
        "at s", "fault", "machine", "it was", "in flight", "proxy down", "announced 503", "failed",
        "lost", "p99 ms", "longest ms"], rows)


def tables(results, verdict):
    made = [energy_table(results), request_table(results), latency_table(results),
            machine_table(results), own_table(results)]
    if results.plan.faults:
        made.append(kind_table(results))
    made.append(promised(verdict))
    troubles = trouble_table(results)
    return made + ([troubles] if troubles.rows else [])


# --- files -------------------------------------------------------------------------------

def write(results, verdict, directory):
    """figures.json, report.md and report.html."""
    made = tables(results, verdict)
    every_fault = [fault_table(run) for run in results.runs.values() if run["faults"]]
    save(directory, "figures.json", json.dumps({"%s-%d" % key: run
                                                for key, run in results.runs.items()}))
    lines = ["# The experiment", "", "**%s**" % headline(results), "", measured(results), "",
             modelled(results), "", "`%s`" % results.plan.command, "", circumstances(results), ""]
    for table in made + every_fault:
        lines += table.markdown()
    save(directory, "report.md", "\n".join(lines).rstrip() + "\n")
    save(directory, "report.html", page(results, made, every_fault))


def save(directory, name, text):
    path = os.path.join(directory, name)
    try:
        # A file's name may be no UTF-8.
        with open(path + ".new", "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
        os.replace(path + ".new", path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(path + ".new")
        raise


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def thin(points):
    return [[round(t, 1), round(v, 1)] for t, v in stats.blocks(points, POINTS)]


def data(results, made, every_fault):
    """What the page shows."""
    def as_dict(table):
        return {"title": table.title, "head": table.head, "notes": table.notes,
                "rows": [[str(cell) for cell in row] for row in table.rows]}
    return {
        "headline": headline(results), "measured": measured(results),
        "modelled": modelled(results), "command": results.plan.command,
        "circumstances": circumstances(results), "tables": [as_dict(t) for t in made],
        "faults": [as_dict(t) for t in every_fault], "speedup": results.plan.speedup,
        "edges_ms": outcome.EDGES_MS, "leaks": [(n, title) for n, title, _ in LEAKS],
        "runs": [{"policy": run["policy"], "seed": run["seed"], "over_time": run["over_time"],
                  "slower": run["count"]["slower"],
                  "faults": [[f["t"], f["fault"]] for f in run["faults"] if f["hit"]],
                  "leaks": {name: thin(run["leaks"][name]["points"]) for name, *_ in LEAKS}}
                 for run in results.runs.values()]}


def page(results, made, every_fault):
    """experiment/page.html with what it shares with greensim's report, the library of charts as
    Debian has it, and the numbers."""
    library = re.sub(r"(?m)^//# sourceMappingURL.*$|/\*# sourceMappingURL.*?\*/", "",
                     read(LIBRARY))
    if re.search(r"</script|<!--", library, re.I):
        raise ValueError("%s cannot stand in a page" % LIBRARY)
    numbers = json.dumps(data(results, made, every_fault)).replace("<", "\\u003c")
    text = read(os.path.join(ROOT, "experiment", "page.html"))
    parts = {"%LOOK%": read(os.path.join(ROOT, "web", "look.css")),
             "%PLOTS%": read(os.path.join(ROOT, "web", "plots.js")),
             "%LIBRARY%": library, "%DATA%": numbers,
             "%LICENCE%": read(LICENCE).replace("<", "&lt;")}
    return "\n".join(parts.get(line, line) for line in text.splitlines()) + "\n"
