"""What benches of httpd share: instances, their load, their instructions, the lines."""

import contextlib
import os
import pwd
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BUILD = os.path.abspath(os.environ.get("BUILD", os.path.join(ROOT, "build")))
MODULE = os.path.join(BUILD, "mod_greenbalance.so")

# As on a Debian server before anybody has configured it.
USUAL_MODULES = ("access_compat alias auth_basic authn_core authn_file authz_core "
                 "authz_host authz_user autoindex deflate dir env filter mime "
                 "negotiation reqtimeout setenvif status").split()

results = []


def say(text):
    print(text, flush=True)


def report(name, value, low, high, goal, at_least=False):
    good = value >= goal if at_least else value <= goal
    results.append(good)
    say(f"bench {name} value={value:.4f} low={low:.4f} high={high:.4f} "
        f"goal={'>=' if at_least else '<='}{goal} {'ok' if good else 'short'}")


def need_tools(pairs, counting):
    wanted = {"apache2": "apache2", "apxs": "apache2-dev", "cc": "gcc"}
    if pairs:
        wanted["wrk"] = "wrk"
    if counting:
        wanted["valgrind"] = "valgrind"
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    os.environ["PATH"] = path
    missing = [package for tool, package in wanted.items() if not shutil.which(tool)]
    if missing:
        sys.exit("bench: missing, install them first: apt-get install "
                 + " ".join(missing))
    if not os.path.exists(MODULE):
        sys.exit(f"bench: {MODULE} is missing: make -f Makefile.apxs")


def free_port():
    with socket.socket() as s:
        s.bind(("0.0.0.0", 0))
        return s.getsockname()[1]


def raise_descriptors():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard != resource.RLIM_INFINITY and hard < 16384:
        say(f"info descriptors: only {hard} allowed, 1,000 members may want more")


# ---------------------------------------------------------------- httpd


def modules_dir():
    return subprocess.run(["apxs", "-q", "LIBEXECDIR"], check=True, text=True,
                          capture_output=True).stdout.strip()


def types_config():
    types = "/etc/mime.types"
    return f"TypesConfig {types if os.path.exists(types) else os.devnull}\n"


def run_user():
    """Whom httpd becomes; only root can become another one."""
    if os.geteuid() != 0:
        return ""
    for name in ("www-data", "daemon", "nobody"):
        with contextlib.suppress(KeyError):
            user = pwd.getpwnam(name)
            group = subprocess.run(["id", "-gn", name], check=True, text=True,
                                   capture_output=True).stdout.strip()
            return f"User {user.pw_name}\nGroup {group}\n"
    return ""


