"""A headless Chromium, driven through its debugging pipe.

    with Chromium() as browser:
        page = browser.page()
        page.open("http://127.0.0.1:8080/")
        page.wait("document.title === 'Ready'", 10)
"""

import json
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import time

PROGRAM = shutil.which("chromium")

# The browser reads commands from descriptor 3 and answers on 4.
START = """
import fcntl, os, sys
ends = [fcntl.fcntl(int(fd), fcntl.F_DUPFD, 10) for fd in sys.argv[1:3]]
os.dup2(ends[0], 3)
os.dup2(ends[1], 4)
os.closerange(5, 64)
os.execvp(sys.argv[3], sys.argv[3:])
"""


class Chromium:
    def __init__(self):
        self.home = tempfile.mkdtemp(prefix="gb-chromium-")
        self.number = 0
        self.answers = {}
        self.pages = {}
        self.changed = threading.Condition()
        command_end, self.command_fd = os.pipe()
        self.answer_fd, answer_end = os.pipe()
        with open(os.path.join(self.home, "log"), "w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", START, str(command_end), str(answer_end), PROGRAM,
                 "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe",
                 "--disable-dev-shm-usage", "--disable-background-networking",
                 "--no-first-run", "--user-data-dir=" + self.home, "about:blank"],
                pass_fds=(command_end, answer_end), stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, env=dict(os.environ, HOME=self.home))
        os.close(command_end)
        os.close(answer_end)
        threading.Thread(target=self._read, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            self.call("Browser.close")
            self.process.wait(10)
        except (subprocess.TimeoutExpired, AssertionError, OSError):
            self.process.kill()
            self.process.wait()
        os.close(self.command_fd)
        shutil.rmtree(self.home, ignore_errors=True)

    def _read(self):
        rest = b""
        while True:
            piece = os.read(self.answer_fd, 65536)
            if not piece:
                break
            *messages, rest = (rest + piece).split(b"\0")
            for message in map(json.loads, messages):
                with self.changed:
                    if "id" in message:
                        self.answers[message["id"]] = message
                    elif message.get("sessionId") in self.pages:
                        self.pages[message["sessionId"]].events.put(message)
                    self.changed.notify_all()
        os.close(self.answer_fd)

    def call(self, method, session=None, **params):
        with self.changed:
            self.number += 1
            number = self.number
        message = {"id": number, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        os.write(self.command_fd, json.dumps(message).encode() + b"\0")
        with self.changed:
            assert self.changed.wait_for(lambda: number in self.answers, 30), (
                "Chromium does not answer " + method)
            answer = self.answers.pop(number)
        if "error" in answer:
            raise AssertionError("%s: %s" % (method, answer["error"]))
        return answer["result"]

    def page(self):
        """A page in a profile of its own."""
        context = self.call("Target.createBrowserContext")["browserContextId"]
        target = self.call("Target.createTarget", url="about:blank",
                           browserContextId=context)["targetId"]
        session = self.call("Target.attachToTarget", targetId=target,
                            flatten=True)["sessionId"]
        page = Page(self, session)
        self.pages[session] = page
        for domain in ("Page", "Log", "Runtime"):
            page.call(domain + ".enable")
        return page


class Page:
    def __init__(self, browser, session):
        self.browser = browser
        self.session = session
        self.events = queue.Queue()

    def call(self, method, **params):
        return self.browser.call(method, self.session, **params)

    def open(self, url):
        self.call("Page.navigate", url=url)

    def value(self, expression):
        """Of an expression in the page; also while its own scripts are off."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        if "exceptionDetails" in result:
            raise ValueError(result["exceptionDetails"])
        return result["result"].get("value")

    def wait(self, expression, timeout_s):
        end = time.monotonic() + timeout_s
        while True:
            try:
                if self.value(expression):
                    return
            except (ValueError, AssertionError):
                pass  # between two documents
            assert time.monotonic() < end, "waited %s s in vain for: %s; the page: %s" % (
                timeout_s, expression, self.value("document.documentElement.outerHTML"))
            time.sleep(0.1)

    def complaints(self):
        """What stands in the console: errors of scripts, breaches of the policy."""
        found = []
        while not self.events.empty():
            event = self.events.get()
            if event["method"] == "Log.entryAdded":
                found.append(event["params"]["entry"])
            elif event["method"] == "Runtime.exceptionThrown":
                found.append(event["params"])
        return found
