"""What an experiment runs: its load, its servers, its settings and its pieces.

A plan is kept as plan.json, so that --resume goes on with the very same one."""

import csv
import dataclasses
import hashlib
import json
import math
import os
import random
import re

from machineroom.spec import HostSpec

ALWAYS_ON = "always-on"
POLICIES = ("threshold", "autoscale", "lcp", "kpa", "news")
# What a policy is run with: GreenQueue, and greensim's --queue.
QUEUES = {"threshold": "off", "autoscale": "fifo", "lcp": "fifo", "kpa": "fifo",
          "news": "late-last", ALWAYS_ON: "off"}
MOST_PIECE_MINUTES = 90
MOST_PIECES = 1000  # a seed has so many numbers for its pieces
MOST_SEED = 10 ** 12
MOST_ROWS = 2 * 10 ** 6  # of a trace
LATE_MS = 500
SAMPLE_EVERY_S = 5  # of memory, descriptors and states
CLIENT_S = 20  # the load generator's patience with a request
OFF_WATTS = 5
BEGINS_AT = 0.3  # the part of the made-up day at which it begins: in the morning, as load rises
# How the machines are switched and their watts read, by turns: (kind, wake=, sleep=).
KINDS = (("ipmi", "ipmi", "ipmi"), ("redfish", "redfish", "redfish"), ("wol", "wol", "room"),
         ("plain", "room", "room"), ("ipmi", "ipmi", "ipmi"), ("both", "wol,ipmi", "ipmi"),
         ("wol", "wol", "room"), ("plain", "room", "room"))


class PlanError(Exception):
    """What is wrong with what was asked for, and what to do."""


