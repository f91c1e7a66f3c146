"""greenctl journal check and repair: of a damaged journal everything that opens is kept in
its order, and nobody is believed to have what was lost."""
import os
import re
import shutil
import subprocess

import pytest

from journalkit import MB, ROOT, SANITIZE, build_greenctl
from test_journal import (SEED, chance, numbers, opened, program,  # noqa: F401
                          refused, written)


@pytest.fixture(scope="session")
def greenctl(tmp_path_factory):
    folder = tmp_path_factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        folder = folder.parent
    return build_greenctl(folder, SANITIZE)


@pytest.fixture
def path(tmp_path):
    for name, byte in (("key", 1), ("other", 2)):
        with open(tmp_path / name, "wb", opener=lambda p, f: os.open(p, f, 0o600)) as f:
            f.write(bytes([byte]) * 32)
    return str(tmp_path / "journal")


def run(greenctl, verb, path, *more, key="key", ok=True, **environment):
    done = subprocess.run(
        [greenctl, "journal", verb, path, "--key",
         os.path.join(os.path.dirname(path), key), *more],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False,
        env=dict(os.environ, ASAN_OPTIONS="detect_leaks=0:verify_asan_link_order=0",
                 **environment))
    assert done.returncode == (0 if ok else 1), (done.stdout, done.stderr)
    return done.stdout + done.stderr


def fill(program, path):
    """A journal with two replicas, part of it in its file and part in the WAL; opened."""
    for seed, batches in ((SEED, 50), (SEED + 1, 8)):
        journal = opened(program, path, size=4 * MB)
        journal.say("log", "balancer://app")
        journal.say("replica", 1, "http://10.0.0.12", 5, 0, 0, "")
        journal.tell("load", 1, seed, 12, 3000, batches)
        while journal.hear() != "loaded":
            pass
        if batches == 50:
            journal.end()
    return journal


def state_of(journal):
    return (journal.say("verdicts", 1).split()[1], journal.say("log", "balancer://app"),
            journal.say("replicas", 1))


@pytest.fixture
def spoiled(program, path):
    """Copies of such a journal, and what it holds."""
    journal = fill(program, path)
    holds = state_of(journal)
    journal.kill()
    for end in ("", "-wal", "-lock"):
        shutil.copy(path + end, path + end + ".good")
    return holds


def restore(path):
    folder, name = os.path.split(path)
    for left in os.listdir(folder):
        if left.startswith(name) and not left.endswith(".good"):
            os.unlink(os.path.join(folder, left))
    for end in ("", "-wal", "-lock"):
        shutil.copy(path + end + ".good", path + end)


def replicas_of(line):
    return {fields[0]: (int(fields[1]), fields[3] == "1")
            for fields in (row.split(",") for row in line.split()[1:] if row.count(",") >= 4)}


def judge(program, path, holds, said):
    """Is what was repaired a part of what was there, and does it say what is missing?
    Returns how many entries are lost."""
    journal = opened(program, path, size=4 * MB)
    verified = journal.say("verify", 1)
    assert verified.startswith("verified "), verified
    verdicts, log, replicas = state_of(journal)
    journal.end()
    was = holds[0]
    tail = "lost: the latest commits" in said or "lost: perhaps the latest" in said
    assert len(verdicts) == len(was) or (tail and len(verdicts) < len(was))
    for seq, (now, before) in enumerate(zip(verdicts, was), 1):
        # A verdict of a commit that is missing is open again.
        assert now in (before, "?") or (tail and now == "o"), (seq, now, before)
    lost = verdicts.count("?")
    cursors = replicas_of(holds[2])
    for name, (cursor, aside) in replicas_of(replicas).items():
        assert cursor <= cursors[name][0]
        if tail:
            assert aside, (name, said)
    assert log.split()[2] == str(len(verdicts))
    return lost, tail


# ------------------------------------------------------------------ what is whole


