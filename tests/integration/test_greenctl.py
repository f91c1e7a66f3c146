"""greenctl and the keeper's socket: commands, refusals, and peers that misbehave."""

import json
import os
import socket
import subprocess
import time

import pytest
from conftest import QUICK
from proxy import greenctl_file, wait
from test_status import build, backends  # noqa: F401 (a fixture)

DONE, REFUSED, USAGE, UNREACHABLE = 0, 1, 2, 3


def control(proxy):
    return proxy.path("run", "green", "control.sock")


def ask(proxy, request, timeout=5):
    """What the keeper says to these bytes."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(timeout)
        s.connect(control(proxy))
        s.sendall(request)
        return read_all(s)


def read_all(s):
    reply = b""
    while True:
        try:
            more = s.recv(65536)
        except ConnectionResetError:
            return reply  # what we sent was not read to its end
        if not more:
            return reply
        reply += more


@pytest.fixture
def proxy(base, backends):  # noqa: F811
    with build(base, backends) as made:
        wait(lambda: made.keeper_pid() and os.path.exists(control(made)), 10, "a keeper")
        wait(lambda: all(m["state"] == "on" for m in made.members_status().values()), 10,
             "both on")
        yield made


# ---------------------------------------------------------------- without a keeper

@pytest.mark.parametrize("arguments", [
    [], ["frobnicate"], ["status", "extra"], ["wake"], ["wake", "a", "b"], ["wake", ""],
    ["--json", "events"], ["watch", "--json"], ["--balancer", "b", "status"],
    ["--balancer", "", "wake", "a"], ["--nonsense"], ["wake", "a\tb"], ["wake", "a\nb"],
    ["wake", "x" * 400], ["--socket"],
    ["accept", "a", "--even-so"], ["status", "--seq", "1"], ["accept", "a", "--seq", "x"],
    ["give-up", "app"], ["give-up", "app", "1", "2"], ["give-up", "app", "x"],
    ["give-up", "", "1"], ["give-up", "app", "1", "--balancer", "app"],
    ["give-up", "app", "1", "--seq", "1"],
], ids=range(24))
def test_wrong_usage_is_told(arguments):
    done = subprocess.run([greenctl_file(), *arguments], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=10)
    assert done.returncode == USAGE
    assert done.stdout == "" and "greenctl" in done.stderr


def test_help_goes_to_stdout():
    done = subprocess.run([greenctl_file(), "--help"], stdout=subprocess.PIPE, text=True,
                          timeout=10)
    assert done.returncode == DONE and "usage: greenctl" in done.stdout


def test_no_keeper_is_told(tmp_path):
    for path in (tmp_path / "none", tmp_path / ("x" * 200)):
        done = subprocess.run([greenctl_file(), "--socket", str(path), "status"],
                              stderr=subprocess.PIPE, text=True, timeout=10)
        assert done.returncode == UNREACHABLE
        assert str(path) in done.stderr
    dead = str(tmp_path / "dead")
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(dead)
    done = subprocess.run([greenctl_file(), "status"], stderr=subprocess.PIPE, text=True,
                          timeout=10, env={"GREENCTL_SOCKET": dead})
    assert done.returncode == UNREACHABLE and dead in done.stderr


@pytest.mark.parametrize("reply", [b"", b"OK 5\nabc", b"OK x\n", b"OK 3\nabcd",
                                   b"HTTP/1.1 400 Bad\r\n\r\n", b"\0\0\0\n"])
def test_a_strange_reply_is_not_believed(tmp_path, reply):
    path = str(tmp_path / "sock")
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(path)
        s.listen()
        process = subprocess.Popen([greenctl_file(), "--socket", path, "model"],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        peer, _ = s.accept()
        peer.recv(1000)
        peer.sendall(reply)
        peer.close()
        out, error = process.communicate(timeout=10)
    assert process.returncode == UNREACHABLE and out == b"" and path in error.decode()


# ---------------------------------------------------------------- commands

def test_status_as_table_and_as_json(proxy, backends):  # noqa: F811
    done = proxy.ctl("status")
    assert done.returncode == DONE, done.stdout
    lines = done.stdout.splitlines()
    assert lines[0].startswith("keeper: pid %d, up " % proxy.keeper_pid())
    rows = [line.split() for line in lines if line.startswith("  http://")]
    assert {row[0] for row in rows} == {b.url for b in backends}
    for row in rows:
        assert row[1] in ("m0", "m1") and row[2:4] == ["on", "auto"]
        assert row[5] == "good" and row[7] == "0/4"
    report = json.loads(proxy.ctl("status", "--json").stdout)
    page = proxy.status()
    assert report["balancers"][0]["name"] == page["balancers"][0]["name"]
    assert report["keeper"]["pid"] == page["keeper"]["pid"]
    assert set(report) == set(page)


def test_watch_goes_on_until_it_is_ended(proxy):
    process = subprocess.Popen([greenctl_file(), "--socket", control(proxy), "watch"],
                               stdout=subprocess.PIPE, text=True)
    try:
        seen = 0
        while seen < 2:
            line = process.stdout.readline()
            assert line, "watch has ended"
            seen += line.startswith("keeper: pid")
        assert process.poll() is None
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()


def test_model_is_what_greensim_reads(proxy, backends):  # noqa: F811
    done = proxy.ctl("model")
    assert done.returncode == DONE
    servers = json.loads(done.stdout)["servers"]
    assert {s["name"] for s in servers} == {b.url for b in backends}
    for server in servers:
        assert server["machine"] in ("m0", "m1") and server["capacity"] == 4
        assert server["watts"] == [50 + 7 * i for i in range(11)]
        assert server["off_watts"] == 3 and server["watts_source"] == "curve"
        assert server["boot_s"] == {"p50": 7, "p95": 7, "count": 0}


def test_pause_and_resume(proxy):
    assert proxy.ctl("pause").returncode == DONE
    assert proxy.status()["keeper"]["paused"]
    assert "PAUSED" in proxy.ctl("status").stdout
    assert "nothing to do" in proxy.ctl("pause").stdout
    assert proxy.ctl("resume").returncode == DONE
    assert not proxy.status()["keeper"]["paused"]
    notices = [line for line in proxy.log().splitlines() if "GB0352" in line]
    assert len(notices) == 2 and all(":notice]" in line for line in notices)


def test_members_that_are_not_clear_are_refused(base, backends):  # noqa: F811
    """Both hosts are 127.0.0.1; the first one stands in two balancers."""
    url = backends[0].url
    main = """
