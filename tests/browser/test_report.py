"""greensim's report in Chromium: what it says, to whom, and that it needs nothing else."""

import json
import os
import subprocess
import sys
import time

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [HERE]

import chromium  # noqa: E402

pytestmark = pytest.mark.skipif(
    not chromium.PROGRAM, reason="chromium is not installed: tests/install browser")

PROGRAM = os.path.join(os.environ.get("GREENBALANCE_BUILD", os.path.join(ROOT, "build")),
                       "greensim")
# A file may be called so; nothing of it may become a part of the page.
HOSTILE = "<img src=x onerror=document.title='taken'><!-- <script>&amp;\"'.log"
READY = "document.querySelectorAll('.plot canvas').length >= 8"
TEXT = "document.querySelector('%s').textContent"


@pytest.fixture(scope="module")
def browser():
    with chromium.Chromium() as started:
        yield started


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    """{kind: (path, what --json said)}, of a log and of a generated load."""
    folder = tmp_path_factory.mktemp("report")
    log = folder / HOSTILE
    with open(log, "w") as f:
        for second in range(4 * 3600):
            at = time.strftime("%d/%b/%Y:%H:%M:%S +0200", time.gmtime(1782864000 + second))
            f.write(('h - - [%s] "GET / HTTP/1.1" 200 9\n' % at) * (1 + second // 3600))
    made = {}
    for kind, load in (("log", ["--access-log", str(log), "--scale", "peak=5"]),
                       ("shape", ["--shape", "day"])):
        path = folder / (kind + ".html")
        done = subprocess.run(
            [PROGRAM, *load, "--servers", "8", "--policy", "threshold,autoscale", "--json",
             "--report", str(path)], stdout=subprocess.PIPE, check=True, timeout=120)
        made[kind] = str(path), json.loads(done.stdout)
    return made


@pytest.fixture
def opened(browser, reports):
    """opened(kind, ...) -> (page, numbers), drawn and without complaint."""
    def make(kind, scheme="light", width=1100, numbers=None):
        page = browser.page()
        page.call("Emulation.setEmulatedMedia", features=[
            {"name": "prefers-color-scheme", "value": scheme}])
        page.call("Emulation.setDeviceMetricsOverride", width=width, height=800,
                  deviceScaleFactor=1, mobile=width < 500)
        page.open("file://" + reports[kind][0])
        page.wait(READY, 20)
        return page, reports[kind][1]

    return make


def policy(numbers, name):
    return next(p for p in numbers["policies"] if p["policy"] == name)


def kwh(joules):
    return "%.3g kWh" % (joules / 3.6e6)


@pytest.mark.parametrize("kind", ["log", "shape"])
def test_says_the_numbers(opened, kind):
    page, numbers = opened(kind)
    headline = page.value(TEXT % "#headline")
    chosen, always = policy(numbers, "autoscale"), policy(numbers, "always-on")
    assert headline.startswith("With autoscale these servers would have used %s instead of %s"
                               % (kwh(chosen["joules"]), kwh(always["joules"]))), headline
    assert "%.2g %% less" % (100 - 100 * chosen["joules"] / always["joules"]) in headline
    assert headline.endswith("would have waited longer than 500 ms."), headline
    rows = page.value("[...document.querySelectorAll('#policies tbody tr')].map(row =>"
                      " [row.querySelector('b').textContent,"
                      " ...[...row.querySelectorAll('td')].map(c => c.textContent)])")
    assert [row[0] for row in rows] == [p["policy"] for p in numbers["policies"]]
    for row, p in zip(rows, numbers["policies"]):
        assert row[1] == kwh(p["joules"])
        assert row[3] == "%.3f" % p["over_optimum"]
    assert page.complaints() == []


def test_tells_what_nobody_said(opened):
    page, _ = opened("log")
    said = page.value(TEXT % "#guesses")
    for option in ("--service-time", "--server,", "--setup"):
        assert option in said, said
    assert "--servers" not in said
    assert page.value("document.querySelector('#guesses').hidden") is False
    assert "more than 5 servers at once" in page.value(TEXT % "#facts")
    page, _ = opened("shape")  # is generated
    assert page.value("document.querySelector('#guesses').hidden") is True


def test_hostile_name_is_text_only(opened, reports):
    page, _ = opened("log")
    assert page.value(TEXT % "h1") == HOSTILE
    assert page.value("document.title") == HOSTILE + " – greensim"
    assert page.value("document.images.length") == 0
    with open(reports["log"][0]) as f:
        assert HOSTILE[:10] not in f.read()


def test_needs_nothing_but_itself(opened, reports):
    page, _ = opened("log")
    assert page.value("performance.getEntriesByType('resource').length") == 0
    policy = page.value("document.querySelector('meta[http-equiv]').content")
    assert "default-src 'none'" in policy and "http" not in policy
    assert "Permission is hereby granted" in page.value(TEXT % "#terms-of-dygraphs")
    assert os.path.getsize(reports["log"][0]) < 2000000


def test_legend_chooses_policies(opened):
    page, _ = opened("shape")
    picture = "document.querySelectorAll('.plot')[2].querySelector('canvas').toDataURL()"
    words = "document.querySelectorAll('.plot')[2].getAttribute('aria-label')"
    button = ("[...document.querySelectorAll('#show button')]"
              ".find(b => b.textContent === 'threshold')")
    before = page.value(picture)
    assert page.value(button + ".getAttribute('aria-pressed')") == "false"
    assert "threshold" not in page.value(words)
    page.value(button + ".click()")
    assert page.value(button + ".getAttribute('aria-pressed')") == "true"
    assert page.value(picture) != before
    assert "threshold: from" in page.value(words)
    page.value(button + ".click()")
    assert page.value(picture) == before
    assert "threshold" not in page.value(words)
    assert page.complaints() == []


def test_section_of_time_is_one_for_all_plots(opened):
    page, _ = opened("shape")
    labels = ("[...document.querySelectorAll('.plot')].map(p => [...p.querySelectorAll("
              "'.dygraph-axis-label-x')].map(l => l.textContent).join())")
    whole = page.value(labels)
    assert len(set(whole)) == 1
    for _ in range(3):
        page.value("document.getElementById('closer').click()")
    close = page.value(labels)
    assert len(set(close)) == 1 and close != whole
    page.value("document.getElementById('later').click()")
    assert len(set(page.value(labels))) == 1 and page.value(labels) != close
    page.value("document.getElementById('whole').click()")
    assert page.value(labels) == whole


def test_log_is_shown_by_its_own_clock(opened):
    """2026-07-01 00:00 +0200, wherever the reader is."""
    page, _ = opened("log")
    page.call("Emulation.setTimezoneOverride", timezoneId="Asia/Tokyo")
    page.call("Page.reload")
    page.wait(READY, 20)
    rows = page.value("[...document.querySelectorAll('figure table')[0].querySelectorAll("
                      "'tbody tr')].map(r => [...r.children].map(c => c.textContent))")
    assert rows[0][0] == "2026-07-01 00:00" and rows[-1][0].startswith("2026-07-01 03:")
    first, last = float(rows[0][1].replace(",", "")), float(rows[-1][1].replace(",", ""))
    assert last == pytest.approx(4 * first, rel=0.01)


def luminance(colour):
    parts = [float(x) / 255 for x in colour[colour.index("(") + 1:-1].split(",")[:3]]
    parts = [x / 12.92 if x <= 0.03928 else ((x + 0.055) / 1.055) ** 2.4 for x in parts]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def contrast(one, other):
    light, dark = sorted([luminance(one), luminance(other)], reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1100])
def test_can_be_read_by_everybody(opened, scheme, width):
    page, _ = opened("log", scheme, width)
    style = "getComputedStyle(document.querySelector('%s')).%s"
    back = page.value(style % ("section", "backgroundColor"))
    marked = page.value(style % ("tr.chosen td", "backgroundColor"))
    for text, under in (("h1", back), ("#headline", back), ("#headline b", back),
                        ("#facts", back), ("#terms", back), ("thead th", back),
                        ("tr.chosen span", marked), ("dt", back), ("summary", back),
                        (".dygraph-axis-label", back), ("#show button", back)):
        ink = page.value(style % (text, "color"))
        assert contrast(ink, under) >= 4.5, (text, ink, under)
    for stroke in page.value("[...document.querySelectorAll('#show path')].map(p =>"
                             " getComputedStyle(p).stroke)"):
        assert contrast(stroke, back) >= 3, stroke  # WCAG 1.4.11, of what is no text
    assert (luminance(back) < 0.5) == (scheme == "dark")
    assert page.value("document.documentElement.scrollWidth") <= width
    nodes = [n for n in page.call("Accessibility.getFullAXTree")["nodes"]
             if not n.get("ignored")]
    names = {}
    for node in nodes:
        names.setdefault(node["role"]["value"], []).append(
            node.get("name", {}).get("value", ""))
    assert len(names["main"]) == 1 and len(names["image"]) == 4
    for title, name in zip(("Load", "Servers on", "Power", "Late requests"), names["image"]):
        assert name.startswith(title + " over time") and "mean" in name
    assert all(names["button"])
    assert page.complaints() == []


def test_prints(opened):
    page, _ = opened("log", "dark")
    assert page.call("Page.printToPDF")["data"].startswith("JVBERi")
    assert page.complaints() == []
