"""A form whose write is late, in Chromium: its page goes on to the answer by itself."""

import os
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "commit"),
                os.path.join(os.path.dirname(HERE), "integration")]

import chromium  # noqa: E402
from fakekeeper import DONE, LATE, SUBMIT, FakeKeeper, reply  # noqa: E402
from test_commit_child import FIELD, running  # noqa: E402

pytestmark = pytest.mark.skipif(
    not chromium.PROGRAM, reason="chromium is not installed: tests/install browser")

# Who writes without a name asks without one.
OPEN = """
<Location "/.well-known/green-commit/">
    AuthType None
    Require all granted
</Location>
"""
FORM = """{
    document.body.innerHTML = '<form method=post action=/orders><input name=a value=b></form>';
    document.forms[0].submit();
}"""


@pytest.mark.parametrize("script", [True, False])
def test_late_form_goes_on_to_its_answer(script):
    answers = []

    def says(asked):
        if asked.kind == SUBMIT or len(answers) < 1:
            if asked.kind != SUBMIT:
                answers.append(asked)
            return reply(LATE, FIELD=FIELD % "open")
        return reply(DONE, STATUS=200, HEADERS="Content-Type: text/html\r\n",
                     BODY=b"<!DOCTYPE html><title>Ordered</title><p>Thank you",
                     FIELD=FIELD % "met", TOKEN="3.42")

    with running(main=OPEN) as front, FakeKeeper(front.proxy) as keeper, \
            chromium.Chromium() as browser:
        keeper.says = says
        page = browser.page()
        page.open(front.proxy.url("/server-status"))
        page.wait("document.title.startsWith('Apache')", 10)
        page.value(FORM)
        if not script:
            page.call("Emulation.setScriptExecutionDisabled", value=True)
        page.wait("document.title.startsWith('Received')", 10)
        assert page.value("document.querySelector('[role=status]').textContent").startswith(
            "What you sent is stored safely")
        assert not [c for c in page.complaints() if "favicon" not in c.get("url", "")]
        page.wait("document.title === 'Ordered'", 20)
        assert len([f for f in keeper.frames if f.kind == SUBMIT]) == 1
        assert page.value("document.cookie") == ""  # HttpOnly
