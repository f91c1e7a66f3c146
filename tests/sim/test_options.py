# SPDX-License-Identifier: Apache-2.0
"""greensim's options: what is taken, and what is said of what is not."""
import subprocess

import pytest

from simkit import GREENSIM, good, refused, report, run, steady

HOUR = ("--shape", "day", "--length", "1h")


@pytest.mark.parametrize("args, words", [
    ((), ["no load is given", "--trace"]),
    (("--shape", "day", "--trace", "x"), ["only one of", "--shape"]),
    (("--shape", "night"), ["--shape night", "bursts"]),
    (("--shape", "day", "--shape", "week"), ["--shape", "twice"]),
    (("--shape",), ["requires an argument"]),
    (("--nothing",), ["unrecognized", "--nothing"]),
    (("file.csv",), ["file.csv", "no option takes it"]),
    ((*HOUR, "--", "file.csv"), ["file.csv", "no option takes it"]),
    ((*HOUR, "--servers", "0"), ["--servers 0", "1 to 1000"]),
    ((*HOUR, "--servers", "1001"), ["--servers 1001", "1 to 1000"]),
    ((*HOUR, "--servers", "5x"), ["--servers 5x"]),
    ((*HOUR, "--cores", "-1"), ["--cores -1"]),
    ((*HOUR, "--curve", "1,2,3"), ["--curve 1,2,3", "11 watts"]),
    ((*HOUR, "--curve", "200:100"), ["--curve 200:100", "idle"]),
    ((*HOUR, "--curve", "100:200", "--server", "autoscale2012"), ["--curve", "--server"]),
    (("--server", "pdp11"), ["--server pdp11", "--server help"]),
    ((*HOUR, "--server", ""), ["--server", "--server help"]),
    ((*HOUR, "--rate", "0"), ["--rate 0", "more than 0"]),
    ((*HOUR, "--rate", "nan"), ["--rate nan"]),
    ((*HOUR, "--service-time", "0"), ["--service-time 0", "0.001s"]),
    ((*HOUR, "--setup", "2 minutes"), ["--setup 2 minutes", "260s"]),
    ((*HOUR, "--setup", "99999999999999999999s"), ["--setup"]),
    ((*HOUR, "--late", "1"), ["--late 1", "0.5%"]),
    ((*HOUR, "--late", "101%"), ["--late 101%"]),
    ((*HOUR, "--budget", "0%"), ["--budget 0%"]),
    ((*HOUR, "--seed", "-1"), ["--seed -1"]),
    ((*HOUR, "--seed", "18446744073709551616"), ["--seed"]),
    ((*HOUR, "--scale", "14"), ["--scale 14", "peak=N"]),
    ((*HOUR, "--scale", "peak=0"), ["--scale peak=0"]),
    ((*HOUR, "--start", "24:00"), ["--start 24:00", "HH:MM"]),
    ((*HOUR, "--start", "9:30"), ["--start 9:30"]),
    ((*HOUR, "--mode", "solid"), ["--mode solid", "fluid or discrete"]),
    ((*HOUR, "--queue", "lifo"), ["--queue lifo", "late-last"]),
    ((*HOUR, "--policy", "best"), ["--policy best", "autoscale", "news", "hindsight"]),
    ((*HOUR, "--policy", "news,"), ["--policy"]),
    ((*HOUR, "--policy", "lcp", "--budget", "1%"), ["--budget", "news"]),
    ((*HOUR, "--policy", "lcp", "--kpa-target", "50%"), ["--kpa-target", "kpa"]),
    ((*HOUR, "--policy", "lcp", "--threshold", "wake=80%,sleep=50%"), ["--threshold"]),
    ((*HOUR, "--policy", "lcp", "--autoscale-wait", "5m"), ["--autoscale-wait"]),
    ((*HOUR, "--threshold", "wake=50%,sleep=80%"), ["--threshold", "sleep below wake"]),
    ((*HOUR, "--shutdown", "30s"), ["--shutdown", "--mode discrete"]),
    ((*HOUR, "--boot-fails", "5%"), ["--boot-fails", "--mode discrete"]),
    ((*HOUR, "--model", "m.json", "--servers", "3"), ["--servers", "--model"]),
    ((*HOUR, "--report", "-"), ["--report -", "standard output"]),
    (("--trace", "x", "--length", "1h"), ["--length", "--shape"]),
    (("--trace", "x", "--log-format", "%h"), ["--log-format", "--access-log"]),
])
def test_wrong_usage_says_what_is_allowed(args, words):
    said = refused(*args)
    for word in words:
        assert word in said


