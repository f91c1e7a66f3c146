"""What the tests of faults share: a quick room, somebody who sleeps, a watching client."""

import contextlib
import json
import os
import re
import subprocess

from conftest import QUICK
from proxy import ROOT, wait
from room import HostSpec

LOAD = os.path.join(ROOT, "build", "rig", "load")
FAST_LADDER = QUICK.replace("GreenWake timeout=8s retry=1s", "GreenWake timeout=4s retry=1s")


def start_load(proxy, *arguments):
    return subprocess.Popen([LOAD, "--to", "127.0.0.1:%d" % proxy.port, *map(str, arguments)],
                            stdout=subprocess.PIPE, text=True)


def summary(generator):
    return json.loads(generator.communicate(timeout=120)[0])


def specs(count, **more):
    values = dict(capacity=4, service_ms=50, boot_s=1.0, shutdown_s=0.3)
    values.update(more)
    return [HostSpec("web%d" % i, **values) for i in range(1, count + 1)]


def sleeping(site, count, balancer=FAST_LADDER, **more):
    """All but the first asleep: (room, proxy, urls)."""
    room, proxy = site(specs(count, **more), balancer=balancer)
    urls = [h.url for h in room]
    wait(lambda: [proxy.states()[u] for u in urls[1:]] == ["asleep"] * (count - 1), 40,
         lambda: str(proxy.states()))
    return room, proxy, urls


@contextlib.contextmanager
def watched(proxy, lost=0):
    """A client looks on, ten times a second, on new connections; each answer is a right
    one, but for so many."""
    generator = start_load(proxy, "--rate", 10, "--duration", 300, "--new-connections",
                           "--expect", "served by {server}")
    try:
        yield
    finally:
        generator.terminate()  # it ends what it has begun, and reports
        result = summary(generator)
    assert result["requests"] > 0
    assert result["failed"] <= lost, result


def boots(host):
    """How often the machine was switched on, by whatever number of orders."""
    with open(os.path.join(host.folder, "machine.log"), encoding="ascii") as log:
        return log.read().count("--> [booting]")


def orders(host, kind):
    return sum(o["order"] == kind for o in host.orders())


def given(proxy, name, what):
    """How many orders ("power on", "power off") the module says it gave to a machine."""
    return len(re.findall(r"GB0701: %s \(\w+\): %s" % (name, what), proxy.log()))
