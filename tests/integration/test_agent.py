"""green-agent: heartbeats, vetoes and orders, with a real agent and with one written
here, which knows the protocol from docs/agent.md alone."""

import hashlib
import hmac
import http.server
import os
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request

import pytest
from conftest import QUICK
from proxy import module_file, wait
from room import HostSpec

KEY = "a-key-of-sixteen-characters-or-more"
BEATS = QUICK.replace("interval=500ms fall=2", "interval=500ms fall=2 beat=500ms")
AWAKE = BEATS.replace("GreenAwake min=1", "GreenAwake min=2")
HANDLER = ('<Location "/green-beat">\n    SetHandler greenbalance-beat\n</Location>\n'
           'ProxyPass "/green-beat" "!"\n')
STARTED = []


@pytest.fixture(autouse=True)
def ended():
    """No agent outlives its test."""
    yield
    while STARTED:
        STARTED.pop().stop()


# ---------------------------------------------------------------- the protocol, anew

def seal(text, key=KEY):
    return text + "mac=%s\n" % hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest()


def fields(text):
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


class Beater:
    """An agent in a test's hands: one heartbeat at a time."""

    def __init__(self, proxy, url, key=KEY, session=None):
        self.target = proxy.url("/green-beat")
        self.url, self.key = url, key
        self.session = session or os.urandom(8).hex()
        self.seq, self.nonce = 0, "0" * 32

    def text(self, veto="", going=0):
        self.seq += 1
        return seal("green-beat 1\nserver=%s\nsession=%s\nseq=%d\nnonce=%s\nload=100\nwork=1\n"
                    "veto=%d\nreason=%s\nwatts=none\ngoing=%d\n" % (
                        self.url, self.session, self.seq, self.nonce, bool(veto), veto, going),
                    self.key)

    def post(self, text):
        request = urllib.request.Request(self.target, data=text.encode(),
                                         headers={"Content-Type": "text/plain"})
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def beat(self, **more):
        """The answer's fields; its signature and what it answers have been checked."""
        status, body = self.post(self.text(**more))
        assert status == 200, (status, body)
        signed = body[:body.index("mac=")]
        assert body == seal(signed, self.key), body
        answer = fields(body)
        assert (answer["server"], answer["session"], answer["seq"]) == (
            self.url, self.session, str(self.seq)), body
        self.nonce = answer["nonce"]
        return answer

    def known(self):
        assert self.beat()["believed"] == "0"
        assert self.beat()["believed"] == "1"
        return self


class Agent:
    """The real one, beside a host of the room."""

    def __init__(self, base, proxies, url, key=KEY, more="", path=None, mode=0o600):
        self.file = str(base / ("agent-%d.conf" % len(os.listdir(base))))
        self.journal = self.file + ".log"
        with open(os.open(self.file, os.O_CREAT | os.O_WRONLY, mode), "w") as f:
            f.write("# a test's\nserver=%s\nkey=%s\ninterval=500ms\n%s%s" % (
                url, key, "".join("proxy=%s\n" % p for p in proxies), more))
        program = os.path.join(os.path.dirname(module_file()), "green-agent")
        env = dict(os.environ, PATH=(path + ":" if path else "") + os.environ["PATH"])
        with open(self.journal, "w") as log:
            self.process = subprocess.Popen([program, "--config", self.file], stderr=log,
                                            env=env)
        STARTED.append(self)

    def said(self):
        with open(self.journal) as f:
            return f.read()

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(20)

    def rss_kb(self):
        with open("/proc/%d/status" % self.process.pid) as f:
            return int(next(line for line in f if line.startswith("VmRSS")).split()[1])


def place(site, balancer=BEATS, kind="wol", sleep="agent"):
    """web2 sleeps by its agent and wakes by magic packet; web1 is there for the load."""
    room, proxy = site([HostSpec(n, kind=kind, boot_s=0.5, shutdown_s=0.3)
                        for n in ("web1", "web2")], balancer=balancer, start=False)
    url = room["web2"].url
    proxy.members = [(u, keys.replace("sleep=room", "sleep=" + sleep) if u == url else keys)
                     for u, keys in proxy.members]
    proxy.secrets = (proxy.secrets or "") + "agent %s %s\n" % (url, KEY)
    proxy.main = HANDLER
    proxy.start()
    return room, proxy, url


def off_command(room, url):
    driver = room.powerdriver
    return "off=suspend\nsuspend=%s off %s\n" % (
        driver if isinstance(driver, str) else " ".join(driver), url)


def offs(room):
    return [o for o in room["web2"].orders() if o["order"] in ("off", "soft")]