@dataclasses.dataclass
class Plan:
    """Durations of load are hours of the day that is played; those of the run are seconds of
    the wall clock."""
    hours: float = 3.0
    speedup: float = 60.0
    policies: list = dataclasses.field(default_factory=lambda: ["threshold"])
    seeds: list = dataclasses.field(default_factory=lambda: [1])
    servers: int = 8
    rate: float = 0.0  # requests a second at the peak; 0: 70 % of what the servers carry
    machines: str = "process"
    no_vm: str = ""  # why the machines are processes, where nobody asked for either
    faults: str = ""  # the text of the file
    trace: list = dataclasses.field(default_factory=list)  # [[second, rate]]; []: generated
    trace_name: str = ""
    piece_minutes: float = 60.0
    capacity: int = 4
    service_ms: float = 100.0
    watts: str = "100:200"
    command: str = ""

    def check(self):
        wrong = [name for name in self.policies if name not in POLICIES]
        if wrong:
            raise PlanError("--policies: there is no %s; there are %s" % (
                ", ".join(name or "policy without a name" for name in wrong),
                ", ".join(POLICIES)))
        if len(set(self.policies)) != len(self.policies) or not self.policies:
            raise PlanError("--policies: some that differ, with commas between")
        if self.machines not in ("auto", "process", "vm"):
            raise PlanError("--machines: auto, process or vm")
        if self.capacity < 1 or not 0 < self.service_ms < 1e6 or \
                not re.fullmatch(r"\d{1,5}:\d{1,5}", self.watts):
            raise PlanError("capacity, service_ms and watts of the servers are no numbers that "
                            "servers have")
        if not self.seeds or len(set(self.seeds)) != len(self.seeds):
            raise PlanError("--seeds: numbers that differ, with commas between")
        if not 0 <= min(self.seeds) <= max(self.seeds) <= MOST_SEED:
            raise PlanError("--seeds: 0 to %d" % MOST_SEED)
        if not 2 <= self.servers <= 64:
            raise PlanError("--servers: 2 to 64")
        if not 1 <= self.speedup <= 1000:
            raise PlanError("--speedup: 1 to 1000")
        if not 0 <= self.rate <= 100000:
            raise PlanError("--rate: 0 to 100000 requests a second")
        if not 0 < self.hours <= 24 * 365:
            raise PlanError("--hours: more than 0, up to a year (8760)")
        if self.wall_s() < 60:
            raise PlanError("--hours %g at --speedup %g is a run of %.0f s: it takes a minute "
                            "at least" % (self.hours, self.speedup, self.wall_s()))
        if not 1 <= self.piece_minutes <= MOST_PIECE_MINUTES:
            raise PlanError("--piece: 1 to %d minutes" % MOST_PIECE_MINUTES)
        if self.pieces() > MOST_PIECES:
            raise PlanError("--hours %g at --speedup %g makes more than %d pieces: squeeze the "
                            "days more" % (self.hours, self.speedup, MOST_PIECES))

    # --- time ---------------------------------------------------------------

    def wall_s(self):
        return self.hours * 3600 / self.speedup

    def pieces(self):
        return max(1, math.ceil(self.wall_s() / (self.piece_minutes * 60) - 1e-9))

    def piece_s(self):
        return self.wall_s() / self.pieces()

    def squeezed(self, real_s, least_s):
        """A duration of a real site's, never one of I/O."""
        return max(least_s, real_s / self.speedup)

    def boot_s(self):
        return 4.0 if self.machines == "vm" else self.squeezed(120, 1.0)

    def shutdown_s(self):
        return self.squeezed(60, 0.5)

    def dwell_s(self):
        return self.squeezed(300, 1), self.squeezed(60, 1)

    def slow_start_s(self):
        return self.squeezed(30, 0.5)

    def retry_s(self):
        """The back-off of a machine that failed."""
        return self.squeezed(600, 5)

    # --- the load -------------------------------------------------------------

    def begins_clock(self):
        """The time of the made-up day at which it begins."""
        return "%d:%02d" % divmod(round(BEGINS_AT * 24 * 60), 60)

    def highest_rate(self):
        """That is played: hours without the day's peak have less."""
        return max(rate for seed in self.seeds for piece in range(self.pieces())
                   for _, rate in self.profile(seed, piece))

    def peak_rate(self):
        return self.rate or 0.7 * self.servers * self.carries()

    def carries(self):
        """Requests a second that a server serves at most."""
        return self.capacity * 1000 / self.service_ms

    def step_s(self):
        """Of the load, in seconds of the wall clock: five minutes of the day, or a second."""
        return max(1.0, 300 / self.speedup)

    def profile(self, seed, piece):
        """[(second of the piece, requests a second)]."""
        dice = random.Random(seed)
        points, step, begin = [], self.step_s(), piece * self.piece_s()
        count = int(self.wall_s() / step) + 2
        highest = max((rate for _, rate in self.trace), default=0)
        for index in range(count):
            at = index * step
            points.append((at, (self._of_trace(at, highest) if self.trace else
                                synthetic_day(at * self.speedup / 86400 + BEGINS_AT, dice))
                           * self.peak_rate()))
        inside = [(at - begin, rate) for at, rate in points
                  if begin - step < at < begin + self.piece_s()]
        inside = [(max(0.0, at), rate) for at, rate in inside]
        return inside + [(self.piece_s(), inside[-1][1])]

    def profile_text(self, seed, piece):
        """As the load generator reads it."""
        return "".join("%.3f %.4f\n" % point for point in self.profile(seed, piece))

    def _of_trace(self, at, highest):
        """The trace as a share of highest, its highest rate; it begins anew when it is over."""
        first, last = self.trace[0][0], self.trace[-1][0]
        second = first + (at * self.speedup) % max(1e-9, last - first)
        low, high = 0, len(self.trace) - 1
        while high - low > 1:
            middle = (low + high) // 2
            if self.trace[middle][0] <= second:
                low = middle
            else:
                high = middle
        return self.trace[low][1] / highest

    # --- the servers' settings --------------------------------------------------

    def settings(self, policy):
        """The balancer's directives. Dwell and slow start are the defaults, squeezed; health
        checks, waking and draining keep pace with machines that boot within seconds; requests
        may wait, and power cycles are not what keeps a server on."""
        awake, asleep = self.dwell_s()
        # A boot that is slow (5 s more) is still in time; one that fails is given up.
        wake_s = max(60.0 if self.machines == "vm" else 8.0, 4 * self.boot_s())
        return """
    GreenPolicy %s
    GreenQueue %s late=%dms
    GreenAwake min=1 spare=0
    GreenThreshold wake=80%% sleep=50%%
    GreenDwell awake=%s asleep=%s cycles=64/day
    GreenSlowStart %s
    GreenHealth uri=/health interval=500ms timeout=1s rise=2 fall=3
    GreenReverseHealth interval=1s fall=2
    GreenWake timeout=%s retry=2s packets=3
    GreenDrain timeout=10s
    GreenHold max=500 timeout=20s page=off
""" % (policy, QUEUES[policy], LATE_MS, duration(awake), duration(asleep),
            duration(self.slow_start_s()), duration(wake_s))

    def simulation(self, policy):
        """The same for greensim."""
        awake, asleep = self.dwell_s()
        words = ["--dwell-awake", duration(awake), "--dwell-asleep", duration(asleep),
                 "--cycles", "64", "--slow-start", duration(self.slow_start_s()), "--min", "1",
                 "--cores", str(self.capacity), "--service-time", "%gms" % self.service_ms,
                 "--late-after", "%dms" % LATE_MS, "--shutdown", duration(self.shutdown_s()),
                 "--queue", QUEUES[policy], "--policy", policy]
        if policy == "threshold":
            words += ["--threshold", "wake=80%,sleep=50%", "--threshold-hold",
                      duration(awake)]
        return words

    # --- on disk --------------------------------------------------------------

    def save(self, path):
        with open(path + ".new", "w", encoding="utf-8") as file:
            json.dump(dataclasses.asdict(self), file, indent=1)
        os.replace(path + ".new", path)

    @classmethod
    def load(cls, path):
        """PlanError of a file that save() has not written, or somebody has spoilt."""
        try:
            with open(path, encoding="utf-8") as file:
                told = json.load(file)
            fields = dataclasses.fields(cls)
            if not isinstance(told, dict):
                raise ValueError("no plan")
            told = {"no_vm": "", **told}  # plans once had none
            if set(told) != {f.name for f in fields}:
                raise ValueError("not the entries of a plan")
            for field in fields:
                _check_type(field.name, told[field.name],
                            (int, float) if field.type is float else field.type)
            for name, wanted in (("policies", str), ("seeds", int)):
                for value in told[name]:
                    _check_type(name, value, wanted)
            plan = cls(**told)
            plan.check()
            _check_trace(plan.trace)
        except (OSError, ValueError, RecursionError, PlanError) as error:
            raise PlanError("%s: %s: put it back as it was, or begin another experiment with "
                            "--out" % (path, error)) from None
        return plan

    def digest(self):
        """Of all that a piece depends on: policies and seeds may be added to a plan."""
        told = dataclasses.asdict(self)
        for name in ("policies", "seeds", "command", "trace_name", "no_vm"):
            del told[name]
        # --rate 0 and 0.0 are the same.
        for field in dataclasses.fields(self):
            if field.type is float:
                told[field.name] = float(told[field.name])
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:12]

    def runs(self):
        return [(policy, seed) for seed in self.seeds for policy in [ALWAYS_ON] + self.policies]


