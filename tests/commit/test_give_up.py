"""greenctl give-up: a write that no server answers, and for which all later ones wait."""

import os

from replicas import Site, has_test_clock, wait

POISON = "/poison"
GONE = [r"GB0308", r"GB0309", r"panic"]  # of a keeper that is killed


def give_up(site, *words):
    done = site.proxy.ctl("give-up", *words)
    return done.returncode, done.stdout


def asides(site):
    return [site.lags()[r.url]["aside"] for r in site.replicas]


def poisoned(site, **modes):
    """Entry 2 is answered by nobody, and 3 waits for it."""
    assert site.write(key="before").status == 201
    site.settle()
    for replica in site.replicas:
        replica.mode(paths=[POISON], **modes[replica.name])
    assert site.write("POST", POISON, key="poison").status == 202
    assert site.write(key="behind").field["state"] == "open"
    wait(lambda: site.proxy.log().count("entry 2 will be sent again") == len(modes), 10,
         "each was asked")


def is_over(site):
    """The poison has failed, for its client, too, and everything else goes on."""
    assert site.state("poison", wait_s=10)["state"] == "failed"
    assert site.state("behind", wait_s=10)["state"] in ("met", "everywhere")
    again = site.write("POST", POISON, key="poison")
    assert again.status == 502 and b"operator has given it up" in again.body, again
    assert again.field["state"] == "failed"
    assert site.write(key="after").status == 201
    wait(lambda: site.log()["given_up"] == 1, 5, site.log)
    assert site.log()["failed"] == 1 and "GB1571" in site.proxy.log()


def test_what_everybody_refuses_is_given_up(base, monkeypatch):
    """By 503 and 429 nothing was changed: who said so is not set aside.  The keeper dies
    between the command and the verdict; the next one obeys."""
    fail = base / "fail"
    fail.write_text("before_verdict:kill:2\n")  # the first verdict is that of "before"
    os.chmod(fail, 0o644)
    monkeypatch.setenv("GREEN_FAIL", str(fail))
    with Site(base / "site", replicas=3, level="l1", commit="quorum=2 wait=200ms") as site:
        poisoned(site, r1={"status": 503}, r2={"status": 429}, r3={"status": 503})
        for words, why in ((("app", "1"), "has a verdict"), (("app", "0"), "no such entry"),
                           (("app", "9"), "no such entry"), (("app", "3"), "verdict is 2"),
                           (("ape", "2"), "no balancer ape")):
            code, said = give_up(site, *words)
            assert code == 1 and why in said, (words, said)
        assert site.state("poison")["state"] == "open"
        wait(lambda: "ENTRY 2 has no answer" in site.proxy.ctl("status").stdout, 10,
             "status names it")
        fail.unlink()  # it was read: the next keeper lives
        keeper = site.proxy.keeper_pid()
        code, said = give_up(site, "balancer://app", "2")
        if has_test_clock():
            site.proxy.allow(*GONE)
            assert code == 3, said
            wait(lambda: site.proxy.keeper_pid() not in (0, keeper) and site.log()["live"], 20,
                 "another keeper")
        else:
            assert code == 0 and "entry 2 is given up" in said, said
        is_over(site)
        assert give_up(site, "app", "2")[0] == 1
        site.settle()
        # Who was asked once more at that very moment may have it: nobody knows.
        assert sum(asides(site)) <= 1
        told = site.proxy.log().count("is set aside at entry 2: entry 2 was given up by the")
        assert told == sum(asides(site))
        kept = [r.keys() for r, aside in zip(site.replicas, asides(site)) if not aside]
        assert all(keys == kept[0] for keys in kept)
        assert site.replicas[0].keys() == ["before", "behind", "after"]


def test_who_may_have_it_is_set_aside_and_one_has_to_be_left(base):
    """The first has done it, the second has not: both have closed the connection."""
    modes = {"r1": {"reset": "after"}, "r2": {"reset": "before"}}
    with Site(base / "site", replicas=2, level="l1", commit="quorum=1 wait=200ms") as site:
        site.proxy.allow(r"panic")
        poisoned(site, **modes)
        first, second = site.replicas
        code, said = give_up(site, "app", "2")
        assert code == 1 and "--even-so" in said and "greenctl accept" in said, said
        assert asides(site) == [False, False]
        code, said = give_up(site, "app", "2", "--even-so")
        assert code == 0 and "entry 2 is given up" in said, said
        assert site.state("poison", wait_s=10)["state"] == "failed"
        wait(lambda: asides(site) == [True, True], 5, site.lags)
        assert "entry 2 was given up" in site.lags()[first.url]["why"]
        assert site.state("behind")["state"] == "open"
        assert site.proxy.ctl("accept", second.url).returncode == 0
        is_over(site)
        site.settle()
        assert asides(site) == [True, False]
        assert second.keys() == ["before", "behind", "after"]
