"""Whoever else works on this machine is not to be measured."""

import os


def go_first(pid=0):
    """A process (0: this thread) and all that it starts from now on come before all others."""
    os.sched_setscheduler(pid, os.SCHED_RR, os.sched_param(1))
