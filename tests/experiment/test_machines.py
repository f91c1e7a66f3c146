"""Whether the room's machines can be virtual ones, and what is said where they cannot."""

import os
import subprocess
import sys

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:0] = [os.path.join(ROOT, name) for name in ("experiment", "rig")]

import machines  # noqa: E402
from machineroom import guest, kvm  # noqa: E402


def test_too_many_for_the_processors_or_the_memory():
    assert machines.too_many(16, 2, 4000) is None
    assert machines.too_many(17, 2, 400000) == "17 at once are too many for 2 processors"
    assert machines.too_many(8, 2, 1000) == "8 at once take 1760 MB, of which 1000 are free"


def test_free_memory_is_read(tmp_path):
    file = tmp_path / "meminfo"
    file.write_text("MemTotal: 9 kB\nMemAvailable:  2097152 kB\n", encoding="ascii")
    assert machines.available_mb(str(file)) == 2048
    file.write_text("MemTotal: 9 kB\n", encoding="ascii")
    assert machines.available_mb(str(file)) == 0


@pytest.mark.parametrize("why", [None, "there is no /dev/kvm"])
def test_virtual_where_kvm_runs_them(monkeypatch, why):
    monkeypatch.setattr(machines, "why_emulated", lambda: why)
    assert machines.choose(2) == (("process", why) if why else ("vm", ""))
    assert machines.choose(10 ** 6)[0] == "process"


def test_no_kvm_no_installation(monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("ran something"))
    assert machines.why_emulated() == "there is no /dev/kvm"


@pytest.fixture
def fake_qemu(tmp_path, monkeypatch):
    """A qemu-system-x86_64 that does what the test says."""
    def make(script):
        path = tmp_path / "qemu-system-x86_64"
        path.write_text("#!/bin/sh\n" + script, encoding="ascii")
        path.chmod(0o755)
        monkeypatch.setenv("PATH", "%s:%s" % (tmp_path, os.environ["PATH"]))
        monkeypatch.setattr(os, "access", lambda *_: True)
        kvm.missing.cache_clear()
    yield make
    kvm.missing.cache_clear()


@pytest.mark.parametrize("script, why, accelerator", [
    ("exit 0", None, kvm.KVM),
    ("echo 'failed to set MSR' >&2; kill -ABRT $$", "no guest boots on its KVM (failed to set MSR)",
     kvm.EMULATION),
    ("exec sleep 100", "no guest boots on its KVM in 0.2 s", kvm.EMULATION)])
def test_a_guest_is_booted_to_know_it(fake_qemu, monkeypatch, script, why, accelerator):
    fake_qemu(script)
    monkeypatch.setattr(kvm, "BOOT_S", 5 if why is None or "in 0.2" not in why else 0.2)
    assert kvm.missing("/kernel") == why
    assert kvm.accelerator("/kernel") == accelerator


def test_a_guest_that_cannot_be_is_told_of(monkeypatch):
    """As on this machine, whatever it is: one word or the other, and no fault."""
    if guest.missing():
        pytest.skip(guest.missing())
    kvm.missing.cache_clear()
    why = kvm.missing(guest.kernel())
    assert why is None or "KVM" in why or "/dev/kvm" in why