<Proxy "balancer://two">
    BalancerMember "%s" wake=lever sleep=lever machine=solo
    ProxySet lbmethod=bypower
    GreenBalance observe
</Proxy>
ProxyPass "/two/" "balancer://two/"
""" % url
    with build(base, backends, main=main) as proxy:
        wait(lambda: proxy.keeper_pid() and os.path.exists(control(proxy)), 10, "a keeper")
        for arguments, words in [
                (["auto", "nobody"], "no member or machine nobody"),
                (["auto", "m0", "--balancer", "three"], "no balancer three"),
                (["auto", url], "add --balancer"),
                (["auto", "127.0.0.1"], "add --balancer"),
                (["auto", "127.0.0.1", "--balancer", "app"], "give the whole URL"),
                (["auto", "m0", "--balancer", "two"], "no member or machine m0")]:
            done = proxy.ctl(*arguments)
            assert done.returncode == REFUSED, done.stdout
            assert "refused: " in done.stdout and words in done.stdout, done.stdout
        for arguments, machine in [
                (["auto", "m0"], "m0"), (["auto", "solo"], "solo"),
                (["auto", url, "--balancer", "two"], "solo"),
                (["auto", url + "/", "--balancer", "balancer://app"], "m0"),
                (["auto", backends[1].url], "m1"),
                (["auto", backends[1].url[len("http://"):]], "m1")]:
            done = proxy.ctl(*arguments)
            assert done.returncode == DONE, done.stdout
            assert done.stdout.startswith(machine + ": "), done.stdout


def test_wake_sleep_and_auto_switch_a_machine(site):
    """The operator's word against the policy's: keep_off although it is wanted."""
    specs = site.specs("web1", "web2", capacity=4, boot_s=0.5, shutdown_s=0.2)
    room, proxy = site(specs, balancer=QUICK.replace("min=1", "min=2"))
    first, second = room["web1"].url, room["web2"].url
    wait(lambda: set(proxy.states().values()) == {"on"}, 20, lambda: str(proxy.states()))
    proxy.balancer = QUICK
    proxy.graceful()
    awake = wait(lambda: [u for u, s in proxy.states().items() if s == "on"]
                 if sorted(proxy.states().values()) == ["asleep", "on"] else None, 30,
                 lambda: str(proxy.states()))[0]
    asleep = second if awake == first else first
    name = proxy.member(asleep)["machine"]
    # Two servers are kept on: otherwise the policy would put the other one to sleep.
    assert proxy.ctl("wake", awake).returncode == DONE
    assert proxy.ctl("wake", asleep).returncode == DONE
    proxy.wait_state(asleep, "on", 20)
    assert proxy.member(asleep)["wish"] == "keep_on"
    assert proxy.ctl("sleep", name).returncode == DONE
    proxy.wait_state(asleep, "asleep", 20)
    assert proxy.member(asleep)["wish"] == "keep_off"
    done = proxy.ctl("sleep", awake)  # the last one that is awake
    assert done.returncode == REFUSED and "GreenAwake" in done.stdout
    assert proxy.member(awake)["wish"] == "keep_on"
    assert proxy.ctl("auto", name).returncode == DONE
    assert proxy.member(asleep)["wish"] == "auto"
    events = proxy.ctl("events").stdout
    assert name in events or asleep in events
    assert "-> asleep" in events and "-> on" in events
    boot = proxy.member(asleep)["boot_s"]
    assert boot["count"] >= 1 and 0 < boot["p50"] < 20


# ---------------------------------------------------------------- who may speak

def test_other_users_are_refused(proxy):
    """By the file's mode; and if that were ever opened, by the kernel's credentials."""
    code = ("import socket,sys\ns=socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\n"
            "try: s.sendall(b'pause\\n')\nexcept BrokenPipeError: pass\n"
            "sys.stdout.write(s.recv(999).decode())")

    def as_nobody():
        return subprocess.run(["/usr/bin/python3", "-c", code, control(proxy)],
                              user="nobody", group="nogroup", extra_groups=[],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              timeout=10)

    assert os.stat(control(proxy)).st_mode & 0o777 == 0o600
    done = as_nobody()
    assert done.returncode != 0 and "PermissionError" in done.stderr
    os.chmod(control(proxy), 0o666)
    os.chmod(os.path.dirname(control(proxy)), 0o711)
    proxy.allow("GB0353")
    for _ in range(20):
        assert "NO only root" in as_nobody().stdout
    assert not proxy.status()["keeper"]["paused"]
    assert proxy.log().count("GB0353") == 1  # repeats are limited
    assert ask(proxy, b"pause\n").startswith(b"OK ")


# ---------------------------------------------------------------- peers that misbehave

@pytest.mark.parametrize("request_bytes", [
    b"\n", b"frob\n", b"status\r\n", b"status\0\n", b"\xff\xfe\n", b"wake\tmember=\n",
    b"status\nstatus\n", b"status\nx", b"x" * 1024, b"x" * 100000,
    b"wake\tmember=" + b"m" * 900 + b"\n", b"GET / HTTP/1.1\r\n\r\n",
    b"pause\tx=y\n", b"\tpause\n",
], ids=range(14))
def test_bad_requests_are_refused_with_a_reason(proxy, request_bytes):
    try:
        reply = ask(proxy, request_bytes)
    except BrokenPipeError:
        reply = b"NO \n"  # it had hung up before we were done
    assert reply.startswith(b"NO ") and reply.endswith(b"\n") and reply.count(b"\n") == 1
    assert not proxy.status()["keeper"]["paused"]
    assert ask(proxy, b"status\n").startswith(b"OK ")


def beats(proxy, seconds):
    """The keeper's beat, looked at ten times a second: never stale."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert not proxy.status()["keeper"]["stale"]
        time.sleep(0.1)