class Httpd:
    """One instance: modules beside the usual ones, lines for the server, its routes."""

    def __init__(self, directory, name, modules, main, routes, loglevel="warn"):
        self.port = free_port()
        self.dir = tempfile.mkdtemp(prefix=name + "-", dir=directory)
        os.chmod(self.dir, 0o755)
        self.conf = os.path.join(self.dir, "httpd.conf")
        self.process = None
        with open(self.conf, "w", encoding="ascii") as f:
            f.write(self.loaded(modules) + self.head(loglevel) + main + routes)

    @staticmethod
    def loaded(modules):
        directory = modules_dir()
        text = "".join(f"LoadModule {m}_module {directory}/mod_{m}.so\n"
                       for m in ["mpm_event", *USUAL_MODULES, "proxy", "proxy_http",
                                 *modules]
                       if os.path.exists(f"{directory}/mod_{m}.so"))
        return text + (f"LoadModule greenbalance_module {MODULE}\n"
                       if "greenbalance" in modules else "")

    def head(self, loglevel):
        return f"""ServerName bench.invalid
ServerRoot {self.dir}
DefaultRuntimeDir {self.dir}
PidFile {self.dir}/httpd.pid
ErrorLog {self.dir}/error.log
LogLevel {loglevel}
LogFormat "%h %l %u %t \\"%r\\" %>s %O \\"%{{Referer}}i\\" \\"%{{User-Agent}}i\\"" combined
CustomLog {self.dir}/access.log combined
{types_config()}{run_user()}Listen 127.0.0.1:{self.port}
KeepAlive On
MaxKeepAliveRequests 0
KeepAliveTimeout 600
Timeout 600
ServerLimit 2
StartServers 2
ThreadsPerChild 64
ThreadLimit 64
MaxRequestWorkers 128
MinSpareThreads 1
MaxSpareThreads 128
MaxConnectionsPerChild 0
"""

    def start(self, prefix=(), single=False, path="/x"):
        args = [*prefix, "apache2", "-f", self.conf, "-X" if single else "-DFOREGROUND"]
        self.process = subprocess.Popen(args, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
        until = time.monotonic() + 120
        while time.monotonic() < until:
            with contextlib.suppress(OSError):
                ask(self.port, 1, path)
                return self
            if self.process.poll() is not None:
                break
            time.sleep(0.1)
        self.fail("does not answer")

    def fail(self, what):
        with contextlib.suppress(OSError), open(self.dir + "/error.log") as f:
            sys.stderr.write("".join(f.readlines()[-20:]))
        sys.exit(f"bench: httpd of {self.conf} {what}")

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(60)
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()

    def processes(self):
        """Parent, children and keeper."""
        parents = {}
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                with contextlib.suppress(OSError), open(f"/proc/{entry}/stat") as f:
                    parents[int(entry)] = int(f.read().rsplit(")", 1)[1].split()[1])
        mine = [self.process.pid]
        for pid in mine:
            mine += [child for child, parent in parents.items() if parent == pid]
        return mine

    def cpu_s(self):
        total = 0
        for pid in self.processes():
            with contextlib.suppress(OSError), open(f"/proc/{pid}/stat") as f:
                fields = f.read().rsplit(")", 1)[1].split()
                total += int(fields[11]) + int(fields[12])
        return total / os.sysconf("SC_CLK_TCK")

    def pss_kb(self):
        total = 0
        for pid in self.processes():
            with contextlib.suppress(OSError), open(f"/proc/{pid}/smaps_rollup") as f:
                total += int(re.search(r"^Pss:\s+(\d+)", f.read(), re.M).group(1))
        return total


def ask(port, count, path="/x", fields=""):
    """Sends requests one after the other over one connection; all have to succeed."""
    request = f"GET {path} HTTP/1.1\r\nHost: bench.invalid\r\n{fields}\r\n".encode()
    with socket.create_connection(("127.0.0.1", port), timeout=300) as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(count):
            s.sendall(request)
            answer = b""
            while b"\r\n\r\n" not in answer:
                more = s.recv(65536)
                if not more:
                    raise OSError("closed")
                answer += more
            head, body = answer.split(b"\r\n\r\n", 1)
            if not head.startswith(b"HTTP/1.1 200"):
                raise OSError(head.split(b"\r\n", 1)[0].decode())
            length = int(re.search(rb"(?i)content-length: (\d+)", head).group(1))
            while len(body) < length:
                body += s.recv(65536)


# ---------------------------------------------------------------- what is measured


def counted(httpd, work, path="/x"):
    """Instructions of one httpd process (-X) from its start to its end; one GET of `path`
    by start(), then what work() does."""
    out = os.path.join(httpd.dir, "callgrind")
    try:
        httpd.start(["valgrind", "--tool=callgrind", "-q", "--vgdb=no",
                     f"--callgrind-out-file={out}.%p"], single=True, path=path)
        pid = httpd.process.pid
        if os.geteuid() == 0:  # made by root, written at the end by User
            os.chmod(f"{out}.{pid}", 0o666)
        work()
    finally:
        httpd.stop()
    with open(f"{out}.{pid}", encoding="ascii", errors="replace") as f:
        for line in f:
            if line.startswith(("summary:", "totals:")):
                return int(line.split()[1])
    httpd.fail("left no count of its instructions")


def load(httpd, seconds, connections, path="/x", fields=()):
    """Requests a second, and seconds of processor time a request."""
    before = httpd.cpu_s()
    more = [word for field in fields for word in ("-H", field)]
    out = subprocess.run(["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", *more,
                          f"http://127.0.0.1:{httpd.port}{path}"], check=True, text=True,
                         capture_output=True).stdout
    used = httpd.cpu_s() - before
    count = int(re.search(r"(\d+) requests in", out).group(1))
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", out).group(1))
    # A child whose threads are all busy closes idle connections, which wrk calls errors.
    closed = sum(map(int, re.findall(r"(?:connect|read|write|timeout) (\d+)", out)))
    if "Non-2xx" in out or closed > count / 1000:
        httpd.fail("answered with errors under load: " + out)
    return rate, used / count


def median_interval(values):
    """Median and its 95 % interval by order statistics."""
    values = sorted(values)
    n = len(values)
    median = (values[(n - 1) // 2] + values[n // 2]) / 2
    reach = int(0.98 * n ** 0.5 + 0.5)
    return (median, values[max(0, (n - 1) // 2 - reach)],
            values[min(n - 1, n // 2 + reach)])
