#!/usr/bin/python3
"""A room of simulated machines with real power protocols, for tests and the demo.

    from room import HostSpec, Room
    with Room("/tmp/room", [HostSpec("web1"), HostSpec("web2", kind="wol")]) as room:
        room["web1"].power_off(hard=False)

By hand: rig/room.py up|down|status|fault|heal|power DIRECTORY. See README.md.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from machineroom.host import FAULT_KINDS, Host  # noqa: E402
from machineroom.room import Room, build  # noqa: E402
from machineroom.spec import HostSpec  # noqa: E402

__all__ = ["FAULT_KINDS", "Host", "HostSpec", "Room", "build"]

if __name__ == "__main__":
    from machineroom.cli import main

    main()
