# SPDX-License-Identifier: Apache-2.0
"""Runs greensim for the tests of its command line."""
import json
import os
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
GREENSIM = os.path.join(os.environ.get("GREENBALANCE_BUILD", os.path.join(ROOT, "build")),
                        "greensim")
LIMIT_S = 300  # a run takes seconds; one that takes longer hangs


def run(*args, text=None):
    return subprocess.run([GREENSIM, *[str(a) for a in args]], input=text, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=LIMIT_S)


def good(*args, text=None):
    done = run(*args, text=text)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def report(*args, text=None):
    """The JSON, with the policies by name."""
    document = json.loads(good("--json", *args, text=text))
    document["by"] = {p["policy"]: p for p in document["policies"]}
    return document


def refused(*args, text=None, status=2):
    done = run(*args, text=text)
    assert done.returncode == status, (done.returncode, done.stdout, done.stderr)
    assert done.stdout == ""
    return done.stderr


def steady(rate, seconds, step=10):
    """A trace of one rate."""
    return "".join("%d,%g\n" % (t, rate) for t in range(0, seconds, step))