def agent_of(proxy, url):
    return proxy.member(url)["agent"]


# ---------------------------------------------------------------- a life

def test_agent_puts_its_server_to_sleep(site, base):
    room, proxy, url = place(site)
    agent = Agent(base, [proxy.url("/green-beat")], url,
                  more=off_command(room, url) + "watts=echo 123.5\nwork=echo 7\n")
    wait(lambda: agent_of(proxy, url), 10, agent.said)
    seen = agent_of(proxy, url)
    assert not seen["veto"] and seen["work"] == 7 and seen["beat_s"] < 10, seen
    wait(lambda: proxy.member(url)["watts_by"] == "agent", 10, lambda: str(proxy.member(url)))
    proxy.wait_state(url, "asleep", 30)
    assert offs(room)
    assert "power off by agent: its agent goes" in proxy.log(), proxy.log()
    if "-san" not in module_file():
        assert agent.rss_kb() < 5 * 1024
    assert proxy.ctl("wake", url).returncode == 0
    proxy.wait_state(url, "on", 20)


def test_veto_keeps_it_on(site, base):
    room, proxy, url = place(site, BEATS.replace("GreenDrain timeout=10s",
                                                 "GreenDrain timeout=1s"))
    proxy.allow("GB1206", "GB040[27]", "GB0702")  # an order just before the veto is refused
    assert proxy.ctl("wake", room["web1"].url).returncode == 0  # only web2 may go
    vetoes = base / "veto.d"
    vetoes.mkdir()
    (vetoes / "backup-runs").touch()
    agent = Agent(base, [proxy.url("/green-beat")], url,
                  more=off_command(room, url) + "veto-dir=%s\n" % vetoes)
    wait(lambda: agent_of(proxy, url) and agent_of(proxy, url)["veto"], 10, agent.said)
    assert agent_of(proxy, url)["reason"] == "backup-runs"
    assert proxy.ctl("sleep", url).returncode == 0  # nor does the operator's word count
    # Its silence does not take the veto back.
    agent.stop()
    wait(lambda: "GB1206" in proxy.log(), 25, proxy.log)
    assert room["web2"].phase() == "up"
    assert not offs(room)
    assert proxy.member(url)["state"] in ("on", "draining")
    (vetoes / "backup-runs").unlink()
    Agent(base, [proxy.url("/green-beat")], url,
          more=off_command(room, url) + "veto-dir=%s\n" % vetoes)
    proxy.ctl("sleep", url)
    proxy.wait_state(url, "asleep", 30)


def test_veto_at_the_last_moment_ends_the_ladder(site):
    """Between the order and its obedience: no further way is tried, the server serves."""
    room, proxy, url = place(site, sleep="agent,room")
    proxy.allow("GB070[25]", "GB040[27]")
    beater = Beater(proxy, url).known()
    wait(lambda: beater.beat()["order"] == "off", 20, "the order", every_s=0.3)
    assert beater.beat(veto="a user has logged in")["order"] == "none"
    wait(lambda: proxy.member(url)["state"] in ("waking", "on"), 5,
         lambda: str(proxy.member(url)))
    proxy.wait_state(url, "on", 10)
    assert not offs(room)
    assert "its agent objects: a user has logged in" in proxy.log()


def test_keeper_killed_between_order_and_leave(site):
    room, proxy, url = place(site)
    proxy.allow("GB0308", "AH00")
    beater = Beater(proxy, url).known()
    wait(lambda: beater.beat()["order"] == "off", 20, "the order", every_s=0.3)
    before = proxy.keeper_pid()
    os.kill(before, signal.SIGKILL)
    wait(lambda: proxy.keeper_pid() not in (0, before), 15, "another keeper")
    wait(lambda: beater.post(beater.text())[0] == 200, 10, "it takes heartbeats")
    # What the one before has allowed, this one does not.
    answer = beater.beat(going=1)
    assert (answer["believed"], answer["order"]) == ("0", "none"), answer
    wait(lambda: beater.beat()["order"] == "off", 25, "the order again", every_s=0.3)
    assert beater.beat(going=1)["order"] == "off"
    room["web2"].power_off(hard=False)
    proxy.wait_state(url, "asleep", 20)


# ---------------------------------------------------------------- attacks

