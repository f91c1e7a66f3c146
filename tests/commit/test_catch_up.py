"""Two of four replicas sleep through many writes and wake; tests/bench/commit-sleep measures
the same."""

import os

import pytest
from replicas import has_test_clock
from sleepkit import Nap, sleeper_site

WRITES = 1000


def slept(site, writes):
    nap = Nap(site, clients=16, read_pause_s=0.04)
    sleepers = [site.replicas[0], site.replicas[2]]
    rates = nap.through(sleepers, writes)
    nap.end()
    nap.look()
    return nap, rates


def test_nothing_is_lost_or_done_twice_and_no_read_is_stale(base):
    with sleeper_site(base) as site:
        nap, rates = slept(site, WRITES)
        assert not nap.lost and not nap.twice and not nap.wrong
        assert not nap.stale, nap.stale[:5]
        assert len(nap.acks.keys) == len(site.replicas[0].keys()) >= WRITES
        assert nap.reads() > 100 and len(rates) == 2


def test_a_stale_read_is_found(base, monkeypatch):
    """With the planted bug that lets replicas that lag take reads."""
    if not has_test_clock():
        pytest.skip("needs a build with TEST_CLOCK=1 or SANITIZE")
    monkeypatch.setenv("GREEN_FAIL", str(base / "fail"))
    (base / "fail").write_text("bug:lagging_read\n")
    os.chmod(base / "fail", 0o644)
    with sleeper_site(base, fast=False) as site:
        for replica in site.replicas[0], site.replicas[2]:
            replica.mode(delay_ms=5, methods=["POST"])  # they lag for some time
        nap, _ = slept(site, 200)
        assert {with_token for with_token, *_ in nap.stale} == {True, False}
