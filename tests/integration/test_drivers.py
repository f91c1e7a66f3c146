"""The power drivers over the machine room's real protocols: the keeper's loop, waker,
secrets and drivers run in driver_harness, without httpd around them."""

import os
import random
import re
import select
import shlex
import signal
import socket
import subprocess
import threading
import time

import pytest
from driverkit import (  # noqa: F401  three fixtures
    DRIVER_MOST_S, harness, hints_of, keeper, room, script, wait)
from machineroom.network import netns_permitted
from room import HostSpec

# ------------------------------------------------------------------ wake-on-LAN


def test_magic_packets_wake_a_machine(room, keeper):
    r = room(HostSpec("web1", kind="wol", powered=False, boot_s=0.2))
    k = keeper([hints_of(r["web1"])])
    k.say("start web1 on")
    line = k.expect(r"^log 5 GB0701: web1")
    assert f"3 magic packets for {r['web1'].mac} to {r['web1'].wolto}" in line
    wait(r["web1"].serving, 5, "web1 serving")
    heard = r["web1"].packets()
    assert [p["verdict"] for p in heard] == ["wake"] * 3
    # Spaced, so that one burst of loss does not take them all.
    gaps = [b["t"] - a["t"] for a, b in zip(heard, heard[1:])]
    assert all(0.05 < gap < 0.5 for gap in gaps), gaps


def test_magic_packets_are_repeated_until_one_is_heard(room, keeper):
    r = room(HostSpec("web1", kind="wol", powered=False, boot_s=0.2))
    r["web1"].fault("lost_packets", 100)
    k = keeper(["rules retry=300 packets=2", hints_of(r["web1"])])
    k.say("start web1 on")
    wait(lambda: len(r["web1"].packets()) >= 4, 10, "four lost packets")
    assert {p["verdict"] for p in r["web1"].packets()} == {"lost"}
    r["web1"].heal("lost_packets")
    wait(r["web1"].powered, 5, "web1 powered")


def test_repeated_orders_are_told_once_as_notice(room, keeper):
    r = room(HostSpec("web1", kind="wol", powered=True))
    k = keeper(["rules retry=100 packets=1", hints_of(r["web1"])])
    k.say("start web1 on")
    wait(lambda: len(r["web1"].packets()) >= 4, 10, "four packets")
    assert k.count(r"^log 5 ") == 1
    k.expect(r"^log 6 GB0701: web1 .* once more")


def test_secureon_password_is_sent(room, keeper):
    r = room(HostSpec("web1", kind="wol", powered=False, boot_s=0.2,
                      secureon="01:23:45:67:89:ab"))
    k = keeper([hints_of(r["web1"])])
    k.say("start web1 on")
    k.expect(r"GB0701: web1")
    wait(r["web1"].packets, 5, "the card has heard it")
    assert {p["verdict"] for p in r["web1"].packets()} == {"wrong-password"}
    k.say("stop web1")
    k.close()
    k = keeper([hints_of(r["web1"])], r.secrets_text(), hidden=["01:23:45:67:89:ab"])
    k.say("start web1 on")
    wait(r["web1"].powered, 5, "web1 powered")


@pytest.mark.skipif(not netns_permitted(), reason="network namespaces are not permitted")
def test_directed_broadcast_by_interface_reaches_a_powered_off_card(room, keeper):
    r = room(HostSpec("web1", kind="wol", powered=False, boot_s=0.2),
             HostSpec("web2", kind="wol", powered=False), network="netns")
    k = keeper([hints_of(r["web1"])])
    k.say("start web1 on")
    assert f"by {r['web1'].wolif}" in k.expect(r"^log 5 GB0701: web1")
    wait(r["web1"].serving, 5, "web1 serving")
    assert not r["web2"].powered()


