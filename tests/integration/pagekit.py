"""A real httpd whose servers all sleep, as page_harness.c says; and a server behind it.

    with pagekit.site(directory) as site:
        answer = site.ask("/", headers=pagekit.BROWSER)
        site.awake()
"""

import contextlib
import http.client
import http.server
import os
import subprocess
import threading

from proxy import MODULES, ROOT, Proxy, module_file

SOURCES = ["tests/integration/page_harness.c", "hold_page.c", "core/gb_visit.c",
           "core/gb_part.c"]
WARNINGS = ["-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-Wno-unused-parameter",
            "-Wno-missing-field-initializers", "-Werror"]

HTML = ("text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,"
        "*/*;q=0.8")
BROWSER = {"Accept": HTML, "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}


def output_of(*command):
    return subprocess.run(command, check=True, text=True,
                          stdout=subprocess.PIPE).stdout.split()


def build(program):
    """Compiles the harness as a module of httpd; its path."""
    system = []
    for include in ["-I" + output_of("apxs", "-q", "INCLUDEDIR")[0],
                    *output_of("apr-1-config", "--includes"),
                    *output_of("apu-1-config", "--includes")]:
        system += ["-isystem", include[2:]]
    header = os.path.join(os.path.dirname(program), "waiting_page.h")
    with open(header, "w") as f:
        subprocess.run(["web/embed", "web/waiting.html"], cwd=ROOT, stdout=f, check=True)
    flags = ["-std=gnu11", "-g", "-fPIC", "-shared", *WARNINGS,
             *output_of("apr-1-config", "--cppflags")]
    if "-san" in os.path.basename(os.path.dirname(module_file())):
        flags += ["-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]
    subprocess.run(["gcc", *flags, *system, "-I.", "-I" + os.path.dirname(program),
                    *SOURCES, "-o", program], cwd=ROOT, check=True)
    return program


class Backend(http.server.BaseHTTPRequestHandler):
    """Says that it is there; counts who asks."""

    protocol_version = "HTTP/1.1"
    asked = []
    body = (b"<!DOCTYPE html><html lang=en><title>The application</title>"
            b"<p>Here is the page that you asked for.</p>")

    def answer(self):
        self.server.asked.append((self.command, self.path))
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(self.body)

    do_GET = do_HEAD = do_POST = answer

    def log_message(self, *_):
        pass


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()
        self.visit = self.headers.get("X-Visit")

    def text(self):
        return self.body.decode()


class Site(Proxy):
    def awake(self):
        open(self.path("page", "awake"), "w").close()

    def hopeless(self):
        open(self.path("page", "hopeless"), "w").close()

    def close(self):
        self.kill_all()  # nothing is under way, and there is no keeper
        self.check_log()

    def ask(self, path="/", method="GET", headers=None, body=None):
        """One request on a connection of its own; redirects are not followed."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body=body, headers=headers or {})
            return Answer(connection.getresponse())
        finally:
            connection.close()


@contextlib.contextmanager
def site(directory, program, main="", outlook=(40000, 25000, 60000), page="on",
         modules=(), vhosts="", allow=()):
    """program: what build() made."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Backend)
    server.asked = []
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    directory = str(directory)
    os.makedirs(os.path.join(directory, "page"), exist_ok=True)
    lines = ["LoadModule greenbalance_module " + program,
             "PageOutlook %d %d %d" % outlook, "PageConf " + page,
             "PageDir " + os.path.join(directory, "page"), main]
    proxy = Site(directory, members=[("http://127.0.0.1:%d" % server.server_address[1],
                                      "retry=0")],
                 main="\n".join(lines), load_module=False, method="byrequests",
                 modules=modules, vhosts=vhosts)
    proxy.server = server
    proxy.allow(*allow)
    try:
        with proxy:
            proxy.ask("/", headers={"Prefer": "respond-async"})  # now it is configured
            yield proxy
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


__all__ = ["BROWSER", "HTML", "MODULES", "ROOT", "build", "site"]
