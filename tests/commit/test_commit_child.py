"""httpd's children and replicated writes, with a keeper that says what a test wants.

What goes over commit.sock, and what clients get for what comes back: whole and hostile
answers, a keeper that dies, one that is not there.
"""

import base64
import concurrent.futures
import contextlib
import http.client
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [HERE, os.path.join(ROOT, "tests", "integration")]

from fakekeeper import (ASK, BUSY, DONE, EXPIRED, FULL, LATE, NOBODY, OTHER,  # noqa: E402
                        REPLY, SUBMIT, TOO_BIG, FakeKeeper, frame, reply)
from proxy import Proxy, free_port, wait  # noqa: E402

MEMBERS = ["http://127.0.0.1:1", "http://127.0.0.1:2/base"]
FIELD = 'id="k1", epoch=3, seq=42, state=%s, need=2, copies=1, of=2, asleep=0, aside=0, same=?1'
PLACE = "/.well-known/green-commit/"
LONG = "x" * 513  # a name

COMMIT = """
    GreenReplicas independent
    GreenCommit quorum=2 wait=1s
    GreenCommitLimits wait=0-1s
    GreenCommitBody 64K
    GreenCommitHeaders Content-Type Accept-Language X-Kept
"""
MAIN = """
GreenJournal journal.db key=%(dir)s/key size=32M
RewriteEngine on
RewriteRule ^/moved/(.*) balancer://app/by-rule/$1 [P]
<Location "/handled">
    SetHandler "proxy:balancer://app"
</Location>
<LocationMatch "^/(private|.well-known/green-commit)/">
    AuthType Basic
    AuthName private
    AuthUserFile %(dir)s/users
    Require valid-user
</LocationMatch>
<Location "/small">
    LimitRequestBody 100
</Location>
<Location "/covered">
    ProxyErrorOverride On
</Location>
<Location "/bare">
    ProxyAddHeaders off
</Location>
ProxyPass "/handled" "!"
ProxyPass "/moved" "!"
ProxyPass "/sub/" "balancer://app/deep/"
ProxyPass "/raw/" "balancer://app/raw/" nocanon
ProxyPass "/encoded/" "balancer://app/coded/" mapping=encoded
ProxyPassReverse "/" "balancer://app/"
ProxyPassReverseCookiePath "/base" "/"
"""
VHOSTS = """
Listen 127.0.0.1:%(tls)d
Listen 127.0.0.1:%(plain)d
<VirtualHost 127.0.0.1:%(tls)d>
    SSLEngine on
    SSLCertificateFile %(dir)s/cert.pem
    SSLCertificateKeyFile %(dir)s/cert.pem
    %(protocols)s
    ProxyPreserveHost on
</VirtualHost>
<VirtualHost 127.0.0.1:%(plain)d>
    BalancerInherit off
    ProxyPassInherit off
</VirtualHost>
"""


class Front:
    """httpd, and what to ask it by."""

    def __init__(self, directory, main="", http2=True, **more):
        self.dir = str(directory)
        os.makedirs(self.dir, exist_ok=True)
        os.chmod(self.dir, 0o755)
        with open(os.open(self.dir + "/key", os.O_WRONLY | os.O_CREAT, 0o600), "wb") as f:
            f.write(secrets.token_bytes(32))
        with open(self.dir + "/users", "w") as f:
            for name in ("alice", "bob", LONG):
                f.write(name + ":" + subprocess.run(
                    ["openssl", "passwd", "-apr1", "secret"], check=True, text=True,
                    stdout=subprocess.PIPE).stdout)
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                        "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
                        "/CN=localhost", "-keyout", self.dir + "/key.pem", "-out",
                        self.dir + "/crt.pem"], check=True, capture_output=True)
        with open(self.dir + "/cert.pem", "w") as f:
            for name in ("/key.pem", "/crt.pem"):
                with open(self.dir + name) as part:
                    f.write(part.read())
        self.tls, self.plain = free_port(), free_port()
        self.proxy = Proxy(
            os.path.join(self.dir, "proxy"),
            members=[(url, "capacity=8 machine=m%d" % i) for i, url in enumerate(MEMBERS)],
            balancer=COMMIT, policy_on="observe",
            main=MAIN % {"dir": self.dir} + main,
            modules=["rewrite", "auth_basic", "authn_file", "authn_core", "authz_user",
                     "reqtimeout"] + ["http2"] * http2,
            vhosts=VHOSTS % {"dir": self.dir, "tls": self.tls, "plain": self.plain,
                             "protocols": "Protocols h2 http/1.1" if http2 else ""}, **more)
        self.proxy.allow(r"GreenJournal.* same file system", r"AH01906",
                         r"AH0(0957|0959|1114|1144)", r"GB0(402|407|503)", r"GB1651")

    def ask(self, method, path, body=None, headers=None, timeout=20, port=None, user=None):
        connection = http.client.HTTPConnection("127.0.0.1", port or self.proxy.port,
                                                timeout=timeout)
        headers = dict(headers or {})
        if user:
            headers["Authorization"] = "Basic " + base64.b64encode(
                (user + ":secret").encode()).decode()
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            answer.text = answer.read()
            return answer
        finally:
            connection.close()

    def raw(self, text, timeout=20):
        with socket.create_connection(("127.0.0.1", self.proxy.port), timeout) as s:
            s.sendall(text)
            data = b""
            while True:
                more = s.recv(65536)
                if not more:
                    return data
                data += more


