"""What is left of a piece that was killed is taken away, and nobody else's; locks; what the
command line refuses."""

import os
import signal
import subprocess
import sys
import time

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:0] = [os.path.join(ROOT, name) for name in ("experiment", "rig")]

import remains  # noqa: E402

SLEEPER = [sys.executable, "-c", "import time; print('here', flush=True); time.sleep(300)"]


def sleeper(place):
    child = subprocess.Popen(SLEEPER, stdout=subprocess.PIPE, start_new_session=True,
                             env=dict(os.environ, **{remains.ENTRY: place}))
    assert child.stdout.readline() == b"here\n"
    return child


@pytest.fixture
def place():
    path = "%stest-%d" % (remains.PREFIX, os.getpid())
    os.makedirs(os.path.join(path, "proxy", "state"))
    yield path
    remains.sweep(path)


def test_what_is_left_is_taken_away_and_nothing_else(place, tmp_path):
    mine, other = sleeper(place), sleeper(place + "x")
    directory = str(tmp_path / "0")
    lock = remains.Lock(remains.lock_of(directory))
    lock.write(place)
    remains.sweep_after(directory)  # it still lives
    assert mine.poll() is None and os.path.isdir(place)
    lock.release()
    remains.sweep_after(directory)
    assert mine.wait(timeout=20) == -signal.SIGKILL and not os.path.exists(place)
    assert other.poll() is None
    other.kill()
    other.wait()
    assert remains.Lock(remains.lock_of(directory)).read() == ""
    remains.sweep_after(str(tmp_path / "never"))
    for child in (mine, other):
        child.stdout.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts")
def test_a_disk_is_unmounted(place):
    state = os.path.join(place, "proxy", "state")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", state],
                      check=False).returncode:
        pytest.skip("nothing can be mounted here")
    remains.sweep(place)
    with open("/proc/self/mounts", encoding="utf-8") as file:
        assert place not in file.read()
    assert not os.path.exists(place)


@pytest.mark.parametrize("name", ["", "/", "/tmp", "/tmp/gb-experiment-x/../..", "x",
                                  "/tmp/gb-experiment-x/y"])
def test_a_lock_that_says_nonsense_removes_nothing(name, monkeypatch):
    def never(*_, **__):
        raise AssertionError("removed")
    monkeypatch.setattr(remains.shutil, "rmtree", never)
    monkeypatch.setattr(remains.subprocess, "run", never)
    remains.sweep(name)


def test_a_lock_is_one_persons(tmp_path):
    path = str(tmp_path / "a" / "lock")
    lock = remains.Lock(path)
    with pytest.raises(remains.Busy):
        remains.Lock(path)
    lock.release()
    remains.Lock(path).release()


def test_a_piece_ends_with_its_runner(tmp_path):
    """Its parent is killed: it gets SIGTERM."""
    inner = "import os, sys, time; sys.path.insert(0, %r); import remains\n" \
        "remains.ends_with(os.getppid()); print(os.getpid(), flush=True); time.sleep(300)" % (
            os.path.join(ROOT, "experiment"))
    outer = "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', %r]); " \
        "time.sleep(300)" % inner
    parent = subprocess.Popen([sys.executable, "-c", outer], stdout=subprocess.PIPE)
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    until = time.monotonic() + 20
    while alive(pid):
        assert time.monotonic() < until
        time.sleep(0.05)


def alive(pid):
    try:
        with open("/proc/%d/stat" % pid, encoding="ascii") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
