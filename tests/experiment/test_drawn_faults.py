"""Faults of an experiment: files of them, and what is drawn from these; how they are done."""

import os
import re
import sys
import types

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:0] = [os.path.join(ROOT, name) for name in ("experiment", "rig")]

import faults  # noqa: E402
from room import HostSpec  # noqa: E402

SPECS = [HostSpec("web1"), HostSpec("web2", kind="wol"), HostSpec("web3", kind="plain")]


def text_of(name):
    with open(os.path.join(ROOT, "experiment", name), encoding="ascii") as file:
        return file.read()


def test_each_fault_as_often_as_the_others_and_the_same_for_a_seed():
    mix = faults.Mix(text_of("faults-default"))
    schedule = mix.schedule(7200, SPECS, 7)
    assert schedule == mix.schedule(7200, SPECS, 7) != mix.schedule(7200, SPECS, 8)
    assert len(schedule) >= 450
    counts = {}
    for entry in schedule:
        counts[entry["kind"]] = counts.get(entry["kind"], 0) + 1
    assert set(counts) == {e["kind"] for e in mix.drawn} and len(counts) == 10
    assert max(counts.values()) - min(counts.values()) <= 2
    assert all(e["machine"] == "web2" for e in schedule if e["kind"] == "lost_packets")


def test_no_machine_has_two_faults_at_once():
    for seed in range(20):
        until = {}
        for e in faults.Mix(text_of("faults-all")).schedule(3600, SPECS, seed):
            if e["machine"]:
                assert e["at"] > until.get(e["machine"], -1)
                until[e["machine"]] = e["at"] + e["heal_s"]


@pytest.mark.parametrize("text, words", [
    ("dies", "every SECONDS"), ("every 0", "every SECONDS"), ("every x", "every SECONDS"),
    ("every 5\nexplodes", "there is no fault explodes"), ("every 5\ndies web1", "KIND"),
    ("every 5\ndies value=3", "dies takes no value"), ("every 5\nboot_slow heal=x", "heal"),
    ("at 3", "at SECOND KIND"), ("at -1 dies", "at SECOND"), ("at 3 dies a b", "one machine"),
    ("every nan\ndies", "every SECONDS"), ("at 1e99 dies", "at SECOND")])
def test_bad_files_of_faults(text, words):
    with pytest.raises(faults.FaultsError, match=words):
        faults.Mix(text)


def test_faults_at_their_time():
    mix = faults.Mix("at 3 dies web3 heal=2 # now\n\nat 1.5 graceful\nat 99 graceful")
    assert [(e["at"], e["kind"], e["machine"], e["heal_s"]) for e in mix.schedule(50, SPECS, 1)
            ] == [(1.5, "graceful", None, 0), (3, "dies", "web3", 2)]
    with pytest.raises(faults.FaultsError, match="web9"):
        faults.Mix("at 3 dies web9").schedule(50, SPECS, 1)
    with pytest.raises(faults.FaultsError, match="web1"):
        faults.Mix("at 3 lost_packets web1").schedule(50, SPECS, 1)


def test_virtual_machines_get_what_they_can_have():
    specs = [HostSpec("web1", kind="both", vm=True), HostSpec("web2", kind="plain", vm=True)]
    for name in ("faults-default", "faults-all", "faults-steady"):
        mix = faults.Mix(text_of(name))
        mix.for_vms()
        kinds = {e["kind"] for e in mix.schedule(3600, specs, 1)}
        assert "power_loss" in kinds and "boot_slow" in kinds and "dies" not in kinds
        assert kinds.isdisjoint({"boot_fails", "unhealthy", "order_hangs"})


