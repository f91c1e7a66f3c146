"""Shared memory that httpd leaves in /dev/shm when it is killed.

httpd itself finds and takes it over by the name of its runtime directory; a test's directory is
gone after the test, so nobody ever would."""

import glob
import os
import time

PLACE = "/dev/shm"
YOUNG_S = 2  # it may just be on its way from being made to being mapped


def mapped():
    """The names that some process of this machine has mapped."""
    names = set()
    for path in glob.glob("/proc/[0-9]*/maps"):
        try:
            with open(path, encoding="ascii", errors="replace") as file:
                names.update(line.split()[5] for line in file if PLACE + "/ShM." in line)
        except OSError:  # it has ended meanwhile
            pass
    return names


def sweep(since, place=PLACE):
    """Removes APR's segments that were made since then (time.time()) and that nobody has mapped;
    how many they were."""
    now, gone = time.time(), 0
    made = []
    for path in glob.glob(os.path.join(place, "ShM.*")):
        try:
            if since <= os.stat(path).st_ctime < now - YOUNG_S:
                made.append(path)
        except OSError:
            pass
    used = mapped() if made else set()
    for path in made:
        if path not in used:
            try:
                os.unlink(path)
                gone += 1
            except OSError:
                pass
    return gone