@pytest.mark.parametrize("args, words", [
    (("--rate", "67"), ["--rate 67", "66.6"]),
    (("--late-after", "100ms"), ["--late-after", "--service-time"]),
    (("--setup", "200s", "--setup-p95", "100s"), ["--setup-p95", "--setup"]),
    (("--servers", "3", "--min", "3", "--spare", "1"), ["--min 3", "3 servers"]),
    (("--curve", "60:90", "--off-watts", "60.5"), ["60.5 W switched off", "60 W idle"]),
    (("--off-watts", "500"), ["500 W switched off", "--off-watts"]),
])
def test_what_does_not_fit_together_is_said(args, words):
    said = refused(*HOUR, *args, status=1)
    for word in words:
        assert word in said


def test_help_names_every_option():
    text = good("--help")
    for option in ("trace access-log shape log-format length smooth scale start seed model "
                   "servers server curve capacity cores service-time late-after rate setup "
                   "setup-p95 setup-watts off-watts shutdown boot-fails min spare policy mode "
                   "queue late budget autoscale-wait kpa-target threshold threshold-hold json "
                   "report quiet help version").split():
        assert "--" + option in text
    assert good("--version").startswith("greensim 0.")


def test_published_servers_are_listed_with_their_source():
    text = good("--server", "help")
    for name in ("autoscale2012", "r740-2017", "rx1330m5-2022"):
        assert name in text
    assert "SPECpower_ssj2008, published" in text


def test_table_has_the_limit_beside_every_policy():
    text = good(*HOUR, "--policy", "lcp")
    assert "(99.9th percentile of the minutes)" in text.splitlines()[0]
    rows = [line.split()[0] for line in text.splitlines() if line.strip()]
    for name in ("optimum", "bound", "oracle", "always-on", "lcp"):
        assert name in rows
    assert "kpa" not in rows


def test_all_is_what_runs_when_nothing_is_said():
    assert list(report(*HOUR)["by"]) == list(report(*HOUR, "--policy", "all")["by"])


def test_json_has_the_keys_that_were_promised():
    document = report(*HOUR, "--policy", "all", "--seed", "3")
    assert document["trace"] == "day"
    assert document["seed"] == 3
    assert document["requests"] > 0
    assert document["options"]["mode"] == "fluid"
    names = list(document["by"])
    for name in ("optimum bound oracle always-on threshold autoscale lcp kpa news hindsight "
                 "reactive").split():
        assert name in names
    for policy in document["policies"]:
        for key in ("policy joules over_optimum late_percent late_response_percent p50_ms p99_ms "
                    "cycles_per_server_day peak_on mean_on").split():
            assert key in policy
    assert document["by"]["optimum"]["over_optimum"] == 1
    assert document["by"]["bound"]["over_optimum"] <= 1
    assert document["by"]["bound"]["mean_on"] is None
    assert document["by"]["always-on"]["mean_on"] == 20


def test_only_the_discrete_mode_knows_single_responses():
    args = ("--shape", "day", "--length", "10m", "--policy", "lcp")
    fluid = report(*args)["by"]["lcp"]
    assert fluid["p50_ms"] is None and fluid["late_response_percent"] is None
    discrete = report(*args, "--mode", "discrete")["by"]["lcp"]
    # Exponential times of 120 ms: half below 83 ms; one in 65 above 500 ms, without any wait.
    assert 78 < discrete["p50_ms"] < 100
    assert 1.0 < discrete["late_response_percent"] < 10