def duration(seconds):
    """As directives and greensim take it."""
    return "%dms" % round(seconds * 1000)


def synthetic_day(part, dice):
    """Requests a second, 1 at the highest: night, noon, evening, noise and bursts."""
    part %= 1.0
    shape = 0.05 + math.exp(-((part - 0.45) / 0.13) ** 2) * 0.7 + \
        math.exp(-((part - 0.82) / 0.06) ** 2) * 0.6
    burst = 1.6 if dice.random() < 0.02 else 1.0
    return min(1.0, shape * burst * dice.uniform(0.85, 1.15))


def specs_of(plan):
    """The room's machines, by the plan's kinds in turn."""
    return [HostSpec(
        "web%d" % (i + 1), kind=KINDS[i % len(KINDS)][0], boot_s=plan.boot_s(),
        shutdown_s=plan.shutdown_s(), capacity=plan.capacity, service_ms=plan.service_ms,
        law="exponential", watts=plan.watts, off_watts=OFF_WATTS, vm=plan.machines == "vm")
        for i in range(plan.servers)]


def _check_type(name, value, wanted):
    if not isinstance(value, wanted) or isinstance(value, bool):
        raise ValueError("%s: %.40r" % (name, value))


def _check_trace(rows):
    """ValueError of what is no load over time."""
    for row in rows:
        _check_type("trace", row, list)
        if len(row) != 2 or not all(isinstance(x, (int, float)) and math.isfinite(x)
                                    for x in row):
            raise ValueError("not two numbers: %.60r" % (row,))
        if not 0 <= row[1] < 1e9:
            raise ValueError("a rate of %g" % row[1])
    for before, row in zip(rows, rows[1:]):
        if row[0] <= before[0]:
            raise ValueError("second %.15g comes after second %.15g" % (row[0], before[0]))
    if rows and (len(rows) < 2 or not any(rate for _, rate in rows)):
        raise ValueError("two lines at least, and a rate above 0")


def read_trace(path):
    """Lines "seconds,requests_per_second", ascending; a heading is left out. What is nonsense
    is told, never left out: it would be another load."""
    rows = []
    try:
        # Spreadsheets put a mark of the encoding before the first line.
        with open(path, newline="", encoding="utf-8-sig") as file:
            for count, row in enumerate(csv.reader(file), 1):
                if len(rows) == MOST_ROWS:
                    raise ValueError("more than %d lines" % MOST_ROWS)
                try:
                    if row:
                        rows.append([float(row[0]), float(row[1])])
                except (ValueError, IndexError):
                    if rows or count > 1:
                        raise ValueError("line %d: %.60r" % (count, ",".join(row))) from None
        if not rows:
            raise ValueError("there is none in it")
        _check_trace(rows)
    except OSError as error:
        raise PlanError("--trace: %s: %s" % (path, error.strerror)) from None
    except (ValueError, csv.Error) as error:
        raise PlanError("--trace: %s: %s; lines \"seconds,requests_per_second\" are wanted, two "
                        "at least, with seconds that ascend" % (path, error)) from None
    return rows
