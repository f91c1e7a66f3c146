"""What the machines of the room are: QEMU's where this computer bears them, else processes.

In software emulation a guest takes a good part of a processor, and as its boots cannot be
squeezed, the day would have to be long; so virtual machines are the default with KVM only."""

import os
import subprocess

from machineroom import guest, kvm

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
GUEST_MB = 220       # 160 of its own, and QEMU
GUESTS_A_PROCESSOR = 8


def available_mb(path="/proc/meminfo"):
    with open(path, encoding="ascii") as file:
        for line in file:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) // 1024
    return 0


def too_many(guests, processors, memory_mb):
    """Why so many guests are too many for this computer; None: they are not."""
    if guests > GUESTS_A_PROCESSOR * processors:
        return "%d at once are too many for %d processors" % (guests, processors)
    if guests * GUEST_MB > memory_mb:
        return "%d at once take %d MB, of which %d are free" % (
            guests, guests * GUEST_MB, memory_mb)
    return None


def why_emulated():
    """Why no guest runs on KVM; None when one does. Installs QEMU where there might."""
    if kvm.no_device():
        return kvm.no_device()
    if subprocess.run([os.path.join(ROOT, "tests", "install"), "vm"], check=False).returncode:
        return "QEMU cannot be installed"
    return guest.missing() or kvm.missing(guest.kernel())


def choose(guests):
    """("vm" or "process", why not "vm") for so many guests at once."""
    why = too_many(guests, os.cpu_count(), available_mb()) or why_emulated()
    return ("process", why) if why else ("vm", "")
