"""The experiment's report in Chromium, of runs made by hand: what it says and shows."""

import os
import sys
import time

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [HERE] + [os.path.join(ROOT, name) for name in (
    "experiment", "rig", "tests/integration", "tests", "tests/experiment")]

import chromium  # noqa: E402
import plan  # noqa: E402
import report  # noqa: E402
import results  # noqa: E402
from pieces import made_piece  # noqa: E402

pytestmark = pytest.mark.skipif(
    not chromium.PROGRAM, reason="chromium is not installed: tests/install browser")

HOSTILE = "experiment/run --out '</script><img src=x onerror=document.title=1><!-- '"
TEXT = "document.querySelector('%s').textContent"


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The directory of a report: one request of 90 is lost, half of the energy is saved."""
    folder = tmp_path_factory.mktemp("experiment")
    fine = [(t / 10, 100000 + t * 1000, 200, "none", 0) for t in range(90)]
    failed = fine[:70] + [(7.0, 1000, 503, "none", 0)] + fine[71:]
    made = plan.Plan(hours=1, speedup=360, servers=1, faults="at 4 dies web1", command=HOSTILE)
    event = {"fault": "dies", "machine": "web1", "at": 104.0, "done": 104.1, "hit": True}
    for policy, rows, watts in ((plan.ALWAYS_ON, fine, 200), ("threshold", failed, 100)):
        made_piece(folder / policy, rows, [event], [(t, str(watts)) for t in range(99, 112)],
                   of=(made, policy, 1))
    found = results.Results(made, lambda policy, seed, piece: str(folder / policy))
    verdict = results.judge(found)
    report.write(found, verdict, str(folder))
    return str(folder), verdict


def test_the_page_says_what_the_runs_were(written):
    folder, verdict = written
    assert not verdict.good
    assert [line[:2] for line in verdict.lines if line[0].endswith("_lost")] == [
        ("threshold_lost", 1)]
    with chromium.Chromium() as browser:
        page = browser.page()
        page.open("file://%s/report.html" % folder)
        page.wait("document.querySelectorAll('.plot canvas').length >= 24", 20)
        headline = page.value(TEXT % "#headline")
        assert "threshold" in headline and "50.0 % less" in headline, headline
        assert "Of 90 requests, beside 1 fault, 1 was lost" in headline, headline
        assert page.value(TEXT % "#measured").startswith("Measured: every request")
        assert "No electricity was measured" in page.value(TEXT % "#modelled")
        assert page.value(TEXT % "#command") == HOSTILE
        assert page.value("document.title").startswith("The experiment")
        assert "threshold_lost" in page.value(TEXT % "#tables")
        assert page.value("document.querySelectorAll('td.short').length") >= 1
        page.value("document.querySelector('#show button').click()")
        page.wait("document.querySelector('#show button').getAttribute('aria-pressed') ==="
                  " 'false'", 5)
        assert page.complaints() == []


def test_the_text_says_the_same(written):
    with open(os.path.join(written[0], "report.md"), encoding="utf-8") as file:
        text = file.read()
    assert "50.0 % less" in text.split("\n")[2]
    assert text.index("Measured:") < text.index("Modelled:") < text.index("## ")
    assert "| threshold | 1 | 90 | 1 | 0 | 0 |" in text
    assert "lost at 7.00 s of piece 1, after 1 ms, status 503" in text


def test_paper_shows_what_the_screen_showed(written):
    """What is painted anew when printing has begun stays white in Chromium."""
    with chromium.Chromium() as browser:
        page = browser.page()

        def scheme(name):
            page.call("Emulation.setEmulatedMedia", features=[
                {"name": "prefers-color-scheme", "value": name}])
            page.wait("matchMedia('(prefers-color-scheme: %s)').matches" % name, 5)
        scheme("dark")
        page.open("file://%s/report.html" % written[0])
        page.wait("document.querySelectorAll('.plot canvas').length >= 24", 20)
        page.value("(document.querySelector('.plot').id = 'first', dispatchEvent("
                   "new Event('beforeprint')))")
        scheme("light")
        time.sleep(0.3)
        assert page.value("Boolean(document.getElementById('first'))")
        page.value("dispatchEvent(new Event('afterprint'))")
        scheme("dark")
        page.wait("!document.getElementById('first')", 5)
        assert page.call("Page.printToPDF")["data"].startswith("JVBERi")
        assert page.complaints() == []