def test_a_whole_journal_is_called_whole(program, greenctl, path):
    fill(program, path).end()
    said = run(greenctl, "check", path)
    assert said.endswith("whole\n")
    assert "log: balancer://app: entries 1 to " in said
    assert "replica: http://10.0.0.12 has 5" in said


def test_repairing_a_whole_journal_keeps_all(program, greenctl, path, spoiled):
    said = run(greenctl, "repair", path)
    assert "lost:" not in said and "set aside" not in said
    journal = opened(program, path, size=4 * MB)
    assert state_of(journal) == spoiled
    assert journal.say("verify", 1).startswith("verified ")
    journal.end()
    assert run(greenctl, "check", path).endswith("whole\n")
    old = re.search(r"the old one is (\S+)", said).group(1)
    with open(old, "rb") as a, open(path + ".good", "rb") as b:
        assert a.read() == b.read()
    assert os.path.exists(old.replace("journal.damaged", "journal-wal.damaged"))


def test_deleted_entries_do_not_come_back(program, greenctl, path):
    journal = fill(program, path)
    assert journal.say("trim", 1, 100, 2**62, 100) == "trimmed 100"
    assert journal.say("forget", 1, "http://10.0.0.12") == "ok"
    assert journal.say("commit") == "ok"
    holds = state_of(journal)
    journal.end()
    assert holds[0].startswith("-" * 100)
    run(greenctl, "repair", path)
    journal = opened(program, path, size=4 * MB)
    assert state_of(journal) == holds
    assert journal.say("find", 1, "POST-0") == "error 70015"
    expired = [journal.say("find", 1, f"{m}-50") for m in ("POST", "PUT", "DELETE", "PATCH")]
    assert expired.count("expired 50") == 1
    journal.end()


# ------------------------------------------------------------------ damage


@pytest.mark.parametrize("end", ["", "-wal"])
def test_whatever_changed_the_rest_is_kept(program, greenctl, path, spoiled, chance, end):
    used = written(path + end + ".good")
    most = 0
    for i in range(15):
        restore(path)
        with open(path + end, "r+b") as f:
            at = chance.randrange(min(used, 200) if i % 3 == 0 else used)
            f.seek(at)
            old = f.read(chance.choice((1, 16, 4096, 20000)))
            f.seek(at)
            f.write(bytes(b ^ chance.randrange(1, 256) for b in old))
        said = run(greenctl, "repair", path)
        lost, _ = judge(program, path, spoiled, said)
        most = max(most, lost)
        assert lost < 60, "more was lost than was spoiled"
        assert run(greenctl, "check", path).endswith("whole\n")
    print("most lost", most)


@pytest.mark.parametrize("end", ["", "-wal"])
def test_whatever_was_cut_the_rest_is_kept(program, greenctl, path, spoiled, chance, end):
    used = written(path + end + ".good")
    for _ in range(10):
        restore(path)
        os.truncate(path + end, chance.randrange(used))
        said = run(greenctl, "repair", path)
        judge(program, path, spoiled, said)
        assert run(greenctl, "check", path).endswith("whole\n")


def test_what_leads_to_the_rows_is_not_needed(program, greenctl, path, spoiled):
    """Without a single page that has no rows in it, nothing is lost."""
    for end, head in (("", 0), ("-wal", 24)):
        with open(path + end, "r+b") as f:
            content = f.read()
            at = 32 if head else 4096
            while at + head + 4096 <= len(content):
                if content[at + head] in (2, 5):
                    f.seek(at + head)
                    f.write(bytes(4096))
                at += head + 4096
    with open(path, "r+b") as f:
        f.write(b"nothing of a header")
    refused(program, path, size=4 * MB)
    said = run(greenctl, "repair", path)
    assert "lost:" not in said, said
    assert judge(program, path, spoiled, said) == (0, False)


