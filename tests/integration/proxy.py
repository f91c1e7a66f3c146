"""A real httpd with mod_greenbalance, for integration tests and the demo.

    with Proxy(directory, room, balancer="...", keys={"web1": "wake=ipmi ..."}) as proxy:
        proxy.wait_state("web1", "asleep", 30)

Every warning or error in httpd's log that a test has not declared by allow() fails the
test: check_log() is called when the proxy is closed.
"""

import ctypes
import json
import mmap
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MODULES = "/usr/lib/apache2/modules"
HTTPD = "/usr/sbin/apache2"
KEEPER_USER = "daemon"  # exists on every Debian, and is not the children's user

# What httpd itself says of a member that a test has killed or that is being switched.
HARMLESS = [
    r"AH00558",  # ServerName
    r"AH01882",  # mod_ssl was built against another patch level of OpenSSL
    r"AH01873",  # no TLS session cache, which no test needs
    r"AH00098: pid file .* overwritten",
]

BASE_MODULES = [
    "authz_core", "authz_host", "slotmem_shm", "proxy", "proxy_http",
    "proxy_balancer", "lbmethod_bybusyness", "lbmethod_byrequests", "status", "headers",
    "proxy_hcheck", "socache_shmcb", "ssl",
]

# Short, so that a test sees a whole cycle in seconds; no I/O time-out is scaled.
QUICK = """
    GreenAwake min=1
    GreenThreshold wake=80% sleep=50%
    GreenDwell awake=1s asleep=1s cycles=64/day
    GreenHealth uri=/health interval=300ms timeout=1s rise=2 fall=3
    GreenReverseHealth interval=500ms fall=2
    GreenWake timeout=8s retry=1s packets=3
    GreenDrain timeout=10s
"""


class Ports:
    """Of its own for each process: what a test has switched off keeps its port, and no
    other run takes it meanwhile.  Below the ports of rooms (rig/machineroom) and below
    those that clients get by chance."""

    FIRST, MOST, EACH = 11000, 20000, 150

    def __init__(self):
        self.pid, self.lease, self.left = None, None, []

    def take(self):
        if self.pid != os.getpid():
            self.pid, self.lease, self.left = os.getpid(), self.lease_range(), []
        if not self.left:
            self.left = list(range(self.first, self.first + self.EACH))
            random.SystemRandom().shuffle(self.left)
        return self.left.pop()

    def lease_range(self):
        """It ends with the process: a name without a file."""
        ranges = list(range(self.FIRST, self.MOST, self.EACH))
        random.SystemRandom().shuffle(ranges)
        for self.first in ranges:
            lease = socket.socket(socket.AF_UNIX)
            try:
                lease.bind("\0greenbalance-ports-%d" % self.first)
                return lease
            except OSError:
                lease.close()
        raise RuntimeError("%d processes of tests at once" % len(ranges))


ports = Ports()


def free_port():
    while True:
        port = ports.take()
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


def module_file():
    build = os.environ.get("GREENBALANCE_BUILD", os.path.join(ROOT, "build"))
    return os.path.join(build, "mod_greenbalance.so")


def environment():
    """A sanitizer's runtime has to be in httpd from its start."""
    env = dict(os.environ)
    if "-san" in os.path.basename(os.path.dirname(module_file())):
        libraries = [subprocess.run(["gcc", "-print-file-name=" + name], text=True,
                                    stdout=subprocess.PIPE).stdout.strip()
                     for name in ("libasan.so", "libubsan.so")]
        env["LD_PRELOAD"] = ":".join(libraries)
        # httpd's pools are not freed at the end of a process: leaks mean nothing there.
        env["ASAN_OPTIONS"] = "detect_leaks=0:abort_on_error=1:handle_abort=1"
        env["UBSAN_OPTIONS"] = "print_stacktrace=1"
    return env


def has_test_clock():
    """Can the module's clocks be set? (timer.c; builds with SANITIZE or TEST_CLOCK=1)"""
    with open(module_file(), "rb") as f:
        return b"GREENBALANCE_TEST_CLOCK" in f.read()


