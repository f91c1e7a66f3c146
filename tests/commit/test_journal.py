"""The keeper's journal: what was committed is there after a crash at any instant, and
nothing is there that is not right."""
import os
import random
import shutil
import subprocess
import time

import pytest

from journalkit import MB, ROOT, SANITIZE, Journal, build_once

ENOSPC, EINVAL, EIO = 28, 22, 5
NOTFOUND, GENERAL = 70015, 20014
SEED = int(os.environ.get("GREENBALANCE_SEED", time.time_ns() % 1000000))


@pytest.fixture(scope="session")
def program(tmp_path_factory):
    folder = tmp_path_factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        folder = folder.parent
    return build_once(folder, "journal_harness", SANITIZE)


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "journal")


@pytest.fixture
def chance():
    print("seed", SEED)
    return random.Random(SEED)


def opened(program, path, **options):
    journal = Journal(program, path, **options)
    assert journal.refused is None
    return journal


def numbers(line):
    return [int(word) for word in line.split()[1:]]


# ------------------------------------------------------------------ seals


def test_seals_are_those_of_the_specification(program, path):
    """https://c2sp.org/XAES-256-GCM: its two vectors, opened; and not with another bit."""
    nonce = b"ABCDEFGHIJKLMNOPQRSTUVWX".hex()
    journal = opened(program, path)
    first = nonce + "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271"
    second = nonce + "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d"
    assert journal.say("unseal", 1, first) == "unsealed XAES-256-GCM"
    assert journal.say("unseal", 3, second, "c2sp.org/XAES-256-GCM") == \
        "unsealed XAES-256-GCM"
    assert journal.say("unseal", 3, second, "c2sp.org/XAES-256-GCm") == "no"
    assert journal.say("unseal", 3, first) == "no"
    for i in range(0, len(first), 2):
        other = first[:i] + f"{int(first[i:i + 2], 16) ^ 1:02x}" + first[i + 2:]
        assert journal.say("unseal", 1, other) == "no"
    assert journal.say("unseal", 1, first[:78]) == "no"
    assert journal.say("sha256", "ab", "c") == "sha256 " + \
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    journal.end()


# ------------------------------------------------------------------ entries


def test_an_entry_and_its_answer_come_back_as_they_were(program, path):
    journal = opened(program, path)
    assert journal.say("log", "balancer://app") == "log 1 0 0"
    assert journal.say("append", 1, "POST-1", 1000) == "seq 1"
    assert journal.say("get", 1, 1) == "entry POST-1 0 0 1000 0"
    assert journal.say("verdict", 1, 1, 201, 3000) == "ok"
    assert journal.say("commit") == "ok"
    assert journal.say("get", 1, 1) == "entry POST-1 1 201 1000 3000"
    epoch = journal.epoch
    journal.end()
    journal = opened(program, path)
    assert journal.epoch == epoch
    assert journal.say("log", "balancer://app") == "log 1 1 1"
    assert journal.say("get", 1, 1) == "entry POST-1 1 201 1000 3000"
    assert journal.say("find", 1, "POST-1") == "found 1"
    assert journal.say("get", 1, 2) == f"error {NOTFOUND}"
    journal.end()


def test_empty_bodies_and_large_ones(program, path):
    journal = opened(program, path, size=64 * MB)
    journal.say("log", "app")
    for i, size in enumerate((0, 1, 4096, MB, 8 * MB), 1):
        assert journal.say("append", 1, f"PUT-{i}", size) == f"seq {i}"
        assert journal.say("verdict", 1, i, 200, size) == "ok"
    assert journal.say("commit") == "ok"
    journal.end()
    journal = opened(program, path, size=64 * MB)
    journal.say("log", "app")
    assert journal.say("verify", 1) == "verified 5 5 1 0"
    journal.end()


def test_what_was_not_committed_is_not_there(program, path):
    journal = opened(program, path)
    journal.say("log", "app")
    journal.say("append", 1, "POST-1", 10)
    journal.say("commit")
    assert journal.say("append", 1, "POST-2", 10) == "seq 2"
    assert journal.say("find", 1, "POST-2") == "found 2"
    journal.say("verdict", 1, 1, 200, 10)
    journal.end()
    journal = opened(program, path)
    assert journal.say("log", "app") == "log 1 1 0"
    assert journal.say("find", 1, "POST-2") == f"error {NOTFOUND}"
    assert journal.say("get", 1, 1) == "entry POST-1 0 0 10 0"
    journal.end()


