"""Whether QEMU runs a guest on this machine's KVM.

/dev/kvm alone says little: inside of another virtual machine it may be there, open, and even
make a machine, and yet no guest ever comes to its first instruction. So one is booted.
"""

import functools
import os
import subprocess
import tempfile

KVM = "kvm"
EMULATION = "tcg,tb-size=32"  # MB of translated code; its own choice may be a gigabyte
BOOT_S = 10


def no_device():
    """Why there is nothing to try; None: there is."""
    return None if os.access("/dev/kvm", os.R_OK | os.W_OK) else "there is no /dev/kvm"


@functools.cache
def missing(kernel):
    """Why there is none; None when a guest with this kernel boots and ends itself: without
    a file system it panics, and panic=-1 restarts it, which -no-reboot makes QEMU's end."""
    if no_device():
        return no_device()
    with tempfile.TemporaryDirectory(prefix="gb-kvm-") as place:  # for QEMU's core file
        try:
            ended = subprocess.run(
                ["qemu-system-x86_64", "-accel", KVM, "-machine", "pc", "-cpu", "max",
                 "-m", "96", "-nodefaults", "-no-user-config", "-display", "none",
                 "-no-reboot", "-kernel", kernel, "-append", "quiet panic=-1"],
                cwd=place, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE, text=True, timeout=BOOT_S, check=False)
        except OSError as error:
            return str(error)
        except subprocess.TimeoutExpired:
            return f"no guest boots on its KVM in {BOOT_S} s"
    if ended.returncode:
        said = ended.stderr.strip().splitlines()
        return "no guest boots on its KVM" + (f" ({said[0].strip()})" if said else "")
    return None


def accelerator(kernel):
    """What QEMU runs the room's guests with."""
    return EMULATION if missing(kernel) else KVM
