"""Which line of the secrets file serves which machine: secrets.c without httpd."""

import os
import subprocess

import pytest

from proxy import ROOT

FILE = """
redfish https://bmc            service  p0
redfish https://bmc/v1/Sys/2   blade2   p2
redfish https://bmc/v1         api      p1
redfish https://bmc:8443       other    p3
redfish http://bmc/a           clear    p4
agent   http://web1            key-of-web1-port-80
agent   https://Web1:8443/app  "key of web1 8443"
agent   ajp://[2001:DB8:0::7]  key-of-web7-by-ajp
"""

ASKED = [
    ("redfish", "https://bmc", "service p0"),
    ("redfish", "https://bmc/", "service p0"),
    ("redfish", "https://bmc/v2/Sys/2", "service p0"),
    ("redfish", "https://bmc/v", "service p0"),
    ("redfish", "https://bmc/v1", "api p1"),
    ("redfish", "https://bmc/v1/Sys/1", "api p1"),
    ("redfish", "https://bmc/v1/Sys/22", "api p1"),
    ("redfish", "https://bmc/v1/Sys/2", "blade2 p2"),
    ("redfish", "https://bmc/v1/Sys/2/Actions/Reset", "blade2 p2"),
    ("redfish", "https://bmc:8443/v1/Sys/2", "other p3"),
    ("redfish", "http://bmc/a/b", "clear p4"),
    ("redfish", "http://bmc/ab", "-"),
    ("redfish", "http://bmc", "-"),
    ("redfish", "https://bmc.example.net", "-"),
    ("redfish", "https://bm", "-"),
    ("redfish", "bmc", "-"),
    ("redfish", "", "-"),
    ("agent", "http://web1", "key-of-web1-port-80"),
    ("agent", "http://web1:80/shop", "key-of-web1-port-80"),
    ("agent", "https://web1:8443", "key of web1 8443"),
    ("agent", "ajp://[2001:db8::7]:8009", "key-of-web7-by-ajp"),
    ("agent", "https://web1", "-"),
    ("agent", "http://web2", "-"),
    ("agent", "web1", "-"),
]


@pytest.fixture(scope="module")
def harness(tmp_path_factory):
    program = str(tmp_path_factory.mktemp("secrets") / "secrets_harness")

    def words(*argv):
        return subprocess.run(argv, check=True, text=True,
                              stdout=subprocess.PIPE).stdout.split()

    subprocess.run(
        ["gcc", "-std=gnu11", "-g", "-O1", "-Wall", "-fsanitize=address,undefined",
         "-fno-sanitize-recover=undefined", "-I.", "-o", program]
        + words("apxs", "-q", "EXTRA_CPPFLAGS")
        + ["-I" + words("apxs", "-q", "INCLUDEDIR")[0]] + words("apr-1-config", "--includes")
        + ["tests/integration/secrets_harness.c", "secrets.c", "core/gb_secrets.c",
           "core/gb_parse.c", "core/gb_packet.c"]
        + words("apr-1-config", "--link-ld") + words("apu-1-config", "--link-ld"),
        cwd=ROOT, check=True)
    return program


def test_a_line_serves_what_its_url_begins_or_what_server_it_names(harness, tmp_path):
    path = str(tmp_path / "secrets")
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as f:
        f.write(FILE)
    questions = [word for kind, url, _ in ASKED for word in (kind, url)]
    done = subprocess.run([harness, path] + questions, text=True, timeout=20,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout
    answers = done.stdout.splitlines()
    assert answers[1::2] == ["-"] * len(ASKED)  # without a file, nothing
    assert list(zip([a[:2] for a in ASKED], answers[::2])) == [
        (a[:2], a[2]) for a in ASKED]