def test_briefs_are_made_again_from_requests_and_answers(program, greenctl, path):
    journal = opened(program, path)
    journal.say("log", "balancer://app")
    for i in range(1, 9):
        journal.say("append", 1, f"PUT-{i}", 500)
        if i < 6:
            journal.say("verdict", 1, i, 200 if i % 2 else 409, 500)
    journal.say("commit")
    holds = state_of(journal)
    journal.end()
    subprocess.run(["sqlite3", path, "DELETE FROM brief"], check=True)
    with open(path, "r+b") as f:  # and what SQLite leaves of the deleted rows
        content = bytearray(f.read())
    os.chmod(path, 0o600)
    os.unlink(path + "-wal") if os.path.exists(path + "-wal") else None
    for page in range(0, len(content), 4096):
        if content[page] == 0x0d and content[page + 3:page + 5] == b"\0\0":
            content[page + 8:page + 4096] = bytes(4088)
    with open(path, "wb") as f:
        f.write(content)
    assert "an entry is missing" in refused(program, path)
    said = run(greenctl, "repair", path)
    assert "lost:" not in said, said
    journal = opened(program, path)
    assert state_of(journal) == holds
    assert journal.say("verify", 1) == "verified 8 5 1 3"
    assert journal.say("peek", 1, 3).startswith("peek 1 200 1 0 ")
    journal.end()


# ------------------------------------------------------------------ replicas


def with_a_hole(program, path):
    """Entry 3 of 6 is gone; one replica has confirmed it, and one has not."""
    journal = opened(program, path)
    journal.say("log", "balancer://app")
    for i in range(1, 7):
        journal.say("append", 1, f"PUT-{i}", 500)
        journal.say("verdict", 1, i, 200, 500)
    journal.say("replica", 1, "r1", 6, 0, 0, "")
    journal.say("replica", 1, "r2", 2, 0, 0, "")
    journal.say("replica", 1, "r3", 3, 0, 0, "")
    journal.say("commit")
    journal.end()
    key = (1 << 47) + 3
    subprocess.run(["sqlite3", path, "PRAGMA secure_delete = ON", "; ".join(
        f"DELETE FROM {table} WHERE key = {key}"
        for table in ("brief", "request", "answer"))], check=True,
        stdout=subprocess.DEVNULL)
    for left in ("-wal", "-shm"):
        if os.path.exists(path + left):
            os.unlink(path + left)


def test_who_has_not_passed_a_lost_entry_is_set_aside(program, greenctl, path):
    with_a_hole(program, path)
    assert "an entry is missing" in refused(program, path)
    assert "is missing" in run(greenctl, "check", path, ok=False)
    said = run(greenctl, "repair", path)
    assert "lost: entry 3 of balancer://app" in said
    journal = opened(program, path)
    assert journal.say("verdicts", 1) == "verdicts aa?aaa"
    replicas = replicas_of(journal.say("replicas", 1))
    assert replicas == {"r1": (6, False), "r2": (2, True), "r3": (3, False)}
    assert journal.say("peek", 1, 3).startswith("peek 3 0 ")
    assert journal.say("append", 1, "PUT-7", 10) == "seq 7"
    journal.end()


def test_a_trusted_replica_is_not_set_aside(program, greenctl, path):
    with_a_hole(program, path)
    assert "no such replica" in run(greenctl, "repair", path, "--trust", "r9", ok=False)
    said = run(greenctl, "repair", path, "--trust", "r2")
    assert "set aside" not in said
    journal = opened(program, path)
    assert replicas_of(journal.say("replicas", 1))["r2"] == (6, False)
    journal.end()


def test_when_the_latest_commits_are_missing_nobody_is_believed(program, greenctl, path,
                                                                spoiled):
    with open(path + "-wal", "r+b") as f:
        f.write(bytes(written(path + "-wal")))
    assert "latest commits are missing" in refused(program, path, size=4 * MB)
    said = run(greenctl, "repair", path)
    assert re.search(r"lost: the latest commits \(\d+, by the lock file\)", said)
    _, tail = judge(program, path, spoiled, said)
    assert tail


def test_without_the_lock_file_nobody_is_believed(program, greenctl, path, spoiled):
    os.truncate(path + "-lock", 0)
    said = run(greenctl, "repair", path)
    assert "lost: perhaps the latest commits; the lock file cannot tell" in said
    judge(program, path, spoiled, said)