def test_interface_that_is_not_there_is_told_and_tried_again(keeper):
    k = keeper(["rules retry=200", "machine web1 wake=wol mac=02:00:00:00:00:01 "
                "wolif=gbnone0 wolto=10.255.255.255:9"])
    k.expect(r"^log 4 GB0722: web1: no socket .* gbnone0")
    k.say("start web1 on")
    line = k.expect(r"^log 4 GB0702: web1 .*failed: no magic packet sent")
    assert "wolif= names no interface" in line
    time.sleep(1)
    assert k.count(r"GB0702") == 1  # it is tried again, and not told again


# ------------------------------------------------------------------ IPMI


def orders_of(host):
    return [entry["order"] for entry in host.orders() if entry["via"] == "ipmi"]


def test_bmc_switches_its_machine(room, keeper):
    r = room(HostSpec("web1", powered=False, boot_s=0.2, shutdown_s=0.3))
    host = r["web1"]
    k = keeper([hints_of(host)], r.secrets_text(), hidden=[host.ipmi_password])
    assert k.ask("web1")[:2] == ("ok", False)
    k.say("start web1 on")
    k.expect(r"^log 5 GB0701: web1 .*power on by ipmi: .*accepted")
    wait(host.serving, 5, "web1 serving")
    assert k.ask("web1")[:2] == ("ok", True)
    result, _, watts, _ = k.ask("web1", "watts")
    assert result == "ok" and abs(watts - host.watts()) <= 1
    k.say("stop web1")
    k.say("start web1 off")
    k.expect(r"^log 5 GB0701: web1 .*power off by ipmi: .*accepted")
    wait(lambda: not host.powered(), 5, "web1 off")
    assert k.ask("web1")[:2] == ("ok", False)
    assert orders_of(host) == ["on", "soft"]  # never a hard cut


@pytest.mark.parametrize("cut", [0, 1])
def test_power_is_cut_once_and_only_where_allowed(room, keeper, cut):
    r = room(HostSpec("web1", boot_s=0.2))
    host = r["web1"]
    host.fault("ignores_soft")
    k = keeper(["rules retry=300 timeout=1500 cut=%d" % cut, hints_of(host)],
               r.secrets_text())
    k.say("start web1 off")
    if cut:
        k.expect(r"^log 4 GB1411: web1 .*its power is cut by ipmi")
        k.expect(r"^log 5 GB0701: web1 .*power cut by ipmi: .*accepted")
        wait(lambda: not host.powered(), 5, "web1 off")
    k.expect(r"GB0705")
    assert orders_of(host).count("off") == cut
    assert orders_of(host)[-1 - cut] == "soft" and host.powered() == (not cut)


def test_order_that_is_not_needed_is_not_given(room, keeper):
    r = room(HostSpec("web1", powered=True, boot_s=0.2))
    k = keeper([hints_of(r["web1"])], r.secrets_text())
    k.say("start web1 on")
    k.expect(r"GB0701: web1 .*was on already")
    assert orders_of(r["web1"]) == []


def test_hanging_bmc_does_not_delay_others(room, keeper):
    r = room(HostSpec("web1"), HostSpec("web2"), HostSpec("web3", powered=False))
    k = keeper([hints_of(h) for h in r], r.secrets_text())
    r["web2"].fault("bmc_hangs")
    for host in r:
        k.say(f"ask {host.name}")
    k.expect(r"^done web1 status ok powered")
    k.expect(r"^done web3 status ok -")
    assert k.count("^done web2") == 0
    assert "timeout" in k.expect(r"^done web2 status lost")
    r["web2"].heal("bmc_hangs")
    assert k.ask("web2")[0] == "ok"


def move_bmc(host, address):
    """Gives the room's BMC an address of its own, as real ones have."""
    path = os.path.join(host.folder, "lan.conf")
    with open(path, encoding="ascii") as file:
        text = file.read().replace("addr 127.0.0.1 ", f"addr {address} ")
    with open(path, "w", encoding="ascii") as file:
        file.write(text)
    host.bmc.process.signal(signal.SIGKILL)
    host.bmc.process.stop()
    host.bmc.start()
    host.ipmi = f"{address}:{host.bmc.port}"


