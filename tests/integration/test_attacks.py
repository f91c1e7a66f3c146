"""What somebody or something does to it that nobody should: each was a bug once."""

import http.client
import os
import re
import signal
import subprocess
import threading
import time
import urllib.parse
import urllib.request

import pytest
from conftest import QUICK
from proxy import wait
from test_restart import specs, start_load, summary

AWAKE = QUICK.replace("awake=1s", "awake=1h")


def download(proxy, path, answers):
    """Gets a path in a thread; what came is appended to answers."""
    def run():
        connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=30)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            answers.append((answer.status, len(answer.read())))
        except (OSError, http.client.HTTPException) as error:
            answers.append(repr(error))
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_download_through_a_removed_door_keeps_its_server_on(site):
    """web2 stands in two balancers; one loses it while a child of before still works."""
    room, proxy = site(specs(2), start=False)
    first, second = list(room)
    keys = dict(proxy.members)[second.url]
    proxy.main = """
<Proxy "balancer://other">
    BalancerMember "%s" %s
    ProxySet lbmethod=bypower
    GreenBalance on
    %s
</Proxy>
ProxyPass "/other/" "balancer://other/"
""" % (second.url.replace("127.0.0.1", "localhost"), keys, QUICK)
    proxy.start()
    proxy.wait_state(second.url, "on", 10)
    answers = []
    thread = download(proxy, "/other/?bytes=20000&slow=6", answers)
    wait(lambda: proxy.balancer_status("other")["load"]["in_flight"] == 1, 5, "in flight")
    proxy.main = ""
    keeper = proxy.keeper_pid()
    proxy.graceful()
    wait(lambda: proxy.keeper_pid() not in (0, keeper), 5, "another keeper")
    assert proxy.ctl("wake", first.url).returncode == 0  # only web2 is left to sleep
    thread.join()
    assert answers == [(200, 20000)], (answers, second.orders())
    proxy.wait_state(second.url, "asleep", 15)


def test_switching_off_waits_for_a_server_that_stops(site, base):
    """GreenBalance off comes when the order off is given, and is felt 3 s later."""
    room, proxy = site(specs(2, kind="wol"), start=False)
    proxy.allow(r"GB04")
    late = base / "late"
    command = " ".join(room.powerdriver)
    late.write_text("#!/bin/sh\n[ $1 = off ] || exec %s \"$@\"\n"
                    "(sleep 3; exec %s \"$@\") >/dev/null 2>&1 &\n" % (command, command))
    late.chmod(0o755)
    proxy.drivers["room"] = [str(late)]
    proxy.start()
    wait(lambda: "stopping" in proxy.states().values(), 20, lambda: str(proxy.states()))
    url = next(u for u, s in proxy.states().items() if s == "stopping")
    proxy.policy_on = "off"
    proxy.graceful()
    result = summary(start_load(proxy, "--connections", 12, "--duration", 5,
                                "--new-connections", "--method", "POST",
                                "--body-bytes", 100))
    assert result["failed"] == 0, (result, proxy.log()[-3000:])
    proxy.wait_state(url, "on", 15)


def manage(proxy, **form):
    """Posts to balancer-manager."""
    page = proxy.get("/balancer-manager")[1].decode()
    form["nonce"] = re.search(r"nonce=([0-9a-f-]+)", page).group(1)
    request = urllib.request.Request(proxy.url("/balancer-manager"),
                                     data=urllib.parse.urlencode(form).encode(),
                                     headers={"Referer": proxy.url("/balancer-manager")})
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 200