def test_the_epoch_is_another_one(program, greenctl, path):
    journal = fill(program, path)
    epoch = journal.epoch
    journal.end()
    run(greenctl, "repair", path)
    journal = opened(program, path, size=4 * MB)
    assert journal.epoch > epoch
    journal.end()


# ------------------------------------------------------------------ dropping


def test_a_log_that_is_dropped_gives_its_room_back(program, greenctl, path):
    journal = opened(program, path, size=4 * MB)
    for log, name in ((1, "a"), (2, "b")):
        journal.say("log", name)
        journal.say("replica", log, "r1", 3, 0, 0, "")
        for i in range(1, 101):
            journal.say("append", log, f"POST-{i}", 5000)
        for i in (1, 2, 3):
            journal.say("verdict", log, i, 200, 10)
        journal.say("commit")
    before = numbers(journal.say("space"))[0]
    journal.end()
    assert "no such log" in drop(greenctl, path, "c", ok=False)
    assert "dropped: a, with 100 entries" in drop(greenctl, path, "a")
    said = run(greenctl, "check", path)
    assert "log: b: entries 1 to 100" in said and "log: a" not in said
    for repaired in (False, True):  # nor does a repair bring it back
        if repaired:
            run(greenctl, "repair", path)
        journal = opened(program, path, size=4 * MB)
        assert numbers(journal.say("space"))[0] < before * 0.6
        assert journal.say("log", "b") == "log 2 100 3"
        assert journal.say("verify", 2) == "verified 100 3 1 97"
        assert journal.say("replicas", 2) == "replicas r1,3,0,0,"
        assert journal.say("log", "a") == ("log 4 0 0" if repaired else "log 3 0 0")
        assert journal.say("replicas", 4 if repaired else 3) == "replicas"
        assert journal.say("find", 4 if repaired else 3, "POST-1") == "error 70015"
        journal.end()
        drop(greenctl, path, "a")


def drop(greenctl, path, log, ok=True):
    done = subprocess.run(
        [greenctl, "journal", "drop", path, log, "--key",
         os.path.join(os.path.dirname(path), "key")],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == (0 if ok else 1), (done.stdout, done.stderr)
    return done.stdout + done.stderr


def test_a_log_is_dropped_by_the_name_of_its_balancer(program, greenctl, path):
    """The keeper calls a log "ID BALANCER"."""
    journal = opened(program, path, size=4 * MB)
    for i, name in enumerate(("p1 balancer://a", "p2 balancer://b", "p3 balancer://b"), 1):
        assert journal.say("log", *name.split()) == "log %d 0 0" % i
    journal.end()
    assert "no such log" in drop(greenctl, path, "p1", ok=False)
    assert "several logs" in drop(greenctl, path, "balancer://b", ok=False)
    assert "dropped: balancer://a" in drop(greenctl, path, "balancer://a")
    assert "dropped: p2 balancer://b" in drop(greenctl, path, "p2 balancer://b")
    said = run(greenctl, "check", path)
    assert "log: p3 balancer://b: entries 1 to 0" in said
    assert "balancer://a" not in said and "p2" not in said


# ------------------------------------------------------------------ what is refused


def test_another_key_changes_nothing(program, greenctl, path, spoiled):
    assert "nothing in it opens" in run(greenctl, "repair", path, key="other", ok=False)
    assert "another key" in run(greenctl, "check", path, key="other", ok=False)
    for end in ("", "-wal", "-lock"):
        with open(path + end, "rb") as a, open(path + end + ".good", "rb") as b:
            assert a.read() == b.read()
    assert not [name for name in os.listdir(os.path.dirname(path)) if "repair" in name]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_files_stay_those_of_the_keepers_user(program, greenctl, path):
    fill(program, path).end()
    for end in ("", "-wal", "-lock"):
        os.chown(path + end, 65534, 65534)
    assert run(greenctl, "check", path).endswith("whole\n")
    run(greenctl, "repair", path)
    for end in ("", "-wal", "-lock"):
        info = os.stat(path + end)
        assert (info.st_uid, info.st_mode & 0o777) == (65534, 0o600)
    os.unlink(path + "-lock")
    run(greenctl, "check", path)
    assert os.stat(path + "-lock").st_uid == 65534


def test_a_journal_in_use_is_refused(program, greenctl, path):
    journal = fill(program, path)
    for verb in ("check", "repair"):
        assert "in use by another process" in run(greenctl, verb, path, ok=False)
    journal.end()
    run(greenctl, "check", path)


def contents_of(folder):
    found = {}
    for name in os.listdir(folder):
        with open(os.path.join(folder, name), "rb") as f:
            found[name] = f.read()
    return found


def test_a_new_file_that_cannot_be_put_in_place_changes_nothing(program, greenctl, path,
                                                                tmp_path_factory):
    """One rename fails, each in its turn: those before it are taken back."""
    layer = str(tmp_path_factory.mktemp("layer") / "failing_rename.so")
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", layer,
                    os.path.join(ROOT, "tests/commit/failing_rename.c")], check=True)
    fill(program, path).end()
    before = contents_of(os.path.dirname(path))
    for number in range(1, 6):
        told = run(greenctl, "repair", path, ok=False, LD_PRELOAD=layer,
                   GREEN_FAILING_RENAME=str(number))
        assert "cannot be renamed: Input/output error" in told, number
        assert contents_of(os.path.dirname(path)) == before, number
    run(greenctl, "repair", path, LD_PRELOAD=layer, GREEN_FAILING_RENAME="6")


