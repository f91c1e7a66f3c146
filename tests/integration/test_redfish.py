"""The Redfish driver: by itself in driver_harness, and in httpd, over the room's
service."""

import contextlib
import os
import time

import pytest
from driverkit import Keeper, harness  # noqa: F401  a fixture
from proxy import wait
from room import HostSpec, Room
from test_cycle import load

ORDER_S = 15


@pytest.fixture
def bmc(base, harness):  # noqa: F811
    """bmc(HostSpec...) -> (room, keeper): the driver before a room's service."""
    opened = contextlib.ExitStack()

    def make(*specs, url=None, ca=True, secrets=None, fields="wake=redfish sleep=redfish"):
        room = opened.enter_context(Room(str(base / "room"), [
            HostSpec(name, kind="redfish", boot_s=0.3, shutdown_s=0.3, **more)
            for name, more in specs], network="loopback"))
        path = str(base / "secrets")
        with open(path, "w", encoding="ascii") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(secrets or room.secrets_text() + "redfish %s %s %s\n" % (
                room.redfish.url, room.redfish.user, room.redfish.password))
        setup = ["machine %s url=%s redfish=%s %s" % (
            host.name, host.url, url(room) if url else host.redfish, fields)
            for host in room]
        keeper = Keeper(harness, base, path, setup, hidden=[room.redfish.password],
                        more=[room.redfish.ca] if ca else [])
        opened.callback(keeper.close)
        return room, keeper

    with opened:
        yield make


ON, OFF = {}, {"powered": False}


def order(keeper, name, what, timeout_s=ORDER_S):
    """(result, detail) of one order."""
    since = len(keeper.lines)
    keeper.say(f"order {name} {what}")
    line = keeper.expect(rf"^done {name} {what} ", timeout_s, since)
    return line.split(" ")[3], line.split(" ", 6)[6]


def logins(room):
    return len(room.redfish.requests("POST", "Sessions"))


# ------------------------------------------------------------------ orders and questions


def test_status_orders_and_watts(bmc):
    room, k = bmc(("web1", ON), ("web2", OFF))
    web1, web2 = room["web1"], room["web2"]
    assert k.ask("web1")[:2] == ("ok", True)
    assert k.ask("web2")[:2] == ("ok", False)
    assert k.ask("web1", "watts")[0] == "ok"
    assert k.ask("web2", "watts")[2] == 5.0
    result, detail = order(k, "web1", "off")
    assert (result, detail.split(": ")[1]) == ("ok", "GracefulShutdown is accepted")
    wait(lambda: not web1.powered(), 5, "web1 is off")
    assert order(k, "web2", "on")[0] == "ok"
    wait(web2.serving, 5, "web2 serves")
    assert order(k, "web2", "on")[1].endswith("was on already")
    assert order(k, "web1", "off")[1].endswith("was off already")
    assert [o["order"] for o in web1.orders() if o["via"] == "redfish"] == ["soft"]
    assert [o["order"] for o in web2.orders() if o["via"] == "redfish"] == ["on"]
    # One session for both machines, and none when the keeper has ended.
    assert logins(room) == 1 and room.redfish.sessions() == 1
    k.say("end")
    k.expect("^ended")
    assert room.redfish.sessions() == 0


def test_power_is_cut_only_when_that_is_ordered(bmc):
    room, k = bmc(("web1", ON))
    room["web1"].fault("hangs_in_shutdown")
    assert order(k, "web1", "off")[0] == "ok"
    wait(lambda: room["web1"].phase() == "stopping", 5, "it shuts down")
    assert k.ask("web1")[:2] == ("ok", True)  # PoweringOff counts as on
    assert order(k, "web1", "off")[1].endswith("is shutting down already")
    assert order(k, "web1", "cut")[0] == "ok"
    assert not room["web1"].powered()
    assert [o["order"] for o in room["web1"].orders()] == ["soft", "off"]


def test_service_url_with_one_system_is_enough(bmc):
    _, k = bmc(("web1", ON), url=lambda room: room.redfish.url)
    assert k.ask("web1")[:2] == ("ok", True)


def test_service_url_with_two_systems_names_them(bmc):
    _, k = bmc(("web1", ON), ("web2", ON), url=lambda room: room.redfish.url)
    result, _, _, detail = k.ask("web1")
    assert result == "refused"
    assert "2 systems" in detail and "/Systems/web1" in detail, detail


@pytest.mark.parametrize("fault, way", [
    ("redfish_action_info", "GracefulShutdown"), ("redfish_button_only", "PushPowerButton"),
    ("redfish_no_sessions", "GracefulShutdown"), ("redfish_etag", "GracefulShutdown"),
    ("redfish_stale_etag", "GracefulShutdown")])
def test_services_differ(bmc, fault, way):
    room, k = bmc(("web1", ON))
    room["web1"].fault(fault)
    result, detail = order(k, "web1", "off")
    assert result == "ok" and way in detail, detail
    wait(lambda: not room["web1"].powered(), 5, "web1 is off")
    assert [o["order"] for o in room["web1"].orders()] == ["soft"]
    if fault == "redfish_stale_etag":
        assert [r["status"] for r in room.redfish.requests("POST", "Reset")] == [412, 204]
    if fault == "redfish_no_sessions":
        assert logins(room) == 0


