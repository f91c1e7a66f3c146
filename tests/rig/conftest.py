"""Rooms for the rig's own tests. A room of a few machines comes up in a fraction of a
second, so each test has its own."""

import contextlib
import itertools

import pytest

import rigkit  # noqa: F401  puts the rig on the path
from machineroom.network import netns_permitted
from room import HostSpec, Room, build


@pytest.fixture(scope="session", autouse=True)
def programs():
    build()


@pytest.fixture
def rooms(tmp_path):
    """rooms(HostSpec(...), ..., network=...) brings one up; all end with the test."""
    count = itertools.count()
    with contextlib.ExitStack() as opened:

        def bring_up(*specs, **options):
            return opened.enter_context(
                Room(tmp_path / f"room{next(count)}", list(specs), **options))

        yield bring_up


@pytest.fixture
def one(rooms):
    """one(kind=...) brings up a quick machine of that kind and returns it."""

    def bring_up(network="auto", **fields):
        settings = {"boot_s": 0.1, "shutdown_s": 0.1, **fields}
        return rooms(HostSpec("web1", **settings), network=network)["web1"]

    return bring_up


@pytest.fixture
def namespaces():
    if not netns_permitted():
        pytest.skip("network namespaces are not permitted here")
    return "netns"


@pytest.fixture(params=["netns", "loopback"])
def network(request):
    """Runs the test in both kinds of network."""
    if request.param == "netns":
        request.getfixturevalue("namespaces")
    return request.param
