"""greensim --access-log: logs of every kind become the load that they tell."""

import gzip
import json
import os
import random
import subprocess
import time

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAM = os.path.join(os.environ.get("GREENBALANCE_BUILD", os.path.join(ROOT, "build")),
                       "greensim")
COMBINED = '%h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i"'
BEGIN = 1793000000  # 2026-10-26, a day after summer time ended in Europe


def greensim(*arguments, data=b"", fails=False):
    done = subprocess.run([PROGRAM, "--json", "--policy", "threshold", *arguments],
                          input=data, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=120)
    said = done.stderr.decode()
    assert "Sanitizer" not in said, said
    if fails:
        assert done.returncode in (1, 2), said
        return said
    assert done.returncode == 0, said
    return json.loads(done.stdout), said


def stamp(at, zone="+0000"):
    hours = int(zone[:3])
    return time.strftime("%d/%b/%Y:%H:%M:%S ", time.gmtime(at + 3600 * hours)) + zone


def common(at, zone="+0000"):
    return '10.0.0.1 - - [%s] "GET / HTTP/1.1" 200 17' % stamp(at, zone)


def combined(at, zone="+0000", agent="curl/8"):
    return common(at, zone) + ' "-" "%s"' % agent


def text(lines):
    return ("\n".join(lines) + "\n").encode()


def seconds(rng, span, count):
    """Arrivals, the first and the last second among them."""
    return [BEGIN, BEGIN + span - 1] + [BEGIN + rng.randrange(span) for _ in range(count - 2)]


@pytest.fixture
def rng():
    seed = int(os.environ.get("GB_SEED", random.randrange(1 << 32)))
    print("GB_SEED=%d" % seed)
    return random.Random(seed)


@pytest.mark.parametrize("line", [
    common, combined, lambda at: "www.example.org:80 " + combined(at),
    lambda at: combined(at) + " 512 1024",
    lambda at: combined(at, agent='a \\"quoted\\" [name] \\\\')])
