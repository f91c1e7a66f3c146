"""The experiment's report as text, and what its page is made of; tests/browser looks at that."""

import html
import os
import re
import sys

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:0] = [os.path.join(ROOT, name) for name in (
    "experiment", "rig", "tests/integration", "tests", "tests/experiment")]

import report  # noqa: E402
from pieces import made_report  # noqa: E402


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return made_report(tmp_path_factory.mktemp("report"), "experiment/run")[0]


def read(*names):
    with open(os.path.join(*names), encoding="utf-8") as file:
        return file.read()


def test_the_text_says_what_the_runs_were(folder):
    text = read(folder, "report.md")
    assert "50.0 % less" in text.split("\n")[2]
    assert text.index("Measured:") < text.index("Modelled:") < text.index("## ")
    assert "| threshold | 1 | 90 | 1 | 0 | 0 |" in text
    assert "lost at 7.00 s of piece 1, after 1 ms, status 503" in text


def test_no_more_is_said_than_was_seen(folder):
    """Which hours were played; a dash where there was nothing that could have taken time."""
    text = read(folder, "report.md")
    assert "a made-up day from 7:12 on, not all of it" in text
    assert "Of one seed" in text and "A run of 10 s is short" in text
    assert "all of them on, in a single run. Of 90 requests, beside 1 fault, 1 was lost" in \
        text.split("\n")[2]
    waiting = text[text.index("## Waking"):text.index("## The proxy itself")]
    assert [row.split(" | ")[-3:] for row in waiting.splitlines() if "| threshold" in row] == [
        ["0", "0", "– |"]]


def test_the_page_has_all_its_parts(folder):
    """What it shares with greensim's report, the library of plots with its licence, and data."""
    page = read(folder, "report.html")
    assert not re.search(r"(?m)^%[A-Z]+%$", page)
    for name in ("look.css", "plots.js"):
        assert read(ROOT, "web", name) in page
    assert read(report.LIBRARY)[:500] in page
    assert read(report.LICENCE)[:100] in html.unescape(page)
    assert '"headline": "With threshold' in page
