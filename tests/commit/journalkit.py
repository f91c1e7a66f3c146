"""Builds and drives journal_harness.c: the keeper's journal without httpd."""
import fcntl
import glob
import os
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SANITIZE = ["-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]
SOURCES = ["tests/commit/journal_harness.c", "journal.c", "journal_open.c",
           "journal_read.c", "journal_index.c", "journal_store.c", "journal_file.c",
           "journal_row.c", "libsqlite.c", "libcrypto.c", "library.c", "core/gb_record.c",
           "core/gb_commit.c", "core/gb_part.c", "core/gb_wire_text.c"]
GREENCTL_CORE = ["command", "page", "types"]
MB = 1024 * 1024
# Few ids are remembered; pages are soon forgotten, so that the file is read and written.
SMALL = ["-DMGB_JOURNAL_GONE_MOST=200u", '-DMGB_STORE_CACHE_KB="64"']


def output_of(*command):
    return subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout


def build(program, flags=("-O2",)):
    includes = (output_of("apr-1-config", "--includes").split()
                + output_of("apu-1-config", "--includes").split())
    subprocess.run(
        ["gcc", "-std=gnu11", "-g", *flags, "-o", program]
        + output_of("apxs", "-q", "EXTRA_CPPFLAGS").split()
        + ["-isystem", output_of("apxs", "-q", "INCLUDEDIR").strip(), "-I."]
        + ["-isystem" + each[2:] for each in includes] + SOURCES
        + output_of("apr-1-config", "--link-ld").split()
        + output_of("apu-1-config", "--link-ld").split() + ["-lm"],
        cwd=ROOT, check=True)
    return program


def build_once(folder, name, flags):
    """The workers of one run compile it once."""
    program = str(folder / name)
    with open(program + ".lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(program):
            build(program + ".new", [*flags, *SMALL])
            os.rename(program + ".new", program)
    return program


def build_greenctl(folder, flags):
    """greenctl, with sanitizers."""
    program = str(folder / "greenctl")
    with open(program + ".lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(program):
            subprocess.run(
                ["gcc", "-std=gnu11", "-D_GNU_SOURCE", "-g", *flags, "-I.", "-o",
                 program + ".new"]
                + sorted(glob.glob("ctl/*.c", root_dir=ROOT))
                + SOURCES[SOURCES.index("journal_store.c"):]
                + [f"core/gb_{name}.c" for name in GREENCTL_CORE] + ["-lm"],
                cwd=ROOT, check=True)
            os.rename(program + ".new", program)
    return program


class Journal:
    """A harness that has the journal open; or not: then `refused` says why."""

    def __init__(self, program, path, size=16 * MB, key=1):
        self.path = str(path)
        self.process = subprocess.Popen(
            [program, self.path, str(size), str(key)], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=dict(os.environ, ASAN_OPTIONS="abort_on_error=1"))
        first = self.process.stdout.readline().rstrip("\n")
        self.refused = first[8:] if first.startswith("refused ") else None
        self.epoch = int(first.split()[1]) if first.startswith("open ") else None
        assert self.refused or self.epoch, self.end()

    def say(self, *words):
        """One command and its answer."""
        self.tell(*words)
        return self.hear()

    def tell(self, *words):
        self.process.stdin.write(" ".join(str(word) for word in words) + "\n")
        self.process.stdin.flush()

    def hear(self):
        line = self.process.stdout.readline()
        assert line, self.end()
        return line.rstrip("\n")

    def end(self):
        """Closes it in order; what it said on standard error."""
        _, said = self.process.communicate()
        assert self.process.returncode in (0, 1), said
        return said

    def kill(self):
        """As kill -9 does; the lines that it had printed."""
        self.process.kill()
        out, said = self.process.communicate()
        assert "ERROR: AddressSanitizer" not in said and "runtime error" not in said, said
        return out.splitlines()