def test_heartbeats_that_are_not_believed(site, base):
    room, proxy, url = place(site, AWAKE)
    proxy.allow("GB1201", "GB1202", "GB1206")
    wrong = Agent(base, [proxy.url("/green-beat")], url, key="x" * 32)
    wait(lambda: "HTTP status 403" in wrong.said(), 10, wrong.said)
    wrong.stop()
    assert agent_of(proxy, url) is None
    assert proxy.log().count("GB1201") == 1
    assert "x" * 32 not in proxy.log() and KEY not in proxy.log()

    beater = Beater(proxy, url)
    first = beater.text()
    assert beater.post(first)[0] == 200
    assert agent_of(proxy, url) is None  # only challenged
    beater.beat()
    text = beater.text()
    assert "believed=1" in beater.post(text)[1]
    assert beater.post(text)[0] == 403  # replayed
    assert beater.post(first)[0] == 403
    text = beater.text(veto="tampered with")
    for changed in (text.replace("veto=1\nreason=tampered with", "veto=0\nreason="),
                    text.replace("mac=", "mac=0")[:-2] + "\n",
                    text.replace("seq=", "seq=1")):
        assert beater.post(changed)[0] in (400, 403), changed
    assert not agent_of(proxy, url)["veto"]

    # Another start of the agent takes over, and the one before does not come back.
    other = Beater(proxy, url).known()
    assert beater.post(beater.text())[0] == 403
    assert other.beat()["believed"] == "1"

    unknown = Beater(proxy, "http://192.0.2.1:1")
    status, body = unknown.post(unknown.text())
    assert status == 403 and "key" not in body.lower(), body
    assert proxy.get("/green-beat")[0] == 405
    assert other.post("hello")[0] == 400
    assert other.post("x" * 5000)[0] == 413

    # A keeper that hangs: an answer within seconds, and other requests go on.
    keeper = proxy.keeper_pid()
    os.kill(keeper, signal.SIGSTOP)
    try:
        begun = time.monotonic()
        assert other.post(other.text())[0] == 503
        assert time.monotonic() - begun < 10
        assert proxy.get("/")[0] == 200
    finally:
        os.kill(keeper, signal.SIGCONT)
    wait(lambda: other.post(other.text())[0] == 200, 10, "the keeper answers again")


# ---------------------------------------------------------------- the agent's own care

class FakeKeeper:
    """A proxy whose answers a test writes: answer(fields of the beat) -> text or None."""

    def __init__(self, answer):
        self.beats = []
        keeper = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                beat = fields(self.rfile.read(int(self.headers["Content-Length"])).decode())
                keeper.beats.append(beat)
                text = answer(beat)
                self.send_response(200 if text else 503)
                self.send_header("Content-Length", str(len(text or "")))
                self.end_headers()
                self.wfile.write((text or "").encode())

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = "http://127.0.0.1:%d/green-beat" % self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def fake():
    made = []

    def make(answer):
        made.append(FakeKeeper(answer))
        return made[-1]

    yield make
    for keeper in made:
        keeper.stop()


def answer_to(beat, order="none", key=KEY, **changed):
    values = dict(beat, **changed)
    return seal("green-answer 1\nserver=%s\nsession=%s\nseq=%s\nnonce=%s\nbelieved=1\norder=%s\n"
                "next=500\n" % (values["server"], values["session"], values["seq"], "ab" * 16,
                                order), key)


def goes(base):
    mark = base / "gone"
    return mark, "off=poweroff\npoweroff=touch %s\n" % mark


def test_forged_orders_are_not_obeyed(base, fake):
    mark, more = goes(base)
    old = []

    def answer(beat):
        number = len(keeper.beats)
        old.append(answer_to(beat, order="off"))
        return [answer_to(beat, order="off", key="another key of some length"),
                answer_to(beat, order="off").replace("order=off", "order=none", 1),
                old[0],  # recorded: an order to an earlier heartbeat
                answer_to(beat, order="off", server="http://other"),
                answer_to(beat, order="off", session="0" * 15 + "1"),
                "x" * 5000, "", None][number % 8]

    keeper = fake(answer)
    agent = Agent(base, [keeper.url], "http://web2:80", more=more)
    wait(lambda: len(keeper.beats) >= 9, 60, agent.said)
    assert not mark.exists()


def test_no_leave_no_sleep(base, fake):
    """The proxy orders, and then cannot be reached, or has changed its mind."""
    mark, more = goes(base)
    keeper = fake(lambda beat: None if beat["going"] == "1" else answer_to(beat, "off"))
    agent = Agent(base, [keeper.url], "http://web2:80", more=more)
    wait(lambda: "cannot be reached any more: this host stays on" in agent.said(), 20,
         agent.said)
    changed = fake(lambda beat: answer_to(beat, "none" if beat["going"] == "1" else "off"))
    agent = Agent(base, [changed.url], "http://web2:80", more=more)
    wait(lambda: "taken back" in agent.said(), 20, agent.said)
    assert not mark.exists()
    willing = fake(lambda beat: answer_to(beat, "off"))
    Agent(base, [willing.url], "http://web2:80", more=more)
    wait(mark.exists, 20, "it goes")
    assert [b["going"] for b in willing.beats] == ["0", "1"]


