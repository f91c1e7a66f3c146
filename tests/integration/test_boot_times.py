"""Boot times are learned from the order that was really given, and are kept whatever
ends: the keeper, a configuration, httpd."""

import os
import signal
import time

from proxy import wait
from room import HostSpec


def boot(proxy, url):
    return proxy.member(url)["boot_s"]


def histogram(proxy, url):
    """Of the metric wake_seconds: upper bound in seconds -> counter, and the sum."""
    counts, total = {}, None
    for line in proxy.get("/green/metrics")[1].decode().splitlines():
        if line.startswith("greenbalance_wake_seconds_") and 'member="%s"' % url in line:
            value = float(line.rsplit(" ", 1)[1])
            if "_bucket{" in line:
                counts[float(line.split('le="')[1].split('"')[0])] = value
            elif "_sum{" in line:
                total = value
    return counts, total


def cycle(proxy, url):
    """To sleep and awake again by command."""
    assert proxy.ctl("sleep", url).returncode == 0
    proxy.wait_state(url, "asleep", 20)
    assert proxy.ctl("wake", url).returncode == 0
    proxy.wait_state(url, "on", 20)


def new_keeper(proxy, before):
    wait(lambda: proxy.keeper_pid() not in (0, before), 5, "another keeper")


def test_learned_times_survive_whatever_ends(site):
    room, proxy = site([HostSpec("web%d" % i, capacity=4, boot_s=0.5, shutdown_s=0.2)
                        for i in (1, 2)])
    proxy.allow(r"GB0308")
    url = room["web2"].url
    assert proxy.ctl("wake", room["web1"].url).returncode == 0
    proxy.wait_state(url, "asleep", 30)

    # Paused, it is not ordered: what it waits for the resumption is no boot time.
    assert proxy.ctl("pause").returncode == 0
    assert proxy.ctl("wake", url).returncode == 0
    proxy.wait_state(url, "waking", 5)
    keeper = proxy.keeper_pid()
    os.kill(keeper, signal.SIGKILL)  # nor does the next keeper order it
    new_keeper(proxy, keeper)
    time.sleep(4)
    assert not room["web2"].powered()
    assert proxy.ctl("resume").returncode == 0
    proxy.wait_state(url, "on", 15)
    first = boot(proxy, url)
    assert first["count"] == 1 and 0.5 <= first["p50"] < 4, first
    counts, total = histogram(proxy, url)
    assert abs(total - first["p50"]) < 0.002
    assert counts == {bound: float(bound >= total) for bound in counts}
    assert {1, 5, 120, float("inf")} < set(counts)

    proxy.graceful()
    wait(lambda: len(proxy.keeper_pids()) == 1 and boot(proxy, url) == first, 10,
         lambda: "kept over a graceful restart: %s" % boot(proxy, url))

    # A keeper that is killed as soon as it has learned, and then all of httpd.
    cycle(proxy, url)
    keeper = proxy.keeper_pid()
    os.kill(keeper, signal.SIGKILL)
    new_keeper(proxy, keeper)
    assert boot(proxy, url)["count"] == 2
    cycle(proxy, url)
    time.sleep(1)  # far less than the 10 s between two checkpoints
    learned = boot(proxy, url)
    assert learned["count"] == 3, learned
    counts = histogram(proxy, url)
    assert counts[0][float("inf")] == 3
    proxy.kill_all()
    os.remove(proxy.path("run", "httpd.pid"))
    proxy.start()
    assert boot(proxy, url) == learned and histogram(proxy, url) == counts

    proxy.stop()
    proxy.start()
    assert boot(proxy, url) == learned and histogram(proxy, url) == counts