def test_a_seed_gives_the_same_again_and_another_something_else():
    args = ("--shape", "walk", "--length", "3h", "--policy", "lcp", "--json")
    assert good(*args, "--seed", "5") == good(*args, "--seed", "5")
    assert good(*args, "--seed", "5") != good(*args, "--seed", "6")


def test_always_on_draws_what_its_curve_says():
    """10 servers that share 300 requests/s are at 300 / 666.7 of their load."""
    got = report("--trace", "-", "--servers", "10", "--server", "autoscale2012",
                 "--policy", "lcp", text=steady(300, 7200))
    watts = got["by"]["always-on"]["joules"] / 7200
    assert watts == pytest.approx(10 * (140 + 60 * 300 / (8 / 0.12 * 10)), rel=0.01)


def test_off_watts_and_setup_watts_count():
    args = ("--trace", "-", "--servers", "10", "--policy", "lcp", "--rate", "60")
    text = steady(100, 3600)
    none = report(*args, "--off-watts", "0", text=text)["by"]["optimum"]
    some = report(*args, "--off-watts", "10", text=text)["by"]["optimum"]
    assert none["mean_on"] == some["mean_on"] == 2
    assert some["joules"] - none["joules"] == pytest.approx(8 * 10 * 3600, rel=1e-6)


def test_small_servers_do_not_draw_more_when_off():
    """A board that idles at 3 W: what is assumed of one switched off is not above that."""
    got = report(*HOUR, "--curve", "3:7", "--policy", "lcp")
    assert got["options"]["off_watts"] == 3
    joules = {name: policy["joules"] for name, policy in got["by"].items()}
    assert joules["optimum"] <= joules["lcp"] <= joules["always-on"]


def test_min_and_spare_are_kept():
    args = ("--trace", "-", "--servers", "10", "--rate", "60", "--policy", "all")
    text = steady(30, 7200)
    by = report(*args, "--min", "4", text=text)["by"]
    assert by["optimum"]["mean_on"] == 4
    assert all(p["mean_on"] >= 4 for p in by.values() if p["mean_on"] is not None)
    by = report(*args, "--spare", "2", text=text)["by"]
    assert by["optimum"]["mean_on"] == 3


def test_rate_follows_from_cores_and_goal():
    def rate(*args):
        return report(*HOUR, *args, "--policy", "lcp")["options"]["rate"]
    usual = rate()
    assert 50 < usual < 8 / 0.12
    assert rate("--cores", "16") > 2 * usual  # larger pools carry more
    assert rate("--late-after", "2s") > usual
    assert rate("--service-time", "60ms", "--late-after", "250ms") == \
        pytest.approx(2 * usual, rel=1e-3)


def test_overload_is_warned_of():
    done = run("--trace", "-", "--servers", "2", "--policy", "lcp", text=steady(500, 3600))
    assert done.returncode == 0
    assert "--scale" in done.stderr


def test_a_full_disk_is_noticed():
    with open("/dev/full", "w") as full:
        done = subprocess.run([GREENSIM, *HOUR, "--policy", "lcp"], stdout=full,
                              stderr=subprocess.PIPE, text=True, timeout=300)
    assert done.returncode == 1
    assert "standard output" in done.stderr


def test_a_report_that_cannot_be_written_is_told_before_the_run(tmp_path):
    """So before a load is read: that of a log takes minutes, too."""
    for bad in (tmp_path, tmp_path / "none" / "page.html"):
        said = refused("--trace", tmp_path / "no.csv", "--report", bad, status=1)
        assert "--report %s: " % bad in said and "no.csv" not in said


def test_an_earlier_report_stays_until_there_is_another(tmp_path):
    page = tmp_path / "page.html"
    page.write_text("x" * 5000000)
    refused("--trace", tmp_path / "no.csv", "--report", page, status=1)
    assert page.stat().st_size == 5000000
    good(*HOUR, "--policy", "lcp", "--report", page)
    assert page.read_text().startswith("<!") and page.stat().st_size < 5000000


