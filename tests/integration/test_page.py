"""What a client gets while no server is awake for it."""

import base64
import hashlib
import json
import os
import re
import subprocess
import tempfile

import pagekit
import pytest
from pagekit import BROWSER, HTML
from proxy import wait
from test_hold import SLEEPY, all_asleep, orders_on, specs


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    return pagekit.build(str(tmp_path_factory.mktemp("harness") / "page_harness.so"))


@pytest.fixture(scope="module")
def asleep(program):
    """One httpd for all questions that only need servers that sleep."""
    main = """
        Protocols h2c http/1.1
        PageIgnore "%%{HTTP_USER_AGENT} =~ /crawler/"
        DocumentRoot "%s"
        ProxyPass "/page" "!"
        <Directory "%s">
            Require all granted
            Options +Includes
            SetOutputFilter INCLUDES
            ForceType text/html
        </Directory>"""
    with tempfile.TemporaryDirectory(prefix="gb-test-") as path:
        os.chmod(path, 0o755)
        with pagekit.site(path, program, modules=["http2", "include"],
                          main=main % (path, path),
                          allow=[r"unable to include"]) as site:
            with open(site.path("page", "with.shtml"), "w") as f:
                f.write('[<!--#include virtual="/part" -->]')
            yield site


def refused(answer, retry="60"):
    assert answer.status == 503
    assert answer.headers["Retry-After"] == retry
    assert answer.headers["Cache-Control"] == "no-store"
    for name in ("Accept", "Prefer", "Sec-Fetch-Mode"):
        assert name in answer.headers["Vary"]
    return answer


def test_page_load_gets_the_page(asleep):
    answer = refused(asleep.ask("/a?b=c", headers=BROWSER))
    assert answer.visit == "page"
    assert answer.headers.get_all("Content-Type") == ["text/html; charset=utf-8"]
    assert len(answer.body) < 8192
    text = answer.text()
    assert "<span>This usually takes about 40 seconds.</span>" in text
    assert "ready in about 25 seconds." in " ".join(text.split())
    assert '<html lang="en">' in text and "<main" in text and 'role="status"' in text
    assert not re.search(r"%[A-Z_]+%", text)
    assert asleep.server.asked == []


def test_policy_allows_exactly_the_pages_own_style_and_script(asleep):
    answer = asleep.ask("/", headers=BROWSER)
    policy = answer.headers["Content-Security-Policy"]
    for element in ("style", "script"):
        inside = re.search(b"<%s>(.*?)</%s>" % ((element.encode(),) * 2), answer.body, re.S)
        digest = base64.b64encode(hashlib.sha256(inside.group(1)).digest()).decode()
        assert "%s-src 'sha256-%s';" % (element, digest) in policy
    assert policy.startswith("default-src 'none';")
    # no outside assets: nothing is named but an icon that is empty
    assert re.findall(rb"(?:src|href|url)[=(]\S*", answer.body) == [
        b'href="data:,">', b'href="">load', b'href="">load']
    assert b"://" not in answer.body


def test_nothing_of_the_request_comes_back(asleep):
    word = "zUqJx"
    headers = dict(BROWSER, Host=word, Referer=word, Cookie=word, Prefer=word,
                   **{"User-Agent": word, "X-Forwarded-Host": word})
    for accept in (HTML, "application/json", "*/*"):
        for path in ("/%s?%s" % (word, word), "/%3Cscript%3E" + word):
            answer = asleep.ask(path, headers=dict(headers, Accept=accept))
            assert answer.status == 503 and word not in answer.text() + str(answer.headers)


