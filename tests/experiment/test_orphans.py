"""Shared memory of httpds that were killed."""

import mmap
import os
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:0] = [os.path.join(ROOT, "tests")]

import orphans  # noqa: E402


def made(name):
    path = os.path.join(orphans.PLACE, name)
    with open(path, "wb") as file:
        file.write(bytes(4096))
    return path


def test_only_what_nobody_has_mapped_goes(monkeypatch):
    began = time.time() - 0.1
    names = ["ShM.test%dH%d" % (os.getpid(), i) for i in range(3)] + ["other%d" % os.getpid()]
    alone, used, young, other = [made(name) for name in names]
    try:
        with open(used, "r+b") as file, mmap.mmap(file.fileno(), 4096):
            assert orphans.sweep(began) == 0  # all of them may just be on their way
            monkeypatch.setattr(orphans, "YOUNG_S", -1)
            assert orphans.sweep(time.time() + 60) == 0 and os.path.exists(alone)
            assert used in orphans.mapped()
            assert orphans.sweep(began) >= 2
            assert [os.path.exists(p) for p in (alone, used, young, other)] == [
                False, True, False, True]
        assert orphans.sweep(began) >= 1 and not os.path.exists(used)
    finally:
        for path in (alone, used, young, other):
            if os.path.exists(path):
                os.unlink(path)
