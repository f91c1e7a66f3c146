"""Processes that the room starts, and ends by process id.

A process is known by its id and the tick it started at, so that a number that the
kernel has given to somebody else since is never signalled.
"""

import os
import select
import signal
import subprocess
import time


def _start_tick(pid):
    """The tick the process started at, or None when it is gone or a zombie."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


class Process:
    def __init__(self, pid, start_tick, child=None):
        self.pid = pid
        self.start_tick = start_tick
        self._child = child

    @classmethod
    def start(cls, argv, log):
        with open(log, "ab") as output:
            child = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=output,
                stderr=subprocess.STDOUT, start_new_session=True)
        return cls(child.pid, _start_tick(child.pid), child)

    def identity(self):
        return [self.pid, self.start_tick]

    def alive(self):
        return (self.start_tick is not None
                and _start_tick(self.pid) == self.start_tick)

    def signal(self, number):
        """False when the process is gone."""
        try:
            pidfd = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return False
        try:
            # Looked up after the descriptor was opened: no time for a change.
            if not self.alive():
                return False
            signal.pidfd_send_signal(pidfd, number)
            return True
        except ProcessLookupError:
            return False
        finally:
            os.close(pidfd)

    def ask_to_end(self):
        self.signal(signal.SIGTERM)
        self.signal(signal.SIGCONT)

    def _wait(self, timeout_s):
        """True when the process has ended within the time."""
        try:
            pidfd = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return True
        try:
            poll = select.poll()
            poll.register(pidfd, select.POLLIN)
            return not self.alive() or bool(poll.poll(timeout_s * 1000))
        finally:
            os.close(pidfd)

    def stop(self, grace_s=2.0):
        self.ask_to_end()
        if not self._wait(grace_s):
            self.signal(signal.SIGKILL)
            self._wait(grace_s)
        if self._child:
            self._child.wait()


def wait_until(condition, timeout_s, what="the condition"):
    """Returns the condition's first true value; TimeoutError after the time."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= deadline:
            raise TimeoutError(f"{what} did not come true within {timeout_s} s")
        time.sleep(0.01)
