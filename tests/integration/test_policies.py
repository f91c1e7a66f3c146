"""Every policy in the real module: servers that sleep and wake, floors by the clock, what
outlives a restart, and the twins of a balancer that is only observed.

Policies decide every 2 to 20 seconds and learn for minutes: a clock that can be set makes
these pass."""

import json
import os
import re
import subprocess
import time

import pytest
from proxy import ROOT, has_test_clock, wait
from room import HostSpec

LOAD = os.path.join(ROOT, "build", "rig", "load")
POLICIES = ["threshold", "autoscale", "lcp", "kpa", "news"]
needs_clock = pytest.mark.skipif(not has_test_clock(), reason="a build without TEST_CLOCK")

BALANCER = """
    GreenThreshold wake=80% sleep=50%
    GreenDwell awake=1s asleep=1s cycles=64/day
    GreenHealth uri=/health interval=300ms timeout=1s rise=2 fall=3
    GreenReverseHealth interval=500ms fall=2
    GreenWake timeout=10m retry=1m packets=3
    GreenDrain timeout=10m
    GreenSlowStart 0
"""


def hosts(count=3, **more):
    return [HostSpec("web%d" % i, **dict({"kind": "wol", "capacity": 4, "service_ms": 50,
                                          "boot_s": 1.0, "shutdown_s": 0.3}, **more))
            for i in range(1, count + 1)]