@contextlib.contextmanager
def running(**more):
    """In a directory that httpd's children may enter."""
    path = tempfile.mkdtemp(prefix="gb-child-")
    made = Front(path, **more)
    with made.proxy:
        yield made
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="module")
def front():
    with running() as made:
        yield made


@pytest.fixture
def keeper(front):
    with FakeKeeper(front.proxy) as made:
        yield made


def done(**more):
    fields = dict(STATUS=201, BODY=b"made\n", HEADERS="Content-Type: text/plain\r\n",
                  FIELD=FIELD % "met", TOKEN="3.42", SERVED_BY=MEMBERS[0])
    fields.update(more)
    return reply(DONE, **fields)


# ---------------------------------------------------------------- the answer


def test_client_gets_the_answerers_response(front, keeper):
    keeper.says = lambda asked: done(HEADERS=(
        "Content-Type: text/plain; charset=utf-8\r\n"
        "Location: http://127.0.0.1:2/base/orders/7\r\n"
        "Set-Cookie: app=1; Path=/base\r\nSet-Cookie: other=2\r\nX-App: yes\r\n"
        "Connection: close\r\nTransfer-Encoding: chunked\r\nContent-Length: 999\r\n"
        "Green-Commit-Policy: quorum=1\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"))
    answer = front.ask("POST", "/orders", "a=b")
    assert (answer.status, answer.text) == (201, b"made\n")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["Location"] == "http://127.0.0.1:%d/orders/7" % front.proxy.port
    assert answer.headers["X-App"] == "yes"
    assert answer.headers["Date"] == "Sun, 06 Nov 1994 08:49:37 GMT"
    assert answer.headers["Content-Length"] == "5"
    assert answer.headers["Transfer-Encoding"] is None
    assert answer.headers["Green-Commit-Policy"] is None
    assert answer.headers["Green-Commit"] == FIELD % "met"
    assert answer.headers["Green-Commit-Token"] == "3.42"
    cookies = answer.headers.get_all("Set-Cookie")
    ours = [c for c in cookies if c.startswith("green-")]
    assert len(ours) == 1 and len(cookies) == 3
    assert "app=1; Path=/" in cookies
    name, value = ours[0].split("; ")[0].split("=")
    assert len(name) == len("green-") + 8 and value == "3.42"
    assert ours[0].endswith("=3.42; Path=/; HttpOnly; SameSite=Lax")


@pytest.mark.parametrize("status,body", [(200, b""), (204, b""), (302, b"x"), (404, b"no\n"),
                                         (409, b"conflict"), (500, b"broken"), (599, b"?")])
def test_every_status_is_handed_on(front, keeper, status, body):
    keeper.says = lambda asked: done(STATUS=status, BODY=body)
    answer = front.ask("PUT", "/x", "data")
    assert (answer.status, answer.text) == (status, body)


def test_error_pages_of_the_proxy_replace_those_of_servers_where_it_says_so(front, keeper):
    keeper.says = lambda asked: done(STATUS=500, BODY=b"secrets of the application")
    answer = front.ask("POST", "/covered/x", "data")
    assert answer.status == 500 and b"secrets" not in answer.text
    assert answer.headers["Green-Commit"] == FIELD % "met"


