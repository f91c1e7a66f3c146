"""What a piece wrote down, read with a look at each number: a file that was cut, or has what
cannot have been measured, is told, and makes no figure."""

import json
import math
import os

MOST = 1e15  # beyond: not what anybody measured
MOST_WATTS = 1e6
# What a sample has to have, beside what the module tells of itself.
SAMPLED = ("t", "keeper_pid", "parent_pid", "keeper_kb", "keeper_fds", "parent_kb", "parent_fds",
           "children", "children_pss_kb", "children_fds", "processes")
WAITS = ("served", "refused", "timed_out", "aborted", "turned_away")


class BrokenPiece(Exception):
    """A file of a piece is not as the piece wrote it; says what to do."""

    def __init__(self, path, why):
        super().__init__("%s: %s%s remove the directory %s, and --resume runs this piece again" % (
            path, why, "" if why.endswith(", or") else ":", os.path.dirname(path)))


def number(value):
    """A finite one; ValueError of all else, true and false among them."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < MOST:
        raise ValueError("no number: %.40r" % (value,))
    return value


def _no_number(text):
    raise ValueError("no number: %s" % text)


def from_json(text):
    """NaN and infinities, which Python reads, are no JSON and no figures."""
    try:
        return json.loads(text, parse_constant=_no_number)
    except RecursionError:
        raise ValueError("brackets without end") from None


class Written:
    """The files of a piece, each as it is wanted."""

    def __init__(self, folder):
        self.folder = folder

    def path(self, name):
        return os.path.join(self.folder, name)

    def _whole(self, name, take, optional=False, errors="strict"):
        """take(the open file)."""
        try:
            with open(self.path(name), encoding="ascii", errors=errors, newline="") as file:
                return take(file)
        except FileNotFoundError:
            if optional:
                return []
            raise BrokenPiece(self.path(name), "it is missing") from None
        except KeyError as error:
            raise BrokenPiece(self.path(name), "%s is missing" % error) from None
        except (OSError, ValueError, TypeError, AttributeError, IndexError) as error:
            raise BrokenPiece(self.path(name), str(error)) from None

    def _object(self, name, check):
        def take(file):
            told = from_json(file.read())
            check(told)
            return told
        return self._whole(name, take)

    def _lines(self, name, check):
        def take(file):
            found = []
            for count, line in enumerate(file, 1):
                try:
                    if not line.endswith("\n"):
                        raise ValueError("it is cut")
                    told = from_json(line)
                    check(told)
                except (ValueError, KeyError, TypeError, AttributeError) as error:
                    raise ValueError("line %d: %s" % (count, error)) from None
                found.append(told)
            return found
        return self._whole(name, take, optional=name == "events.jsonl")

    def _table(self, name, head, row_of):
        """row_of(cells) of each line."""
        def take(file):
            first = file.readline()
            if first.strip() != head:
                raise ValueError("its first line is not %s" % head)
            columns, found = head.count(",") + 1, []
            for count, line in enumerate(file, 2):
                cells = line.rstrip("\r\n").split(",")
                try:
                    if not line.endswith("\n") or len(cells) != columns:
                        raise ValueError("it is cut")
                    found.append(row_of(cells))
                except (ValueError, OverflowError) as error:
                    raise ValueError("line %d: %s" % (count, error)) from None
            return found
        return self._whole(name, take)

    # --- the files ------------------------------------------------------------

    def done(self):
        return self._object("done.json", _check_done)

    def machines(self):
        """{name: {phases, watts_by, ...}}; one at least."""
        def check(told):
            if not told:
                raise ValueError("there is no machine in it")
            for machine in told.values():
                machine["watts_by"].lower()
                for at, old, new in machine["phases"]:
                    number(at)
                    old.lower(), new.lower()
        return self._object("machines.json", check)

    def events(self):
        def check(event):
            number(event["at"])
            if "fault" in event:
                number(event["done"])
                number(event.get("answered", 0))
                event["hit"], event["machine"], event["fault"].lower()
            number(event.get("stall", 0))
        return self._lines("events.jsonl", check)

    def samples(self):
        def check(sample):
            for name in SAMPLED:
                number(sample[name])
            for seconds in sample["cpu"].values():
                number(seconds)
            number(sample.get("joules", 0))
            if "waits" in sample:
                for name in WAITS:
                    number(sample["waits"][name])
                number(sample["waits"]["p99_s"] or 0)
        return self._lines("samples.jsonl", check)

    def log(self, take):
        """take(lines) of httpd's log, in which anything may stand."""
        return self._whole("error.log", take, errors="replace")

    def requests(self):
        """(start in s, latency in us, status, error, was it announced)."""
        def row(cells):
            start, latency, status = float(cells[0]), int(cells[1]), int(cells[2])
            if not (0 <= start < 1e7 and 0 <= latency < 1e12 and cells[5] in ("0", "1")):
                raise ValueError("that is no request: %s" % ",".join(cells)[:80])
            return start, latency, status, cells[4], cells[5] == "1"
        return self._table("requests.csv", "start_s,latency_us,status,served_by,error,later", row)

    def watts(self, machines):
        """{machine: [(t, watts, or None: it did not come)]}. What no machine draws did not come
        either."""
        found = {name: [] for name in machines}

        def row(cells):
            rows, t = found.get(cells[1]), float(cells[0])
            if rows is None:
                raise ValueError("there is no machine %s" % cells[1][:40])
            if not 0 < t < MOST or (rows and t < rows[-1][0]):
                raise ValueError("its time goes back, or is none: %s" % cells[0][:40])
            watts = float(cells[2]) if cells[2] else math.nan
            rows.append((t, watts if 0 <= watts < MOST_WATTS else None))
        self._table("watts.csv", "t,machine,watts", row)
        return found

    def sessions(self, machines):
        """[(t, machine, how many)]; none is fewer than none."""
        def row(cells):
            if cells[1] not in machines:
                raise ValueError("there is no machine %s" % cells[1][:40])
            return number(float(cells[0])), cells[1], max(0, int(cells[2]))
        return self._table("sessions.csv", "t,machine,sessions", row)


def _check_done(done):
    for name in ("began", "seconds", "processes", "seed", "piece"):
        number(done[name])
    if not done["seconds"] > 0:
        raise ValueError("seconds: %s" % done["seconds"])
    number(done["summary"]["requests"])
    for joules in done["own_joules"].values():
        number(joules)
    for load in done["load_average"]:
        number(load)
    lists = [done["crashes"], done["unexpected"]]
    done["network"], done["module"], done["disk"], done["load_average"][0]
    for name in ("commit", "httpd", "kernel", "processors", "module"):
        done["versions"][name]
    if done["policy"] != "always-on":
        lists.append(done["untrue"])
        number(done["keepers"])
        number(done["energy"]["joules"])
        done["model"]["servers"][0]
    if not all(isinstance(x, list) for x in lists):
        raise ValueError("crashes, unexpected and untrue are lists")
