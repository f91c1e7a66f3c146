"""Fixtures: a room of machines and a proxy in front of it, both gone after the test."""

import os
import pathlib
import shutil
import sys
import tempfile
import time

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [HERE, os.path.join(ROOT, "rig"), os.path.join(ROOT, "tests")]

import orphans  # noqa: E402
from proxy import QUICK, Proxy, hints  # noqa: E402
from room import HostSpec, Room  # noqa: E402

# ipmi_sim gives now and then such an answer on a busy machine; the ladder tries again. What
# a BMC that goes on with it comes to is the matter of test_fault_table.py.
BUSY_BMC = r"GB0702: .* by ipmi failed: .*: (BMC error|session timeout|connection timeout)"

BEGAN = time.time()


def pytest_sessionfinish(session):
    orphans.sweep(BEGAN)


@pytest.fixture
def base():
    """A directory that httpd's children and the keeper's user may enter: pytest's own
    are closed to them."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="gb-test-"))
    os.chmod(path, 0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def site(base):
    """site(specs, ...) -> (room, proxy), started; keys by the machine's kind."""
    opened = []

    def make(specs, balancer=QUICK, keys=None, start=True, network="loopback", **more):
        room = Room(str(base / ("room%d" % len(opened))), specs, network=network)
        room.up()
        opened.append(room)
        members = []
        for host in room:
            kind = host.spec.kind
            wake, sleep = {"ipmi": ("ipmi", "ipmi"), "wol": ("wol", "room"),
                           "both": ("wol,ipmi", "ipmi"), "plain": (None, None),
                           "redfish": ("redfish", "redfish")}[kind]
            own = hints(host, wake=wake, sleep=sleep)
            extra = (keys or {}).get(host.spec.name, "")
            members.append((host.url, "%s capacity=%d boot=2s machine=%s %s" % (
                own, host.spec.capacity, host.spec.name, extra)))
        if room.redfish:
            more["main"] = more.get("main", "") + "\nGreenBmcCA " + room.redfish.ca
        proxy = Proxy(str(base / ("proxy%d" % len(opened))), members=members,
                      balancer=balancer, secrets=room.secrets_text(),
                      drivers={"room": room.powerdriver}, **more)
        opened.append(proxy)
        if any(host.ipmi for host in room):
            proxy.allow_once(BUSY_BMC)
        if start:
            proxy.start()
        return room, proxy

    make.specs = lambda *names, **kw: [HostSpec(n, **kw) for n in names]
    failed = True
    try:
        yield make
        failed = False
    finally:
        problems = []
        for thing in reversed(opened):
            try:
                if isinstance(thing, Room):
                    thing.down()
                elif failed:
                    thing.kill_all()
                else:
                    thing.close()
            except AssertionError as error:
                problems.append(str(error))
        assert not problems, "\n".join(problems)