def test_order_as_a_task(bmc):
    room, k = bmc(("web1", ON), ("web2", OFF))
    room["web1"].fault("redfish_task", 0.5)
    result, detail = order(k, "web1", "off")
    assert result == "ok" and "its task is done" in detail, detail
    polls = [r["status"] for r in room.redfish.requests("GET", "TaskMonitors")]
    assert polls[-1] == 204 and len(polls) <= 4, polls
    room["web2"].fault("redfish_task_fails")
    result, detail = order(k, "web2", "on")
    assert result == "lost" and "The task has failed." in detail, detail
    # Its monitor has the order's own status, as if it had been answered at once.
    room["web2"].fault("redfish_task_status")
    result, detail = order(k, "web2", "on")
    assert result == "lost" and "The task has failed." in detail, detail


def test_slow_service_is_waited_for(bmc):
    room, k = bmc(("web1", ON))
    room["web1"].fault("redfish_slow", 0.5)
    assert k.ask("web1")[:2] == ("ok", True)


def test_conflict_counts_when_the_state_is_as_wanted(bmc):
    room, k = bmc(("web1", ON))
    room["web1"].fault("redfish_conflict")
    result, detail = order(k, "web1", "off")
    assert result == "ok" and "already" in detail, detail


def test_old_power_resource_and_no_reading(bmc):
    room, k = bmc(("web1", ON))
    room["web1"].fault("redfish_old_watts")
    assert k.ask("web1", "watts")[::2] == ("ok", 100.0)
    room["web1"].fault("redfish_null_watts")
    result, _, _, detail = k.ask("web1", "watts")
    assert result == "lost" and "no reading" in detail


# ------------------------------------------------------------------ what goes wrong


@pytest.mark.parametrize("fault, value, result, words", [
    ("redfish_garbage", None, "lost", "no Redfish service"),
    ("redfish_huge", None, "refused", "256 KiB"),
    ("redfish_busy", None, "lost", "busy"),
    ("redfish_redirects", None, "refused", "no Redfish service"),
    ("redfish_wrong_password", None, "refused", "login of operator is refused"),
    ("redfish_wrong_name", None, "refused", "not trusted")])
def test_faults_of_a_service_at_the_login(bmc, fault, value, result, words):
    room, k = bmc(("web1", ON))
    room["web1"].fault(fault, value)
    answer = k.ask("web1")
    assert answer[0] == result and words in answer[3], answer
    room["web1"].heal()
    # An order is always tried; questions may pause after a refused login.
    assert order(k, "web1", "on")[0] == "ok"


@pytest.mark.parametrize("fault, result, words", [
    ("redfish_garbage", "lost", "no JSON"), ("redfish_huge", "refused", "256 KiB"),
    ("redfish_busy", "lost", "The service is busy."),
    ("redfish_redirects", "refused", "redirects (308)"),
    ("redfish_wrong_password", "ok", "on")])  # the session goes on
def test_faults_of_a_service_with_a_session(bmc, fault, result, words):
    room, k = bmc(("web1", ON))
    assert k.ask("web1")[0] == "ok"
    room["web1"].fault(fault)
    answer = k.ask("web1")
    assert answer[0] == result and words in answer[3], answer


def test_no_session_is_free(bmc):
    """As after some keepers that were killed: the password goes along until one is."""
    room, k = bmc(("web1", ON))
    room["web1"].fault("redfish_session_limit")
    assert k.ask("web1")[:2] == ("ok", True)
    assert order(k, "web1", "off")[0] == "ok"
    tried = logins(room)
    assert k.ask("web1")[0] == "ok" and logins(room) == tried  # it is not asked each time
    wait(lambda: k.ask("web1")[0] == "ok" and logins(room) > tried, 15, "it is asked again")
    assert k.count(r"GB1305") == 1
    room["web1"].heal()
    wait(lambda: k.ask("web1")[0] == "ok" and room.redfish.sessions() == 1, 15, "a session")


def test_no_session_is_free_and_nothing_else_will_do(bmc):
    room, k = bmc(("web1", ON))
    room["web1"].fault("redfish_session_limit")
    room["web1"].fault("redfish_no_basic")
    result, _, _, detail = k.ask("web1")
    assert result == "lost" and "without one it refuses" in detail
    for _ in range(3):  # the password goes along no more, and nobody is quiet for minutes
        result, _, _, detail = k.ask("web1")
        assert result == "lost" and "no session to be had (503)" in detail
    room["web1"].heal()
    assert k.ask("web1")[0] == "ok" and room.redfish.sessions() == 1


