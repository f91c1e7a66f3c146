"""What the long runs share: samples of what may leak, and the lines of the result."""

import os
import subprocess


def _numbers(path, names):
    """{name: kB} of a file like /proc/PID/status."""
    found = {}
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            for line in file:
                name, _, rest = line.partition(":")
                if name in names:
                    found[name] = int(rest.split()[0])
    except (OSError, ValueError, IndexError):
        pass
    return found


def memory_kb(pid):
    """(RSS, PSS) of a process; zeros when it is gone."""
    found = _numbers("/proc/%d/smaps_rollup" % pid, ("Rss", "Pss"))
    return found.get("Rss", 0), found.get("Pss", 0)


def descriptors(pid):
    try:
        return len(os.listdir("/proc/%d/fd" % pid))
    except OSError:
        return 0


def cpu_s(pid):
    """Processor time of a process and of its children that have ended."""
    try:
        with open("/proc/%d/stat" % pid, encoding="ascii", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def bmc_sessions(host):
    """Open sessions of a BMC beside the one that asks; -1 when it does not tell."""
    address, port = host.ipmi.split(":")
    done = subprocess.run(
        ["ipmitool", "-I", "lanplus", "-C", "3", "-N", "2", "-R", "2", "-H", address,
         "-p", port, "-U", host.ipmi_user, "-P", host.ipmi_password, "session", "info",
         "active"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, timeout=60)
    for line in done.stdout.splitlines():
        if line.startswith("active sessions"):
            return int(line.split(":")[1]) - 1
    return -1


def sample(proxy):
    """What may leak, now: the keeper, the parent, the children together."""
    keeper, parent, children = proxy.keeper_pid(), proxy.pid(), proxy.children()
    return {"keeper_pid": keeper, "parent_pid": parent, "keeper_kb": memory_kb(keeper)[0],
            "keeper_fds": descriptors(keeper), "parent_kb": memory_kb(parent)[0],
            "parent_fds": descriptors(parent), "children": len(children),
            "children_pss_kb": sum(memory_kb(pid)[1] for pid in children),
            "children_fds": sum(map(descriptors, children)),
            "processes": len(proxy.processes())}


class Verdict:
    """Lines "WORD NAME value=V goal=G ok|short"; `good` is the exit status's."""

    def __init__(self, word):
        self.word = word
        self.good = True
        self.lines = []  # (name, value, goal, was it met)

    def line(self, name, value, goal, good):
        self.good = self.good and bool(good)
        shown = "%.6g" % value if isinstance(value, float) else value
        self.lines.append((name, shown, goal, bool(good)))
        print("%s %s value=%s goal=%s %s" % (self.word, name, shown, goal,
                                             "ok" if good else "short"), flush=True)

    def most(self, name, value, most):
        self.line(name, value, "<=%s" % most, value <= most)

    def least(self, name, value, least):
        self.line(name, value, ">=%s" % least, value >= least)