def test_status_questions_leave_no_sessions_at_the_bmc(room, keeper):
    # It has 63 sessions and keeps one that nobody ends for half a minute: if questions
    # left theirs behind, a third of these would find it busy.
    r = room(HostSpec("web1"))
    names = [f"m{i}" for i in range(10)]
    k = keeper([hints_of(r["web1"]).replace("web1", name, 1) for name in names],
               secrets_text=r.secrets_text())
    assert k.ask("m0")[0] == "ok"  # the cipher suite is known then
    for _ in range(20):
        since = len(k.lines)
        for name in names:
            k.say(f"ask {name}")
        for name in names:
            assert " ok powered " in k.expect(f"^done {name} ", 20, since)
    done = subprocess.run(
        ["ipmitool", "-I", "lanplus", "-C", "3", "-N", "1", "-R", "1", "-H", "127.0.0.1",
         "-p", r["web1"].ipmi.split(":")[1], "-U", r["web1"].ipmi_user, "-P",
         r["web1"].ipmi_password, "chassis", "power", "status"],
        text=True, capture_output=True, timeout=30, check=False)
    assert "is on" in done.stdout, done.stderr


def test_one_process_serves_many_bmcs(room, keeper):
    r = room(*(HostSpec(f"web{i}", powered=i % 2 == 0) for i in range(1, 4)))
    for i, host in enumerate(r):
        move_bmc(host, f"127.0.66.{i + 1}")
        host.ipmi_password = r["web1"].ipmi_password
        host.bmc.configure(r.run, host.watts_file, host.ipmi_password)
        move_bmc(host, f"127.0.66.{i + 1}")
    dead = [f"machine dead{i} wake=ipmi sleep=ipmi ipmi=127.0.67.{i}:9" for i in range(90)]
    secrets = r.secrets_text() + "".join(
        f"ipmi 127.0.67.{i}:9 admin {r['web1'].ipmi_password}\n" for i in range(90))
    k = keeper([hints_of(h) for h in r] + dead, secrets)
    for host in r:
        wait(lambda h=host: k.ask(h.name)[0] == "ok", 10, "the moved BMC")
    started = time.monotonic()
    for i in range(90):
        k.say(f"ask dead{i}")
    for host in r:
        k.say(f"ask {host.name}")
    since = len(k.lines)
    tools = []
    while time.monotonic() - started < 1.0:
        tools.append(len(k.children()))
        time.sleep(0.01)
    for i, host in enumerate(r):
        k.expect(rf"^done {host.name} status ok {'powered' if host.spec.powered else '-'}",
                 5, since)
    # At most one for each suite at a time, though 93 BMCs were asked.
    assert 1 <= max(tools) <= 3, tools
    for i in range(90):
        k.expect(rf"^done dead{i} status lost", 10)


def test_wrong_password_is_refused_and_not_repeated(room, keeper):
    r = room(HostSpec("web1", powered=False))
    r["web1"].fault("bmc_wrong_password")
    k = keeper(["rules retry=200", hints_of(r["web1"])], r.secrets_text(),
               hidden=[r["web1"].ipmi_password])
    k.say("start web1 on")
    assert "password invalid" in k.expect(r"^log 4 GB0702: web1 .*is refused")
    assert "password invalid" in k.expect(r"^exhausted web1")
    result, _, _, detail = k.ask("web1")
    assert result == "refused" and "not asked again" in detail
    assert orders_of(r["web1"]) == []


def test_bmc_without_credentials_is_refused(keeper):
    k = keeper(["machine web1 wake=ipmi sleep=ipmi ipmi=127.0.0.1:9"],
               "ipmi 127.0.0.1:10 admin secret\n")
    result, _, _, detail = k.ask("web1")
    assert result == "refused" and "GreenSecrets has no ipmi line" in detail


