"""Replicas that are reached by https, and what stays in force for writes."""

import os
import subprocess

import pytest
from replicas import Site, wait

from proxy import MODULES


def certificate(base, name):
    files = [str(base / (name + end)) for end in (".pem", ".key")]
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=" + name,
                    "-addext", "subjectAltName=IP:127.0.0.1", "-out", files[0], "-keyout",
                    files[1]], check=True, capture_output=True)
    os.chmod(files[0], 0o644)
    return files


def test_writes_go_to_those_whose_certificate_is_trusted(base):
    """Two have it by the authority that is named, one is by another."""
    known, other = certificate(base, "known"), certificate(base, "other")
    with Site(base / "site", commit="quorum=2 wait=10s", tls=[known, known, other], balancer="""
    SSLProxyEngine on
    SSLProxyVerify require
    SSLProxyCACertificateFile %s
""" % known[0]) as site:
        site.proxy.allow(r"AH0", r"SSL Library Error")
        assert site.write(key="a").field["copies"] == "2"
        assert [r.keys() for r in site.replicas] == [["a"], ["a"], []]
        wait(lambda: "GB1553" in site.proxy.log(), 10, site.proxy.log)
        told = [line for line in site.proxy.log().splitlines() if "GB1553" in line]
        assert site.replicas[2].url in told[0] and "certificate" in told[0]


SECURITY = os.path.join(MODULES, "mod_security2.so")


@pytest.mark.skipif(not os.path.exists(SECURITY),
                    reason="needs libapache2-mod-security2, which tests/install brings")
def test_what_a_rule_of_mod_security_refuses_is_neither_stored_nor_sent(base):
    with Site(base / "site", replicas=2, modules=["unique_id", "security2"], main="""
SecRuleEngine On
SecRequestBodyAccess On
SecAuditEngine Off
SecDataDir %s
SecRule REQUEST_BODY "@contains evil" "id:1,phase:2,deny,status:403"
""" % base) as site:
        site.proxy.allow(r"ModSecurity")
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        assert site.write(body="a=good", key="a", headers=form).status == 201
        assert site.write(body="a=evil", key="b", headers=form).status == 403
        assert site.log()["head"] == 1 and site.state("b") == {"status": 404}
        site.settle()
        assert [r.keys() for r in site.replicas] == [["a"], ["a"]]