def test_session_that_is_lost_is_made_anew(bmc):
    room, k = bmc(("web1", ON))
    room["web1"].fault("redfish_forgets", 3)
    for _ in range(10):
        assert k.ask("web1")[:2] == ("ok", True)
    assert room.redfish.sessions() <= 1 and logins(room) in (3, 4)
    room["web1"].heal()
    # A session lost together with its password ends in a refusal, which is not repeated.
    room["web1"].fault("redfish_forgets", 1)
    assert k.ask("web1")[0] == "ok"
    room["web1"].fault("redfish_wrong_password")
    wait(lambda: k.ask("web1")[0] == "refused", 5, "the login is refused")
    made = logins(room)
    assert "not asked again" in k.ask("web1")[3]
    assert logins(room) == made


def test_slow_hanging_and_closed_services_delay_no_other(bmc):
    room, k = bmc(("web1", ON), ("web2", ON))
    assert k.ask("web2")[0] == "ok"
    room["web1"].fault("redfish_hangs")
    k.say("ask web1")
    for _ in range(20):
        assert k.ask("web2", timeout_s=5)[:2] == ("ok", True)
    line = k.expect("^done web1 status ", 25)
    assert " lost " in line and "no answer in time" in line
    room["web1"].heal()
    room.redfish.stop()
    answer = k.ask("web2")
    assert answer[0] == "lost" and "no connection" in answer[3], answer
    room.redfish.start()
    room.redfish.wait_ready()
    assert k.ask("web2")[:2] == ("ok", True)


def test_unknown_authority_is_not_trusted(bmc):
    _, k = bmc(("web1", ON), ca=False)
    result, _, _, detail = k.ask("web1")
    assert result == "refused" and "not trusted" in detail, detail


def test_no_login_in_the_secrets(bmc):
    _, k = bmc(("web1", ON), secrets="redfish https://elsewhere.invalid a b\n")
    result, _, _, detail = k.ask("web1")
    assert result == "refused" and "no redfish line" in detail


def test_unused_session_is_given_back(bmc):
    room, k = bmc(("web1", ON))
    assert k.ask("web1")[0] == "ok"
    assert room.redfish.sessions() == 1
    wait(lambda: room.redfish.sessions() == 0, 15, "no session")
    assert k.ask("web1")[0] == "ok"
    assert logins(room) == 2


def test_many_questions_make_one_session(bmc):
    room, k = bmc(*[("web%d" % i, ON) for i in range(1, 6)])
    for _ in range(10):
        since = len(k.lines)
        for host in room:
            k.say(f"ask {host.name}")
        for host in room:
            k.expect(f"^done {host.name} status ok powered", 10, since)
    assert logins(room) == 1 and room.redfish.sessions() == 1


# ------------------------------------------------------------------ in httpd


def redfish_site(site, *names, **more):
    """A proxy whose members are switched by Redfish."""
    return site([HostSpec(name, kind="redfish", capacity=4, service_ms=50, boot_s=1.0,
                          shutdown_s=0.3) for name in names], **more)


def test_sleep_and_wake_under_load(site):
    room, proxy = redfish_site(site, "web1", "web2", keys={"web1": "watts=50:100"})  # it stays
    url = room["web2"].url
    proxy.wait_state(url, "asleep", 30)
    assert not room["web2"].powered()
    wait(lambda: proxy.member(url)["watts_by"] == "redfish", 20,
         lambda: "measured watts: %s" % proxy.member(url))
    room["web2"].fault("redfish_task", 0.3)
    room["web1"].fault("redfish_forgets", 5)
    result = load(proxy, "--connections", 8, "--duration", 8)
    assert result["failed"] == 0, result
    assert proxy.member(url)["wakes"] >= 1
    room["web1"].heal()
    proxy.wait_state(url, "asleep", 40)
    wait(lambda: not room["web2"].powered(), 10, "web2 is off")
    assert room.redfish.sessions() <= 1
    keeper = proxy.keeper_pid()
    proxy.graceful()
    wait(lambda: proxy.keeper_pid() not in (0, keeper), 20, "the next keeper")
    wait(lambda: not os.path.exists(f"/proc/{keeper}"), 10, "the old keeper has ended")
    assert room.redfish.sessions() <= 1
    password = room.redfish.password
    for pid in proxy.processes():
        with open(f"/proc/{pid}/cmdline", encoding="utf-8") as file:
            assert password not in file.read()
    assert password not in proxy.log()
    before = time.monotonic()
    proxy.stop()
    assert time.monotonic() - before < 20
    assert room.redfish.sessions() == 0


def test_wrong_password_fails_with_its_reason(site):
    room, proxy = redfish_site(site, "web1", "web2")
    url = room["web2"].url
    proxy.wait_state(url, "asleep", 30)
    proxy.allow("GB0702", "GB0705", "GB04", "GB06")
    # What it was told to forget, it forgets with the next question.
    room["web2"].fault("redfish_wrong_password")
    room["web2"].fault("redfish_forgets", 1)
    assert proxy.ctl("wake", url).returncode == 0
    proxy.wait_state(url, "failed", 40)
    reason = proxy.member(url)["last_error"]
    assert "login of operator is refused" in reason, reason
    assert room.redfish.password not in proxy.log()
    room["web2"].heal()