def test_name_that_does_not_resolve_harms_no_other(room, keeper):
    r = room(HostSpec("web1"))
    k = keeper([hints_of(r["web1"]),
                "machine web2 wake=ipmi sleep=ipmi ipmi=nosuch.invalid"],
               r.secrets_text() + f"ipmi nosuch.invalid admin {r['web1'].ipmi_password}\n")
    k.say("ask web2")
    k.say("ask web1")
    k.expect(r"^done web1 status ok powered", 2)
    k.expect(r"^done web2 status lost", DRIVER_MOST_S)


class LossyRelay(threading.Thread):
    """UDP between one client at a time and a BMC; loses a share of the packets."""

    def __init__(self, port, share, seed):
        super().__init__(daemon=True)
        self.target = ("127.0.0.1", port)
        self.share = share
        self.dice = random.Random(seed)
        self.front = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.front.bind(("127.0.0.1", 0))
        self.port = self.front.getsockname()[1]
        self.stop_read, self.stop_write = os.pipe()
        self.lost = 0

    def run(self):
        backs = {}
        while True:
            ready, _, _ = select.select([self.front, self.stop_read, *backs], [], [])
            if self.stop_read in ready:
                return
            for each in ready:
                data, source = each.recvfrom(4096)
                if each is self.front:
                    back = next((b for b, c in backs.items() if c == source), None)
                    if not back:
                        back = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                        backs[back] = source
                if self.dice.random() < self.share:
                    self.lost += 1
                elif each is self.front:
                    back.sendto(data, self.target)
                else:
                    self.front.sendto(data, backs[each])

    def stop(self):
        os.write(self.stop_write, b"x")
        self.join()


def test_lost_packets_delay_an_order_and_lose_none(room, keeper):
    seed = random.randrange(1 << 30)
    print("seed", seed)
    r = room(HostSpec("web1", powered=False, boot_s=0.2, shutdown_s=0.2))
    relay = LossyRelay(r["web1"].bmc.port, 0.15, seed)
    relay.start()
    try:
        hints = hints_of(r["web1"]).replace(r["web1"].ipmi, f"127.0.0.1:{relay.port}")
        k = keeper(["rules retry=500", hints],
                   f"ipmi 127.0.0.1:{relay.port} admin {r['web1'].ipmi_password}\n")
        for goal in ["on", "off"] * 2:
            k.say(f"start web1 {goal}")
            wait(lambda g=goal: r["web1"].phase() == ("up" if g == "on" else "off"), 30,
                 f"web1 {goal}")
            k.say("stop web1")
        assert relay.lost > 0
    finally:
        relay.stop()


def test_password_is_nowhere_to_be_seen_while_a_tool_runs(room, keeper):
    r = room(HostSpec("web1"))
    secret = r["web1"].ipmi_password
    k = keeper([hints_of(r["web1"])], r.secrets_text(), hidden=[secret])
    assert k.ask("web1")[0] == "ok"
    wait(lambda: not k.children(), 2, "the end of ipmipower")
    r["web1"].fault("bmc_hangs")
    k.say("ask web1")
    tools = wait(k.children, 2, "ipmipower")
    time.sleep(0.3)
    seen = ""
    for pid in list(tools) + [k.process.pid]:
        for name in ("cmdline", "environ"):
            with open(f"/proc/{pid}/{name}", "rb") as file:
                content = file.read()
            assert secret.encode() not in content
            seen += content.decode(errors="replace")
    assert "--config-file=/proc/self/fd/3" in seen
    (tool,) = tools
    assert os.readlink(f"/proc/{tool}/fd/3").startswith("/memfd:")
    # It has 0, 1, 2, 3, what it opened itself, and nothing of the keeper's.
    for fd in os.listdir(f"/proc/{tool}/fd"):
        target = os.readlink(f"/proc/{tool}/fd/{fd}")
        assert not re.search(r"eventpoll|pidfd|segment", target), target
    k.expect(r"^done web1 status lost", 10, len(k.lines) - 1)


