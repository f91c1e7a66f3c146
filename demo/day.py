#!/usr/bin/python3
"""A day of load in three minutes over six servers; see demo/run."""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import arguments

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [os.path.join(ROOT, "rig"), os.path.join(ROOT, "tests", "integration")]

from proxy import Proxy, hints, wait  # noqa: E402
from room import HostSpec, Room  # noqa: E402

CAPACITY = 8         # requests at once that a server answers in good time
SERVICE_MS = 100     # so one server carries 80 requests a second
BOOT_S = 4.0
SHUTDOWN_S = 1.5
PEAK_RATE = 330.0    # requests a second at noon: five of six servers at 80 %
WATTS = "140:200"    # idle and peak, of the servers in the AutoScale paper (TOCS 2012)
# Room for the requests that wait while servers boot: a child of httpd that is full closes
# the connections that clients keep alive.
WORKERS = ("StartServers 2\nServerLimit 2\nThreadLimit 512\nThreadsPerChild 512\n"
           "MaxRequestWorkers 1024\nMinSpareThreads 1\nMaxSpareThreads 1024\n")
BLOCKS = " ▁▂▃▄▅▆▇█"

SETTINGS = """
    GreenAwake min=1 spare=0
    GreenThreshold wake=80% sleep=60%
    GreenDwell awake=8s asleep=4s cycles=48/day
    GreenHealth uri=/health interval=1s timeout=1s rise=2 fall=3
    GreenReverseHealth interval=2s fall=2
    GreenWake timeout=20s retry=3s packets=3
    GreenDrain timeout=20s
"""


def day_rate(part):
    """Requests a second at a part (0..1) of the day: two peaks over a quiet night."""
    noon = math.exp(-((part - 0.36) / 0.085) ** 2)
    evening = 0.85 * math.exp(-((part - 0.74) / 0.075) ** 2)
    return PEAK_RATE * (0.05 + 0.95 * min(1.0, noon + evening))


def write_profile(path, seconds):
    with open(path, "w") as f:
        for second in range(0, int(seconds) + 1):
            f.write("%d %.2f\n" % (second, day_rate(second / seconds)))


def make_room(directory):
    specs = []
    for i in range(1, 7):
        kind = "wol" if i % 2 else "ipmi"
        specs.append(HostSpec("web%d" % i, kind=kind, boot_s=BOOT_S, shutdown_s=SHUTDOWN_S,
                              capacity=CAPACITY, service_ms=SERVICE_MS, watts=WATTS,
                              off_watts=5))
    return Room(directory, specs)


def make_proxy(directory, room):
    members = []
    for host in room:
        if host.spec.kind == "wol":
            keys = hints(host, wake="wol", sleep="room")
        else:
            keys = hints(host, wake="ipmi", sleep="ipmi")
        members.append((host.url, "%s capacity=%d watts=%s offwatts=5 boot=%ds machine=%s"
                        % (keys, CAPACITY, WATTS, round(BOOT_S) + 2, host.spec.name)))
    return Proxy(directory, members=members, balancer=SETTINGS, balancer_name="app",
                 mpm_conf=WORKERS, secrets=room.secrets_text(),
                 drivers={"room": room.powerdriver})


class Show:
    """The live line, and what is kept of it for the table."""

    def __init__(self, proxy, live_file):
        self.proxy = proxy
        self.live_file = live_file
        self.on = []
        self.rates = []
        self.terminal = sys.stdout.isatty()

    def load(self):
        try:
            with open(self.live_file) as f:
                return json.loads(f.read().splitlines()[-1])
        except (OSError, ValueError, IndexError):
            return {}

    def second(self):
        balancer = self.proxy.balancer_status()
        load = self.load()
        letters = {"on": "#", "waking": "w", "draining": "d", "stopping": "s",
                   "asleep": ".", "failed": "!", "unknown": "?"}
        states = [m["state"] for m in balancer["members"]]
        self.on.append(sum(s in ("on", "draining", "unknown") for s in states))
        self.rates.append(load.get("rate", 0))
        line = "%4ds  %4.0f req/s  %3d in flight  [%s] on %d  %4.0f W  p99 %4.0f ms  failed %d" % (
            len(self.on), load.get("rate", 0), balancer["load"]["in_flight"],
            "".join(letters[s] for s in states), self.on[-1], balancer["energy"]["watts"],
            load.get("p99_ms") or 0, load.get("failed", 0))
        if self.terminal:
            sys.stdout.write("\r\033[K" + line)
        elif len(self.on) % 5 == 0:
            sys.stdout.write(line + "\n")
        sys.stdout.flush()


