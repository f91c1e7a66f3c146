"""The WSGI middleware in real use: guest books behind the proxy, while everybody is killed."""

import os
import random
import secrets
import shutil
import signal
import sys
import tempfile
import threading
import time

import pytest

import replicas  # noqa: F401  (puts tests/integration on the path)
from proxy import ROOT, wait

sys.path.insert(0, os.path.join(ROOT, "demo", "replicated"))
import show  # noqa: E402

WRITERS, EACH, KILLS = 4, 40, 15
# What the log says of servers and a keeper that are killed.
KILLED = [r"AH01114", r"AH00957", r"AH00959", r"AH01102", r"AH00052", r"GB03", r"GB05", r"GB15",
          r"GB165"]


@pytest.fixture
def base():
    directory = tempfile.mkdtemp(prefix="gr-")
    os.chmod(directory, 0o755)
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


def write_until_answered(proxy, text):
    """(status, tries); the same key however often it takes."""
    key, deadline, tries = secrets.token_hex(8), time.monotonic() + 120, 0
    while time.monotonic() < deadline:
        tries += 1
        try:
            status, _, _ = show.ask(proxy, "POST", "/entries", "name=w&text=" + text,
                                    {"Idempotency-Key": key, "Content-Type":
                                     "application/x-www-form-urlencoded"})
        except (OSError, show.http.client.HTTPException):
            continue
        if status in (202, 303):
            return status, tries
        assert status in (409, 502, 503, 504), status
        time.sleep(0.2)
    raise AssertionError("never answered: " + text)


def test_every_answered_write_is_everywhere_once(base):
    seed = int(os.environ.get("GB_SEED", random.SystemRandom().randrange(1 << 30)))
    print("GB_SEED=%d" % seed)
    dice = random.Random(seed)
    books = [show.Book(base, "book%d" % i) for i in (1, 2, 3)]
    proxy, switch = show.make_proxy(base, books)
    # Servers are away for less than a second: nobody is switched for that.
    proxy.balancer = proxy.balancer.replace("GreenAwake min=1", "GreenAwake min=3").replace(
        "rise=2 fall=3", "rise=1 fall=60")
    proxy.allow(*KILLED, r"GB1103")  # servers that die often are left alone for a while
    answers, failures = [], []

    def writer(number):
        try:
            for i in range(EACH):
                answers.append(write_until_answered(proxy, "%d-%d" % (number, i)))
        except BaseException as error:  # pylint: disable=broad-except
            failures.append(error)

    try:
        for book in books:
            book.start()
        switch.start()
        proxy.start()
        wait(lambda: proxy.balancer_status()["commit"]["live"], 20, lambda: "it serves")
        writers = [threading.Thread(target=writer, args=(n,)) for n in range(WRITERS)]
        for thread in writers:
            thread.start()
        kills = 0
        while kills < 5 or (any(t.is_alive() for t in writers) and kills < KILLS):
            time.sleep(dice.uniform(0.02, 0.3))
            kills += 1
            if dice.random() < 0.3:
                before = proxy.keeper_pids()
                for pid in before:
                    os.kill(pid, signal.SIGKILL)
                wait(lambda: set(proxy.keeper_pids()) - set(before), 30,
                     "another keeper comes")
            else:
                book = dice.choice(books)
                book.stop(signal.SIGKILL)
                time.sleep(dice.uniform(0, 0.3))
                book.start()
        for thread in writers:
            thread.join(150)
        assert not failures, failures
        wait(lambda: proxy.balancer_status()["commit"]["live"] and
             set(show.lags(proxy).values()) == {0}, 150, lambda: "all caught up: %s\n%s" % (
                 proxy.balancer_status()["commit"], show.lags(proxy)))
        members = proxy.balancer_status()["members"]
        assert not any(m["replica"]["aside"] for m in members), members
        entries = [[text for _, _, text in book.entries()] for book in books]
        times = [[at for at, _, _ in book.entries()] for book in books]
        assert entries[0] == entries[1] == entries[2] and times[0] == times[1] == times[2]
        assert sorted(entries[0]) == sorted("%d-%d" % (n, i) for n in range(WRITERS)
                                            for i in range(EACH))
        for n in range(WRITERS):  # P4: a writer's own order
            own = [text for text in entries[0] if text.startswith("%d-" % n)]
            assert own == ["%d-%d" % (n, i) for i in range(EACH)]
        assert len(answers) == WRITERS * EACH
        assert not proxy.unexpected(), "\n".join(proxy.unexpected()[:20])
        print("%d kills, %d writes were sent %d times" % (
            kills, len(answers), sum(tries for _, tries in answers)))
    finally:
        switch.end()
        proxy.kill_all()
        for book in books:
            book.stop()