@pytest.mark.parametrize("visit, method, headers", [
    ("page", "GET", {"Accept": HTML}),
    ("page", "GET", dict(BROWSER, **{"Sec-Fetch-Dest": "iframe"})),
    ("hold", "HEAD", BROWSER),
    ("hold", "POST", BROWSER),
    ("hold", "GET", {}),
    ("hold", "GET", {"Accept": "*/*"}),
    ("hold", "GET", {"Accept": "image/avif,*/*;q=0.8", "Sec-Fetch-Mode": "no-cors"}),
    ("hold", "GET", {"Accept": HTML, "Sec-Fetch-Mode": "cors"}),
    ("hold", "GET", {"Accept": HTML, "X-Requested-With": "XMLHttpRequest"}),
    ("hold", "GET", dict(BROWSER, Range="bytes=0-")),
    ("hold", "GET", {"Accept": HTML, "Connection": "Upgrade", "Upgrade": "websocket"}),
    ("hold", "GET", {"Accept": "text/event-stream"}),
    ("refuse", "GET", dict(BROWSER, Prefer="wait=0")),
    ("page", "HEAD", {"Prefer": "wait=0"}),
    ("ignore", "GET", dict(BROWSER, Prefer="return=minimal, respond-async")),
    ("ignore", "HEAD", {"Prefer": "respond-async"}),
    ("ignore", "GET", dict(BROWSER, **{"User-Agent": "a crawler/1"})),
    ("ignore", "POST", {"User-Agent": "a crawler/1"}),
])
def test_class(asleep, visit, method, headers):
    answer = refused(asleep.ask("/", method, headers))
    assert answer.visit == visit
    if visit != "page":
        assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    if method == "HEAD":
        assert answer.body == b""
    prefer = headers.get("Prefer", "")
    assert answer.headers["Preference-Applied"] == (
        "wait=0" if "wait" in prefer else "respond-async" if prefer else None)


def test_several_fields_of_one_name(asleep):
    done = subprocess.run(
        ["curl", "-s", "-o", "/dev/null", "-D", "-", "-H", "Prefer: wait=9", "-H",
         "Prefer: respond-async", asleep.url("/")], stdout=subprocess.PIPE, text=True)
    assert "X-Visit: ignore" in done.stdout


def test_short_answers(asleep):
    assert asleep.ask("/").text() == (
        "The server is being started. Please try again in about a minute.\n")
    assert "does not wake one" in asleep.ask("/", headers={"Prefer": "respond-async"}).text()
    answer = refused(asleep.ask("/", "POST", {"Accept": "application/json"}, b"{}"))
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = json.loads(answer.body)
    assert problem["status"] == 503 and "being started" in problem["detail"]


def test_large_body_is_refused(asleep):
    answer = refused(asleep.ask("/", "POST", body=b"x" * 300_000))
    assert "close" in answer.headers["Connection"]  # the rest of the body is not read


def test_http2_stream_gets_the_page(asleep):
    done = subprocess.run(
        ["curl", "-s", "-i", "--http2-prior-knowledge", "-H", "Accept: " + HTML,
         asleep.url("/"), "-H", "Sec-Fetch-Mode: navigate"], stdout=subprocess.PIPE,
        text=True, check=True)
    assert done.stdout.startswith("HTTP/2 503") and "retry-after: 60" in done.stdout
    assert "This usually takes" in done.stdout


def test_part_of_another_page_is_no_page(asleep):
    answer = asleep.ask("/page/with.shtml", headers=BROWSER)
    assert answer.status == 200 and "an error occurred" in answer.text()
    assert "usually" not in answer.text()


def test_hopeless_says_so_and_asks_seldom(program, base):
    with pagekit.site(base, program, outlook=(40000, 0, 7000)) as site:
        text = refused(site.ask("/", headers=BROWSER), "7").text()
        assert '<span id="left" hidden>' in text  # nothing is known of this wait
        assert '<progress id="bar" max="40" aria-label' in text
        site.hopeless()
        text = refused(site.ask("/", headers=BROWSER), "60").text()
        assert "<title>The server cannot be started now</title>" in text
        assert '<div>\n<h1>The server cannot' in text and '<div hidden>\n<h1>The server is' in text
        assert 'content="60"' in text
        assert "cannot be started now" in refused(site.ask("/"), "60").text()
        site.awake()
        assert site.ask("/", headers=BROWSER).status == 200


def test_waits_are_rounded_up_and_never_0(program, base):
    with pagekit.site(base, program, outlook=(0, 1, 1001)) as site:
        answer = refused(site.ask("/", headers=BROWSER), "2")
        assert 'content="2"' in answer.text() and "a few seconds" in answer.text()
        assert "<span hidden>This usually" in answer.text()


def test_expression_that_fails_is_false_and_told_once(program, base):
    with pagekit.site(base, program, main="PageIgnore \"file('/nowhere') != 'x'\"",
                      allow=[r"GB1052", r"Evaluation of expression .* failed"]) as site:
        for _ in range(6):
            assert site.ask("/", headers=BROWSER).visit == "page"
        assert 1 <= site.log().count("GB1052") <= 4  # ServerLimit