def test_check_finds_what_the_keeper_would_refuse(program, greenctl, path):
    """Rows that are of another place, beside what the logs know of."""
    fill(program, path).end()
    for table, change in (("gone", "INSERT INTO gone SELECT key, row FROM brief LIMIT 1"),
                          ("brief", "INSERT INTO brief SELECT key + 99999, row FROM brief"
                           " LIMIT 1"),
                          ("state", "INSERT INTO state SELECT key + 1, row FROM state ORDER BY"
                           " key DESC LIMIT 1")):
        shutil.copy(path, path + ".whole")
        subprocess.run(["sqlite3", path, change], check=True, stdout=subprocess.DEVNULL)
        told = run(greenctl, "check", path, ok=False)
        assert "1 findings" in told, (table, told)
        shutil.copy(path + ".whole", path)
    os.unlink(path + ".whole")
    run(greenctl, "check", path)


def test_keys_that_are_no_secret_are_refused(program, greenctl, path):
    fill(program, path).end()
    folder = os.path.dirname(path)
    os.chmod(folder + "/key", 0o644)
    assert "with mode 0600" in run(greenctl, "check", path, ok=False)
    os.chmod(folder + "/key", 0o600)
    with open(folder + "/key", "ab") as f:
        f.write(b"x")
    assert "exactly 32 bytes" in run(greenctl, "check", path, ok=False)


def test_nothing_is_made_where_nothing_is(greenctl, path):
    for verb in ("check", "repair"):
        assert "No such file" in run(greenctl, verb, path, ok=False)
    assert sorted(os.listdir(os.path.dirname(path))) == ["key", "other"]


@pytest.mark.parametrize("words", [
    [], ["check"], ["mend", "x", "--key", "k"], ["check", "x"], ["check", "x", "y"],
    ["check", "x", "--key", "k", "--trust", "r"], ["drop", "x", "--key", "k"],
    ["drop", "x", "y", "z", "--key", "k"], ["repair", "x", "--kee", "k"]])
def test_wrong_usage(greenctl, words):
    done = subprocess.run([greenctl, "journal", *words], stderr=subprocess.PIPE, text=True,
                          check=False)
    assert done.returncode == 2 and "Try greenctl journal --help" in done.stderr
    help_text = subprocess.run([greenctl, "journal", "--help"], stdout=subprocess.PIPE,
                               text=True, check=True).stdout
    assert "--trust REPLICA" in help_text
