"""Are the promises of replicated writes kept?  (docs/commit-model.md: P1 to P6)

check(history) takes what clients were told, what replicas hold and what the proxy says at the
end, and returns every broken promise as a line of text.  It knows nothing of how the module
works: tests/crash/test_checker.py plants each kind of violation and sees it found.
"""

import dataclasses

ACCEPTED = ("open", "spreading", "met", "everywhere")


@dataclasses.dataclass
class Write:
    """A write as its client saw it; times by one monotonic clock."""
    key: str
    start: float
    end: float
    status: int  # 0: no answer
    state: str  # of the Green-Commit field; "" without one
    seq: int = 0
    need: int = 0
    copies_seen: int = -1  # replicas that held it when it was said to be met; -1: not looked
    stored: bool = True  # False: it was told that nothing was stored
    body: str = ""

    def told_accepted(self):
        return self.state in ("met", "everywhere", "spreading") and self.status < 400


@dataclasses.dataclass
class Read:
    start: float
    end: float
    status: int
    token: int  # seq that it asked for; 0: none
    keys: list  # of the writes that it showed, in order
    stale: bool = False  # marked so


@dataclasses.dataclass
class Applied:
    """A write as a replica has it."""
    key: str
    seq: int
    answer: str = ""


@dataclasses.dataclass
class History:
    writes: list
    reads: list
    replicas: dict  # name -> list of Applied, in order
    aside: set  # names of replicas that are set aside
    final: dict  # key -> state at the end, None: not known to the proxy
    settled: bool = True  # everything had come to rest: awake replicas hold all


def order_of(history):
    """The log as far as anybody holds it: seq -> key; and contradictions about it."""
    log, wrong = {}, []
    for name, applied in history.replicas.items():
        for one in applied:
            known = log.setdefault(one.seq, one.key)
            if known != one.key:
                wrong.append("P2: entry %d is %s at %s and %s elsewhere" % (
                    one.seq, one.key, name, known))
    return log, wrong


def check_met(history):
    """P1: what was said to be met was stored, and as many had it as were needed."""
    for write in history.writes:
        if write.state in ("met", "everywhere") and 0 <= write.copies_seen < write.need:
            yield "P1: %s was met with %d copies where %d were needed" % (
                write.key, write.copies_seen, write.need)


def check_kept(history):
    """P1, P6: what was accepted is in the end with every replica that is not aside."""
    if not history.settled:
        return
    for write in history.writes:
        if not write.told_accepted():
            continue
        for name, applied in history.replicas.items():
            if name not in history.aside and write.key not in {a.key for a in applied}:
                yield "P1: %s was accepted (%s), and %s has not got it" % (
                    write.key, write.state, name)


def check_prefix(history):
    """P2: every replica in rotation holds a prefix of one log."""
    log, wrong = order_of(history)
    yield from wrong
    for name, applied in history.replicas.items():
        if name in history.aside:
            continue
        held = [a.seq for a in applied]
        if held != sorted(held):
            yield "P2: %s holds entries out of order: %s" % (name, unordered(held))
        if held:
            missing = sorted(set(s for s in log if s <= held[-1]) - set(held))
            if missing:
                yield "P2: %s holds entry %d, and not %s" % (name, held[-1], missing[:5])


def unordered(held):
    return [(a, b) for a, b in zip(held, held[1:]) if b <= a][:3]


def check_once(history):
    """P3: at most once everywhere, also where it ended in doubt."""
    for name, applied in history.replicas.items():
        seen = set()
        for one in applied:
            if one.key in seen:
                yield "P3: %s applied %s twice" % (name, one.key)
            seen.add(one.key)


def check_order(history):
    """P4: a write that was sent after another's answer follows it."""
    log, _ = order_of(history)
    at = {key: seq for seq, key in log.items()}
    answered = sorted((w.end, at[w.key], w.key) for w in history.writes
                      if w.key in at and w.status)
    first = {}
    for w in history.writes:  # what is sent again keeps its place
        first[w.key] = min(w.start, first.get(w.key, w.start))
    begun = sorted((start, at[key], key) for key, start in first.items() if key in at)
    latest, i = (0, ""), 0
    for start, seq, key in begun:
        while i < len(answered) and answered[i][0] < start:
            latest = max(latest, answered[i][1:])
            i += 1
        if latest[0] > seq:
            yield "P4: %s (entry %d) was sent after the answer to %s (entry %d)" % (
                key, seq, latest[1], latest[0])


def check_reads(history):
    """P5: a read with a token shows everything up to it, or says that it does not."""
    log, _ = order_of(history)
    for read in history.reads:
        if read.status != 200 or read.stale or not read.token:
            continue
        shown = set(read.keys)
        missing = [key for seq, key in sorted(log.items())
                   if seq <= read.token and key not in shown]
        if missing:
            yield "P5: a read with the token %d did not show %s" % (read.token, missing[:5])


def check_ends(history):
    """P6: each stored id has one verdict, which does not change."""
    held = {a.key for applied in history.replicas.values() for a in applied}
    perhaps = {w.key for w in history.writes if w.stored}
    for write in history.writes:
        final = history.final.get(write.key)
        if write.told_accepted() and final not in ("met", "everywhere", "spreading"):
            yield "P6: %s was accepted, and is %s at the end" % (write.key, final)
        if write.state == "rejected" and final != "rejected":
            yield "P6: %s was rejected, and is %s at the end" % (write.key, final)
        if write.state == "rejected" and write.key in held:
            yield "P6: %s was rejected, and somebody has applied it" % write.key
        if write.state == "spreading" and final is None:
            yield "P6: %s was stored, and nobody knows of it" % write.key
        if history.settled and final == "open":
            yield "P6: %s has no verdict at the end" % write.key
        if write.key not in perhaps and write.key in held:
            yield "P6: nothing of %s was stored, and somebody has applied it" % write.key


CHECKS = (check_met, check_kept, check_prefix, check_once, check_order, check_reads,
          check_ends)


def check(history):
    return [line for one in CHECKS for line in one(history)]