@pytest.mark.parametrize("option", ["--trace", "--access-log", "--model"])
def test_a_report_does_not_overwrite_what_is_read(tmp_path, option):
    """Nor by another name, nor what is read from standard input."""
    read = tmp_path / "read"
    read.write_text(steady(5, 600))
    (tmp_path / "again").symlink_to(read)
    load = ("--shape", "day") if option == "--model" else ()
    for name in (read, tmp_path / "again"):
        said = refused(*load, option, read, "--report", name, status=1)
        assert "--report %s is the file of %s" % (name, option) in said
    assert read.read_text() == steady(5, 600)


def test_a_report_does_not_overwrite_what_is_redirected(tmp_path):
    load, table = tmp_path / "load.csv", tmp_path / "table"
    load.write_text(steady(5, 600))
    for name, other in ((load, "--trace"), (table, "standard output")):
        with open(load) as text, open(table, "w") as out:
            done = subprocess.run([GREENSIM, "--trace", "-", "--policy", "lcp", "--report", name],
                                  stdin=text, stdout=out, stderr=subprocess.PIPE, text=True,
                                  timeout=300)
        assert done.returncode == 1 and "is the file of %s" % other in done.stderr
    assert load.read_text() == steady(5, 600)


def test_a_run_that_fails_leaves_no_empty_report(tmp_path):
    page = tmp_path / "page.html"
    refused("--trace", tmp_path / "no.csv", "--report", page, status=1)
    assert not page.exists()
    good(*HOUR, "--policy", "lcp", "--report", page)
    assert page.read_text().rstrip().endswith("</html>")


def test_nothing_runs_without_standard_output(tmp_path):
    page = tmp_path / "page.html"
    done = subprocess.run(["sh", "-c", '"$@" >&-', "sh", GREENSIM, *HOUR, "--json", "--report",
                           page], stderr=subprocess.PIPE, text=True, timeout=300)
    assert done.returncode == 1
    assert "standard output" in done.stderr
    assert not page.exists()


def test_what_nobody_said_is_told():
    """Of a real load, whose savings hang on it; a generated one is play."""
    said = ("--servers", "6", "--service-time", "100ms", "--curve", "100:200", "--setup", "1m")
    load = ("--trace", "-", "--policy", "lcp")
    text = steady(30, 600)
    table = good(*load, text=text)
    assert ("\nassumed, since nothing says it: --servers 20, --service-time 120ms, "
            "--curve 140:200, --setup 260s\n") in table
    for i in range(0, len(said), 2):
        rest = good(*load, *said[:i], *said[i + 2:], text=text)
        assert "\nassumed, since nothing says it: %s " % said[i] in rest
        assert rest.count(" --") == 1
    assert "assumed" not in good(*load, *said, text=text)
    assert "assumed" not in good(*HOUR, "--policy", "lcp")


def test_overload_is_of_all_servers_together():
    """12 of 2 cores each: one alone carries little in time, all of them do."""
    fleet = ("--trace", "-", "--policy", "lcp", "--cores", "2", "--service-time", "900ms",
             "--late-after", "3s")
    good(*fleet, "--servers", "12", text=steady(11, 600))  # nothing on standard error
    done = run(*fleet, "--servers", "3", text=steady(11, 600))
    assert done.returncode == 0 and "3 servers carry" in done.stderr


@pytest.mark.parametrize("question", [["--help"], ["--version"], ["--server", "help"]])
def test_a_full_disk_is_noticed_by_answers(question):
    with open("/dev/full", "w") as full:
        done = subprocess.run([GREENSIM, *question], stdout=full, stderr=subprocess.PIPE,
                              text=True, timeout=300)
    assert done.returncode == 1
    assert "standard output" in done.stderr


@pytest.mark.parametrize("queue", ["fifo", "late-last", "off"])
def test_the_queue_that_ran_is_named(tmp_path, queue):
    page = tmp_path / "page.html"
    args = [*HOUR, "--mode", "discrete", "--queue", queue, "--policy", "lcp"]
    assert report(*args, "--report", page)["options"]["queue"] == queue
    assert '"queue":"%s"' % queue in page.read_text()
    assert ", %s queue," % queue in good(*args)
