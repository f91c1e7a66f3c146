"""What a run came to: from what its pieces wrote down to figures.

A run is a policy with a seed. Requests of two runs of one seed are the same ones: the load
generator's arrivals depend on the seed alone, so what stock bybusyness with every server on did
with a request is found under its piece and its instant."""

import array
import bisect
import datetime
import os
import re
from collections import Counter

import faults
import stats
from plan import ALWAYS_ON, CLIENT_S, LATE_MS
from written import BrokenPiece, Written

# A request was in flight at what was killed when it had begun before and ended right after.
BEFORE_S, AFTER_S = 0.1, 0.5
NOT_SERVING = ("off", "suspended", "down", "booting")  # nothing is in flight there
LONGEST_S = CLIENT_S + 5  # no request took longer
BINS = 480  # of a run in a plot over time

ANSWERED, ANNOUNCED, IN_FLIGHT, DOWN, FAILED, WRONG = range(6)


_TOLD = re.compile(r"^\[\w+ (\w+ +\d+ [\d:.]+ \d+)\].*GB0401: (\S+) \(.*\): -> (\w+):")


def states_told(lines):
    """(when, URL, state) of what the keeper logged."""
    for match in filter(None, map(_TOLD.match, lines)):
        at = datetime.datetime.strptime(match[1], "%b %d %H:%M:%S.%f %Y").timestamp()
        yield at, match[2], match[3]


_MOVED = re.compile(r"(\d+\.\d+) \[([\w-]+)\] --> \[([\w-]+)\]")


def phases_told(text):
    """[when, from, to] of a machine's log. A virtual machine's has its console in it, which may
    stand before them on a line."""
    return [[float(at), old, new] for at, old, new in _MOVED.findall(text)]


class Piece:
    """Of one piece, as it lies on disk. BrokenPiece when that cannot be what was measured."""

    def __init__(self, folder):
        self.folder = folder
        written = Written(folder)
        self.done, self.machines = written.done(), written.machines()
        self.began, self.seconds = self.done["began"], self.done["seconds"]
        self.end = self.began + self.seconds
        self.events, self.samples = written.events(), written.samples()
        self.sessions = written.sessions(self.machines)
        self.watts = written.watts(self.machines)
        self.states = written.log(lambda lines: list(states_told(lines)))
        self.requests = []  # (start in s of the piece, latency in ms, status, kind)
        self._read_requests(written)

    def windows(self):
        """(kill begins, kill is done, answers again, fault), in seconds of the piece."""
        return [(e["at"] - self.began, e["done"] - self.began,
                 e.get("answered", e["done"]) - self.began, e["fault"])
                for e in self.events if e.get("fault") in faults.KILLS and e["hit"] and
                e.get("phase") not in NOT_SERVING]

    def _read_requests(self, written):
        windows = self.windows()
        for start_s, latency_us, status, error, later in written.requests():
            latency_ms = latency_us / 1000
            kind = ANSWERED
            if error == "wrong":
                kind = WRONG
            elif error != "none" or not 200 <= status < 400:
                kind = ANNOUNCED if later else \
                    why_failed(start_s, start_s + latency_ms / 1000, windows)
            self.requests.append((start_s, latency_ms, status, kind))
        if len(self.requests) != self.done["summary"]["requests"]:
            raise BrokenPiece(written.path("requests.csv"), "it has %d requests, the generator "
                              "counted %d" % (len(self.requests),
                                              self.done["summary"]["requests"]))
        self.requests.sort()


def why_failed(start, end, windows):
    for at, done, answers, fault in windows:
        if fault == "proxy_killed":
            if at <= start <= answers + BEFORE_S:
                return DOWN
            if start < at and at - BEFORE_S <= end <= answers + AFTER_S:
                return IN_FLIGHT
        elif start <= done + BEFORE_S and at - BEFORE_S <= end <= done + AFTER_S:
            return IN_FLIGHT
    return FAILED


class Reference:
    """What the run with all servers on did with each request, by piece and instant."""

    def __init__(self, pieces):
        self.starts = [array.array("d", (r[0] for r in p.requests)) for p in pieces]
        # Some begin in the same microsecond: which is which, nobody can say.
        answered = [{r[0] for r in p.requests if r[3] == ANSWERED} for p in pieces]
        self.unanswered = [{r[0] for r in p.requests if r[3] != ANSWERED} - fine
                           for p, fine in zip(pieces, answered)]

    def answered(self, piece, start):
        """None: there was no such request."""
        starts = self.starts[piece]
        index = bisect.bisect_left(starts, start)
        if index == len(starts) or starts[index] != start:
            return None
        return start not in self.unanswered[piece]

    def missing(self, pieces):
        """How many of its requests the same run of a policy did not have."""
        return sum(sum((Counter(starts) - Counter(r[0] for r in piece.requests)).values())
                   for starts, piece in zip(self.starts, pieces))


