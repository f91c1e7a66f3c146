"""The demo leaves nothing behind, also when it is interrupted."""

import os
import shutil
import signal
import subprocess
import time

import pytest
from proxy import ROOT, wait

DAY = os.path.join(ROOT, "demo", "day.py")


def traces(folder):
    """Processes, files and namespaces of a demo whose temporary files are in folder."""
    found = os.listdir(folder)
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open("/proc/%s/cmdline" % entry) as f:
                    if folder + "/" in f.read():
                        found.append("process " + entry)
            except OSError:
                continue
    return found


@pytest.mark.skipif(os.geteuid() != 0, reason="the demo is root's")
@pytest.mark.parametrize("arguments, words", [
    (["--seconds", "60"], "at least 120"), (["--second", "x"], "invalid int value"),
    (["--fast"], "unrecognized arguments: --fast"), (["--keep-log"], "expected one argument")])
def test_wrong_arguments_are_told_before_anything_is_installed(tmp_path, arguments, words):
    """In a copy that can install and build nothing."""
    os.mkdir(tmp_path / "tests")
    shutil.copytree(os.path.join(ROOT, "demo"), tmp_path / "demo")
    with open(tmp_path / "tests" / "install", "w") as f:
        f.write("#!/bin/sh\ntouch \"$0.ran\"\nexit 9\n")
    os.chmod(f.name, 0o755)

    def run(*given):
        return subprocess.run([tmp_path / "demo" / "run", *given], stderr=subprocess.PIPE,
                              text=True, timeout=30)
    done = run(*arguments)
    assert done.returncode == 2 and words in done.stderr, done.stderr
    assert not os.path.exists(f.name + ".ran")
    assert run("--seconds", "120").returncode == 9


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_demo_cleans_up(base, how):
    demo = subprocess.Popen(["/usr/bin/python3", "-B", DAY, "--seconds", "120"],
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                            env=dict(os.environ, TMPDIR=str(base)), start_new_session=True)
    try:
        # The rate in its live line says that load is running.
        for line in demo.stdout:
            if "req/s" in line:
                break
        time.sleep(1)
        os.killpg(demo.pid, how)
        demo.stdout.read()
        assert demo.wait(timeout=60) == 130
    finally:
        if demo.poll() is None:
            os.killpg(demo.pid, signal.SIGKILL)
            demo.wait()
        demo.stdout.close()
    wait(lambda: not traces(str(base)), 15, lambda: "all is gone: %s" % traces(str(base)))
