"""The software of the room's virtual machine: Debian's kernel and a busybox.

Made once, into build/rig/vm. The kernel's package is downloaded and unpacked, never
installed: nothing on this machine boots from it.
"""

import fcntl
import glob
import os
import re
import shutil
import subprocess
import tempfile

from .network import netns_permitted

_RIG = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_CACHE = os.path.join(os.path.dirname(_RIG), "build", "rig", "vm")
_SOURCES = os.path.join(_RIG, "vm")
_KERNEL = "linux-image-cloud-amd64"
_BUSYBOX = "/bin/busybox"

# In the order in which they can be loaded.
_MODULES = ("virtio_ring", "virtio", "virtio_pci_modern_dev", "virtio_pci_legacy_dev",
            "virtio_pci", "failover", "net_failover", "virtio_net", "evdev", "button")


def missing():
    """Why this machine cannot have the room's virtual machine; None when it can."""
    for program, package in (("qemu-system-x86_64", "qemu-system-x86"),
                             ("cpio", "cpio"), ("nsenter", "util-linux"),
                             ("setpriv", "util-linux")):
        if not shutil.which(program):
            return f"there is no {program} (package {package})"
    if not os.path.exists(_BUSYBOX) or _is_dynamic(_BUSYBOX):
        return "there is no static busybox (package busybox-static)"
    if not os.path.exists("/dev/net/tun"):
        return "there is no /dev/net/tun"
    if not netns_permitted():
        return "this process may not make network namespaces"
    try:
        _kernel_folder()
    except (OSError, subprocess.CalledProcessError) as error:
        return f"the package of the kernel cannot be had ({error})"
    return None


def _is_dynamic(program):
    return subprocess.run(["ldd", program], capture_output=True,
                          check=False).returncode == 0


def _run(argv, **more):
    return subprocess.run(argv, check=True, text=True, capture_output=True, **more)


def _kernel_package():
    """The name of the package that the cloud kernel's own depends on."""
    shown = _run(["apt-cache", "depends", "--important", _KERNEL]).stdout
    names = re.findall(r"Depends: (linux-image-\S+)", shown)
    if not names:
        raise FileNotFoundError(f"apt-cache knows no {_KERNEL}")
    return names[0]


def _kernel_folder():
    """The unpacked kernel, fetched when there is none yet."""
    os.makedirs(_CACHE, exist_ok=True)
    with open(os.path.join(_CACHE, ".lock"), "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder = os.path.join(_CACHE, "kernel")
        if not os.path.isdir(folder):
            # apt's own user may not be let into the project's folder.
            with tempfile.TemporaryDirectory(prefix="gb-kernel-") as place:
                os.chmod(place, 0o777)
                _run(["apt-get", "download", _kernel_package()], cwd=place)
                package = glob.glob(os.path.join(place, "*.deb"))[0]
                unpacked = folder + ".new"
                shutil.rmtree(unpacked, ignore_errors=True)
                _run(["dpkg-deb", "-x", package, unpacked])
            os.rename(unpacked, folder)
    return folder


def kernel():
    """The path of the kernel."""
    return _one(f"{_kernel_folder()}/boot/vmlinuz-*")


def _one(pattern):
    found = glob.glob(pattern, recursive=True)
    if not found:
        raise FileNotFoundError(pattern)
    return found[0]


def _copy_program(program, root, target):
    """A program with the libraries that it is linked to."""
    os.makedirs(os.path.dirname(root + target), exist_ok=True)
    shutil.copy(program, root + target)
    shown = subprocess.run(["ldd", program], text=True, check=False, capture_output=True)
    for library in re.findall(r"(/\S+) \(0x", shown.stdout):
        os.makedirs(os.path.dirname(root + library), exist_ok=True)
        shutil.copy(library, root + library)


def _fill(root, folder, programs, files):
    for name in ("bin", "proc", "sys", "dev", "tmp", "modules", "www/cgi-bin"):
        os.makedirs(os.path.join(root, name))
    shutil.copy(_BUSYBOX, os.path.join(root, "bin"))
    applets = _run([_BUSYBOX, "--list"]).stdout.split()
    for applet in applets:
        if applet != "busybox":
            os.symlink("busybox", os.path.join(root, "bin", applet))
    shutil.copy(os.path.join(_SOURCES, "init"), root)
    shutil.copy(os.path.join(_SOURCES, "suspend"), os.path.join(root, "www/cgi-bin"))
    for module in _MODULES:
        shutil.copy(_one(f"{folder}/lib/modules/**/{module}.ko"),
                    os.path.join(root, "modules"))
    with open(os.path.join(root, "modules", "order"), "w", encoding="ascii") as file:
        file.write("\n".join(_MODULES) + "\n")
    for source, target in programs.items():
        _copy_program(source, root, target)
    for target, (content, mode) in files.items():
        os.makedirs(os.path.dirname(root + target), exist_ok=True)
        with open(root + target, "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), mode)
            file.write(content)


def make(image, programs=None, files=None):
    """Writes the guest's first file system to `image`; returns the kernel's path.
    programs: {path here: path there}, copied with their libraries; files: {path there:
    (content, mode)}. An executable /agent/run is started when the guest is up, and an
    executable /agent/serve in the place of its web server."""
    with tempfile.TemporaryDirectory(prefix="gb-guest-") as root:
        _fill(root, _kernel_folder(), programs or {}, files or {})
        _run(["sh", "-c", 'find . | cpio --quiet -o -H newc -R 0:0 | gzip -1 >"$0"',
              image], cwd=root)
    return kernel()