def test_there_is_one_verdict_for_ever(program, path):
    journal = opened(program, path)
    journal.say("log", "app")
    journal.say("append", 1, "POST-1", 10)
    assert journal.say("verdict", 1, 1, 409, 10) == "ok"
    assert journal.say("verdict", 1, 1, 201, 10) == f"error {EINVAL}"
    assert journal.say("commit") == "ok"
    assert journal.say("get", 1, 1) == "entry POST-1 2 409 10 10"
    journal.end()


def test_settled_waits_for_the_first_without_a_verdict(program, path):
    journal = opened(program, path)
    journal.say("log", "app")
    for i in range(1, 6):
        journal.say("append", 1, f"POST-{i}", 10)
    for i in (2, 3, 5):
        journal.say("verdict", 1, i, 200, 1)
    journal.say("commit")
    assert journal.say("log", "app") == "log 1 5 0"
    journal.end()
    journal = opened(program, path)
    journal.say("verdict", 1, 1, 200, 1)
    assert journal.say("log", "app") == "log 1 5 3"
    journal.say("verdict", 1, 4, 500, 1)
    journal.say("commit")
    assert journal.say("log", "app") == "log 1 5 5"
    journal.end()


def test_logs_are_apart(program, path):
    journal = opened(program, path)
    assert journal.say("log", "a") == "log 1 0 0"
    assert journal.say("log", "b") == "log 2 0 0"
    journal.say("append", 1, "POST-1", 10)
    journal.say("append", 2, "PUT-1", 20)
    journal.say("append", 2, "POST-1", 30)
    journal.say("replica", 1, "http://r1", 1, 1, 0, "")
    journal.say("replica", 2, "http://r1", 2, 0, 1, "why")
    journal.say("commit")
    journal.end()
    journal = opened(program, path)
    assert journal.say("log", "b") == "log 2 2 0"
    assert journal.say("find", 1, "POST-1") == "found 1"
    assert journal.say("find", 2, "POST-1") == "found 2"
    assert journal.say("get", 2, 1) == "entry PUT-1 0 0 20 0"
    assert journal.say("replicas", 1) == "replicas http://r1,1,1,0,"
    assert journal.say("replicas", 2) == "replicas http://r1,2,0,1,why"
    journal.end()


def test_what_the_order_needs_of_an_entry(program, path):
    journal = opened(program, path)
    journal.say("log", "app")
    journal.say("at", 1234567)
    for i, method in enumerate(("POST", "PUT", "DELETE", "PATCH"), 1):
        journal.say("append", 1, f"{method}-{i}", 10)
    assert journal.say("peek", 1, 1) == "peek 0 0 0 0 1234567"
    assert journal.say("peek", 1, 2) == "peek 0 0 1 0 1234567"
    assert journal.say("peek", 1, 3) == "peek 0 0 1 1 1234567"
    assert journal.say("peek", 1, 4) == "peek 0 0 0 0 1234567"
    assert journal.say("peek", 1, 5) == f"error {NOTFOUND}"
    assert journal.say("peek", 1, 0) == f"error {NOTFOUND}"
    journal.end()


def test_replicas_are_forgotten_for_good(program, path):
    journal = opened(program, path)
    journal.say("log", "app")
    journal.say("replica", 1, "r1", 0, 0, 0, "")
    journal.say("replica", 1, "r2", 0, 0, 1, "lost")
    journal.say("commit")
    assert journal.say("forget", 1, "r1") == "ok"
    assert journal.say("forget", 1, "r1") == f"error {NOTFOUND}"
    journal.say("commit")
    journal.end()
    journal = opened(program, path)
    assert journal.say("replicas", 1) == "replicas r2,0,0,1,lost"
    journal.say("replica", 1, "r3", 0, 0, 0, "")
    journal.say("commit")
    journal.end()
    journal = opened(program, path)
    assert journal.say("replicas", 1) == "replicas r3,0,0,0, r2,0,0,1,lost"
    journal.end()