class TestClock:
    """What the module adds to its monotonic and its wall clock, in a file that it maps."""

    __test__ = False  # not for pytest

    def __init__(self, path):
        self.path = path
        with open(path, "w+b") as f:
            f.write(bytes(16))
            f.flush()
            self.offsets = (ctypes.c_int64 * 2).from_buffer(mmap.mmap(f.fileno(), 16))

    def add(self, monotonic_s=0.0, wall_s=0.0):
        assert has_test_clock(), "the build in %s has no clock that can be set: " \
            "make -f Makefile.apxs TEST_CLOCK=1" % os.path.dirname(module_file())
        self.offsets[0] += int(monotonic_s * 1e6)
        self.offsets[1] += int(wall_s * 1e6)


def greenctl_file():
    return os.path.join(os.path.dirname(module_file()), "greenctl")


def hints(host, wake=None, sleep=None, **more):
    """The keys that a host of the room needs on its BalancerMember."""
    keys = []
    if wake:
        keys.append("wake=" + wake)
    if sleep:
        keys.append("sleep=" + sleep)
    ways = (wake or "") + "," + (sleep or "")
    if "wol" in ways:
        keys += ["mac=" + host.mac, "wolto=" + host.wolto]
        if host.wolif:
            keys.append("wolif=" + host.wolif)
    if "ipmi" in ways:
        keys.append("ipmi=" + host.ipmi)
    if "redfish" in ways:
        keys.append("redfish=" + host.redfish)
    keys += ["%s=%s" % item for item in more.items()]
    return " ".join(keys)