class Run:
    """A policy with a seed: its pieces one after the other."""

    def __init__(self, policy, seed, folders):
        self.policy, self.seed = policy, seed
        self.pieces = [Piece(folder) for folder in folders]
        self.seconds = sum(p.seconds for p in self.pieces)
        for piece in self.pieces:
            if set(piece.machines) != set(self.pieces[0].machines):
                raise BrokenPiece(os.path.join(piece.folder, "machines.json"),
                                  "other machines than in the first piece")

    # --- requests -----------------------------------------------------------

    def reference(self):
        return Reference(self.pieces)

    def count(self, reference):
        """What became of the requests. reference: that of the run with all servers on; None of
        that run itself, and where it is not there: then nobody knows what is lost."""
        kinds = Counter(r[3] for p in self.pieces for r in p.requests)
        lost, both, unknown = [], 0, 0
        for i, piece in enumerate(self.pieces):
            for request in piece.requests:
                if reference is None:
                    continue
                there = reference.answered(i, request[0])
                unknown += there is None
                if request[3] == FAILED:
                    if there is False:
                        both += 1
                    else:
                        lost.append((i,) + request)
        total = sum(kinds.values())
        judged = max(1, total - kinds[ANNOUNCED])
        apart = kinds[IN_FLIGHT] + kinds[DOWN]
        latencies = sorted(r[1] for p in self.pieces for r in p.requests if r[3] == ANSWERED)
        return {
            "requests": total, "answered": kinds[ANSWERED], "announced": kinds[ANNOUNCED],
            "in_flight": kinds[IN_FLIGHT], "down": kinds[DOWN], "failed": kinds[FAILED],
            "wrong": kinds[WRONG], "lost": None if reference is None else len(lost),
            "both": None if reference is None else both, "unmatched": unknown,
            "missing": None if reference is None else reference.missing(self.pieces),
            "first_lost": lost[:20],
            "available": kinds[ANSWERED] / judged,
            "available_apart": kinds[ANSWERED] / max(1, judged - apart),
            "ms": {name: stats.percentile(latencies, share) for name, share in (
                ("p50", .5), ("p90", .9), ("p99", .99), ("p99.9", .999), ("max", 1))},
            "late_percent": 100 * sum(ms > LATE_MS for ms in latencies) / max(1, total),
            "slower": slower(latencies)}

    def arrivals(self):
        """Requests in each second of the run."""
        counts = []
        for piece in self.pieces:
            seconds = int(piece.seconds + 0.999)
            own = [0] * seconds
            for request in piece.requests:
                own[min(seconds - 1, int(request[0]))] += 1
            counts += own
        return counts

    # --- energy -------------------------------------------------------------

    def energy(self):
        """covered: the share of the time of all machines that readings cover; mean_watts: of
        all machines together, each by its own readings (one that is always on and one that is
        off are not alike); None when one of them has none."""
        own, gaps = 0.0, []
        machines = {name: [0.0, 0.0] for name in self.pieces[0].machines}
        for i, piece in enumerate(self.pieces):
            for name, sums in sorted(machines.items()):
                got, seconds, missing = stats.integrate(piece.watts[name], piece.began,
                                                        piece.end)
                sums[0] += got
                sums[1] += seconds
                gaps += [(i, name, low - piece.began, high - piece.began)
                         for low, high in missing if high - low > stats.GAP_S]
            own += sum(piece.done["own_joules"].values())
        account = None
        if self.policy != ALWAYS_ON:
            # It goes on after a kill, from what the checkpoint has: no counter that begins anew.
            account = sum(p.done["energy"]["joules"] - next(
                (s["joules"] for s in p.samples if "joules" in s), 0) for p in self.pieces)
        shares = [seconds / self.seconds for _, seconds in machines.values()]
        return {"joules": sum(joules for joules, _ in machines.values()),
                "covered": sum(shares) / len(shares), "least_covered": min(shares),
                "mean_watts": sum(joules / seconds for joules, seconds in machines.values())
                if min(shares) > 0 else None,
                "gaps": gaps, "room_joules": own, "module_joules": account}

    # --- machines ------------------------------------------------------------

    def spans(self, piece):
        """(machine, phase, from, to) within the piece, by the machines themselves."""
        for name, machine in piece.machines.items():
            steps = machine["phases"]
            phase = steps[0][1] if steps else "up"
            since = piece.began
            for at, _, new in steps:
                if at > piece.began and min(at, piece.end) > since:
                    yield name, phase, since, min(at, piece.end)
                    since = min(at, piece.end)
                phase = new
            if piece.end > since:
                yield name, phase, since, piece.end

    def power(self):
        """Mean servers on, power cycles of each, how long boots took by the machines."""
        up, cycles, boots = 0.0, Counter(), []
        for piece in self.pieces:
            for name, phase, low, high in self.spans(piece):
                up += (high - low) * (phase in ("up", "no-service"))
            for name, machine in piece.machines.items():
                cycles[name] += 0
                for at, old, new in machine["phases"]:
                    if old == "off" and piece.began <= at < piece.end:
                        cycles[name] += 1
                times = {}
                for at, old, new in machine["phases"]:
                    times[new] = at
                    if old == "booting" and new == "up" and piece.began <= at < piece.end:
                        boots.append(at - times.get("booting", at))
        boots.sort()
        return {"mean_on": up / self.seconds, "cycles": dict(sorted(cycles.items())),
                "boots": len(boots), "boot_p50": stats.percentile(boots, .5),
                "boot_p95": stats.percentile(boots, .95),
                "boot_most": boots[-1] if boots else 0.0}

    def wakes(self):
        """How long it took from the decision to wake to a server in rotation, by the keeper's
        log."""
        took = []
        for piece in self.pieces:
            woken = {}
            for at, url, state in piece.states:
                if state == "waking":
                    woken[url] = at
                elif state == "on" and url in woken:
                    took.append(at - woken.pop(url))
                elif state != "waking":
                    woken.pop(url, None)
        took.sort()
        return {"count": len(took), "p50": stats.percentile(took, .5),
                "p95": stats.percentile(took, .95)}

    def holds(self):
        """How waiting ended, by the proxy's own counters, which begin anew when it does."""
        total, p99 = Counter(), 0.0
        for piece in self.pieces:
            told = [s["waits"] for s in piece.samples if "waits" in s]
            for name in ("served", "refused", "timed_out", "aborted", "turned_away"):
                total[name] += counted([0] + [waits[name] for waits in told])
            p99 = max([p99] + [waits["p99_s"] or 0.0 for waits in told])
        return dict(total, worst_p99_s=p99)

    # --- the proxy itself -------------------------------------------------------

    def processor_s(self):
        """Of all processes of the proxy, tools of the keeper among them."""
        used = 0.0
        for piece in self.pieces:
            before = None
            for sample in piece.samples:
                total = sum(sample["cpu"].values())
                if before is not None:
                    same = set(before["cpu"]) & set(sample["cpu"])
                    used += max(0.0, total - (sum(before["cpu"].values()) if same else 0.0))
                before = sample
        return used

    def series(self, name):
        """[(t in s of the run, value)] of the samples, without those taken while a process was
        missing."""
        return sum(self._series_of_pieces(name), [])

    def _series_of_pieces(self, name):
        series, begin = [], 0.0
        for piece in self.pieces:
            series.append([(begin + s["t"] - piece.began, s[name]) for s in piece.samples
                           if s["children"] and (s["keeper_kb"] or self.policy == ALWAYS_ON)])
            begin += piece.seconds
        return series

    def lives(self, name):
        """How many processes one after the other, and for how long the longest of them lived;
        name: keeper_pid or parent_pid."""
        count, longest = 0, 0.0
        for piece in self.pieces:
            pid, since = 0, 0.0
            for sample in piece.samples:
                if sample[name] and sample[name] != pid:
                    pid, since, count = sample[name], sample["t"], count + 1
                if sample[name]:
                    longest = max(longest, sample["t"] - since)
        return count, longest

    def slope(self, name):
        """(an hour's growth, low, high), without the first fifth of each piece, in which what is
        used for the first time is made. Processes begin anew with a piece: each has a level of
        its own, or two pieces would hide most of what leaks in both."""
        groups, begin = [], 0.0
        for piece, points in zip(self.pieces, self._series_of_pieces(name)):
            groups.append([p for p in points if p[0] > begin + piece.seconds / 5])
            begin += piece.seconds
        return stats.slope_per_hour(*groups)

    def sessions(self):
        """[(t, of all BMCs)] beside those of the experiment."""
        points, begin = [], 0.0
        for piece in self.pieces:
            known = {}
            for t, machine, count in piece.sessions:
                known[machine] = count
                points.append((begin + t - piece.began, sum(known.values())))
            begin += piece.seconds
        return points

    # --- over time ---------------------------------------------------------------

    def bin_s(self):
        return max(1.0, self.seconds / BINS)

    def over_time(self):
        """Load, servers on, watts, failed, in equal parts of the run; None where watts have a
        gap."""
        width, count = self.bin_s(), int(self.seconds / self.bin_s() + 0.999)
        rate, failed, up = [0] * count, [0] * count, [0.0] * count
        watts, begin = [None] * count, 0.0
        slow = [[] for _ in range(count)]
        for piece in self.pieces:
            for start, latency, _, kind in piece.requests:
                part = min(count - 1, int((begin + start) / width))
                rate[part] += 1
                failed[part] += kind != ANSWERED
                slow[part].append(latency)
            for _, phase, low, high in self.spans(piece):
                if phase in ("up", "no-service"):
                    spread(up, width, begin + low - piece.began, begin + high - piece.began)
            for part in range(count):
                low, high = part * width - begin, (part + 1) * width - begin
                if low < -1e-6 or high > piece.seconds + 1e-6:
                    continue
                sums = [stats.integrate(around(r, piece.began + low, piece.began + high),
                                        piece.began + low, piece.began + high)
                        for r in piece.watts.values()]
                if all(covered > 0.5 * width for _, covered, _ in sums):
                    watts[part] = sum(joules / covered for joules, covered, _ in sums)
            begin += piece.seconds
        return {"step_s": width, "rate": [n / width for n in rate], "failed": failed,
                "on": [seconds / width for seconds in up], "watts": watts,
                "p99_ms": [stats.percentile(sorted(x), .99) if x else None for x in slow]}

    # --- faults --------------------------------------------------------------------

    def faults(self, reference):
        """Each fault with what became of the requests until the next one."""
        rows, begin = [], 0.0
        for i, piece in enumerate(self.pieces):
            done = [e for e in piece.events if "fault" in e]
            for event, following in zip(done, done[1:] + [None]):
                low = event["at"] - piece.began
                high = following["at"] - piece.began if following else piece.seconds
                near = piece.requests[bisect.bisect(piece.requests, (low - LONGEST_S,)):
                                      bisect.bisect(piece.requests, (high,))]
                # A request belongs to the fault after which it ended.
                hit = [r for r in near if r[3] != ANSWERED and
                       low - BEFORE_S <= r[0] + r[1] / 1000 < high - BEFORE_S]
                kinds = Counter(r[3] for r in hit)
                ms = sorted(r[1] for r in near if low <= r[0] and r[3] == ANSWERED)
                lost = sum(r[3] == FAILED and reference is not None and
                           reference.answered(i, r[0]) is not False for r in hit)
                rows.append({
                    "t": begin + low, "fault": event["fault"], "machine": event["machine"],
                    "phase": event.get("phase"), "hit": event["hit"],
                    "down_s": event["answered"] - event["at"] if "answered" in event else None,
                    "in_flight": kinds[IN_FLIGHT], "down": kinds[DOWN],
                    "announced": kinds[ANNOUNCED], "failed": kinds[FAILED], "lost": lost,
                    "wrong": kinds[WRONG], "p99_ms": stats.percentile(ms, .99),
                    "most_ms": ms[-1] if ms else 0.0})
            begin += piece.seconds
        return rows

    def stalls(self):
        """Seconds for which the machine had no time, each with its instant."""
        return [(e["at"], e["stall"]) for p in self.pieces for e in p.events if "stall" in e]

    def troubles(self):
        return [e for p in self.pieces for e in p.events if "trouble" in e]


def counted(values):
    """By how much a counter has grown that begins anew with its program."""
    return sum(later - value if later >= value else later
               for value, later in zip(values, values[1:]))


def around(readings, low, high):
    """Those that may matter between two instants."""
    return readings[max(0, bisect.bisect(readings, (low - stats.GAP_S,)) - 1):
                    bisect.bisect(readings, (high + stats.GAP_S,)) + 1]


def spread(bins, width, low, high):
    """Adds the seconds from low to high to the bins they lie in."""
    part = max(0, int(low / width))
    while part < len(bins) and part * width < high:
        bins[part] += max(0.0, min(high, (part + 1) * width) - max(low, part * width))
        part += 1


# From 20 ms to 20 s, so many to a factor of ten.
EDGES_MS = [round(20 * 10 ** (i / 16), 1) for i in range(49)]


def slower(ordered_ms):
    """The share of the answers that took longer than each edge."""
    count = max(1, len(ordered_ms))
    return [1 - bisect.bisect_right(ordered_ms, edge) / count for edge in EDGES_MS]