def test_the_manual_has_each_kind_with_its_value_and_how_long_it_lasts():
    with open(os.path.join(ROOT, "docs", "experiment.md"), encoding="utf-8") as file:
        rows = [[cell.split(";") for cell in line.split("|")[1:-1]] for line in file
                if line.startswith("| `") and line.count("|") == 5]
    told = {}
    for names, _, values, heals in rows:
        for i, group in enumerate(names):
            value, heal = (re.search(r"[\d.]+", cells[min(i, len(cells) - 1)])
                           for cells in (values, heals))
            for name in re.findall(r"`(\w+)`", group):
                told[name] = value and float(value[0]), float(heal[0]) if heal else 0
    assert told == {name: (kind.value, kind.heal_s) for name, kind in faults.KINDS.items()}


# --- how they are done ---------------------------------------------------------------

class FakeHost:
    """A machine that only notes what is done to it."""

    name = "web1"

    def __init__(self, phase):
        self.now, self.done = phase, []

    def phase(self):
        return self.now

    def powered(self):
        return self.now != "off"

    def fault(self, kind, value):
        self.done.append((kind, value))
        self.now = "off" if kind == "power_loss" else self.now

    def heal(self, kind):
        self.done.append("healed " + kind)

    def power_on(self):
        self.done.append("on")


@pytest.fixture
def doer(monkeypatch):
    """doer(phase, module) -> a doer over one machine; its `clock` is set by hand, what it notes
    stands in `told`, what the proxy has to do in `proxy.done`."""
    clock = types.SimpleNamespace(now=100.0)
    monkeypatch.setattr(faults.time, "time", lambda: clock.now)

    def make(phase="up", module=True):
        told, done = [], []
        proxy = types.SimpleNamespace(
            load_module=module, done=done, graceful=lambda: done.append("graceful"),
            set_back_wall=done.append)
        made = faults.Doer({"web1": FakeHost(phase)}, proxy, None, told.append)
        made.clock, made.told = clock, told
        return made
    return make


def entry_of(line):
    (entry,) = faults.Mix("at 0 " + line).schedule(60, SPECS, 1)
    return entry


def test_a_fault_is_mended_when_its_time_is_over_and_not_before(doer):
    made = doer()
    made.do(entry_of("boot_slow web1 value=7 heal=5"))
    assert made.room["web1"].done == [("boot_slow", 7)]
    assert made.told[0]["hit"] and made.told[0]["phase"] == "up"
    made.clock.now = 104.9
    made.heal()
    assert made.room["web1"].done == [("boot_slow", 7)]
    made.clock.now = 105.0
    made.heal()
    made.heal(everything=True)
    assert made.room["web1"].done == [("boot_slow", 7), "healed boot_slow"]
    assert made.told[1] == {"heal": "boot_slow", "machine": "web1", "at": 105.0}
    assert len(made.told) == 2


@pytest.mark.parametrize("kind, phase, hit", [
    ("dies", "up", True), ("dies", "off", False), ("power_loss", "down", False),
    ("press_button", "off", True), ("boot_slow", "off", True)])
def test_nothing_is_hit_where_it_makes_no_difference(doer, kind, phase, hit):
    made = doer(phase)
    made.do(entry_of(kind + " web1"))
    assert made.told[0]["hit"] is hit and len(made.room["web1"].done) == 1


def test_what_belongs_to_the_module_does_not_hit_stock_httpd(doer):
    stock, module = doer(module=False), doer()
    for line in ("clock_jumps value=60", "graceful", "clock_jumps value=60"):
        stock.do(entry_of(line))
        module.do(entry_of(line))
    assert [e["hit"] for e in stock.told] == [False, True, False]
    assert stock.proxy.done == ["graceful"]
    assert module.proxy.done == [-60, "graceful", 60]  # there, and back


@pytest.mark.parametrize("module, done", [(False, ["on"]), (True, [])])
def test_power_comes_back_by_hand_only_where_all_servers_are_to_be_on(doer, module, done):
    made = doer(module=module)
    made.do(entry_of("power_loss web1"))
    made.heal(everything=True)
    assert made.room["web1"].done[1:] == done


def test_no_disk_of_its_own_cannot_be_full(doer):
    made = doer()
    made.do(entry_of("disk_full"))
    assert made.told[0]["hit"] is False
    made.heal(everything=True)
    assert made.told[1]["heal"] == "disk_full"
