"""One keeper, under every MPM, that ends with httpd whatever way httpd ends."""

import os
import pwd
import re
import shutil
import signal
import subprocess
import time

import pytest
from conftest import QUICK
from proxy import HTTPD, MODULES, Proxy, environment, module_file, wait
from room import HostSpec


def specs(count, **more):
    values = dict(capacity=4, service_ms=20, boot_s=0.8, shutdown_s=0.3)
    values.update(more)
    return [HostSpec("web%d" % i, **values) for i in range(1, count + 1)]


def cycle(room, proxy):
    url = list(room)[1].url
    proxy.wait_state(url, "asleep", 30)
    assert proxy.ctl("wake", url).returncode == 0
    proxy.wait_state(url, "on", 15)
    assert proxy.get("/")[0] == 200


@pytest.mark.parametrize("mpm", ["event", "worker", "prefork"])
def test_cycle_under_each_mpm(site, mpm):
    room, proxy = site(specs(2), mpm=mpm)
    cycle(room, proxy)
    assert len(proxy.keeper_pids()) == 1
    keeper = proxy.keeper_pid()
    uid = os.stat("/proc/%d" % keeper).st_uid
    assert uid == pwd.getpwnam("daemon").pw_uid
    proxy.stop()
    assert not proxy.processes()


def test_one_process_mode(site):
    room, proxy = site(specs(2), start=False)
    proxy.allow(r"GB0309")
    proxy.write()
    process = subprocess.Popen([HTTPD, "-f", proxy.path("httpd.conf"), "-X"],
                               env=environment())
    try:
        wait(proxy.answers, 15, "httpd answers")
        cycle(room, proxy)
        assert "GB0309" in proxy.log()
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=15)
    wait(lambda: not proxy.keeper_pids(), 5, "the keeper ends")


@pytest.mark.parametrize("way", ["stop", "graceful-stop", "kill"])
def test_keeper_ends_with_httpd(site, way):
    room, proxy = site(specs(1))
    wait(lambda: len(proxy.keeper_pids()) == 1, 5, "a keeper")
    if way == "kill":
        os.kill(proxy.pid(), signal.SIGKILL)
    else:
        proxy.httpd("-k", way)
    wait(lambda: not proxy.keeper_pids(), 10, "the keeper ends")
    proxy.kill_all()


def test_ungraceful_restart(site):
    room, proxy = site(specs(2))
    first = proxy.keeper_pid()
    proxy.restart()
    wait(lambda: proxy.keeper_pid() not in (0, first), 10, "another keeper")
    wait(lambda: len(proxy.keeper_pids()) == 1, 5, "one keeper")
    cycle(room, proxy)


def test_crash_loop_backs_off(site):
    room, proxy = site(specs(1))
    proxy.allow(r"GB0308")
    seen = []
    for _ in range(4):
        pid = wait(lambda: (lambda k: k not in seen and k)(proxy.keeper_pid()), 12, "a keeper")
        seen.append(pid)
        os.kill(pid, signal.SIGKILL)

    def delays():
        return [int(ms) for ms in re.findall(r"GB0308.*starts in (\d+) ms", proxy.log())]

    wait(lambda: len(delays()) == 4, 5, "it is logged")
    assert delays() == [0, 1000, 2000, 4000]
    assert proxy.get("/")[0] == 200


def test_gap_at_graceful_is_short(site):
    room, proxy = site(specs(2))
    for _ in range(3):
        first = proxy.keeper_pid()
        proxy.graceful()
        wait(lambda: proxy.keeper_pid() not in (0, first), 5, "another keeper")
    # Debug lines of the keeper tell how long nobody held the lock.
    gaps = [float(x) for x in re.findall(r"GB0310: .* after ([0-9.]+) s", proxy.log())]
    assert len(gaps) == 3 and max(gaps) < 0.5, gaps


