"""The demo's arguments.  Run by itself it only checks them: before demo/run installs
anything for the demo, which these do not need."""

import argparse
import sys


def read(arguments):
    parser = argparse.ArgumentParser(
        prog="demo/run", description="A day of load in three minutes over six servers.")
    parser.add_argument("--stay", action="store_true", help="keep it up after the day")
    parser.add_argument("--seconds", type=int, default=180, help="length of the day")
    parser.add_argument("--seed", type=int, default=1, help="of the arrivals")
    parser.add_argument("--keep-log", metavar="FILE", help="copy httpd's error log there")
    options = parser.parse_args(arguments)
    if options.seconds < 120:
        parser.error("--seconds: at least 120, or servers boot for most of the day")
    return options


if __name__ == "__main__":
    read(sys.argv[1:])