# ------------------------------------------------------------ the administrator's own

def test_own_file_is_sent_with_its_numbers(program, base):
    page = base / "own.html"
    page.write_text("<p>%USUAL_SECONDS%-%RETRY_SECONDS%-%READY_SECONDS%-%OTHER%-100%"
                    "%USUAL_SECONDS%</p>")
    with pagekit.site(base, program, page=str(page)) as site:
        page.unlink()  # a request does no I/O
        answer = refused(site.ask("/", headers=BROWSER))
        assert answer.text() == "<p>40-60-25-%OTHER%-100%40</p>"
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        assert answer.headers["Content-Security-Policy"] is None


@pytest.mark.parametrize("kind", ["missing", "empty", "large", "directory"])
def test_file_that_is_no_use_is_told_and_replaced(program, base, kind):
    page = base / "own.html"
    if kind == "directory":
        page.mkdir()
    elif kind != "missing":
        page.write_text("" if kind == "empty" else "x" * (256 * 1024 + 1))
    with pagekit.site(base, program, page=str(page), allow=[r"GB1051"]) as site:
        assert "This usually takes" in refused(site.ask("/", headers=BROWSER)).text()
        assert "GB1051" in site.log() and str(page) in site.log()


def test_page_off_holds(program, base):
    with pagekit.site(base, program, page="off") as site:
        assert site.ask("/", headers=BROWSER).visit == "hold"


# Who wins: the waiting page; for what was held in vain, the administrator.
@pytest.mark.parametrize("document, status, words", [
    ('"Sorry for that"', 503, "Sorry for that"),
    ("/sorry.html", 503, "From a file"),
    ("/behind/the/proxy", 503, "does not wake one"),
    ("http://elsewhere.invalid/", 302, "elsewhere.invalid"),
])
def test_error_document(program, base, document, status, words):
    (base / "sorry.html").write_text("From a file")
    with pagekit.site(base, program, main='ErrorDocument 503 %s\nDocumentRoot %s\n'
                      'ProxyPass "/sorry.html" "!"\n<Directory "%s">\nRequire all granted\n'
                      '</Directory>' % (document, base, base)) as site:
        answer = site.ask("/api")
        assert answer.status == status and words in answer.text()
        assert answer.headers.get_all("Retry-After") == ["60"]
        assert answer.headers.get_all("Cache-Control") == ["no-store"]
        assert "This usually takes" in refused(site.ask("/", headers=BROWSER)).text()
        for prefer in ("respond-async", "wait=0"):  # else the page took it for a server's
            answer = refused(site.ask("/", "HEAD", {"Prefer": prefer}))
            assert answer.headers["Preference-Applied"] == prefer


# ------------------------------------------------------------ through the whole module

def ask(proxy, headers, method="GET"):
    return pagekit.Site.ask(proxy, "/", method, headers)


def test_page_wakes_and_questions_do_not(site, base):
    page = base / "own.html"
    page.write_text("usually %USUAL_SECONDS%, retry %RETRY_SECONDS%")
    room, proxy = site(specs(1), balancer=SLEEPY % ("page=%s" % page) +
                       'GreenWakeIgnore "%{HTTP_USER_AGENT} =~ /crawler/"\n')
    all_asleep(proxy)
    before = orders_on(room)
    for headers in ({"Prefer": "respond-async"}, dict(BROWSER, **{"User-Agent": "crawler"})):
        assert "does not wake one" in ask(proxy, headers).text()
    assert proxy.ctl("pause").returncode == 0
    wait(lambda: ask(proxy, BROWSER).headers["Retry-After"] == "60", 10, "nothing can be woken")
    assert orders_on(room) == before
    assert proxy.ctl("resume").returncode == 0
    answer = wait(lambda: (lambda a: a if a.headers["Retry-After"] != "60" else None)(
        ask(proxy, BROWSER)), 10, "it can be woken again")
    retry = answer.headers["Retry-After"]
    assert answer.status == 503 and 1 <= int(retry) < 60
    assert re.fullmatch("usually [0-9]+, retry " + retry, answer.text())
    wait(lambda: ask(proxy, {"Prefer": "respond-async"}, "HEAD").status == 200, 30,
         "the server is there")
    assert ask(proxy, BROWSER).status == 200
    assert {n: c - before[n] for n, c in orders_on(room).items()} == {"web1": 1}
