"""What is done to a site while clients write: one fault an episode.

Each is a function of (site, random number generator) that does its harm and puts things right
again; FAULTS names them with their weights.
"""

import os
import signal
import time

FAIL_POINTS = (
    "before_intent", "after_intent", "before_send", "after_send", "before_receive",
    "after_receive", "before_verdict", "after_verdict", "before_reply", "after_reply",
    "before_cursor", "after_cursor", "before_mark", "after_mark", "before_aside",
    "after_aside")


def pause(rng, most_s=0.4):
    time.sleep(rng.random() * most_s)


def kill(pid, how=signal.SIGKILL):
    try:
        os.kill(pid, how)
    except ProcessLookupError:
        pass


def keeper_killed(site, rng):
    kill(site.proxy.keeper_pid() or 0) if site.proxy.keeper_pid() else None


def child_killed(site, rng):
    children = site.proxy.children()
    if children:
        kill(rng.choice(children))


def end_httpd(site):
    """All of it at once, as systemd does when the parent has died.  Its number may live on
    in a process that nobody waits for, or in another one: the file goes, too."""
    site.proxy.kill_all()
    try:
        os.unlink(site.proxy.path("run", "httpd.pid"))
    except FileNotFoundError:
        pass


def httpd_killed(site, rng):
    end_httpd(site)
    pause(rng)
    site.proxy.start()


def power_cut(site, rng):
    """Everything dies, and what was not synced is gone: journal and replicas."""
    end_httpd(site)
    for replica in site.replicas:
        replica.stop(signal.SIGKILL)
    site.drop_unsynced()
    for replica in site.replicas:
        replica.start()
    site.proxy.start()


def replica_killed(site, rng):
    replica = rng.choice(site.replicas)
    replica.stop(signal.SIGKILL)
    pause(rng, 1.5)
    replica.start()


def all_replicas_killed(site, rng):
    for replica in site.replicas:
        replica.stop(signal.SIGKILL)
    pause(rng, 1.0)
    for replica in site.replicas:
        replica.start()


def replica_stopped(site, rng):
    process = rng.choice(site.replicas).process
    if process:  # else it sleeps
        process.send_signal(signal.SIGSTOP)
        pause(rng, 2.0)
        process.send_signal(signal.SIGCONT)


def replica_resets(site, rng):
    replica = rng.choice(site.replicas)
    replica.mode(reset=rng.choice(["before", "after"]), times=rng.randint(1, 3),
                 methods=["POST", "PUT", "DELETE"])
    pause(rng, 1.0)
    replica.mode()


def replica_cuts(site, rng):
    replica = rng.choice(site.replicas)
    replica.mode(cut=True, times=rng.randint(1, 2), methods=["POST", "PUT", "DELETE"])
    pause(rng, 1.0)
    replica.mode()


def replica_errs(site, rng):
    replica = rng.choice(site.replicas)
    replica.mode(status=rng.choice([500, 502, 503, 429]), times=rng.randint(1, 4),
                 methods=["POST", "PUT", "DELETE"])
    pause(rng, 1.0)
    replica.mode()


def graceful(site, rng):
    site.proxy.graceful()


def graceful_twice(site, rng):
    site.proxy.graceful()
    pause(rng, 0.3)
    site.proxy.graceful()


def clock_jumps(site, rng):
    if rng.random() < 0.5:
        site.proxy.set_back_wall(rng.choice([1, 60, 86400]))
    else:
        site.proxy.advance(rng.choice([1, 30, 3600]))


def fail_point(site, rng):
    """The next keeper dies at a point of the protocol."""
    before = site.proxy.keeper_pid()
    site.fail("%s:kill:%d" % (rng.choice(FAIL_POINTS), rng.randint(1, 6)))
    site.proxy.graceful()
    end = time.monotonic() + 3
    seen = set()
    while time.monotonic() < end:  # the one that reads it, and then the one after it
        seen.add(site.proxy.keeper_pid())
        seen -= {0, before}
        if len(seen) >= 2:
            break
        time.sleep(0.02)
    site.fail("")
    site.proxy.graceful()


def disk_full(site, rng):
    site.fill_disk()
    pause(rng, 1.5)
    if rng.random() < 0.3:
        keeper_killed(site, rng)
        pause(rng, 0.5)
    site.free_disk()


def replica_sleeps(site, rng):
    """One is told to sleep, and woken, perhaps in the middle of it."""
    replica = rng.choice(site.replicas)
    site.proxy.ctl("sleep", replica.url)
    pause(rng, 3.0)
    site.proxy.ctl("wake", replica.url)
    pause(rng, 1.0)
    site.proxy.ctl("auto", replica.url)


def nothing(site, rng):
    pass


FAULTS = {
    keeper_killed: 5, child_killed: 4, httpd_killed: 2, power_cut: 3, replica_killed: 4,
    all_replicas_killed: 1, replica_stopped: 2, replica_resets: 4, replica_cuts: 2,
    replica_errs: 4, graceful: 3, graceful_twice: 1, clock_jumps: 3, fail_point: 12,
    disk_full: 3, replica_sleeps: 3, nothing: 1,
}


def choose(rng, names=None):
    chosen = {f: w for f, w in FAULTS.items() if not names or f.__name__ in names}
    return rng.choices(list(chosen), list(chosen.values()))[0]
