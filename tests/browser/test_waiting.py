"""The waiting page in Chromium: it goes on by itself when a server is there."""

import os
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "integration")]

import chromium  # noqa: E402
import pagekit  # noqa: E402
from conftest import base, site  # noqa: E402,F401 (fixtures)
from proxy import wait  # noqa: E402
from test_hold import SLEEPY, all_asleep, specs  # noqa: E402

pytestmark = pytest.mark.skipif(
    not chromium.PROGRAM, reason="chromium is not installed: tests/install browser")

WAITING = "document.title === 'The server is being started'"
HOPELESS = "document.title === 'The server cannot be started now'"
READY = "document.title === 'The application'"
# Ten seconds of the page in one; `loads` counts documents.
FAST = """{
    const now = Date.now.bind(Date), began = now(), set = setTimeout.bind(window);
    Date.now = () => began + (now() - began) * 10;
    window.setTimeout = (call, ms) => set(call, ms / 10);
}"""


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    return pagekit.build(str(tmp_path_factory.mktemp("harness") / "page_harness.so"))


@pytest.fixture(scope="module")
def browser():
    with chromium.Chromium() as started:
        yield started


@pytest.fixture
def opened(browser, program, base):  # noqa: F811
    """opened(...) -> (site, page); the site's access log is kept."""
    stack = []

    def make(main="", **more):
        log = ('LogFormat "%%m %%U%%q %%s %%{Prefer}i" seen\nCustomLog "%s" seen\n'
               % (base / "seen.log"))
        site = pagekit.site(base / "site", program, main=log + main, **more)
        stack.append(site)
        return site.__enter__(), browser.page()

    os.makedirs(base / "site", mode=0o755)
    yield make
    for site in stack:
        site.__exit__(None, None, None)


def seen(base):  # noqa: F811
    return (base / "seen.log").read_text().splitlines()


def test_goes_on_when_the_server_is_there(opened, base):  # noqa: F811
    site, page = opened()
    page.open(site.url("/a?b=c#part"))
    page.wait(WAITING, 10)
    wait(lambda: "HEAD /a?b=c 503 respond-async" in seen(base), 10, "the page asks")
    assert page.value("document.getElementById('say').textContent") == "Starting…"
    assert 15 <= page.value("document.getElementById('bar').value") < 40
    assert page.value("document.querySelectorAll('meta[http-equiv]').length") == 0
    site.awake()
    page.wait(READY, 10)
    assert page.value("location.href") == site.url("/a?b=c#part")
    assert site.server.asked[:2] == [("HEAD", "/a?b=c"), ("GET", "/a?b=c")]
    # one page, its questions, and what it led to; no icon was asked for before
    assert [line for line in seen(base) if line.startswith("GET")][:3] == [
        "GET / 503 respond-async", "GET /a?b=c 503 -", "GET /a?b=c 200 -"]
    # Chromium tells of every answer 503, and of nothing else
    assert [c for c in page.complaints() if "503" not in c.get("text", "")] == []


def test_goes_on_without_script(opened):
    site, page = opened(outlook=(2000, 2000, 2000))
    page.call("Emulation.setScriptExecutionDisabled", value=True)
    page.open(site.url("/a?b"))
    page.wait(WAITING, 10)
    site.awake()
    page.wait(READY, 15)
    assert page.value("location.href") == site.url("/a?b")


def test_link_goes_on_without_script_also_from_a_part_of_a_page(opened):
    """Chromium takes the refresh of an address with a # for a jump within the page."""
    site, page = opened(outlook=(2000, 2000, 2000))
    page.call("Emulation.setScriptExecutionDisabled", value=True)
    page.open(site.url("/a?b#part"))
    page.wait(WAITING, 10)
    site.awake()
    page.value("document.querySelector('a').click()")
    page.wait(READY, 10)
    assert page.value("location.href") == site.url("/a?b")


def test_goes_on_under_a_policy_that_forbids_its_script(opened):
    site, page = opened(outlook=(2000, 2000, 2000), main=(
        "Header always set Content-Security-Policy \"default-src 'self'\""))
    page.open(site.url("/a"))
    page.wait(WAITING, 10)
    site.awake()
    page.wait(READY, 15)