def spark(values, most, width=72):
    """One row of blocks: the mean of each slice, against `most`."""
    cells = []
    for i in range(width):
        part = values[i * len(values) // width:max((i + 1) * len(values) // width,
                                                   i * len(values) // width + 1)]
        mean = sum(part) / len(part) if part else 0
        cells.append(BLOCKS[max(0, min(8, round(8 * mean / most)))])
    return "".join(cells)


def report(result, balancer, show, room):
    energy = balancer["energy"]
    drawn, always = energy["joules"] / 3600, energy["joules_always_on"] / 3600
    print("\n\nrequests       %8d" % result["requests"])
    print("failed         %8d" % result["failed"])
    print("p50, p99       %8.0f ms, %.0f ms" % (result["p50_ms"], result["p99_ms"]))
    print("load           %s  (most: %.0f requests/s)" % (
        spark(show.rates, max(show.rates)), max(show.rates)))
    print("servers on     %s  (most: %d of 6)" % (spark(show.on, 6), max(show.on)))
    print("\nserver  switched by                 wakes  sleeps  boot p50     requests")
    for member in balancer["members"]:
        name = member["machine"]
        how = "magic packet / driver" if room[name].spec.kind == "wol" else "IPMI / IPMI"
        boot = member["boot_s"]["p50"] if member["boot_s"]["count"] else None
        print("%-7s %-27s %5d  %6d  %8s  %11d" % (
            name, how, member["wakes"], member["sleeps"],
            "%.1f s" % boot if boot else "-", member["requests"]))
    print("\nenergy         %8.2f Wh   always on: %.2f Wh   saved: %.0f %%" % (
        drawn, always, 100 * (1 - drawn / always)))
    print("               (no electricity is measured: the machine room models each server's"
          "\n                watts by its state, load and power curve; the proxy reads them from"
          "\n                it over IPMI and the power driver, as it would read real meters)")
    return drawn, always


def judge(result, balancer, room, drawn, always):
    """What the demo promises; a list of what did not hold."""
    wrong = []
    if result["failed"]:
        kinds = dict(result["errors"])
        kinds.update({"status " + status: count for status, count
                      in result["by_status"].items() if int(status) >= 400})
        wrong.append("%d requests failed: %s (load average %.1f on %d processors)" % (
            result["failed"], ", ".join("%s %d" % item for item in kinds.items() if item[1]),
            os.getloadavg()[0], os.cpu_count()))
    for kind, how in (("wol", "magic packet"), ("ipmi", "IPMI")):
        cycled = [m["machine"] for m in balancer["members"]
                  if room[m["machine"]].spec.kind == kind and m["wakes"] and m["sleeps"]]
        if len(cycled) < 2:
            wrong.append("only %d servers slept and woke by %s" % (len(cycled), how))
    if drawn > 0.9 * always:
        wrong.append("energy is not clearly below always-on")
    return wrong


def run(options, directory):
    room = make_room(os.path.join(directory, "room"))
    proxy = None
    profile, live = os.path.join(directory, "profile"), os.path.join(directory, "live")
    generator = None
    try:
        room.up()
        print("machine room: 6 servers; magic packets %s" % (
            "in network namespaces" if room.network == "netns" else
            "over UDP on loopback (network namespaces are not allowed here)"))
        proxy = make_proxy(os.path.join(directory, "proxy"), room)
        proxy.start()
        print("httpd: %s   status: %s" % (proxy.url("/"), proxy.url("/green/")))
        print("#: on  w: waking  d: draining  s: stopping  .: asleep  !: failed\n")
        wait(lambda: all(s == "on" for s in proxy.states().values()), 20, "all servers on")
        write_profile(profile, options.seconds)
        generator = subprocess.Popen(
            [os.path.join(ROOT, "build", "rig", "load"), "--to",
             "127.0.0.1:%d" % proxy.port, "--profile", profile, "--seed", str(options.seed),
             "--csv", os.path.join(directory, "requests.csv"), "--live", live],
            stdout=subprocess.PIPE, text=True)
        show = Show(proxy, live)
        began = time.monotonic()
        while generator.poll() is None:
            show.second()
            time.sleep(max(0.0, began + len(show.on) - time.monotonic()))
        result = json.loads(generator.communicate()[0])
        balancer = proxy.balancer_status()
        drawn, always = report(result, balancer, show, room)
        wrong = judge(result, balancer, room, drawn, always)
        for sentence in wrong:
            print("NOT AS PROMISED: " + sentence)
        if not wrong:
            print("As promised: no request failed, servers of both kinds slept and woke, and it "
                  "took clearly less than with all of them on.")
        if options.stay:
            print("\nIt stays up until Ctrl-C: " + proxy.url("/green/"))
            while True:
                time.sleep(1)
        return 1 if wrong else 0
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if generator and generator.poll() is None:
            generator.kill()
            generator.wait()
        if proxy:
            if proxy.started:
                proxy.stop()
            proxy.kill_all()
            if options.keep_log and proxy.log():
                shutil.copy(proxy.path("log", "error.log"), options.keep_log)
        room.down()


def interrupted(*unused):
    raise KeyboardInterrupt


def main():
    options = arguments.read(sys.argv[1:])
    sys.stdout.reconfigure(line_buffering=True)
    signal.signal(signal.SIGTERM, interrupted)
    signal.signal(signal.SIGINT, interrupted)  # ignored where a shell began it with &
    directory = tempfile.mkdtemp(prefix="greenbalance-demo-")
    os.chmod(directory, 0o755)
    try:
        return run(options, directory)
    except KeyboardInterrupt:
        print("\ninterrupted")
        return 130
    finally:
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