def test_nothing_sleeps_on_the_strength_of_an_added_member(site):
    """A restart drops what was added in balancer-manager: the others must suffice."""
    room, proxy = site(specs(2), start=False)
    proxy.allow(r"GB0308", r"AH10187")  # the page is got without a Referer
    added = list(room)[1]
    proxy.members = proxy.members[:1]
    proxy.balancer += "\n    ProxySet growth=2\n"
    proxy.start()
    manage(proxy, b="app", b_nwrkr=added.url, b_wyes="1")
    manage(proxy, b="app", w=added.url, w_status_D="0")
    wait(lambda: proxy.member(added.url)["health"] == "good", 10,
         lambda: str(proxy.members_status()))
    time.sleep(2)
    configured = list(room)[0].url
    assert proxy.states()[configured] == "on", proxy.states()
    # The next keeper finds it, too.
    os.kill(proxy.keeper_pid(), signal.SIGKILL)
    room[added.spec.name].fault("unhealthy")
    proxy.allow(r"GB0503", r"GB04")
    wait(lambda: proxy.member(added.url)["health"] == "bad", 10,
         lambda: str(proxy.members_status()))
    proxy.graceful()
    for _ in range(20):
        assert proxy.get("/")[0] == 200


def test_a_slow_restart_keeps_the_new_settings(site):
    """The parent is held up before it forks; the old keeper ticks meanwhile."""
    room, proxy = site(specs(1), balancer=AWAKE)
    keeper = proxy.keeper_pid()
    calls = "clone,clone3,fork,vfork"
    tracer = subprocess.Popen(["strace", "-p", str(proxy.pid()), "-o", proxy.path("trace"),
                               "-e", "trace=" + calls,
                               "-e", "inject=%s:delay_enter=400000" % calls],
                              stderr=subprocess.PIPE, text=True)
    try:
        said = tracer.stderr.readline()
        if "not permitted" in said:
            pytest.skip("a container without ptrace: " + said)
        assert "attached" in said, said
        proxy.balancer = AWAKE.replace("wake=80%", "wake=70%")
        proxy.graceful()
        wait(lambda: proxy.keeper_pid() not in (0, keeper), 15, "another keeper")
    finally:
        tracer.terminate()
        tracer.communicate()
    wait(lambda: "capacity at 70 %" in proxy.balancer_status()["reason"], 5,
         lambda: proxy.balancer_status()["reason"])


def test_parent_survives_a_keeper_killed_after_a_restart(site):
    room, proxy = site(specs(1))
    proxy.allow(r"GB0308")
    parent = proxy.pid()
    for _ in range(2):
        keeper = proxy.keeper_pid()
        proxy.graceful()
        wait(lambda: proxy.keeper_pid() not in (0, keeper), 5, "another keeper")
        time.sleep(1.5)  # httpd hears of the old one's end
        keeper = proxy.keeper_pid()
        os.kill(keeper, signal.SIGKILL)
        wait(lambda: proxy.keeper_pid() not in (0, keeper), 5, lambda: proxy.log()[-500:])
        assert os.path.exists("/proc/%d" % parent)


def test_random_ends_of_keepers_lose_no_request(site):
    """kill -9 at any moment of a tick, graceful restarts in between, under a wave."""
    room, proxy = site(specs(3), mpm_conf=(
        "StartServers 2\nServerLimit 24\nThreadsPerChild 32\nMaxRequestWorkers 768\n"
        "MinSpareThreads 32\nMaxSpareThreads 96\n"))
    proxy.allow(r"GB0308", r"GB04")
    wait(lambda: "asleep" in proxy.states().values(), 30, "a server sleeps")
    generator = start_load(proxy, "--points", "0 20, 2 20, 3 120, 6 120, 7 20, 9 20",
                           "--duration", 9, "--new-connections")
    # Restarts that follow each other faster crash stock httpd's children now and then:
    # they set up members after the parent has destroyed mod_proxy's mutex.
    step = 0
    while generator.poll() is None:
        step += 1
        time.sleep(0.9 + 0.137 * (step % 7))
        for pid in proxy.keeper_pids():
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.6 + 0.071 * (step % 5))
        proxy.graceful()
    result = summary(generator)
    assert result["failed"] == 0 and step >= 4, (step, result)
    wait(lambda: proxy.balancer_status()["load"]["in_flight"] == 0, 12,
         lambda: str(proxy.members_status()))