def test_peers_that_say_nothing_cost_nothing(proxy):
    """Eight places: the ninth is told so; after 2 s the silent ones are put out."""
    peers = []
    try:
        for i in range(8):
            s = socket.socket(socket.AF_UNIX)
            s.settimeout(10)
            s.connect(control(proxy))
            s.sendall(b"sta"[:i % 4])
            peers.append(s)
        time.sleep(0.2)
        done = proxy.ctl("status")
        assert done.returncode == REFUSED and "too many connections" in done.stdout
        beats(proxy, 1)
        started = time.monotonic()
        for s in peers:
            assert read_all(s) == b""
        assert time.monotonic() - started < 10
    finally:
        for s in peers:
            s.close()
    assert proxy.ctl("status").returncode == DONE


def test_a_peer_that_sends_byte_by_byte_is_cut_off(proxy):
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(10)
        s.connect(control(proxy))
        started = time.monotonic()
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            for _ in range(100):
                s.send(b"x")
                time.sleep(0.1)
        assert time.monotonic() - started > 1


def test_a_peer_that_does_not_read_blocks_nobody(base, backends):  # noqa: F811
    """800 members make a reply that no socket buffer takes at once."""
    members = [("%s/%03d" % (backends[0].url, i), "") for i in range(800)]
    with build(base, backends, members=members,
               balancer="    GreenHealth interval=60s timeout=20s rise=1 fall=2") as proxy:
        wait(lambda: proxy.keeper_pid() and os.path.exists(control(proxy)), 10, "a keeper")
        with socket.socket(socket.AF_UNIX) as lazy:
            lazy.settimeout(20)
            lazy.connect(control(proxy))
            lazy.sendall(b"status\tas=json\n")
            beats(proxy, 1)
            whole = ask(proxy, b"status\tas=json\n")
            head, body = whole.split(b"\n", 1)
            assert head == b"OK %d" % len(body) and len(body) > 300000
            assert len(json.loads(body)["balancers"][0]["members"]) == 800
            assert proxy.ctl("status").returncode == DONE
            # It may still come and take the reply, if it does so in time.
            head, body = read_all(lazy).split(b"\n", 1)
            assert head == b"OK %d" % len(body)


def test_a_new_keeper_takes_the_socket_over(proxy):
    """Over a graceful restart greenctl finds a keeper at every moment."""
    before = proxy.keeper_pid()
    proxy.graceful()
    missed = 0
    end = time.monotonic() + 15
    while time.monotonic() < end and proxy.keeper_pid() in (0, before):
        missed += proxy.ctl("status").returncode != DONE
        time.sleep(0.05)
    assert proxy.keeper_pid() not in (0, before)
    assert proxy.ctl("status").returncode == DONE
    assert missed <= 10, "greenctl failed %d times" % missed
