"""The room by hand: rig/room.py up|down|status|fault|heal|power."""

import argparse
import json
import signal
import sys

from .host import FAULT_KINDS
from .room import Room
from .spec import KINDS, HostSpec


def _specs(arguments):
    if arguments.spec:
        with open(arguments.spec, encoding="utf-8") as file:
            return [HostSpec(**entry) for entry in json.load(file)]
    return [HostSpec(f"web{number}", kind=arguments.kind, boot_s=arguments.boot,
                     shutdown_s=arguments.shutdown, capacity=arguments.capacity,
                     service_ms=arguments.service_ms, powered=not arguments.off)
            for number in range(1, arguments.hosts + 1)]


def _up(arguments):
    room = Room(arguments.directory, _specs(arguments), network=arguments.network,
                seed=arguments.seed)
    # The exit runs the room's teardown.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    try:
        room.up(detached=not arguments.wait)
        _show(room)
        if arguments.wait:
            sys.stdout.flush()
            signal.pause()
    except BaseException:
        room.down()
        raise


def _down(arguments):
    try:
        room = Room.load(arguments.directory)
    except FileNotFoundError:
        return
    room.down()


def _show(room):
    print(f"network: {room.network}; watts are modelled from state and load")
    if room.redfish:
        print(f"redfish: user={room.redfish.user} password={room.redfish.password} "
              f"ca={room.redfish.ca}")
    for host in room:
        ways = " ".join(f"{name}={value}" for name, value in (
            ("ipmi", host.ipmi), ("user", host.ipmi_user),
            ("password", host.ipmi_password), ("redfish", host.redfish), ("mac", host.spec.has_nic and host.mac),
            ("wolto", host.wolto), ("wolif", host.wolif)) if value)
        wrong = f" faults: {', '.join(host.faults())}" if host.faults() else ""
        print(f"{host.name} {host.phase()} {host.watts()} W "
              f"{host.energy_joules():.0f} J {host.url} {ways}{wrong}")


def _status(arguments):
    _show(Room.load(arguments.directory))


def _fault(arguments):
    Room.load(arguments.directory)[arguments.host].fault(arguments.kind, arguments.value)


def _heal(arguments):
    Room.load(arguments.directory)[arguments.host].heal(arguments.kind)


def _power(arguments):
    host = Room.load(arguments.directory)[arguments.host]
    {"on": host.power_on, "off": host.power_off,
     "soft": lambda: host.power_off(hard=False), "button": host.press_button,
     "status": lambda: print(host.phase())}[arguments.order]()


def _parser():
    parser = argparse.ArgumentParser(prog="room.py", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name, run, text):
        sub = commands.add_parser(name, help=text)
        sub.add_argument("directory")
        sub.set_defaults(run=run)
        return sub

    up = command("up", _up, "bring a room up")
    up.add_argument("--hosts", type=int, default=4)
    up.add_argument("--kind", choices=KINDS, default="ipmi")
    up.add_argument("--boot", type=float, default=1.0, help="seconds")
    up.add_argument("--shutdown", type=float, default=0.5, help="seconds")
    up.add_argument("--capacity", type=int, default=16)
    up.add_argument("--service-ms", type=float, default=20)
    up.add_argument("--off", action="store_true", help="all start powered off")
    up.add_argument("--spec", help="JSON file: a list of HostSpec fields, instead")
    up.add_argument("--network", choices=("auto", "netns", "loopback"), default="auto")
    up.add_argument("--seed", type=int, default=1)
    up.add_argument("--wait", action="store_true", help="stay, and take the room down "
                    "when interrupted; otherwise `down` ends it")
    command("down", _down, "end everything and remove it")
    command("status", _status, "what each machine does")
    fault = command("fault", _fault, "make something go wrong")
    heal = command("heal", _heal, "put one thing or everything right")
    for sub in (fault, heal):
        sub.add_argument("host")
    fault.add_argument("kind", choices=FAULT_KINDS)
    fault.add_argument("value", nargs="?", type=float)
    heal.add_argument("kind", nargs="?", choices=FAULT_KINDS)
    power = command("power", _power, "be the person at the machine")
    power.add_argument("host")
    power.add_argument("order", choices=("on", "off", "soft", "button", "status"))
    return parser


def main():
    arguments = _parser().parse_args()
    try:
        arguments.run(arguments)
    except (FileNotFoundError, KeyError, ValueError, RuntimeError) as error:
        sys.exit(f"room.py: {error}")
