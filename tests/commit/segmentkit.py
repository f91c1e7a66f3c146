"""Plays the journal thread: writes its fields of the shared segment of a running httpd.

    with Played(directory, members=3) as site:
        site.log_is(head=10, settled=10)
        site.replica(0, cursor=7, lag_entries=3, reads=0)

The journal of such a site is a directory entry that no journal thread can open, so that
nobody but the test writes these fields.  Offsets come from segment.c, compiled against the
module's own headers.
"""

import os
import re
import struct
import subprocess
import tempfile
import time

from replicas import Site, wait

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))


def layout(directory):
    """{name: (offset or size, bytes)}"""
    program = os.path.join(directory, "segment")
    flags = subprocess.run(
        "echo -isystem $(apxs -q INCLUDEDIR) $(apr-1-config --includes --cppflags) "
        "$(apu-1-config --includes)", shell=True, check=True, stdout=subprocess.PIPE,
        text=True).stdout.split()
    subprocess.run(["gcc", "-std=gnu11", "-w", "-I" + ROOT] + flags +
                   ["-o", program, os.path.join(HERE, "segment.c")], check=True)
    lines = subprocess.run([program], check=True, stdout=subprocess.PIPE,
                           text=True).stdout.splitlines()
    return {name: (int(at), int(size)) for name, at, size in map(str.split, lines)}


def bucket_of(us):
    """As gb_meter_bucket()."""
    program = os.path.join(tempfile.gettempdir(), "gb-bucket-%d" % os.getpid())
    source = ('#include "core/gb_meter.h"\n#include <stdio.h>\n#include <stdlib.h>\n'
              'int main(int c, char **v) { printf("%u", gb_meter_bucket(atoll(v[1]))); }')
    subprocess.run(["gcc", "-std=gnu11", "-w", "-I" + ROOT, "-x", "c", "-", "-x", "none",
                    os.path.join(ROOT, "core", "gb_meter.c"), "-o", program, "-lm"],
                   input=source, check=True, text=True)
    try:
        return int(subprocess.run([program, str(us)], check=True, stdout=subprocess.PIPE).stdout)
    finally:
        os.unlink(program)


def line_up(at):
    return (at + 63) & ~63


class Segment:
    """The segment as one of its processes sees it."""

    def __init__(self, pid, directory):
        self.at = layout(directory)
        self.memory = open("/proc/%d/mem" % pid, "r+b", buffering=0)
        self.base = self.find(pid)
        balancers = self.number(self.base + self.at["header.balancers_room"][0], 4)
        self.members_room = self.number(self.base + self.at["header.members_room"][0], 4)
        offset = line_up(self.at["header"][0])
        self.balancers = self.base + offset
        offset = line_up(offset + balancers * self.at["balancer"][0])
        offset = line_up(offset + balancers * self.at["mind"][0])
        offset = line_up(offset + self.members_room * self.at["machine"][0])
        self.members = self.base + offset

    def find(self, pid):
        magic = struct.pack("<I", self.at["magic"][0])
        with open("/proc/%d/maps" % pid) as f:
            for line in f:
                start, end, mode = re.match(r"(\w+)-(\w+) (\S+)", line).groups()
                if mode != "rw-s":
                    continue
                first = line_up(int(start, 16) + 1)  # APR keeps a word before it
                if first < int(end, 16) and self.read(first, 4) == magic:
                    return first
        raise AssertionError("no segment in process %d" % pid)

    def read(self, at, size):
        self.memory.seek(at)
        return self.memory.read(size)

    def number(self, at, size):
        return int.from_bytes(self.read(at, size), "little")

    def write(self, at, value, size):
        self.memory.seek(at)
        data = value.encode().ljust(size, b"\0") if isinstance(value, str) else (
            value.to_bytes(size, "little", signed=value < 0))
        self.memory.write(data)

    def member(self, url):
        for i in range(self.members_room):
            at = self.members + i * self.at["member"][0]
            name = self.read(at + self.at["member.name"][0], 64).split(b"\0")[0].decode()
            if name == url:
                return at
        raise AssertionError("no member " + url)

    def set(self, base, prefix, values):
        for name, value in values.items():
            at, size = self.at[prefix + name]
            self.write(base + at, value, size)

    def get(self, base, name):
        at, size = self.at[name]
        return self.number(base + at, size)


class Played(Site):
    """A site whose journal thread is the test: everybody has everything at first."""

    def __init__(self, directory, **more):
        super().__init__(directory, **more)
        with open(os.path.join(self.proxy.dir, "state", "journal.db"), "wb") as f:
            f.write(b"no journal " * 1000)
        self.proxy.allow(r"[Jj]ournal|is not served")
        self.segment = None

    def __enter__(self):
        for replica in self.replicas:
            replica.start()
        if self.switch:
            self.switch.start()
        self.proxy.start()
        self.segment = Segment(self.proxy.pid(), self.dir)
        for i in range(len(self.replicas)):
            self.replica(i, is_replica=1, reads=1)
        self.log_is(live=1, need=1, epoch=1)
        wait(lambda: set(self.proxy.states().values()) == {"on"}, 15,
             lambda: "all are on: %s" % self.proxy.states())
        wait(lambda: all(m["replica"]["reads"] and m["health"] == "good"
                         for m in self.proxy.balancer_status()["members"]), 15,
             "all take reads")
        time.sleep(0.5)  # some ticks, in which gates open
        return self

    def log_is(self, **values):
        """Sets fields of the log."""
        self.segment.set(self.segment.balancers, "balancer.log.", values)

    def waits(self, buckets):
        """How many writes waited for so many microseconds, by the buckets of gb_meter.c."""
        at, _ = self.segment.at["balancer.log.waited"]
        for us, many in buckets.items():
            self.segment.write(self.segment.balancers + at + 4 * bucket_of(us), many, 4)

    def replica(self, index, **values):
        """Sets fields of a replica."""
        member = self.segment.member(self.replicas[index].url)
        self.segment.set(member, "member.replica.", values)

    def key_of_log(self):
        """The balancer's key, which names its cookie."""
        at, size = self.segment.at["balancer.key"]
        return self.segment.read(self.segment.balancers + at, size).split(b"\0")[0].decode()

    def replica_of(self, index, field):
        member = self.segment.member(self.replicas[index].url)
        return self.segment.get(member, "member.replica." + field)
