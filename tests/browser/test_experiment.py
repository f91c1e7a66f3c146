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
from pieces import made_report  # noqa: E402

pytestmark = pytest.mark.skipif(
    not chromium.PROGRAM, reason="chromium is not installed: tests/install browser")

HOSTILE = "experiment/run --out '</script><img src=x onerror=document.title=1><!-- '"
TEXT = "document.querySelector('%s').textContent"


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return made_report(tmp_path_factory.mktemp("experiment"), HOSTILE)


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
