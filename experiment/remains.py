"""What an experiment leaves behind that was killed, and how it is taken away; locks, so that no
two do the same.

A piece has a lock beside its directory, with the place in which it has its room and its proxy.
All that it starts has that place in its environment. Whoever gets the lock next takes away what
is left of it."""

import ctypes
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PREFIX = "/tmp/gb-experiment-"
ENTRY = "GB_EXPERIMENT_PLACE"
_PR_SET_PDEATHSIG = 1
ENDING_S = 60  # as long may a piece need whose experiment/run has died


class Busy(Exception):
    """Who has the lock."""


class Lock:
    """Ends with the process, however that ends. What is written into it stays."""

    def __init__(self, path, patience_s=0.0):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        # pylint: disable=consider-using-with
        self.file = open(path, "a+", encoding="utf-8", errors="surrogateescape")
        until = time.monotonic() + patience_s
        while True:
            try:
                fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() >= until:
                    self.file.close()
                    raise Busy(path) from None
                time.sleep(0.2)

    def read(self):
        self.file.seek(0)
        return self.file.read(4096).strip()

    def write(self, text):
        self.file.seek(0)
        self.file.truncate()
        self.file.write(text)
        self.file.flush()

    def release(self):
        self.file.close()


def ends_with(parent):
    """This process gets SIGTERM when its parent (a process id) dies."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it has died before
        os.kill(os.getpid(), signal.SIGTERM)


def lock_of(directory):
    """The path of a piece's lock."""
    return directory.rstrip("/") + ".lock"


def sweep_after(directory):
    """Takes away what is left of a piece that has died, if anything is."""
    path = lock_of(directory)
    if not os.path.exists(path):
        return
    try:
        lock = Lock(path)
    except Busy:
        return
    if lock.read():
        sweep(lock.read())
        lock.write("")
    lock.release()


def sweep(place):
    """The room, processes, mounts and files of a piece's place."""
    if not place.startswith(PREFIX) or "/" in place[len(PREFIX):]:
        return
    room = os.path.join(place, "room")
    if os.path.isdir(room):  # the room itself may be at it already
        subprocess.run([sys.executable, "-B", os.path.join(ROOT, "rig", "room.py"), "down", room],
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if int(pid) != os.getpid():
            _end_if_of(int(pid), place)
    for point in _mounts_below(place):
        subprocess.run(["umount", "-l", point], check=False)
    shutil.rmtree(place, ignore_errors=True)


def _end_if_of(pid, place):
    wanted = os.fsencode("%s=%s" % (ENTRY, place))
    try:
        pidfd = os.pidfd_open(pid)
    except OSError:
        return
    try:
        # Read after the descriptor was opened: the number is still the same process.
        with open("/proc/%d/environ" % pid, "rb") as file:
            if wanted in file.read().split(b"\0"):
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    except OSError:
        pass  # gone
    finally:
        os.close(pidfd)


def _mounts_below(place):
    """The innermost first."""
    with open("/proc/self/mounts", encoding="utf-8", errors="surrogateescape") as file:
        points = [line.split()[1] for line in file]
    return sorted((p for p in points if p.startswith(place + "/")), reverse=True)