def test_without_a_proxy_it_does_not_let_its_host_sleep(base, fake):
    mark, more = goes(base)
    tools, held = base / "bin", base / "held"
    tools.mkdir()
    (tools / "systemd-inhibit").write_text(
        '#!/bin/sh\necho "$*" >%s\ncat\nrm %s\n' % (held, held))
    (tools / "systemd-inhibit").chmod(0o755)
    silent = [True]
    keeper = fake(lambda beat: None if silent[0] else answer_to(beat))
    agent = Agent(base, [keeper.url, "http://127.0.0.1:1/green-beat"], "http://web2:80",
                  more=more, path=str(tools))
    wait(held.exists, 30, agent.said)
    wait(lambda: "--what=sleep" in held.read_text(), 10, "what is held")
    count = len(keeper.beats)
    wait(lambda: len(keeper.beats) >= count + 2, 30, agent.said)
    assert agent.said().count("no proxy is reachable") == 1
    silent[0] = False
    wait(lambda: "reachable again" in agent.said() and not held.exists(), 30, agent.said)
    # The lock goes with the agent, however that ends.
    silent[0] = True
    wait(held.exists, 30, agent.said)
    agent.process.kill()
    agent.process.wait(10)
    wait(lambda: not held.exists(), 10, "the lock ends")


def test_what_it_senses(base, fake):
    rapl = base / "powercap"
    (rapl / "intel-rapl:0").mkdir(parents=True)
    counter = rapl / "intel-rapl:0" / "energy_uj"
    (rapl / "intel-rapl:0" / "max_energy_range_uj").write_text("1000000000\n")
    counter.write_text("999999000\n")
    keeper = fake(answer_to)
    Agent(base, [keeper.url], "http://web2:80",
          more="rapl-dir=%s\nrapl-base=30\nveto=echo a build runs; exit 1\nwork=echo 5\n" % rapl)
    wait(lambda: keeper.beats, 10, "a heartbeat")
    beat = keeper.beats[0]
    assert (beat["watts"], beat["veto"], beat["reason"], beat["work"]) == (
        "none", "1", "a build runs", "5")
    counter.write_text("9000\n")  # begun anew: 10 mJ since
    wait(lambda: 30000 < int(fields_of(keeper, "watts")) < 40000, 10, lambda: str(keeper.beats[-1]))
    assert 0 <= int(keeper.beats[-1]["load"]) <= 1000
    keeper2 = fake(answer_to)
    agent = Agent(base, [keeper2.url], "http://web2:80",
                  more="veto=exit 3\nwatts=echo no\nwork=false\n")
    wait(lambda: len(keeper2.beats) >= 2, 10, "two heartbeats")
    beat = keeper2.beats[0]
    assert (beat["veto"], beat["watts"], beat["work"]) == ("1", "none", "0"), beat
    assert "exit status 3" in beat["reason"]
    for setting in ("work=", "watts="):
        assert agent.said().count(setting + " prints no number") == 1, agent.said()
    # What a command leaves behind may write for ever; pgrep -c says 0 by exit status 1.
    keeper3 = fake(answer_to)
    Agent(base, [keeper3.url], "http://web2:80",
          more="veto=yes & exit 0\nwork=echo 6; exit 1\n")
    wait(lambda: len(keeper3.beats) >= 2, 20, "two heartbeats")
    assert (keeper3.beats[1]["veto"], keeper3.beats[1]["work"]) == ("0", "6")


def fields_of(keeper, name):
    """The largest that has been told: what is measured is of one interval alone."""
    return max((int(b[name]) for b in keeper.beats if b[name] != "none"), default=0)


def test_a_configuration_that_others_can_read_is_refused(base):
    for mode, more, said in ((0o644, "", "chmod 600"), (0o600, "colour=green\n", "no setting"),
                             (0o600, "off=maybe\n", "suspend or poweroff"),
                             (0o600, "key=%s\n" % KEY, "twice")):
        agent = Agent(base, ["http://127.0.0.1:1/"], "http://web2:80", more=more, mode=mode)
        assert agent.process.wait(10) == 1
        assert said in agent.said() and KEY not in agent.said(), agent.said()