def test_usual_formats_are_found_out(line):
    found, said = greensim("--access-log", "-", data=text(
        line(BEGIN + i // 3) for i in range(900)))
    assert (found["requests"], found["seconds"], said) == (900, 300, "")


def test_order_files_and_compression_make_no_difference(rng, tmp_path):
    arrivals = seconds(rng, 7200, 5000)
    expected = greensim("--access-log", "-", data=text(map(common, sorted(arrivals))))[0]
    half = len(arrivals) // 2
    (tmp_path / "access.log").write_bytes(text(map(common, arrivals[:half])))
    # a rotated log may well be two compressed pieces behind each other
    (tmp_path / "access.log.1.gz").write_bytes(
        gzip.compress(text(map(combined, arrivals[half:half + 100]))) +
        gzip.compress(text(map(combined, arrivals[half + 100:]))))
    names = [str(tmp_path / name) for name in ("access.log", "access.log.1.gz")]
    for given in (names, names[::-1]):
        found, said = greensim("--access-log", *given)
        assert said == ""
        assert found["trace"].endswith("and 1 more")
        assert found["policies"] == expected["policies"]
        assert (found["requests"], found["seconds"]) == (5000, 7200)


def test_zones_and_midnight_are_one_time():
    """Two o'clock comes twice when summer time ends; UTC does not repeat itself."""
    end = 1792890000  # 2026-10-25 01:00 UTC
    lines = [common(at, "+0200" if at < end else "+0100")
             for at in range(end - 5400, end + 90000, 10)]
    found, said = greensim("--access-log", "-", data=text(lines))
    assert (found["requests"], found["seconds"], said) == (9540, 95391, "")


@pytest.mark.parametrize("directive, value", [
    ("%D", "25000"), ("%{us}T", "25000"), ("%{ms}T", "25"), ("%T/%D", "0/25000")])
def test_time_of_service_is_taken_from_the_log(directive, value):
    lines = [combined(BEGIN + i) + " " + value for i in range(600)]
    found, said = greensim("--access-log", "-", "--log-format", COMBINED + " " + directive,
                           data=text(lines))
    assert said == ""
    assert found["options"]["service_s"] == pytest.approx(0.025)
    found, _ = greensim("--access-log", "-", "--log-format", COMBINED + " " + directive,
                        "--service-time", "40ms", data=text(lines))
    assert found["options"]["service_s"] == pytest.approx(0.04)


def test_whole_seconds_are_too_coarse_for_a_time_of_service():
    found, said = greensim("--access-log", "-", "--log-format", COMBINED + " %T", data=text(
        combined(BEGIN + i) + " 0" for i in range(600)))
    assert "%T tells whole seconds" in said
    assert found["options"]["service_s"] == pytest.approx(0.12)


def test_format_as_in_the_configuration(tmp_path):
    lines = text('%s 10.0.0.1 "GET /%d" %d' % (time.strftime("%F %T", time.gmtime(BEGIN + i)),
                                               i, 1000 * i) for i in range(600))
    directive = r'%{%Y-%m-%d %H:%M:%S}t %a \"%r\" %D'
    for given in (directive, directive.replace('\\"', '"'), '"%s"' % directive,
                  'LogFormat "%s" mine' % directive):
        found, said = greensim("--access-log", "-", "--log-format", given, data=lines)
        assert (found["requests"], said) == (600, "")


def test_time_of_the_end_is_carried_back():
    lines = text("%d %d" % (BEGIN + i + 30, 30000000) for i in range(600))
    found, _ = greensim("--access-log", "-", "--log-format", "%{end:sec}t %D",
                        "--service-time", "100ms", "--start", "00:00", data=lines)
    assert (found["requests"], found["seconds"]) == (600, 600)


def test_end_is_not_carried_back_beyond_1970():
    """%D says what it likes; counts are kept by seconds since 1970."""
    lines = text("%d 0" % i for i in range(600)) + b"60 61000000\n7 9223372036854\n60 60000000\n"
    found, said = greensim("--access-log", "-", "--log-format", "%{end:sec}t %D",
                           "--service-time", "100ms", data=lines)
    assert (found["requests"], found["seconds"]) == (601, 600)
    assert "standard input:601: there is no such day since 1970" in said
    assert "2 of 603 lines" in said


def test_lines_that_do_not_fit_are_shown_and_left_out(tmp_path):
    log = tmp_path / "access.log"
    lines = [combined(BEGIN + i // 4) for i in range(1200)]
    for i in range(8):
        lines[100 + i] = "\x1b[31mbad\x07 line %d" % i
    log.write_bytes(text(lines))
    found, said = greensim("--access-log", str(log))
    assert found["requests"] == 1192
    assert said.count("%s:10" % log) == 5 and "\x1b" not in said and "\x07" not in said
    assert "%s:101: expected" % log in said
    assert "8 of 1200 lines do not fit" in said


def test_format_that_does_not_fit_is_explained_early(tmp_path):
    log = tmp_path / "access.log"
    log.write_bytes(text("%d some other program says hello" % i for i in range(300000)))
    said = greensim("--access-log", str(log), fails=True)
    assert "10000 of 10000 lines do not fit" in said
    assert "--log-format 'STRING'" in said and "%s:1: expected" % log in said


@pytest.mark.parametrize("arguments, data, why", [
    (("--access-log", "/nonexistent"), b"", "No such file"),
    (("--access-log", "/tmp"), b"", "is a directory"),
    (("--access-log", "-"), b"", "no request in it"),
    (("--access-log", "-"), gzip.compress(text([common(BEGIN)] * 9999), mtime=0)[:-20], "too early"),
    (("--access-log", "-"), b"\xfd7zXZ\0rest", "compressed by xz"),
    (("--access-log", "-"), text([common(0), common(BEGIN)]), "at most 200 days"),
    (("--access-log", "-", "--log-format", "%h %u"), b"", "does not tell the time"),
    (("--access-log", "-", "--log-format", "%t %"), b"", "has no letter")])
def test_what_is_wrong_is_said(arguments, data, why):
    assert why in greensim(*arguments, data=data, fails=True)


def test_same_file_twice_is_refused(tmp_path):
    log = tmp_path / "access.log"
    log.write_bytes(text([common(BEGIN)]))
    (tmp_path / "again").symlink_to(log)
    assert "are the same file" in greensim("--access-log", str(log), str(tmp_path / "again"),
                                           fails=True)


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_lines_may_end_in_any_way(end):
    data = (end or b"\n").join(common(BEGIN + i).encode() for i in range(99)) + end
    found, said = greensim("--access-log", "-", data=data)
    assert (found["requests"], said) == (99, "")


def test_line_without_end_is_left_out():
    lines = [combined(BEGIN + i) for i in range(99)]
    lines[50] = combined(BEGIN, agent="x" * 3000000)
    lines[60] = combined(BEGIN, agent="x" * 200000)
    found, said = greensim("--access-log", "-", data=text(lines))
    assert found["requests"] == 97
    assert "standard input:51: longer than 131072 bytes" in said
    assert "standard input:61: longer than 131072 bytes" in said
    assert "2 of 99 lines" in said


@pytest.mark.skipif("GREENBALANCE_BUILD" in os.environ, reason="a sanitizer's own memory")
def test_long_span_stays_in_bounded_memory(tmp_path):
    """200 days with a request in every hour, in both directions."""
    log = tmp_path / "access.log"
    arrivals = range(BEGIN, BEGIN + 200 * 86400, 1800)
    with open(log, "wb") as f:
        f.write(text(map(common, arrivals)))
        f.write(text(map(common, reversed(arrivals))))
    # --min is more than there are: the log is read, and nothing is simulated then
    program = subprocess.Popen([PROGRAM, "--access-log", str(log), "--servers", "1", "--min",
                                "9"], stderr=subprocess.PIPE)
    said = program.stderr.read().decode()
    _, status, used = os.wait4(program.pid, 0)
    program.returncode = os.waitstatus_to_exitcode(status)
    assert program.returncode == 1 and "there are 1 servers" in said, said
    assert 140000 < used.ru_maxrss < 200000  # kB; the trace itself is 138 MB