class Proxy:
    """members: list of (url, keys) in their order, or the whole configuration by conf."""

    def __init__(self, directory, members=(), balancer="", main="", secrets=None,
                 mpm="event", mpm_conf=None, modules=(), vhosts="", drivers=None,
                 load_module=True, user="www-data", balancer_name="app",
                 method="bypower", policy_on="on"):
        self.dir = str(directory)
        self.members = list(members)
        self.balancer = balancer
        self.main = main
        self.secrets = secrets
        self.mpm = mpm
        self.mpm_conf = mpm_conf
        self.modules = list(modules)
        self.vhosts = vhosts
        self.drivers = drivers or {}
        self.load_module = load_module
        self.user = user
        self.balancer_name = balancer_name
        self.method = method
        self.policy_on = policy_on
        self.port = free_port()
        self.allowed = list(HARMLESS)
        self.allowed_once = []
        self.started = False
        self.answered_at = 0.0  # when the port was open, after the latest start
        os.makedirs(self.dir, exist_ok=True)
        os.chmod(self.dir, 0o755)
        for name in ("state", "run", "log"):
            os.makedirs(self.path(name), exist_ok=True)
        self.clock = TestClock(self.path("clock"))

    # ------------------------------------------------------------ configuration

    def path(self, *names):
        return os.path.join(self.dir, *names)

    def mpm_lines(self):
        if self.mpm_conf is not None:
            return self.mpm_conf
        if self.mpm == "prefork":
            return "StartServers 4\nMinSpareServers 4\nMaxSpareServers 16\nMaxRequestWorkers 64\n"
        return ("StartServers 2\nServerLimit 4\nThreadsPerChild 64\nMaxRequestWorkers 128\n"
                "MinSpareThreads 32\nMaxSpareThreads 128\n")

    def member_lines(self):
        return "\n".join('    BalancerMember "%s" %s' % (url, keys)
                         for url, keys in self.members)

    def text(self):
        names = ["mpm_" + self.mpm] + [m for m in BASE_MODULES if m not in self.modules]
        names += self.modules
        lines = ["LoadModule %s_module %s/mod_%s.so" % (n, MODULES, n) for n in names]
        if self.load_module:
            lines.append("LoadModule greenbalance_module " + module_file())
        lines += [
            "ServerRoot " + self.dir, "ServerName localhost",
            "Listen 127.0.0.1:%d" % self.port,
            "PidFile " + self.path("run", "httpd.pid"),
            "DefaultRuntimeDir " + self.path("run"),
            "ErrorLog " + self.path("log", "error.log"), "LogLevel info",
            "User " + self.user, "Group " + self.user,
            "ProxyTimeout 30", "GracefulShutdownTimeout 30",
            self.mpm_lines(),
        ]
        if self.load_module:
            lines += ["GreenStateDir " + self.path("state"),
                      "GreenRuntimeDir " + self.path("run", "green"),
                      "GreenKeeperUser " + KEEPER_USER]
            lines += ["GreenPowerDriver %s %s" % (name, " ".join(argv))
                      for name, argv in self.drivers.items()]
            if self.secrets:
                lines.append("GreenSecrets " + self.path("secrets"))
        if os.environ.get("GB_CORES"):  # a directory for core files, to look at a crash
            lines.append("CoreDumpDirectory " + os.environ["GB_CORES"])
        lines.append(self.main)
        if self.members:
            green = "    GreenBalance %s\n" % self.policy_on if self.load_module else ""
            lines.append('<Proxy "balancer://%s">\n%s\n    ProxySet lbmethod=%s\n%s%s\n</Proxy>' % (
                self.balancer_name, self.member_lines(), self.method, green, self.balancer))
        lines += ['<Location "/green">\n    SetHandler greenbalance-status\n</Location>',
                  '<Location "/balancer-manager">\n    SetHandler balancer-manager\n</Location>',
                  '<Location "/server-status">\n    SetHandler server-status\n</Location>',
                  'ProxyPass "/green" "!"', 'ProxyPass "/balancer-manager" "!"',
                  'ProxyPass "/server-status" "!"']
        if self.members:
            lines.append('ProxyPass "/" "balancer://%s/"' % self.balancer_name)
        lines.append(self.vhosts)
        return "\n".join(lines) + "\n"

    def write(self):
        with open(self.path("httpd.conf"), "w") as f:
            f.write(self.text())
        if self.secrets:
            fd = os.open(self.path("secrets"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(fd, "w") as f:
                f.write(self.secrets)

    def httpd(self, *arguments, check=True):
        done = subprocess.run([HTTPD, "-f", self.path("httpd.conf"), *arguments],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=60, env=dict(
                                  environment(),
                                  GREENBALANCE_TEST_CLOCK=self.clock.path))
        if check and done.returncode:
            raise AssertionError("httpd %s: %s\n%s" % (arguments, done.stdout, self.log()))
        return done

    # ------------------------------------------------------------ life

    def start(self):
        self.write()
        self.httpd("-k", "start")
        self.started = True
        # The port is open before the configuration is; the keeper comes last.
        wait(lambda: self.answers(), 15, "httpd answers", every_s=0.005)
        self.answered_at = time.time()
        wait(lambda: self.get("/green/status.json")[0] == 200 if self.load_module else True,
             15, lambda: "the status page:\n" + self.log())
        if self.load_module and self.members and self.policy_on != "off":
            wait(lambda: self.ctl("status").returncode == 0, 15,
                 lambda: "the keeper listens:\n" + self.log())
        return self

    def answers(self):
        try:
            with socket.create_connection(("127.0.0.1", self.port), 0.5):
                return True
        except OSError:
            return False

    def advance(self, seconds):
        """So much time passes for the module, at once; also its wall clock goes on."""
        self.clock.add(monotonic_s=seconds, wall_s=seconds)

    def set_back_wall(self, seconds):
        """Somebody sets the module's wall clock back."""
        self.clock.add(wall_s=-seconds)

    def pid(self):
        try:
            with open(self.path("run", "httpd.pid")) as f:
                return int(f.read())
        except (OSError, ValueError):
            return 0

    def graceful(self):
        self.write()
        self.httpd("-k", "graceful")

    def restart(self):
        self.write()
        self.httpd("-k", "restart")

    def children(self):
        """Pids of httpd's children, without the keeper."""
        pid, keeper = self.pid(), self.keeper_pid()
        done = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], text=True,
                              stdout=subprocess.PIPE)
        return [int(x) for x in done.stdout.split() if int(x) != keeper]

    def keeper_pid(self):
        if not self.load_module:
            return 0
        try:
            return self.status()["keeper"]["pid"]
        except (OSError, ValueError, KeyError):
            return 0

    def keeper_pids(self):
        """Every living process called greenkeeper that belongs to this httpd."""
        found = []
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                try:
                    with open("/proc/%s/comm" % entry) as f:
                        name = f.read().strip()
                    with open("/proc/%s/cmdline" % entry) as f:
                        cmdline = f.read()
                except OSError:
                    continue
                if name == "greenkeeper" and self.path("httpd.conf") in cmdline:
                    found.append(int(entry))
        return found

    def processes(self):
        """Every living process of this httpd, by its configuration file."""
        found = []
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                try:
                    with open("/proc/%s/cmdline" % entry) as f:
                        if self.path("httpd.conf") in f.read():
                            found.append(int(entry))
                except OSError:
                    continue
        return found

    def stop(self, how=signal.SIGTERM):
        """As apachectl stop does.

        httpd's event MPM has a race there: close_worker_sockets() reads a socket that its
        worker is freeing (seen in a core file: apr_os_sock_get under mod_mpm_event, no
        frame of ours).  So a child may crash while it is being ended, and only then.
        """
        pid, before = self.pid(), len(self.log().splitlines())
        if pid and os.path.exists("/proc/%d" % pid):
            os.kill(pid, how)
            wait(lambda: not os.path.exists("/proc/%d" % pid), 40, "httpd stops")
        self.allowed += [re.escape(line) for line in self.log().splitlines()[before:]
                         if re.search(r"AH0005[12]: .* Segmentation fault", line)]
        self.started = False

    def kill_all(self, grace=True):
        """As systemd does after the parent's death: the rest is ended by pid."""
        for pid in self.processes():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        wait(lambda: not self.processes(), 10, "all processes of httpd end")
        self.started = False

    def close(self):
        if self.started:
            self.stop(signal.SIGWINCH)  # graceful-stop
        self.kill_all()
        self.check_log()

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, value, trace):
        if kind:
            print(self.log()[-6000:])
            self.kill_all()
        else:
            self.close()

    # ------------------------------------------------------------ looking

    def url(self, path="/"):
        return "http://127.0.0.1:%d%s" % (self.port, path)

    def get(self, path="/", timeout=10, headers=None):
        """(status, body) of one request."""
        request = urllib.request.Request(self.url(path), headers=headers or {})
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def status(self):
        status, body = self.get("/green/status.json")
        assert status == 200, (status, body)
        return json.loads(body)

    def balancer_status(self, name=None):
        name = "balancer://" + (name or self.balancer_name)
        return next(b for b in self.status()["balancers"] if b["name"] == name)

    def members_status(self, name=None):
        return {m["url"]: m for m in self.balancer_status(name)["members"]}

    def member(self, url):
        return self.members_status()[url]

    def states(self):
        return {url: m["state"] for url, m in self.members_status().items()}

    def wait_state(self, url, state, timeout_s):
        wait(lambda: self.member(url)["state"] == state, timeout_s,
             lambda: "%s is %s: %s" % (url, state, self.member(url)))

    def ctl(self, *arguments):
        return subprocess.run(
            [greenctl_file(), "--socket", self.path("run", "green", "control.sock"),
             *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=30)

    def log(self):
        try:
            with open(self.path("log", "error.log"), errors="replace") as f:
                return f.read()
        except OSError:
            return ""

    def allow(self, *patterns):
        self.allowed += patterns

    def allow_once(self, pattern):
        """One such line may come, two are a fault."""
        self.allowed_once.append(pattern)

    def unexpected(self):
        wrong = re.compile(r"\[[^\]]*:(warn|error|crit|alert|emerg)\]|ERROR: AddressSanitizer"
                           r"|runtime error:|LeakSanitizer|exit signal")
        lines = [line for line in self.log().splitlines()
                 if wrong.search(line) and not any(re.search(p, line) for p in self.allowed)]
        for pattern in self.allowed_once:
            once = [line for line in lines if re.search(pattern, line)]
            if len(once) == 1:
                lines.remove(once[0])
        return lines

    def check_log(self):
        unexpected = self.unexpected()
        assert not unexpected, "undeclared in httpd's log:\n" + "\n".join(unexpected[:20])


def wait(condition, timeout_s, what, every_s=0.05):
    """Waits for a condition; what (text or function) says what was waited for."""
    end = time.monotonic() + timeout_s
    while True:
        try:
            result = condition()
        except (OSError, StopIteration, ValueError, KeyError):
            result = None
        if result:
            return result
        if time.monotonic() > end:
            raise AssertionError("waited %.1f s in vain for: %s" % (
                timeout_s, what() if callable(what) else what))
        time.sleep(every_s)


def fresh(directory):
    shutil.rmtree(directory, ignore_errors=True)
    os.makedirs(directory)
    return directory