def test_large_answers_come_whole(front, keeper):
    body = os.urandom(3 << 20)
    keeper.says = lambda asked: done(BODY=body)
    assert front.ask("POST", "/x", "data").text == body


@pytest.mark.parametrize("user", [None, "alice"])
def test_principal_is_who_has_logged_in(front, keeper, user):
    keeper.says = lambda asked: done()
    path = "/private/x" if user else "/x"
    assert front.ask("POST", path, "data", user=user).status == 201
    assert keeper.frames[0]["PRINCIPAL"] == (user or "").encode()
    assert front.ask("POST", "/private/x", "data").status == 401
    assert len(keeper.frames) == 1


def test_what_the_keeper_would_not_take_is_not_sent_to_it(front, keeper):
    assert front.ask("POST", "/private/x", "data", user=LONG).status == 400
    assert front.ask("GET", PLACE + "k1", user=LONG).status == 404
    assert front.ask("X" * 33, "/x", "data").status == 501
    assert front.ask("POST", "/x?" + "y" * 7000, "data").status == 200
    assert len(keeper.frames) == 1
    keeper.says = lambda asked: done()
    assert front.ask("X" * 32, "/x", "data").status == 201


# ---------------------------------------------------------------- the request


@pytest.mark.parametrize("asked,sent", [
    ("/", "/"), ("/a/b?q=1&r=2", "/a/b?q=1&r=2"), ("/a%20b%3Fc", "/a%20b%3fc"),
    ("/sub/x?y", "/deep/x?y"), ("/raw/a%20b;c?q=%20", "/raw/a%20b;c?q=%20"),
    ("/encoded/a%2fb?q", "/coded/a%2fb?q"), ("/moved/x?y=1", "/by-rule/x?y=1"), ("/%c3%a4", "/%c3%a4"),
])
def test_target_is_what_mod_proxy_would_send(front, keeper, asked, sent):
    keeper.says = lambda asked: done()
    assert front.ask("POST", asked, "data").status == 201
    assert keeper.frames[0]["TARGET"].decode().lower() == sent


def test_set_handler_is_no_way_around(front, keeper):
    keeper.says = lambda asked: done()
    assert front.ask("POST", "/handled/x?q=1", "data").status == 201
    assert keeper.frames[0]["TARGET"].endswith(b"/handled?q=1")  # the file, as mod_proxy does


def test_allowed_headers_alone_are_kept(front, keeper):
    keeper.says = lambda asked: done()
    assert front.ask("POST", "/x", "data", headers={
        "Content-Type": "text/x", "X-Kept": "yes", "X-Other": "no", "Cookie": "a=secret",
        "Accept-Language": "de", "X-Forwarded-For": "192.0.2.7", "X-Forwarded-Proto": "https",
    }).status == 201
    headers = dict(keeper.frames[0].headers())
    assert {name.lower(): value for name, value in headers.items()} == {
        "content-type": "text/x", "x-kept": "yes", "accept-language": "de",
        "x-forwarded-for": "192.0.2.7, 127.0.0.1",
        "x-forwarded-host": "127.0.0.1:%d" % front.proxy.port,
        "x-forwarded-server": "localhost", "x-forwarded-proto": "https"}
    assert b"secret" not in b"".join(
        v for v in keeper.frames[0].values() if isinstance(v, bytes))
    assert front.ask("POST", "/bare/x", "data").status == 201
    assert not [n for n, _ in keeper.frames[1].headers() if n.lower().startswith("x-f")]


@pytest.mark.parametrize("key,id_", [('"5f0c-1"', "5f0c-1"), ("token:1/2", "token:1/2"),
                                     ('"a\\"b\\\\c"', 'a"b\\c')])
def test_key_of_the_client_is_the_id(front, keeper, key, id_):
    keeper.says = lambda asked: done()
    assert front.ask("POST", "/x", "d", headers={"Idempotency-Key": key}).status == 201
    assert keeper.frames[0]["ID"].decode() == id_


def test_key_is_made_where_there_is_none(front, keeper):
    keeper.says = lambda asked: done()
    for _ in range(20):
        assert front.ask("POST", "/x", "d").status == 201
    ids = {f["ID"] for f in keeper.frames}
    assert len(ids) == 20 and len({f["NONCE"] for f in keeper.frames}) == 20
    assert all(len(i) == 32 and int(i, 16) >= 0 for i in ids)


