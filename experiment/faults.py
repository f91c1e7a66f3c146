"""Faults: which, when and to whom, drawn from a seed, so that each policy has the same; and how
they are done to a room and a proxy, and mended.

A file of faults says what may happen: see faults-default."""

import os
import random
import signal
import time

from machineroom.host import VM_FAULTS

QUIET_S = 25  # at the end of a piece, so that all can come to rest
BETWEEN_S = 2  # from a machine's being mended to its next fault


class FaultsError(Exception):
    """What is wrong in a file of faults."""


class Kind:
    """wanted: of which machines (any wol ipmi, or None: it is about the proxy); heal_s: after
    how long it is mended, 0: never; value: as rig/README.md has it, or the seconds of a clock's
    jump; kills: requests in flight die with it."""

    def __init__(self, wanted, heal_s, value=None, kills=False):
        self.wanted, self.heal_s, self.value, self.kills = wanted, heal_s, value, kills


KINDS = {
    "dies": Kind("any", 10, kills=True),
    "power_loss": Kind("any", 10, kills=True),
    "press_button": Kind("any", 10, kills=True),
    "boot_fails": Kind("any", 15),
    "boot_slow": Kind("any", 20, value=5),
    "boot_no_service": Kind("any", 15),
    "hangs_in_shutdown": Kind("any", 15),
    "ignores_order": Kind("any", 15),
    "unhealthy": Kind("any", 10),
    "unhealthy_slow": Kind("any", 10, value=3000),
    "lost_packets": Kind("wol", 15, value=100),
    "bmc_hangs": Kind("ipmi", 15),
    "bmc_busy": Kind("ipmi", 10),
    "order_hangs": Kind("ipmi", 20, value=3),
    "graceful": Kind(None, 0),
    "keeper_killed": Kind(None, 0),
    "proxy_killed": Kind(None, 0, kills=True),
    "disk_full": Kind(None, 10),
    "clock_jumps": Kind(None, 0, value=3600),
}
# Those of a module that is not there, when stock httpd has all servers on.
MODULES_OWN = ("keeper_killed", "disk_full", "clock_jumps")
# A person or a cut switched it: with all servers on it is the operator who switches it on.
SWITCHED_OFF = ("power_loss", "press_button")
KILLS = tuple(name for name, kind in KINDS.items() if kind.kills)


class Mix:
    """A file's content: how often, what is drawn, and what happens when."""

    def __init__(self, text, name="faults"):
        self.every_s, self.drawn, self.fixed = None, [], []
        for number, line in enumerate(text.splitlines(), 1):
            words = line.split("#")[0].split()
            try:
                if words:
                    self._line(words)
            except ValueError as error:
                raise FaultsError("%s:%d: %s" % (name, number, error)) from None
        if self.drawn and not self.every_s:
            raise FaultsError("%s: a line \"every SECONDS\" is missing" % name)

    def _line(self, words):
        if words[0] == "every":
            self.every_s = _number(words[1:], "every SECONDS", 1)
        elif words[0] == "at":
            if len(words) < 3:
                raise ValueError("at SECOND KIND [MACHINE] [value=V] [heal=S]")
            at = _number(words[1:2], "at SECOND", 0)
            machine = [w for w in words[3:] if "=" not in w]
            if len(machine) > 1:
                raise ValueError("one machine, not %s" % " ".join(machine))
            self.fixed.append(dict(_entry(words[2], words[3:]), at=at,
                                   machine=machine[0] if machine else None))
        else:
            if any("=" not in w for w in words[1:]):
                raise ValueError("KIND [value=V] [heal=SECONDS]")
            self.drawn.append(_entry(words[0], words[1:]))

    def needs_clock(self):
        return any(e["kind"] == "clock_jumps" for e in self.drawn + self.fixed)

    def for_vms(self):
        """Without what only a simulated machine can have; a server that dies loses its
        power."""
        for entry in self.drawn + self.fixed:
            if entry["kind"] == "dies":
                entry["kind"] = "power_loss"
        def possible(entry):
            return KINDS[entry["kind"]].wanted is None or entry["kind"] in VM_FAULTS
        self.drawn = list(filter(possible, self.drawn))
        self.fixed = list(filter(possible, self.fixed))

    def schedule(self, seconds, specs, seed):
        """[{at, kind, machine, value, heal_s}], the same for the same seed."""
        dice = random.Random(seed)
        return sorted(self._dealt(seconds, specs, dice) + self._at_their_time(
            seconds, specs, dice), key=lambda e: e["at"])

    def _dealt(self, seconds, specs, dice):
        """Those that are drawn: no two at once at one machine."""
        entries, busy, deck = [], {}, []
        at = self.every_s or seconds
        while self.drawn and at < seconds - QUIET_S:
            if not deck:  # dealt like cards: each kind as often as the others
                deck = list(self.drawn)
                dice.shuffle(deck)
            for entry in deck:
                names = self._names(specs, KINDS[entry["kind"]].wanted)
                free = [n for n in names if busy.get(n, -1) < at]
                if free or KINDS[entry["kind"]].wanted is None:
                    name = dice.choice(free) if free else None
                    busy[name] = at + entry["heal_s"] + BETWEEN_S
                    entries.append(dict(entry, at=at, machine=name))
                    deck.remove(entry)
                    break
            else:
                deck = []  # those that are left cannot be had now
            at += self.every_s
        return entries

    def _at_their_time(self, seconds, specs, dice):
        entries = []
        for entry in self.fixed:
            if entry["at"] < seconds:
                names = self._names(specs, KINDS[entry["kind"]].wanted)
                if entry["machine"] and entry["machine"] not in names:
                    raise FaultsError("at %g %s: no such machine, or it cannot have that: %s" % (
                        entry["at"], entry["kind"], entry["machine"]))
                name = entry["machine"] or (dice.choice(names) if names else None)
                entries.append(dict(entry, machine=name))
        return entries

    @staticmethod
    def _names(specs, wanted):
        return [s.name for s in specs if wanted == "any" or (wanted == "wol" and s.has_nic) or
                (wanted == "ipmi" and s.has_bmc)]