def test_new_keeper_goes_on_where_the_old_one_was_killed(room, keeper, base):
    r = room(HostSpec("web1", powered=False, boot_s=0.2))
    setup = ["rules retry=300", hints_of(r["web1"])]
    k = keeper(setup, r.secrets_text())
    r["web1"].fault("bmc_hangs")
    k.say("start web1 on")
    wait(k.children, 10, "ipmipower")
    k.kill()
    r["web1"].heal("bmc_hangs")
    k = keeper(setup, r.secrets_text())
    wait(r["web1"].serving, 30, "web1 serving")
    assert orders_of(r["web1"]) == ["on"]


# ------------------------------------------------------------------ GreenPowerDriver


def test_power_driver_switches_a_machine(room, keeper):
    r = room(HostSpec("web1", kind="plain", powered=False, boot_s=0.2, shutdown_s=0.2))
    url = r["web1"].url
    k = keeper(["driver room " + shlex.join(r.powerdriver),
                f"machine web1 wake=room sleep=room url={url}"])
    assert k.ask("web1")[:2] == ("ok", False)
    k.say("start web1 on")
    wait(r["web1"].serving, 20, "web1 serving")
    assert k.ask("web1")[:2] == ("ok", True)
    assert k.ask("web1", "watts")[2] == r["web1"].watts()
    k.say("stop web1")
    k.say("start web1 off")
    wait(lambda: not r["web1"].powered(), 20, "web1 off")
    assert k.ask("web1")[:2] == ("ok", False)


@pytest.mark.parametrize("text, result, detail", [
    ("echo on; exit 3", "lost", "exit status 3: on"),
    ("echo maybe", "lost", "neither on nor off, or both: maybe"),
    ("echo on; echo off", "lost", "neither on nor off, or both: off"),
    ("exit 0", "lost", "neither on nor off"),
    ("kill -9 $$", "lost", "killed by signal 9"),
    ("no-such-command-here", "refused", "exit status 127"),
    ("echo careful >&2; echo on", "ok", "on"),
    ("printf 'o\\000n'", "lost", "o?n"),
    ("echo off", "ok", "off"),
])
def test_output_of_a_power_driver_is_read_strictly(keeper, base, text, result, detail):
    command = script(base, "driver", text + "\n")
    k = keeper([f"driver d {command}", "machine web1 wake=d sleep=d"])
    answer = k.ask("web1")
    assert answer[0] == result and detail in answer[3]


def test_power_driver_that_is_missing_is_refused(keeper, base):
    (base / "plain").write_text("not executable")
    k = keeper([f"driver no {base}/none", f"driver plain {base}/plain",
                "driver unfound gb-no-such-command",
                "machine a wake=no sleep=no", "machine b wake=plain sleep=plain",
                "machine c wake=unfound sleep=unfound"])
    assert k.ask("a")[::3] == ("refused", "cannot be run: No such file or directory")
    assert k.ask("b")[::3] == ("refused", "cannot be run: Permission denied")
    assert k.ask("c")[::3] == ("refused", "cannot be run: No such file or directory")


def test_power_driver_runs_in_a_clean_place(keeper, base):
    command = script(base, "driver", f"""
exec >{base}/seen 2>&1
echo args "$@"; echo pwd "$(pwd)"; env | sort | sed 's/^/env /'
for fd in /proc/self/fd/*; do echo "fd ${{fd##*/}} $(readlink /proc/$$/fd/${{fd##*/}})"; done
grep -E '^Sig(Blk|Ign|Cgt)' /proc/self/status
echo group "$(awk '{{print $5}}' /proc/$$/stat)" $$
exit 0
""")
    k = keeper([f"driver d {command} first 'x'", "machine web1 wake=d sleep=d "
                "url=http://web1:8080"])
    k.say("start web1 on")
    k.expect(r"GB0701: web1 .*accepted")
    seen = (base / "seen").read_text()
    assert "args first 'x' on http://web1:8080\n" in seen
    assert "pwd /\n" in seen
    variables = re.findall(r"^env (\w+)=", seen, re.M)
    assert set(variables) == {"PATH", "LANG", "PWD"}  # PWD: the shell's own
    assert "fd 0 /dev/null\n" in seen
    assert not re.search(r"eventpoll|pidfd|socket|memfd|segment", seen)
    assert re.search(r"SigBlk:\s0+\n", seen) and re.search(r"SigIgn:\s0+\n", seen)
    group, pid = re.search(r"group (\d+) (\d+)", seen).groups()
    assert group == pid