# ------------------------------------------------------------------ space


def test_ids_of_deleted_entries_are_remembered_for_a_while(program, path):
    """The harness remembers 200, the module 100,000."""
    journal = opened(program, path)
    journal.say("log", "app")
    for i in range(1, 302):
        journal.say("append", 1, f"POST-{i}", 0)
        journal.say("verdict", 1, i, 200, 0)
    assert journal.say("trim", 1, 150, 2**62, 1000) == "trimmed 150"
    assert journal.say("commit") == "ok"
    assert journal.say("find", 1, "POST-1") == "expired 1"
    assert journal.say("trim", 1, 300, 2**62, 1000) == "trimmed 150"
    # Until it is committed it may be undone: the ids stay.
    assert journal.say("commit") == "ok"
    for _ in range(2):
        for i in range(1, 101):
            assert journal.say("find", 1, f"POST-{i}") == f"error {NOTFOUND}"
        for i in range(101, 301):
            assert journal.say("find", 1, f"POST-{i}") == f"expired {i}"
        assert journal.say("find", 1, "POST-301") == "found 301"
        journal.end()
        journal = opened(program, path)
    journal.end()


def test_old_entries_are_trimmed_and_their_ids_expired(program, path):
    journal = opened(program, path)
    journal.say("log", "app")
    for i in range(1, 11):
        journal.say("at", 1000 * i)
        journal.say("append", 1, f"POST-{i}", 10)
        if i != 8:
            journal.say("verdict", 1, i, 200, 1)
    journal.say("commit")
    assert journal.say("trim", 1, 10, 4500, 2) == "trimmed 2"
    assert journal.say("trim", 1, 10, 4500, 100) == "trimmed 2"
    assert journal.say("trim", 1, 10, 4500, 100) == "trimmed 0"
    assert journal.say("trim", 1, 5, 99999, 100) == "trimmed 1"
    assert journal.say("trim", 1, 10, 99999, 100) == "trimmed 2"  # 8 has no verdict
    assert journal.say("commit") == "ok"
    journal.end()
    journal = opened(program, path)
    assert journal.say("log", "app") == "log 1 10 7"
    assert journal.say("get", 1, 7).startswith("error ")
    assert journal.say("find", 1, "POST-7") == "expired 7"
    assert journal.say("find", 1, "POST-8") == "found 8"
    assert journal.say("verify", 1) == "verified 10 0 8 1"
    assert journal.say("append", 1, "POST-11", 10) == "seq 11"
    journal.end()


def test_a_clock_that_was_ahead_does_not_stop_the_trimming(program, path):
    journal = opened(program, path)
    journal.say("log", "app")
    for i, at in enumerate((1000, 9000000, 2000, 3000), 1):
        journal.say("at", at)
        journal.say("append", 1, f"POST-{i}", 10)
        journal.say("verdict", 1, i, 200, 1)
    assert journal.say("trim", 1, 4, 5000, 100) == "trimmed 4"
    journal.end()