def test_goes_on_in_a_frame(opened, base):  # noqa: F811
    site, page = opened(main=('DocumentRoot "%s"\nProxyPass "/page" "!"\n<Directory "%s">\n'
                              'Require all granted\n</Directory>' % ((base / "site",) * 2)))
    (base / "site" / "page" / "outer.html").write_text(
        "<!DOCTYPE html><title>outer</title><iframe src=/inner></iframe>")
    inner = "document.querySelector('iframe').contentDocument.title === '%s'"
    page.open(site.url("/page/outer.html"))
    page.wait(inner % "The server is being started", 10)
    site.awake()
    page.wait(inner % "The application", 10)
    assert page.value("document.title") == "outer"


def test_tells_that_somebody_still_waits(opened, base):  # noqa: F811
    site, page = opened(outlook=(40000, 10000, 60000))
    page.call("Page.addScriptToEvaluateOnNewDocument", source=FAST)
    page.open(site.url("/a"))
    wait(lambda: seen(base).count("HEAD /a 503 wait=0") >= 2, 20, "wait=0 comes again")
    asked = seen(base).count("HEAD /a 503 respond-async")
    assert asked >= 5
    assert seen(base).count("GET /a 503 -") == 1  # it was not loaded anew
    page.wait("document.getElementById('say').textContent.includes('longer than usual')", 10)
    site.awake()
    page.wait(READY, 10)


def test_says_when_it_has_become_hopeless(opened, base):  # noqa: F811
    site, page = opened(outlook=(40000, 5000, 6000))
    page.call("Page.addScriptToEvaluateOnNewDocument", source=FAST)
    page.open(site.url("/a"))
    page.wait(WAITING, 10)
    site.hopeless()
    page.wait(HOPELESS, 10)
    asked = len(seen(base))
    site.awake()
    page.wait(READY, 25)
    assert len(seen(base)) <= asked + 3  # it did not ask often: GET, perhaps an icon


def test_visitor_sees_a_machine_wake(site, browser):  # noqa: F811
    room, proxy = site(specs(1), balancer=SLEEPY % "page=on")
    all_asleep(proxy)
    page = browser.page()
    page.open(proxy.url("/a?b=c#part"))
    page.wait(WAITING, 10)
    page.wait("document.body.textContent.includes('web1')", 30)
    assert page.value("location.href") == proxy.url("/a?b=c#part")


def luminance(colour):
    parts = [float(x) / 255 for x in colour[colour.index("(") + 1:-1].split(",")[:3]]
    parts = [x / 12.92 if x <= 0.03928 else ((x + 0.055) / 1.055) ** 2.4 for x in parts]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_can_be_read_by_everybody(opened, scheme):
    site, page = opened(outlook=(40000, 0, 6000))
    page.call("Emulation.setEmulatedMedia", features=[
        {"name": "prefers-color-scheme", "value": scheme},
        {"name": "prefers-reduced-motion", "value": "reduce"}])
    page.call("Emulation.setDeviceMetricsOverride", width=320, height=480,
              deviceScaleFactor=1, mobile=True)
    page.open(site.url("/a"))
    page.wait(WAITING + " && document.readyState === 'complete'", 10)
    back = page.value("getComputedStyle(document.querySelector('main')).backgroundColor")
    for text in ("h1", "p", ".soft", "#say"):
        ink = page.value("getComputedStyle(document.querySelector('%s')).color" % text)
        light, dark = sorted([luminance(ink), luminance(back)], reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, (scheme, text, ink, back)
    assert (luminance(back) < 0.5) == (scheme == "dark")
    assert page.value("document.documentElement.scrollWidth") <= 320
    # a bar that moves without telling anything is not shown to who wants no motion
    assert page.value("getComputedStyle(document.getElementById('bar')).display") == "none"
    nodes = page.call("Accessibility.getFullAXTree")["nodes"]
    roles = [n["role"]["value"] for n in nodes if not n.get("ignored")]
    assert roles.count("main") == roles.count("status") == roles.count("heading") == 1