def _number(words, usage, least):
    try:
        value = float(words[0]) if len(words) == 1 else least - 1
    except ValueError:
        value = least - 1
    if not least <= value < 1e7:
        raise ValueError(usage)
    return value


def _entry(name, words):
    if name not in KINDS:
        raise ValueError("there is no fault %s; there are %s" % (name, " ".join(sorted(KINDS))))
    entry = {"kind": name, "value": KINDS[name].value, "heal_s": KINDS[name].heal_s}
    for word in words:
        key, equals, text = word.partition("=")
        if not equals:
            continue
        if key == "heal":
            entry["heal_s"] = _number([text], "heal=SECONDS", 0)
        elif key == "value" and KINDS[name].value is not None:
            entry["value"] = _number([text], "value=NUMBER", 0)
        else:
            raise ValueError("%s takes no %s" % (name, key))
    return entry


class Doer:
    """Does faults to a room and its proxy, and mends them."""

    def __init__(self, room, proxy, disk, note):
        self.room, self.proxy, self.disk, self.note = room, proxy, disk, note
        self.healing = []
        self.stock = not proxy.load_module
        self.forward = False

    def do(self, entry):
        kind, machine = entry["kind"], entry["machine"]
        host = self.room[machine] if machine else None
        event = {"fault": kind, "machine": machine, "at": time.time(), "hit": True}
        if host:
            event["phase"] = host.phase()
        if self.stock and kind in MODULES_OWN:
            event["hit"] = False
        elif host:
            if KINDS[kind].kills and event["phase"] in ("off", "suspended", "down"):
                event["hit"] = kind == "press_button"
            host.fault(kind, entry["value"])
        else:
            self._to_proxy(kind, entry, event)
        event["done"] = time.time()
        self.note(event)
        if entry["heal_s"]:
            self.healing.append((time.time() + entry["heal_s"], kind, host))

    def _to_proxy(self, kind, entry, event):
        if kind == "graceful":
            self.proxy.graceful()
        elif kind == "keeper_killed":
            keeper = self.proxy.keeper_pid()
            event["hit"] = bool(keeper)
            if keeper:
                os.kill(keeper, signal.SIGKILL)
        elif kind == "proxy_killed":
            end_httpd(self.proxy)
            self.proxy.start()
            # start() waits for the keeper as well; clients wait for the port alone.
            event["answered"] = self.proxy.answered_at
        elif kind == "disk_full":
            event["hit"] = bool(self.disk and self.disk.fill())
        elif kind == "clock_jumps":
            self.forward = not self.forward
            self.proxy.set_back_wall(-entry["value"] if self.forward else entry["value"])

    def heal(self, everything=False):
        due = [e for e in self.healing if everything or e[0] <= time.time()]
        self.healing = [e for e in self.healing if e not in due]
        for _, kind, host in due:
            self.note({"heal": kind, "machine": host.name if host else None,
                       "at": time.time()})
            if kind == "disk_full":
                if self.disk:
                    self.disk.free()
            elif kind in SWITCHED_OFF:
                if self.stock and not host.powered():
                    host.power_on()
            elif host:
                host.heal(kind)


def end_httpd(proxy):
    """All of it at once, as systemd does when the parent has died. Its number may live on in a
    process that nobody waits for, or in another one: the file goes, too."""
    proxy.kill_all()
    try:
        os.unlink(proxy.path("run", "httpd.pid"))
    except FileNotFoundError:
        pass