def test_ninety_percent_and_room_for_verdicts(program, path):
    journal = opened(program, path, size=4 * MB)
    journal.say("log", "app")
    head = 0
    while (said := journal.say("append", 1, f"POST-{head + 1}", 20000)) != f"error {ENOSPC}":
        head += 1
        assert said == f"seq {head}"
        if head % 10 == 0:
            journal.say("commit")
    assert journal.say("commit") == "ok"
    assert 880 <= numbers(journal.say("space"))[1] <= 900
    # What was refused has undone nothing, and the rest goes on.
    for i in range(1, head + 1):
        assert journal.say("verdict", 1, i, 200, 100) == "ok"
        assert journal.say("replica", 1, "r1", i, 0, 0, "") == "ok"
    assert journal.say("commit") == "ok"
    assert journal.say("append", 1, "POST-0", 20000) == f"error {ENOSPC}"
    assert journal.say("trim", 1, head, 2**62, head // 2) == f"trimmed {head // 2}"
    assert journal.say("commit") == "ok"
    assert numbers(journal.say("space"))[1] < 500
    assert journal.say("append", 1, f"POST-{head + 1}", 20000) == f"seq {head + 1}"
    journal.end()


def blocks(path):
    return sum(os.stat(path + end).st_blocks for end in ("", "-wal"))


def test_room_is_taken_at_the_start_and_kept(program, path):
    journal = opened(program, path, size=8 * MB)
    before = blocks(path)
    assert before * 512 >= 12 * MB

    def is_as_before():  # but for what the file system needs to find the blocks
        return os.stat(path).st_size == 8 * MB and before <= blocks(path) <= before + 128

    assert is_as_before()
    journal.say("log", "app")
    journal.tell("load", 1, 5, 64, 3000, 60)
    while journal.hear() != "loaded":
        pass
    assert is_as_before()
    journal.end()
    assert is_as_before()
    opened(program, path, size=8 * MB).end()
    assert is_as_before()


@pytest.fixture
def small_disk(tmp_path):
    """A disk of its own of 24 MB."""
    image, place = tmp_path / "image", tmp_path / "disk"
    place.mkdir()
    with open(image, "wb") as f:
        f.truncate(24 * MB)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", image], check=True)
    if subprocess.run(["mount", "-o", "loop", image, place], check=False).returncode:
        pytest.skip("a file system cannot be mounted here")
    yield str(place)
    subprocess.run(["umount", "-l", place], check=True)  # also after a test that failed


def fill(place):
    with open(place + "/rest", "wb") as f:
        try:
            while True:
                f.write(bytes(64 * 1024))
                f.flush()
        except OSError:
            pass


def test_a_full_disk_loses_nothing(program, small_disk):
    path = small_disk + "/journal"
    journal = opened(program, path, size=12 * MB)
    fill(small_disk)
    journal.say("log", "app")
    # What was taken at the start is enough for all that fits.
    journal.tell("load", 1, SEED, 64, 3000, 200)
    while (line := journal.hear()) != "loaded":
        head, settled = numbers(line)
    for seq in range(settled + 1, head + 1):
        assert journal.say("verdict", 1, seq, 200, 100) == "ok"
    assert journal.say("commit") == "ok"
    journal.end()
    journal = opened(program, path, size=12 * MB)
    assert journal.say("log", "app") == f"log 1 {head} {head}"
    assert numbers(journal.say("verify", 1))[:2] == [head, head]
    journal.end()


def test_a_commit_that_finds_no_room_is_undone(program, small_disk):
    path = small_disk + "/journal"
    journal = opened(program, path, size=12 * MB)
    fill(small_disk)
    journal.say("log", "app")
    for i in (1, 2):
        journal.say("append", 1, f"POST-{i}", 1000)
        journal.say("commit")
    for i in range(3, 9):  # where pages are forgotten early, the disk is full early
        said = journal.say("append", 1, f"POST-{i}", MB)
        if said == f"error {EIO}":
            break
    assert said == f"error {EIO}" or journal.say("commit") == f"error {EIO}"
    assert journal.say("log", "app") == "log 1 2 0"
    assert journal.say("find", 1, "POST-3") == f"error {NOTFOUND}"
    assert journal.say("append", 1, "PUT-3", MB) == "seq 3"
    assert journal.say("verdict", 1, 1, 200, 1000) == "ok"
    assert journal.say("commit") == "ok"
    assert "the disk is full" in journal.end()
    journal = opened(program, path, size=12 * MB)
    assert journal.say("verify", 1) == "verified 3 1 1 2"
    journal.end()


def test_a_journal_that_does_not_fit_is_refused(program, small_disk):
    journal = Journal(program, small_disk + "/journal", size=40 * MB)
    assert "40 MB cannot be taken: No space left on device" in journal.refused
    journal.end()
    assert sorted(os.listdir(small_disk)) == ["journal-lock", "lost+found"]
    opened(program, small_disk + "/journal", size=8 * MB).end()


# ------------------------------------------------------------------ what is refused


def made(program, path, **options):
    journal = opened(program, path, **options)
    journal.say("log", "app")
    for i in range(1, 4):
        journal.say("append", 1, f"POST-{i}", 1000)
        journal.say("verdict", 1, i, 200, 1000)
        journal.say("commit")
    return journal


def refused(program, path, **options):
    journal = Journal(program, path, **options)
    assert journal.refused, "it was opened"
    journal.end()
    return journal.refused


def test_another_key_is_refused(program, path):
    made(program, path).end()
    assert "sealed with another key" in refused(program, path, key=2)
    opened(program, path).end()


@pytest.mark.skipif(not os.path.isdir("/dev/shm"), reason="no tmpfs here")
def test_a_place_in_memory_is_refused(program):
    assert "tmpfs" in refused(program, "/dev/shm/greenbalance-journal-test")
    assert not os.path.exists("/dev/shm/greenbalance-journal-test")


def test_files_that_are_not_ours_alone_are_refused(program, path):
    made(program, path).end()
    for end in ("", "-wal", "-lock"):
        os.chmod(path + end, 0o640)
        assert "mode 0640; it has to have mode 0600" in refused(program, path)
        os.chmod(path + end, 0o600)
        if os.geteuid() == 0:
            os.chown(path + end, 1, -1)
            assert "belongs to user 1" in refused(program, path)
            os.chown(path + end, 0, -1)
        os.rename(path + end, path + ".moved")
        os.symlink(path + ".moved", path + end)
        assert "a symbolic link" in refused(program, path)
        os.unlink(path + end)
        os.rename(path + ".moved", path + end)
    opened(program, path).end()


def test_two_at_a_time_are_refused(program, path):
    first = opened(program, path)
    assert "in use by another process" in refused(program, path)
    first.end()
    opened(program, path).end()


def test_others_cannot_get_at_the_file(program, path):
    for _ in range(2):  # when it is made, and when it is there
        journal = opened(program, path)
        done = subprocess.run(["sqlite3", path, "SELECT count(*) FROM brief"], text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        assert done.returncode and "locked" in done.stderr
        journal.end()


def test_the_next_one_waits_for_the_one_before(program, path):
    first = made(program, path)
    second = subprocess.Popen([program, path, str(16 * MB), "1"], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, text=True)
    time.sleep(0.5)
    first.end()
    assert second.communicate()[0].startswith("open ")


def test_a_newer_version_is_refused(program, path):
    made(program, path).end()
    subprocess.run(["sqlite3", path, "PRAGMA user_version = 2"], check=True)
    assert "is of version 2" in refused(program, path)


def test_another_file_is_refused(program, path):
    subprocess.run(["sqlite3", path, "CREATE TABLE t(x); INSERT INTO t VALUES (1)"],
                   check=True)
    os.chmod(path, 0o600)
    assert "no journal" in refused(program, path)
    with open(path, "wb") as f:
        f.write(b"my diary\n" * 1000)
    assert "not a database" in refused(program, path)


def test_tables_of_somebody_else_are_refused(program, path):
    made(program, path).end()
    subprocess.run(["sqlite3", path, "CREATE TRIGGER t AFTER INSERT ON brief BEGIN "
                    "DELETE FROM state; END"], check=True)
    assert "greenctl journal repair" in refused(program, path)


def test_a_wal_without_its_file_is_refused(program, path):
    made(program, path).kill()
    os.unlink(path)
    assert "bring the file back" in refused(program, path)


def test_a_wal_that_is_gone_is_missed(program, path):
    made(program, path).kill()
    os.unlink(path + "-wal")
    assert "latest commits are missing" in refused(program, path)
    os.unlink(path + "-lock")
    assert "-wal is missing" in refused(program, path)


def test_a_clean_stop_leaves_all_in_the_file(program, path):
    made(program, path).end()
    os.unlink(path + "-wal")
    journal = opened(program, path)
    assert journal.say("verify", 1) == "verified 3 3 1 0"
    journal.end()


def test_an_older_copy_is_refused(program, path):
    made(program, path).end()
    shutil.copy(path, path + ".old")
    journal = opened(program, path)
    journal.say("append", 1, "POST-4", 10)
    journal.say("commit")
    journal.end()
    os.rename(path + ".old", path)
    os.unlink(path + "-wal")
    assert "its 1 latest commits are missing" in refused(program, path)


def test_a_start_that_was_cut_off_leaves_nothing_in_the_way(program, path):
    for left in (".new", ".new-wal", ".new-journal"):
        with open(path + left, "wb") as f:
            f.write(b"x" * 5000)
    with open(path + "-wal", "wb") as f:
        f.write(bytes(4 * MB))
    os.chmod(path + "-wal", 0o600)
    made(program, path).end()
    assert sorted(os.listdir(os.path.dirname(path))) == [
        "journal", "journal-lock", "journal-wal"]


def test_a_new_journal_has_a_later_epoch(program, path):
    journal = made(program, path)
    epoch = journal.epoch
    journal.end()
    for end in ("", "-wal"):
        os.unlink(path + end)
    journal = opened(program, path)
    assert journal.epoch > epoch
    assert journal.say("log", "app") == "log 1 0 0"
    journal.end()
    opened(program, path).end()


def test_rows_cannot_be_read_without_the_key(program, path):
    journal = opened(program, path)
    journal.say("log", "app")
    journal.say("append", 1, "POST-SECRET", 10)
    journal.say("verdict", 1, 1, 200, 10)
    journal.say("commit")
    journal.kill()
    for end in ("", "-wal", "-lock"):
        with open(path + end, "rb") as f:
            content = f.read()
        for secret in (b"SECRET", b"text/plain", b"alice", b"10.0.0.11"):
            assert secret not in content


# ------------------------------------------------------------------ crashes


def live_and_die(journal, life, chance, most_s, head, settled):
    """What was durable is there; then it is written to, and killed. What is durable now."""
    said = journal.say("verify", 1)
    assert said.startswith("verified"), said
    found = numbers(said)
    assert found[0] >= head and found[1] >= settled, (life, said, head, settled)
    head, settled = found[:2]
    journal.tell("load", 1, chance.randrange(1 << 30), 40, 4000, 0)
    time.sleep(chance.uniform(0, most_s))
    for line in journal.kill():
        if line.startswith("durable "):
            head, settled = numbers(line)
    return head, settled


def test_kill_at_any_instant_loses_nothing_that_was_committed(program, path, chance):
    head = settled = 0
    for life in range(25):
        journal = opened(program, path, size=4 * MB)
        assert journal.say("log", "app").startswith("log 1 ")
        head, settled = live_and_die(journal, life, chance, 0.15, head, settled)
    assert head > 100, "hardly anything was tried"


@pytest.fixture(scope="session")
def power(tmp_path_factory):
    """A harness, and the layer that keeps what was synced beside each file."""
    folder = tmp_path_factory.mktemp("power")
    layer = str(folder / "unsynced.so")
    subprocess.run(["gcc", "-shared", "-fPIC", "-O2", "-o", layer,
                    os.path.join(ROOT, "tests/crash/unsynced.c"), "-ldl"], check=True)
    return build_once(folder, "journal_harness", ["-O2"]), layer


@pytest.mark.parametrize("by", ["kill", "power"])
def test_a_journal_that_was_never_whole_is_made_anew(power, tmp_path, chance, monkeypatch,
                                                     by):
    plain, layer = power
    early = 0
    for life in range(40):
        folder = tmp_path / str(life)
        folder.mkdir()
        path = str(folder / "journal")
        with monkeypatch.context() as environment:
            environment.setenv("LD_PRELOAD", layer)
            environment.setenv("GREEN_UNSYNCED_DIR", str(folder))
            environment.setenv("GREEN_UNSYNCED_NAME", "journal")
            process = subprocess.Popen([plain, path, str(4 * MB), "1"],
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            time.sleep(chance.uniform(0, 0.05))
            process.kill()
            early += not process.communicate()[0]
        if by == "power":
            cut_power(path)
        journal = opened(plain, path, size=4 * MB)
        assert journal.say("log", "app") == "log 1 0 0"
        journal.end()
        shutil.rmtree(folder)
    assert 0 < early, "it was whole each time"


def cut_power(path):
    """Files are as they were synced; whether something was lost by that."""
    lost = False
    for end in ("", "-wal"):
        if os.path.exists(path + end + ".synced"):
            with open(path + end, "rb") as a, open(path + end + ".synced", "rb") as b:
                lost = lost or a.read() != b.read()
            shutil.copyfile(path + end + ".synced", path + end)
    return lost


def test_after_a_sync_that_failed_nothing_is_taken(power, tmp_path, path, monkeypatch):
    """Whatever the next sync would say: nobody knows what the disk has."""
    plain, _ = power
    layer, flag = str(tmp_path / "layer.so"), str(tmp_path / "fails")
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", layer,
                    os.path.join(ROOT, "tests/commit/failing_sync.c")], check=True)
    with monkeypatch.context() as environment:
        environment.setenv("LD_PRELOAD", layer)
        environment.setenv("GREEN_FAILING_SYNC", flag)
        journal = opened(plain, path)
    journal.say("log", "app")
    journal.say("append", 1, "POST-1", 10)
    assert journal.say("commit") == "ok"
    journal.say("append", 1, "POST-2", 10)
    with open(flag, "w", encoding="ascii"):
        pass
    assert journal.say("commit") == f"error {GENERAL}"
    os.unlink(flag)
    for words in (("append", 1, "POST-3", 10), ("verdict", 1, 1, 200, 10), ("commit",),
                  ("replica", 1, "r1", 1, 0, 0, "")):
        assert journal.say(*words) == f"error {GENERAL}"
    assert "GB1504" in journal.end()
    journal = opened(plain, path)
    assert journal.say("verify", 1) in ("verified 1 0 1 1", "verified 2 0 1 2")
    assert journal.say("verdict", 1, 1, 200, 10) == "ok"
    assert journal.say("commit") == "ok"
    journal.end()


def test_a_power_cut_loses_nothing_that_was_committed(program, power, path, chance,
                                                      monkeypatch):
    plain, layer = power
    head = settled = cuts = 0
    for life in range(40):
        with monkeypatch.context() as environment:
            environment.setenv("LD_PRELOAD", layer)
            environment.setenv("GREEN_UNSYNCED_DIR", os.path.dirname(path))
            environment.setenv("GREEN_UNSYNCED_NAME", os.path.basename(path))
            journal = opened(plain, path, size=4 * MB)
        journal.say("log", "app")
        head, settled = live_and_die(journal, life, chance, 0.2, head, settled)
        cuts += cut_power(path)
        if chance.random() < 0.5:  # the witness may be older than what was committed
            os.truncate(path + "-lock", 0)
    assert head > 100 and cuts > 3, (head, cuts)


# ------------------------------------------------------------------ damage


@pytest.fixture
def crashed(program, path):
    """Copies of a journal that was killed, part of it in its file and part in the WAL, and
    what it holds."""
    journal = opened(program, path, size=4 * MB)
    journal.say("log", "app")
    journal.say("replica", 1, "r1", 0, 0, 0, "")
    journal.tell("load", 1, SEED, 12, 3000, 50)
    while journal.hear() != "loaded":
        pass
    assert numbers(journal.say("space"))[1] < 850, "part of it was trimmed"
    journal.end()
    journal = opened(program, path, size=4 * MB)
    journal.tell("load", 1, SEED + 1, 12, 3000, 8)
    while journal.hear() != "loaded":
        pass
    holds = journal.say("verify", 1), journal.say("replicas", 1), journal.say("log", "app")
    journal.kill()
    assert holds[0].startswith("verified ")
    for end in ("", "-wal", "-lock"):
        shutil.copy(path + end, path + end + ".good")
    return holds


def written(path):
    """Bytes of a file, without the room at its end that was never used."""
    with open(path, "rb") as f:
        return len(f.read().rstrip(b"\0"))


def restore(path):
    for end in ("", "-wal", "-lock"):
        shutil.copy(path + end + ".good", path + end)


def outcome(program, path, holds):
    """refused, damaged or intact; anything else is wrong."""
    journal = Journal(program, path, size=4 * MB)
    if journal.refused:
        journal.end()
        assert "greenctl journal repair" in journal.refused or \
            "is of version" in journal.refused, journal.refused
        return "refused"
    said = journal.say("verify", 1)
    replicas, log = journal.say("replicas", 1), journal.say("log", "app")
    if said.startswith(f"error {GENERAL}"):
        assert "GB1501" in journal.end()
        return "damaged"
    assert (said, replicas, log) == holds
    journal.end()
    return "intact"


@pytest.mark.parametrize("end", ["", "-wal", "-lock"])
def test_bytes_that_changed_are_never_believed(program, path, crashed, chance, end):
    seen = {"refused": 0, "damaged": 0, "intact": 0}
    used = written(path + end + ".good")
    for i in range(60):
        restore(path)
        with open(path + end, "r+b") as f:
            # Headers are small, and everything hangs on them.
            at = chance.randrange(min(used, 200) if i % 3 == 0 else used)
            count = chance.choice((1, 1, 16, 4096))
            f.seek(at)
            old = f.read(count)
            new = bytes(len(old)) if chance.random() < 0.3 else \
                bytes(b ^ chance.randrange(1, 256) for b in old)
            f.seek(at)
            f.write(new)
        seen[outcome(program, path, crashed)] += 1
    print(end or "file", seen)
    if end == "-lock":
        assert seen["intact"] == 60
    else:
        assert seen["refused"] + seen["damaged"] > 0


@pytest.mark.parametrize("end", ["", "-wal", "-lock"])
def test_files_that_were_cut_are_never_believed(program, path, crashed, chance, end):
    seen = {"refused": 0, "damaged": 0, "intact": 0}
    used = written(path + end + ".good")
    for i in range(30):
        restore(path)
        at = chance.randrange(min(used, 200) if i % 5 == 0 else used)
        os.truncate(path + end, at)
        seen[outcome(program, path, crashed)] += 1
    print(end or "file", seen)
    if end == "-lock":
        assert seen["intact"] == 30
    else:
        assert seen["refused"] + seen["damaged"] > 0


def test_damage_of_one_entry_undoes_nothing_of_others(program, path):
    """A brief that is spoiled while the journal is open: the rest goes on."""
    journal = opened(program, path)
    journal.say("log", "app")
    for i in range(1, 200):
        journal.say("append", 1, f"POST-{i}", 3000)
    journal.say("commit")
    journal.end()
    journal = opened(program, path)  # its pages are in the file alone
    journal.say("log", "other")
    spoiled = 0
    with open(path, "r+b") as f:
        content = f.read()
        for at in range(4096, len(content), 4096):
            cells = content[at + 3] << 8 | content[at + 4]
            # A leaf with many short rows is one of briefs.
            if content[at] == 0x0d and cells > 20:
                f.seek(at + 2000)
                f.write(b"spoiled")
                spoiled += 1
    assert spoiled
    journal.say("append", 2, "PUT-1", 10)
    for i in range(1, 200):  # so that the pages before are forgotten
        journal.say("get", 1, i)
    bad = [i for i in range(1, 200)
           if journal.say("peek", 1, i) == f"error {GENERAL}"]
    assert bad
    assert journal.say("verdict", 1, bad[0], 200, 10) == f"error {GENERAL}"  # by its get
    assert journal.say("trim", 1, 199, 2**62, 199) == "trimmed 0"  # nothing is settled
    assert journal.say("commit") == "ok"
    assert journal.say("get", 2, 1) == "entry PUT-1 0 0 10 0"
    assert "GB1501" in journal.end()
    assert "greenctl journal repair" in refused(program, path)


def test_damage_that_opening_does_not_see_is_told_when_it_is_read(program, path):
    journal = opened(program, path)
    journal.say("log", "app")
    journal.say("append", 1, "POST-1", 100)
    journal.say("append", 1, "POST-2", 100000)
    journal.say("commit")
    journal.end()
    journal = opened(program, path)  # begins a new WAL, which has other pages
    journal.say("append", 1, "POST-3", 10)
    journal.say("commit")
    journal.end()
    with open(path, "r+b") as f:
        content = f.read()
        # The large body is the one that fills whole pages: somewhere in its midst.
        pages = [i for i in range(0, len(content), 4096)
                 if content[i:i + 2] == b"\0\0" and content[i + 4:i + 4096].count(0) < 100]
        f.seek(pages[len(pages) // 2] + 2000)
        f.write(b"spoiled")
    journal = opened(program, path)
    assert journal.say("get", 1, 1) == "entry POST-1 0 0 100 0"
    assert journal.say("get", 1, 2) == f"error {GENERAL}"
    assert journal.say("peek", 1, 2).startswith("peek 0 0")
    said = journal.end()
    assert "request of entry 2 in log 1 is not what was written" in said
    assert f"greenctl journal repair {path} --key" in said