class Load:
    """The outside load generator, beside the test."""

    def __init__(self, proxy, *arguments):
        self.process = subprocess.Popen(
            [LOAD, "--to", "127.0.0.1:%d" % proxy.port, *map(str, arguments)],
            stdout=subprocess.PIPE, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(10)

    def result(self):
        return json.loads(self.process.communicate(timeout=60)[0])


def count(proxy, state):
    return list(proxy.states().values()).count(state)


def pass_until(proxy, condition, timeout_s, what, step_s=2, always=None):
    """Time passes ten times as fast, until something has happened."""
    def look():
        if always:
            always()
        if condition():
            return True
        proxy.advance(step_s)
        return False
    wait(look, timeout_s, what, every_s=step_s / 10)


def at_least(proxy, floor):
    """None of those that sleep, stop or wake serves."""
    def check():
        states = list(proxy.states().values())
        assert states.count("on") + states.count("unknown") >= floor, states
    return check


# ------------------------------------------------------------------ deciding

@needs_clock
@pytest.mark.parametrize("policy", POLICIES)
def test_a_policy_lets_servers_sleep_and_wakes_them(site, policy):
    _, proxy = site(hosts(4), BALANCER + "GreenAwake min=2\nGreenPolicy %s\n" % policy)
    assert proxy.balancer_status()["policy"] == policy
    floor = at_least(proxy, 2)
    pass_until(proxy, lambda: count(proxy, "asleep") == 2, 30,
               lambda: "two of four sleep: %s" % proxy.balancer_status(), always=floor)
    assert count(proxy, "on") == 2

    # 12 at once is more than the 8 of two servers.
    with Load(proxy, "--connections", 12, "--duration", 60) as load:
        pass_until(proxy, lambda: count(proxy, "on") >= 3, 30,
                   lambda: "more are woken: %s" % proxy.balancer_status(), always=floor)
        load.process.terminate()
    assert proxy.balancer_status()["reason"]
    pass_until(proxy, lambda: count(proxy, "asleep") == 2, 40,
               lambda: "they sleep again: %s" % proxy.balancer_status(), always=floor)
    assert count(proxy, "on") == 2


# ------------------------------------------------------------------ the clock's floor

def day_time(at_s):
    return time.strftime("%H:%M", time.gmtime(at_s))


@needs_clock
@pytest.mark.parametrize("policy", ["threshold", "kpa"])
def test_a_schedule_wakes_before_its_time_and_ends(site, policy):
    begin = (int(time.time()) // 60 + 10) * 60
    _, proxy = site(hosts(), BALANCER + """
        GreenAwake min=1
        GreenPolicy %s
        GreenSchedule "* %s-%s" min=3 tz=UTC
        GreenSchedule "* %s-%s" min=2 tz=UTC
    """ % (policy, day_time(begin), day_time(begin + 600),
           day_time(begin), day_time(begin + 1200)))
    wall = [time.time()]

    def go_to(at_s):
        """The module's wall clock is then `at_s`; both clocks go on together."""
        proxy.advance(at_s - wall[0] - (time.time() - wall[0]) - proxy.clock.offsets[1] / 1e6)

    pass_until(proxy, lambda: count(proxy, "asleep") == 2, 20, "two sleep")
    assert proxy.balancer_status()["min_awake"] == 1
    go_to(begin - 30)
    time.sleep(1)
    assert proxy.balancer_status()["min_awake"] == 1 and count(proxy, "asleep") == 2
    go_to(begin - 2)  # the boot time
    wait(lambda: count(proxy, "on") == 3, 20, lambda: "all awake: %s" % proxy.states())
    assert proxy.balancer_status()["min_awake"] == 3
    go_to(begin + 601)
    pass_until(proxy, lambda: count(proxy, "asleep") == 1, 20,
               lambda: "the first hour is over: %s" % proxy.balancer_status())
    assert proxy.balancer_status()["min_awake"] == 2
    go_to(begin + 1201)
    pass_until(proxy, lambda: count(proxy, "asleep") == 2, 20, "the second, too")
    assert proxy.balancer_status()["min_awake"] == 1


# ------------------------------------------------------------------ what is learned

def learned(proxy):
    return proxy.balancer_status()["learned_s"]


def learn(proxy, seconds):
    """Let the policy learn for so long, of a few requests."""
    before = learned(proxy)
    with Load(proxy, "--rate", 20, "--duration", 30):
        pass_until(proxy, lambda: learned(proxy) >= before + seconds, 25,
                   lambda: "%s s are learned: %s" % (before + seconds, learned(proxy)), step_s=4)
    return learned(proxy)


@needs_clock
def test_what_news_has_learned_outlives_everything(site):
    _, proxy = site(hosts(2), BALANCER + "GreenPolicy news budget=1%\n")
    proxy.allow(r"GB0308: the keeper .* ended with status 9")
    known = learn(proxy, 120)

    keeper = proxy.keeper_pid()
    proxy.graceful()
    wait(lambda: proxy.keeper_pid() not in (0, keeper), 15, "a new keeper")
    assert learned(proxy) >= known

    keeper = proxy.keeper_pid()
    os.kill(keeper, 9)
    wait(lambda: proxy.keeper_pid() not in (0, keeper), 15, "a new keeper")
    assert learned(proxy) >= known

    # Another policy for a while.
    mine = proxy.balancer
    proxy.balancer = mine.replace("GreenPolicy news budget=1%", "GreenPolicy lcp")
    keeper = proxy.keeper_pid()
    proxy.graceful()
    wait(lambda: proxy.keeper_pid() not in (0, keeper), 15, "a new keeper")
    wait(lambda: proxy.balancer_status()["policy"] == "lcp", 10, "lcp decides")
    assert learned(proxy) >= known
    proxy.balancer = mine
    keeper = proxy.keeper_pid()
    proxy.graceful()
    wait(lambda: proxy.keeper_pid() not in (0, keeper), 15, "a new keeper")
    wait(lambda: proxy.balancer_status()["policy"] == "news", 10, "news decides")
    assert learned(proxy) >= known

    proxy.stop()
    proxy.start()
    assert learned(proxy) >= known
    more = learn(proxy, 30)
    assert more >= known + 30

    # Whatever is logged of it: httpd's own default is warn.
    proxy.stop()
    usual, proxy.main = proxy.main, proxy.main + "\nLogLevel warn\n"
    proxy.start()
    assert learned(proxy) >= more
    proxy.main = usual

    # One that is damaged is forgotten alone.
    proxy.stop()
    path = proxy.path("state", "checkpoint")
    with open(path, "r+b") as f:
        f.seek(-100, os.SEEK_END)
        byte = f.read(1)
        f.seek(-100, os.SEEK_END)
        f.write(bytes([byte[0] ^ 1]))
    proxy.allow(r"GB0214: .*what the policy news had learned about a balancer is damaged")
    proxy.start()
    assert learned(proxy) < known
    assert "GB0214" in proxy.log() and "GB0212" not in proxy.log()

    # So is what was appended, and that is told once.
    proxy.stop()
    with open(path, "ab") as f:
        f.write(b"garbage " * 20000)
    proxy.allow("GB0214")
    begin = len(proxy.log())
    proxy.start()
    assert proxy.log()[begin:].count("GB0214") == 1


# ------------------------------------------------------------------ twins

@needs_clock
def test_a_balancer_that_is_observed_shows_what_each_policy_would_do(site):
    room, proxy = site(hosts(), BALANCER + "GreenAwake min=1\nGreenPolicy kpa target=60%\n",
                       policy_on="observe")
    proxy.allow(r"GB0308: the keeper .* ended with status 9")
    with Load(proxy, "--connections", 2, "--duration", 60):
        pass_until(proxy, lambda: all(p["since_s"] >= 120 and p["saved_percent"] > 0
                                      for p in proxy.balancer_status()["policies"]), 40,
                   lambda: "twins let servers go: %s" % proxy.balancer_status()["policies"],
                   step_s=4)
        status = proxy.balancer_status()
        metrics = proxy.get("/green/metrics")[1].decode()
        page = proxy.get("/green/")[1].decode()
    assert status["mode"] == "observe" and status["policy"] == "kpa"
    assert [p["policy"] for p in status["policies"]] == POLICIES
    assert [p["policy"] for p in status["policies"] if p["in_force"]] == ["kpa"]
    for twin in status["policies"]:
        assert 1 <= twin["would_be_on"] <= 3 and twin["would_be_coming"] <= 2
        # Three servers of 100 to 200 watts.
        assert 300 * twin["since_s"] <= twin["joules_always_on"] <= 600 * twin["since_s"]
        assert 100 * twin["since_s"] <= twin["joules"] < twin["joules_always_on"]
        assert twin["saved_percent"] == pytest.approx(
            100 * (1 - twin["joules"] / twin["joules_always_on"]), abs=0.01)
        assert 0 <= twin["late_percent"] <= 100
        for name in ("servers", "energy_joules_total", "energy_always_on_joules_total",
                     "requests_total", "late_requests_total", "seconds_total"):
            assert 'greenbalance_twin_%s{balancer="balancer://app",policy="%s"} ' % (
                name, twin["policy"]) in metrics
        assert '<th scope="row">%s<small>' % twin["policy"] in page
    assert 'greenbalance_policy_info{balancer="balancer://app",policy="kpa"} 1' in metrics
    expected = status["expected"]
    assert 0 < expected["mean_per_s"] <= expected["high_per_s"]
    assert 0 <= expected["late_percent"] <= 100 and expected["lateness_price"] > 0
    assert "/s a boot from now, seldom more than " in page
    assert "<details open>" in page
    # Of two numbers that may differ, each says what it is.
    assert re.search(r"<dd>3 of 3, \d would do now<small>", page) and "wanted<small>" not in page
    assert "Would be on: had it switched them all that time" in page
    assert re.search(r"of those awake there would do: \d", status["reason"])
    assert re.search(r" 3 of 3 servers on, \d would do; ", proxy.ctl("status").stdout)
    assert count(proxy, "on") == 3 and not any(h.orders() for h in room)

    # Their accounts go on with another keeper.
    before = {p["policy"]: p for p in status["policies"]}
    keeper = proxy.keeper_pid()
    os.kill(keeper, 9)
    wait(lambda: proxy.keeper_pid() not in (0, keeper), 15, "a new keeper")
    wait(lambda: proxy.balancer_status()["policies"][0]["since_s"] >
         before["threshold"]["since_s"] + 1, 15, "they go on")
    for twin in proxy.balancer_status()["policies"]:
        assert twin["joules"] > before[twin["policy"]]["joules"]
        assert twin["since_s"] >= before[twin["policy"]]["since_s"]


def test_twins_begin_with_the_servers_that_are_awake(site):
    """Not with one alone: what comes until others were ready would be their fault."""
    _, proxy = site(hosts(3, kind="plain"), BALANCER + "GreenPolicy autoscale wait=10m\n",
                    policy_on="observe")

    def twin():
        return next(p for p in proxy.balancer_status()["policies"]
                    if p["policy"] == "autoscale")
    wait(lambda: twin()["since_s"] >= 3, 15, "twins go on")
    assert twin()["would_be_on"] == 3, twin()


# ------------------------------------------------------------------ counting

def test_what_came_and_what_was_late_is_counted(site):
    """One server of two at once, 100 ms each: twelve that ask at once wait for 600 ms."""
    _, proxy = site(hosts(1, kind="plain", capacity=2, service_ms=100),
                    BALANCER + "GreenQueue fifo late=400ms\nGreenHold max=50 timeout=30s\n")
    with Load(proxy, "--connections", 1, "--duration", 3) as load:
        calm = load.result()
    wait(lambda: proxy.balancer_status()["load"]["arrived"] >= calm["requests"], 5, "counted")
    before = proxy.balancer_status()["load"]
    assert before["arrived"] == calm["requests"]
    assert before["late"] <= calm["requests"] // 4, (before, calm)

    with Load(proxy, "--connections", 12, "--duration", 4) as load:
        crowd = load.result()
    wait(lambda: proxy.balancer_status()["load"]["arrived"] >= calm["requests"] + crowd["requests"],
         5, lambda: "all counted: %s %s" % (proxy.balancer_status()["load"], crowd))
    time.sleep(1.2)
    after = proxy.balancer_status()["load"]
    assert after["arrived"] == calm["requests"] + crowd["requests"], (calm, crowd, after)
    assert after["late"] - before["late"] >= crowd["requests"] // 2, (crowd, after)
    assert after["late"] - before["late"] <= crowd["requests"]


def test_a_503_after_a_refused_connection_is_late(site):
    """It was answered at once, and yet nobody served it."""
    room, proxy = site(hosts(1, kind="plain"), BALANCER.replace("interval=300ms", "interval=60s") +
                       "GreenQueue off late=10s\nGreenHold max=0\n")
    proxy.allow("AH00957", "AH00959", "AH01114", "AH01170", "AH00940", "GB0402")
    assert proxy.get("/")[0] == 200
    before = proxy.balancer_status()["load"]["late"]
    room["web1"].fault("dies")
    wait(lambda: proxy.get("/")[0] == 503, 10, "nobody is there")
    wait(lambda: proxy.balancer_status()["load"]["late"] > before, 10,
         lambda: "it is late: %s" % proxy.balancer_status()["load"])


def test_what_is_late_by_service_alone_is_not_told_to_news(site):
    """One in twelve takes longer than late= on its server, which has room for all."""
    _, proxy = site(hosts(1, kind="plain", capacity=250, service_ms=100, law="exponential"),
                    BALANCER + "GreenPolicy news\nGreenQueue off late=250ms\n")
    with Load(proxy, "--rate", 40, "--duration", 25) as load:
        result = load.result()
    time.sleep(1.2)
    status = proxy.balancer_status()
    late = 100 * status["load"]["late"] / result["requests"]
    assert late > 4, (status["load"], result)
    assert status["expected"]["late_percent"] < late / 4, (status["expected"], late)


def test_what_comes_while_there_is_no_keeper_is_counted_too(site):
    """Of those that come while one keeper follows another none is left out, or counted
    twice; and no policy takes them for a rush."""
    _, proxy = site(hosts(2, kind="plain", service_ms=10),
                    BALANCER + "GreenPolicy kpa\nGreenHold max=50 timeout=30s\n")
    proxy.allow(r"GB0308: the keeper .* ended with status 9")
    before = proxy.balancer_status()["load"]["arrived"]
    with Load(proxy, "--rate", 60, "--duration", 8, "--new-connections") as load:
        for end in (lambda pid: os.kill(pid, 9), lambda _: proxy.graceful()) * 2:
            time.sleep(1)
            keeper = wait(proxy.keeper_pid, 10, "a keeper")
            end(keeper)
            wait(lambda: proxy.keeper_pid() not in (0, keeper), 15, "a new keeper")
        result = load.result()
    assert result["failed"] == 0, result
    wait(lambda: proxy.balancer_status()["load"]["arrived"] >= before + result["requests"],
         10, lambda: "all counted: %s %s" % (proxy.balancer_status()["load"], result))
    time.sleep(1.2)
    assert proxy.balancer_status()["load"]["arrived"] == before + result["requests"]