def test_started_by_an_ordinary_user(base):
    user = pwd.getpwnam("nobody")
    directory = base / "mine"
    proxy = Proxy(str(directory), members=[("http://127.0.0.1:9", "")], balancer=QUICK)
    proxy.allow(r"GB0", r"AH0", r"proxy")
    # The folder of the project may be closed to that user.
    module = str(directory / "mod_greenbalance.so")
    shutil.copy(module_file(), module)
    text = proxy.text().replace("GreenKeeperUser daemon\n", "").replace(module_file(), module)
    (directory / "httpd.conf").write_text(text)
    for path, folders, files in os.walk(directory):
        for name in [path] + [os.path.join(path, f) for f in folders + files]:
            os.chown(name, user.pw_uid, user.pw_gid)

    def demote():
        os.setgid(user.pw_gid)
        os.setuid(user.pw_uid)

    done = subprocess.run([HTTPD, "-f", str(directory / "httpd.conf"), "-k", "start"],
                          preexec_fn=demote, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=30,
                          env=environment())
    assert done.returncode == 0, done.stdout + proxy.log()
    try:
        wait(proxy.answers, 10, lambda: proxy.log())
        keeper = wait(proxy.keeper_pid, 5, "a keeper")
        assert os.stat("/proc/%d" % keeper).st_uid == user.pw_uid
    finally:
        proxy.stop()
    assert not proxy.keeper_pids()


@pytest.mark.parametrize("first", [True, False])
def test_load_order_with_hcheck(site, first):
    room, proxy = site(specs(2), start=False)
    text = proxy.text()
    line = "LoadModule greenbalance_module " + module_file() + "\n"
    hcheck = "LoadModule proxy_hcheck_module %s/mod_proxy_hcheck.so\n" % MODULES
    text = text.replace(line, "").replace(hcheck, "")
    proxy_line = "LoadModule proxy_balancer_module %s/mod_proxy_balancer.so\n" % MODULES
    text = text.replace(proxy_line, proxy_line + (line + hcheck if first else hcheck + line))
    proxy.text = lambda: text
    proxy.start()
    cycle(room, proxy)


def test_missing_balancer_module_is_refused(base):
    proxy = Proxy(str(base / "p"), members=[("http://127.0.0.1:9", "")], balancer=QUICK)
    text = proxy.text().replace(
        "LoadModule proxy_balancer_module %s/mod_proxy_balancer.so\n" % MODULES, "")
    (base / "p" / "httpd.conf").write_text(text)
    done = proxy.httpd("-t", check=False)
    assert done.returncode != 0 and "mod_proxy_balancer" in done.stdout, done.stdout


def test_full_segment_balances_as_stock(site):
    room, proxy = site(specs(4), main="GreenMembers 4")
    proxy.members.append((list(room)[0].url.replace("127.0.0.1", "localhost"), ""))
    proxy.allow(r"GB0011", r"GB0203")
    proxy.main = "GreenMembers 5"
    proxy.graceful()
    wait(lambda: "GB0011" in proxy.log(), 10, "it is said")
    for _ in range(20):
        assert proxy.get("/")[0] == 200


def test_off_leaves_httpd_as_it_is(site):
    room, proxy = site(specs(2), policy_on="off")
    for _ in range(20):
        assert proxy.get("/")[0] == 200
    time.sleep(1)
    assert not proxy.keeper_pids()
    assert all(h.powered() for h in room)
    assert proxy.balancer_status()["load"]["in_flight"] == 0


def test_unused_module_starts_nothing(base):
    proxy = Proxy(str(base / "p"), members=())
    with proxy:
        assert not proxy.keeper_pids()
        status, body = proxy.get("/green/status.json")
        assert status == 200 and b'"balancers"' in body


def test_secrets_stay_in_the_keeper(site):
    room, proxy = site(specs(2))
    secret = list(room)[0].ipmi_password.encode()
    assert len(secret) >= 4
    for pid in proxy.children() + [proxy.pid()]:
        with open("/proc/%d/maps" % pid) as maps, open("/proc/%d/mem" % pid, "rb") as mem:
            for line in maps:
                field = line.split()
                if "rw" not in field[1] or "[v" in line:
                    continue
                low, high = (int(x, 16) for x in field[0].split("-"))
                if high - low > 64 << 20:
                    continue  # untouched reserves
                try:
                    mem.seek(low)
                    assert secret not in mem.read(high - low), (pid, line)
                except (OSError, ValueError):
                    continue
    assert secret.decode() not in proxy.log()
    assert secret.decode() not in proxy.get("/green/status.json")[1].decode()