def test_what_a_power_driver_leaves_in_the_background_stays(keeper, base):
    command = script(base, "driver", f"sleep 31 & echo $! >{base}/pid; echo on\n")
    k = keeper([f"driver d {command}", "machine web1 wake=d sleep=d"])
    started = time.monotonic()
    assert k.ask("web1")[0] == "ok"  # though the background process holds the pipe
    assert time.monotonic() - started < 3
    pid = int((base / "pid").read_text())
    os.kill(pid, 0)
    os.kill(pid, signal.SIGTERM)


def test_power_driver_that_hangs_is_ended_with_its_children(keeper, base):
    command = script(base, "driver", f"""
case $1 in status) echo on; exit;; esac
trap '' TERM
sh -c 'trap "" TERM; echo $$ >>{base}/pids; sleep 61; sleep 62' &
echo $$ >>{base}/pids
sleep 63; sleep 64; wait
""")
    k = keeper([f"driver d {command}", f"driver quick {command}",
                "machine web1 wake=d sleep=d", "machine web2 wake=quick sleep=quick"])
    k.say("start web1 on")
    wait(lambda: len((base / "pids").read_text().split()) == 2
         if (base / "pids").exists() else False, 3, "the driver")
    assert k.ask("web2")[0] == "ok"  # the loop is not held
    k.expect(r"^log 4 GB0702: web1 .*failed: did not end in time", 2 * DRIVER_MOST_S)
    for pid in (base / "pids").read_text().split():
        wait(lambda p=pid: not os.path.exists(f"/proc/{p}")
             or "Z" in open(f"/proc/{p}/stat").read().split()[2], 2, f"{pid} ended")


def test_power_driver_ends_with_a_killed_keeper(keeper, base):
    command = script(base, "driver", f"echo $$ >{base}/pid; exec sleep 65\n")
    k = keeper([f"driver d {command}", "machine web1 wake=d sleep=d"])
    k.say("start web1 on")
    wait(lambda: (base / "pid").exists() and (base / "pid").read_text(), 3, "the driver")
    pid = int((base / "pid").read_text())
    k.kill()
    wait(lambda: not os.path.exists(f"/proc/{pid}")
         or open(f"/proc/{pid}/stat").read().split()[2] == "Z", 3, "the driver ended")


def test_flood_of_output_holds_nobody_up(keeper, base):
    command = script(base, "driver", """
case $2 in *web1*) yes "on and on and on" | head -c 50000000;; esac
echo on
""")
    k = keeper([f"driver d {command}", "machine web1 wake=d sleep=d",
                "machine web2 wake=d sleep=d"])
    k.say("ask web1")
    started = time.monotonic()
    assert k.ask("web2")[0] == "ok"
    assert time.monotonic() - started < 2
    # Its answer came after what is looked at.
    assert "neither on nor off" in k.expect(r"^done web1 status lost", DRIVER_MOST_S)


def command_line(pid):
    """Of a process that may end at any moment."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read()
    except OSError:
        return b""


def test_few_commands_run_at_once_and_an_order_waits_for_none(keeper, base):
    command = script(base, "driver", f"""
