"""A configuration that only has to be read: `apache2 -t`."""

import os
import subprocess
import tempfile

import pytest
from proxy import HTTPD, MODULES, environment, module_file

LOADED = ["mpm_event", "authz_core", "authz_host", "slotmem_shm", "proxy", "proxy_http",
          "proxy_balancer", "lbmethod_byrequests"]

# What stands in examples -> what stands in for it here.
STAND_INS = {"/etc/apache2/greenbalance.secrets": "secrets",
             "/etc/apache2/waiting.html": "page.html",
             "/etc/apache2/bmc-ca.pem": "page.html",
             "/usr/local/sbin/rackpdu": "driver",
             "/usr/local/sbin/suspend-by-ssh": "driver",
             "/usr/local/sbin/copy-database": "driver"}


class Config:
    """A directory with a configuration that only has to be read; the journal's key lies
    on another file system."""

    def __init__(self, directory, elsewhere):
        self.dir = str(directory)
        self.key = os.path.join(elsewhere, "journal.key")
        os.chmod(self.dir, 0o755)
        os.mkdir(self.path("state"))
        self.file("secrets", "ipmi 10.0.1.11 admin secret\n", 0o600)
        self.file("page.html", "x" * (256 * 1024))
        self.file("large.html", "x" * (256 * 1024 + 1))
        self.file("driver", "#!/bin/sh\n", 0o755)
        for key in (self.key, self.path("near.key")):
            self.file(key, "0123456789abcdef" * 2, 0o600)

    def path(self, name):
        return os.path.join(self.dir, name)

    def file(self, name, text, mode=0o644):
        fd = os.open(self.path(name), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        with os.fdopen(fd, "w") as f:
            f.write(text)
        os.chmod(self.path(name), mode)
        return self.path(name)

    def base(self, loaded, keeper):
        lines = ["ServerRoot " + self.dir, "ServerName localhost",
                 "Listen 127.0.0.1:1", "ErrorLog " + self.path("error.log"),
                 "DefaultRuntimeDir " + self.dir, "User www-data", "Group www-data"]
        lines += ["LoadModule %s_module %s/mod_%s.so" % (n, MODULES, n) for n in loaded]
        lines.append("LoadModule greenbalance_module " + module_file())
        lines.append("GreenStateDir " + self.path("state"))
        if keeper:
            lines.append("GreenKeeperUser " + keeper)
        return "\n".join(lines) + "\n"

    def test(self, text, loaded=LOADED, keeper="daemon"):
        """(exit status, output, line number of the file at which `text` begins)"""
        base = self.base(loaded, keeper)
        text = text.replace("DIR", self.dir).replace("key=KEY", "key=" + self.key)
        text = text.replace("/root/greenbalance-journal.key", self.key)
        text = text.replace("/var/lib/greenbalance/", self.path("state/"))
        for real, name in STAND_INS.items():
            text = text.replace(real, self.path(name))
        conf = self.file("httpd.conf", base + text)
        done = subprocess.run([HTTPD, "-t", "-f", conf], text=True, timeout=60,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              env=environment())
        return done.returncode, done.stdout, base.count("\n") + 1


@pytest.fixture
def config(tmp_path):
    with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="green-") as elsewhere:
        yield Config(tmp_path, elsewhere)
