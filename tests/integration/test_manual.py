"""The manual's examples and the files of conf/ are right: httpd takes them."""

import os
import re
import subprocess

import pytest
from configkit import LOADED, config  # noqa: F401  a fixture
from proxy import HTTPD, MODULES, ROOT, environment, module_file


def manual():
    with open(os.path.join(ROOT, "docs", "directives.md")) as f:
        return f.read()


def examples():
    """(section, text) of each example in the manual."""
    found, section = [], None
    for part in re.split(r"^#{2,3} ", manual(), flags=re.M)[1:]:
        section = part.split("\n", 1)[0]
        found += [(section, text) for text in
                  re.findall(r"^```apache\n(.*?)^```", part, flags=re.M | re.S)]
    return found


def keeper_of(text):
    """The packaged user need not exist where tests run."""
    return "daemon" if "GreenKeeperUser" not in text else None


@pytest.mark.parametrize("section,text", examples(), ids=[s for s, _ in examples()])
def test_an_example_of_the_manual_passes(config, section, text):
    keeper = keeper_of(text)
    status, output, _ = config.test(
        text.replace("GreenKeeperUser greenbalance", "GreenKeeperUser daemon"), keeper=keeper)
    assert status == 0, output


def pages():
    """(page and number, text) of each example in the other pages."""
    found = []
    for name in sorted(os.listdir(os.path.join(ROOT, "docs"))):
        if name.endswith(".md") and name != "directives.md":
            with open(os.path.join(ROOT, "docs", name)) as f:
                texts = re.findall(r"^```apache\n(.*?)^```", f.read(), flags=re.M | re.S)
            found += [("%s-%d" % (name, i), text) for i, text in enumerate(texts)]
    return found


@pytest.mark.parametrize("text", [t for _, t in pages()], ids=[name for name, _ in pages()])
def test_an_example_of_a_page_passes(config, text):
    """A page shows what it is about: the file of secrets may be in another part."""
    if "ipmi=" in text and "GreenSecrets" not in text:
        text = "GreenSecrets /etc/apache2/greenbalance.secrets\n" + text
    more = ["authn_core", "authn_file", "auth_basic", "authz_user"]
    status, output, _ = config.test(text, loaded=LOADED + more, keeper=keeper_of(text))
    assert status == 0, output


def test_the_manual_has_each_directive_and_key_with_an_example(config):
    conf = config.file("list.conf", config.base(LOADED, None))
    listing = subprocess.run([HTTPD, "-L", "-f", conf], text=True, timeout=60,
                             stdout=subprocess.PIPE, env=environment()).stdout
    directives = set(re.findall(r"^(Green\w+) \(", listing, flags=re.M))
    keys = {"wake", "sleep", "machine", "mac", "wolto", "wolif", "ipmi", "redfish", "capacity",
            "watts", "offwatts", "boot", "domain", "mttf"}
    shown = {section for section, text in examples() if section in text}
    assert len(directives) == 34
    assert directives | keys <= shown
    for name in directives | keys:
        part = re.search(r"^### %s\n(.*?)(?=^##|\Z)" % name, manual(), flags=re.M | re.S)[1]
        assert "| Syntax | `" + name in part
        assert "| Default | " in part


def read_conf(name):
    with open(os.path.join(ROOT, "conf", name)) as f:
        return f.read()


def test_the_ten_lines_pass(config):
    text = read_conf("example.conf")
    assert text.count("\n") == 10
    status, output, _ = config.test(text)
    assert status == 0, output


def test_the_example_of_scaling_to_zero_passes_and_leaves_nothing_out(config):
    text = read_conf("scale-to-zero.conf")
    status, output, _ = config.test(text)
    assert status == 0 and output == "Syntax OK\n", output
    for name in ("GreenHold", "GreenQueue", "GreenWakeIgnore", "GreenSlowStart",
                 "GreenOutlier", "GreenSticky", "GreenHardOff", "GreenBmcCA"):
        assert re.search(r"^ *%s " % name, text, flags=re.M), name


def test_the_example_of_office_hours_passes(config):
    status, output, _ = config.test(read_conf("office-hours.conf"))
    assert status == 0 and output == "Syntax OK\n", output


def test_the_example_of_replicated_writes_passes_and_leaves_nothing_out(config):
    text = read_conf("replicated-writes.conf")
    status, output, _ = config.test(text)
    assert status == 0 and output == "Syntax OK\n", output
    for name in ("GreenReplicas", "GreenCommit", "GreenCommitLimits", "GreenCommitBackend",
                 "GreenCommitBody", "GreenCommitHeaders", "GreenCommitStale", "GreenResync"):
        assert re.search(r"^ *%s " % name, text, flags=re.M), name


@pytest.mark.parametrize("uncomment", [False, True], ids=["as-shipped", "uncommented"])
def test_the_packaged_configuration_passes(config, uncomment):
    text = read_conf("proxy_greenbalance.conf")
    if uncomment:
        text = re.sub(r"^#(?=[A-Z<]|    [A-Z][A-Za-z]+ [a-z\"])", "", text, flags=re.M)
        assert "\n    BalancerMember" in text and "\n</Proxy>" in text
    status, output, _ = config.test(text)
    assert status == 0, output


def test_the_load_file_loads_what_is_installed(config):
    text = read_conf("proxy_greenbalance.load")
    assert text.startswith("# Depends: ")
    for name in text.split("\n", 1)[0].split(":")[1].split():
        assert os.path.exists("/etc/apache2/mods-available/%s.load" % name), name
    lines = [x for x in text.splitlines() if not x.startswith("#")]
    assert lines == ["LoadModule greenbalance_module " + MODULES + "/mod_greenbalance.so"]
    conf = config.file("load.conf", config.base(LOADED, None).replace(
        "LoadModule greenbalance_module " + module_file(),
        text.replace(MODULES + "/mod_greenbalance.so", module_file())))
    done = subprocess.run([HTTPD, "-t", "-f", conf], text=True, timeout=60,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          env=environment())
    assert done.returncode == 0, done.stdout