case $1 in
status) date +%s.%N >>{base}/asked; sleep 0.7; echo on ;;
on) date +%s.%N >{base}/ordered ;;
esac
""")
    names = [f"m{i}" for i in range(100)]
    k = keeper([f"driver d {command}"] + [f"machine {n} wake=d sleep=d" for n in names])
    for name in names:
        k.say(f"ask {name}")
    time.sleep(0.3)
    k.say("start m0 on")
    most = 0
    for _ in range(10):
        most = max(most, sum(b"driver" in command_line(pid) for pid in k.children()))
        time.sleep(0.02)
    for name in names:
        k.expect(rf"^done {name} status ok powered", 15)
    assert 1 < most <= 49
    # Half of the questions were still waiting for their turn.
    ordered = float((base / "ordered").read_text())
    assert sum(float(t) > ordered for t in (base / "asked").read_text().split()) > 1


def test_one_order_at_a_time_for_a_machine(keeper, base):
    command = script(base, "driver", f"""
echo "begin $1" >>{base}/log; case $1 in on) sleep 1;; esac; echo "end $1" >>{base}/log
""")
    k = keeper([f"driver d {command}", "rules retry=60000", "machine web1 wake=d sleep=d"])
    k.say("start web1 on")
    wait((base / "log").exists, 3, "the order")
    k.say("stop web1")
    k.say("start web1 off")
    k.expect(r"GB0701: web1 .*power off by d: accepted")
    assert (base / "log").read_text().split("\n")[:4] == [
        "begin on", "end on", "begin off", "end off"]
    assert k.count(r"GB0704: web1 .*wanted no more") == 1


# ------------------------------------------------------------------ secrets


def secrets_error(harness, base, path):
    done = subprocess.run([harness, str(path), str(base / "segment")], text=True,
                          input="", stdout=subprocess.PIPE, timeout=10,
                          env=dict(os.environ, ASAN_OPTIONS="detect_leaks=0"))
    return done.stdout if done.returncode == 1 else None


def write_secrets(base, text, mode=0o600):
    path = base / "secrets"
    path.write_bytes(text.encode("latin-1"))
    os.chmod(path, mode)
    return path


def test_secrets_that_others_can_read_are_refused(harness, base):
    path = write_secrets(base, "ipmi h u hunter2\n")
    assert secrets_error(harness, base, path) is None
    for mode in (0o640, 0o604, 0o660, 0o700, 0o602):
        os.chmod(path, mode)
        assert f"has mode {mode:04o}; it has to have mode 0600" in secrets_error(
            harness, base, path)
    os.chmod(path, 0o400)
    assert secrets_error(harness, base, path) is None
    if os.geteuid() == 0:
        os.chown(path, 65534, 65534)
        assert "belongs to user 65534" in secrets_error(harness, base, path)


def test_secrets_that_are_no_plain_file_are_refused(harness, base):
    path = write_secrets(base, "ipmi h u hunter2\n")
    os.symlink(path, base / "link")
    assert "symbolic link" in secrets_error(harness, base, base / "link")
    os.mkfifo(base / "fifo", 0o600)
    assert "not a regular file" in secrets_error(harness, base, base / "fifo")
    assert "not a regular file" in secrets_error(harness, base, base)
    assert "cannot be opened" in secrets_error(harness, base, base / "none")
    assert "larger than 1 MiB" in secrets_error(
        harness, base, write_secrets(base, "#" * (1 << 20) + "\n"))


@pytest.mark.parametrize("text, error", [
    ("# c\n\nipmi h u hunter2 x\n", "line 3: it has to be: ipmi HOST"),
    ("ipmi h u hunter2\nipmi H:623 v hunter2", "line 2: there is an earlier line"),
    ("redfish https://h u hunter2\nredfish HTTPS://H:443/ v hunter2\n",
     "line 2: there is an earlier line"),
    ("agent http://h/a hunter2hunter2xy\nagent http://H:80/b hunter2hunter2xy\n",
     "line 2: there is an earlier line"),
    ("snmp h u hunter2\n", "line 1: unknown kind of secret"),
    ("secureon 52:54:00:12:34:56 hunter2\n", "line 1: a SecureOn password"),
    ("ipmi h u hunter2\0\n", "line 1: there is a character"),
])
def test_faulty_secrets_name_the_line_and_not_its_content(harness, base, text, error):
    said = secrets_error(harness, base, write_secrets(base, text))
    assert error in said and "hunter2" not in said