@pytest.mark.parametrize("key", ["", '""', '"open', '"a" "b"', '"a", "b"', "a b", '"%s"' % (
    "x" * 129), '"\u00e4"', "(a b)", '"a\\n"'])
def test_malformed_keys_are_refused(front, keeper, key):
    answer = front.ask("POST", "/x", "d", headers={"Idempotency-Key": key.encode("latin-1")})
    assert answer.status == 400 and b"Idempotency-Key" in answer.text
    assert not keeper.frames


def test_two_keys_are_refused(front, keeper):
    answer = front.raw(b"POST /x HTTP/1.1\r\nHost: x\r\nIdempotency-Key: \"a\"\r\n"
                       b"Idempotency-Key: \"b\"\r\nContent-Length: 0\r\n\r\n")
    assert b" 400 " in answer.splitlines()[0] and not keeper.frames


@pytest.mark.parametrize("body", [b"", b"\0\xff\r\n\r\n", b"x" * 65536])
def test_bodies_come_whole(front, keeper, body):
    keeper.says = lambda asked: done()
    assert front.ask("POST", "/x", body).status == 201
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:7], body[7:])
                      if part) + b"0\r\n\r\n"
    answer = front.raw(b"POST /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                       b"Transfer-Encoding: chunked\r\n\r\n" + chunks)
    assert b" 201 " in answer.splitlines()[0]
    assert [f["BODY"] for f in keeper.frames] == [body, body]


def test_larger_bodies_are_refused(front, keeper):
    keeper.says = lambda asked: done()
    for body in (b"x" * 65537, iter([b"x" * 65536, b"x"])):
        answer = front.ask("POST", "/x", body)
        assert answer.status == 413 and b"65536" in answer.text
    answer = front.ask("POST", "/small/x", b"x" * 101)
    assert answer.status == 413
    answer = front.ask("POST", "/small/x", iter([b"x" * 60, b"x" * 60]))
    assert answer.status == 413
    assert not keeper.frames
    assert front.ask("POST", "/small/x", b"x" * 100).status == 201


def test_who_expects_100_continue_is_told(front, keeper):
    keeper.says = lambda asked: done()
    with socket.create_connection(("127.0.0.1", front.proxy.port), 10) as s:
        s.sendall(b"POST /x HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
                  b"Content-Length: 4\r\nConnection: close\r\n\r\n")
        assert s.recv(4096).startswith(b"HTTP/1.1 100 ")
        s.sendall(b"data")
        assert s.recv(4096).startswith(b"HTTP/1.1 201 ")
    with socket.create_connection(("127.0.0.1", front.proxy.port), 10) as s:
        s.sendall(b"POST /x HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
                  b"Content-Length: 65537\r\n\r\n")
        assert s.recv(4096).startswith(b"HTTP/1.1 413 ")


def test_slow_bodies_are_judged_by_mod_reqtimeout():
    with running(main="RequestReadTimeout body=1\n") as slow, \
            FakeKeeper(slow.proxy) as keeper:
        answer = slow.raw(b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf")
        assert b" 408 " in answer.splitlines()[0] and not keeper.frames


def test_reads_and_other_hosts_go_their_way(front, keeper):
    for method in ("GET", "HEAD", "OPTIONS"):
        assert front.ask(method, "/x").status == 503  # nobody listens at the members
    # A virtual host that does not know the balancer: nobody takes it there.
    assert front.ask("POST", "/x", "data", port=front.plain).status == 500
    assert front.ask("GET", PLACE + "k1", port=front.plain, user="bob").status == 500
    assert not keeper.frames


def test_web_sockets_are_refused(front, keeper):
    for method in ("GET", "POST"):
        answer = front.ask(method, "/x", headers={"Upgrade": "websocket",
                                                  "Connection": "Upgrade"})
        assert answer.status == 501 and b"WebSocket" in answer.text
    keeper.says = lambda asked: done()
    answer = front.ask("POST", "/x", "d", headers={"Upgrade": "h2c", "Connection": "Upgrade"})
    assert answer.status == 201


# ---------------------------------------------------------------- other answers


@pytest.mark.parametrize("says,status,retry,word", [
    (BUSY, 409, "1", b"under way"), (OTHER, 422, None, b"another write"),
    (FULL, 503, "7", b"was not"), (TOO_BIG, 413, None, b"65536"),
    (EXPIRED, 410, None, b"not kept"),
])
def test_refusals_say_what_to_do(front, keeper, says, status, retry, word):
    keeper.says = lambda asked: reply(says, **({"RETRY": 7} if says == FULL else {}))
    key = {"Idempotency-Key": '"k1"'}
    answer = front.ask("POST", "/x", "d", headers=key)
    assert answer.status == status and word in answer.text
    assert answer.headers["Retry-After"] == retry
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-store"
    answer = front.ask("POST", "/x", "d", headers=dict(key, Accept="application/json"))
    problem = json.loads(answer.text)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert problem["status"] == answer.status == status and word.decode() in problem["detail"]
    if says == BUSY:
        assert answer.headers["Location"] == PLACE + "k1"


def late(state="open"):
    return reply(LATE, FIELD=FIELD % state)


def test_late_is_202_with_a_place_to_ask(front, keeper):
    keeper.says = lambda asked: late()
    answer = front.ask("POST", "/x", "d", headers={"Idempotency-Key": '"k1"'})
    assert answer.status == 202 and answer.headers["Location"] == PLACE + "k1"
    assert answer.headers["Green-Commit"] == FIELD % "open"
    assert answer.headers["Green-Commit-Token"] is None
    assert answer.headers["Set-Cookie"] is None
    assert int(answer.headers["Retry-After"]) >= 1
    assert json.loads(answer.text) == {
        "id": "k1", "epoch": 3, "seq": 42, "state": "open", "need": 2, "copies": 1, "of": 2,
        "asleep": 0, "aside": 0, "same": True}


def test_browsers_get_a_page_that_goes_on(front, keeper):
    keeper.says = lambda asked: late()
    answer = front.ask("POST", "/x", "d", headers={
        "Accept": "text/html,application/xhtml+xml,*/*;q=0.8", "Sec-Fetch-Mode": "navigate",
        "Sec-Fetch-Dest": "document", "Idempotency-Key": '"<b>"'})
    place = PLACE + "~3c623e"
    assert answer.status == 202 and answer.headers["Location"] == place
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert ('content="%s; url=%s/result"' % (answer.headers["Retry-After"], place)).encode() \
        in answer.text
    assert b"%" not in answer.text.replace(b"100%", b"") and b"<script" not in answer.text
    assert "script-src" not in answer.headers["Content-Security-Policy"]
    answer = front.ask("POST", "/x", "d", headers={
        "Accept": "text/html", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"})
    assert answer.headers["Content-Type"] == "application/json"


def test_preferences_are_told_to_the_keeper_and_back(front, keeper):
    keeper.says = lambda asked: late()
    answer = front.ask("POST", "/x", "d", headers={"Prefer": "respond-async, wait=1"})
    assert answer.status == 202
    assert (keeper.frames[0]["WAIT"], keeper.frames[0]["ASYNC"]) == (1000000, 1)
    assert answer.headers["Preference-Applied"] == "respond-async, wait=1"
    keeper.says = lambda asked: done()
    answer = front.ask("POST", "/x", "d", headers={"Prefer": "respond-async, wait=77"})
    assert answer.status == 201 and answer.headers["Preference-Applied"] is None
    front.ask("POST", "/x", "d", headers={"Prefer": "return=minimal"})
    assert "WAIT" not in keeper.frames[2] and "ASYNC" not in keeper.frames[2]


def test_hostile_answers_break_nothing(front, keeper):
    answers = [
        b"HTTP/1.1 200 OK\r\n\r\n" * 3, frame(SUBMIT, ID="x"), b"GBC1\3\0\0\0\xff\xff\xff\xff",
        frame(REPLY)[:-1], frame(REPLY, STATUS=200), reply(99), frame(REPLY) + b"more",
    ]
    for text in answers:
        said = []
        keeper.says = lambda asked: said.append(1) or (text if len(said) < 3 else done())
        assert front.ask("POST", "/x", "d").status in (201, 504)
    keeper.says = lambda asked: done(STATUS=99)
    assert front.ask("POST", "/x", "d").status == 502
    keeper.says = lambda asked: done(STATUS=(1 << 31))
    assert front.ask("POST", "/x", "d").status == 502
    keeper.says = lambda asked: done(FIELD="a\r\nX-Evil: 1", TOKEN="1\n2",
                                     HEADERS="A: b\r\nX-Bad\nX-Evil: 1\r\n")
    answer = front.ask("POST", "/x", "d")
    assert answer.status == 201 and answer.headers["A"] == "b"
    assert answer.headers["X-Evil"] is None and answer.headers["Green-Commit"] is None


# ---------------------------------------------------------------- a keeper that dies


def test_who_waits_comes_again_to_the_next_keeper(front, keeper):
    keeper.says = lambda asked: None if len(keeper.frames) < 3 else done()
    assert front.ask("POST", "/x", "d").status == 201
    assert len(keeper.frames) == 3 and keeper.frames[0] == keeper.frames[1] == keeper.frames[2]


def test_writes_wait_for_a_keeper_that_starts_again(front, keeper):
    served = []

    def says(asked):
        time.sleep(0.02)
        served.append(asked["ID"])
        return done()

    def write(number):
        return [front.ask("POST", "/x", "d").status for _ in range(15)]

    keeper.says = says
    with concurrent.futures.ThreadPoolExecutor(32) as clients:
        found = [clients.submit(write, i) for i in range(32)]
        for _ in range(2):
            time.sleep(0.3)
            keeper.stop()
            time.sleep(1.0)
            keeper.start()
        statuses = [status for f in found for status in f.result()]
    assert statuses == [201] * (32 * 15)
    assert len(set(served)) == 32 * 15


def test_full_at_the_second_time_is_not_known(front, keeper):
    keeper.says = lambda asked: None if len(keeper.frames) < 2 else reply(FULL)
    answer = front.ask("POST", "/x", "d", headers={"Idempotency-Key": '"a\\"b"'})
    assert answer.status == 504 and answer.headers["Location"] == PLACE + "~612262"
    assert answer.headers["Green-Commit"] == 'id="a\\"b", state=unknown'
    assert b'Idempotency-Key: "a\\"b"' in answer.text


def test_no_keeper_no_write(front, keeper):
    """Nobody there: 503 after ten seconds.  One that took it and says nothing: 504."""
    quiet = threading.Event()
    keeper.says = lambda asked: quiet.wait(60) and None
    with concurrent.futures.ThreadPoolExecutor(2) as clients:
        began = time.monotonic()
        taken = clients.submit(front.ask, "POST", "/x", "d", {"Idempotency-Key": '"k9"'}, 60)
        wait(lambda: keeper.frames, 10, "it was taken")
        keeper.listener.close()
        os.unlink(keeper.path)
        refused = clients.submit(front.ask, "POST", "/x", "d", None, 60).result()
        assert refused.status == 503 and int(refused.headers["Retry-After"]) >= 1
        assert time.monotonic() - began >= 9
        answer = taken.result()
        assert answer.status == 504 and answer.headers["Location"] == PLACE + "k9"
        assert answer.headers["Green-Commit"] == 'id="k9", state=unknown'
    quiet.set()
    keeper.start()
    assert "GB1651" in front.proxy.log()


def test_client_that_goes_is_not_waited_for(front, keeper):
    gone, closed = threading.Event(), threading.Event()

    def says(asked):
        gone.wait(10)
        connection = list(keeper.open)[-1]
        connection.settimeout(10)
        if connection.recv(1) == b"":
            closed.set()

    keeper.says = says
    keeper.open.clear()
    with socket.create_connection(("127.0.0.1", front.proxy.port), 10) as s:
        s.sendall(b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\ndata")
        wait(lambda: keeper.frames, 10, "it was taken")
    gone.set()
    assert closed.wait(10)


# ---------------------------------------------------------------- questions


def test_state_is_told_as_json(front, keeper):
    keeper.says = lambda asked: late("spreading")
    answer = front.ask("GET", PLACE + "k1?wait=7", user="alice")
    assert answer.status == 200 and json.loads(answer.text)["state"] == "spreading"
    assert answer.headers["Cache-Control"] == "no-store"
    asked = keeper.frames[0]
    assert asked.kind == ASK and asked["ID"] == b"k1" and asked["WAIT"] == 7000000
    assert asked["PRINCIPAL"] == b"alice" and "RESULT" not in asked
    head = front.ask("HEAD", PLACE + "~6b31", user="alice")
    assert head.status == 200 and head.text == b"" and keeper.frames[1]["ID"] == b"k1"


def test_result_is_the_stored_answer(front, keeper):
    keeper.says = lambda asked: done(STATUS=303, HEADERS="Location: http://127.0.0.1:1/y\r\n")
    answer = front.ask("GET", PLACE + "k1/result", user="alice")
    assert answer.status == 303 and answer.text == b"made\n"
    assert answer.headers["Location"] == "http://127.0.0.1:%d/y" % front.proxy.port
    assert answer.headers["Green-Commit-Token"] == "3.42"
    assert answer.headers["Cache-Control"] == "no-store"
    assert keeper.frames[0]["RESULT"] == 1
    keeper.says = lambda asked: late()
    answer = front.ask("GET", PLACE + "k1/result", user="alice",
                       headers={"Accept": "text/html"})
    assert answer.status == 202 and b"k1/result" in answer.text


@pytest.mark.parametrize("method,path,says,status", [
    ("GET", "k1", NOBODY, 404), ("GET", "k1/result", NOBODY, 404), ("GET", "k1", EXPIRED, 410),
    ("GET", "k1", FULL, 503), ("GET", "", NOBODY, 404), ("GET", "k1/other", NOBODY, 404),
    ("GET", "~zz", NOBODY, 404), ("GET", "x" * 129, NOBODY, 404), ("POST", "k1", NOBODY, 405),
    ("DELETE", "k1", NOBODY, 405), ("GET", "k1?wait=61", NOBODY, 400),
    ("GET", "k1?wait=-1", NOBODY, 400), ("GET", "k1?wait=", NOBODY, 400),
    ("GET", "k1?x=1&wait=ab", NOBODY, 400),
])
def test_questions_without_an_answer(front, keeper, method, path, says, status):
    keeper.says = lambda asked: reply(says)
    assert front.ask(method, PLACE + path, user="bob").status == status


# ---------------------------------------------------------------- TLS, HTTP/2, prefork


def curl(front, *arguments):
    return subprocess.run(
        ["curl", "-sSik", "--max-time", "20", *arguments], check=True, text=True,
        stdout=subprocess.PIPE).stdout


@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
def test_tls(front, keeper, version):
    keeper.says = lambda asked: done()
    text = curl(front, version, "-d", "data", "https://127.0.0.1:%d/x?q=1" % front.tls)
    assert text.splitlines()[0].split()[:2] == [
        "HTTP/2" if version == "--http2" else "HTTP/1.1", "201"]
    cookie = next(line for line in text.splitlines() if line.lower().startswith("set-cookie"))
    assert cookie.split(": ")[1].startswith("__Host-green-")
    assert cookie.endswith("; Path=/; Secure; HttpOnly; SameSite=Lax")
    headers = {n.lower(): v for n, v in keeper.frames[0].headers()}
    assert headers["x-forwarded-proto"] == "https"
    assert headers["host"] == "127.0.0.1:%d" % front.tls  # ProxyPreserveHost on
    assert keeper.frames[0]["TARGET"] == b"/x?q=1"


def test_prefork():
    with running(http2=False, mpm="prefork") as one, FakeKeeper(one.proxy) as keeper:
        keeper.says = lambda asked: None if len(keeper.frames) == 1 else done()
        assert one.ask("POST", "/x", "d").status == 201 and len(keeper.frames) == 2


@pytest.mark.parametrize("method", ["", "lbmethod=bypower"])
def test_two_logs_of_one_server_are_refused(method):
    """A ProxyPass in a virtual host makes a balancer of its own of the main server's."""
    path = tempfile.mkdtemp(prefix="gb-child-")
    two = Front(path)
    two.proxy.vhosts += """
<VirtualHost 127.0.0.1:%d>
    ServerName other
    ProxyPass "/" "balancer://app/" %s
</VirtualHost>
""" % (two.plain, method)
    two.proxy.write()
    done = two.proxy.httpd("-t", check=False)
    assert done.returncode and ("GB0157" if method else "GB0138") in done.stdout, done.stdout
    shutil.rmtree(path)
