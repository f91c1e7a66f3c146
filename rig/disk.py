"""A disk of its own for a directory, so small that it can be full."""

import os
import subprocess


class SmallDisk:
    """Where no file system can be mounted, `mounted` is false and the directory is as any."""

    def __init__(self, directory, megabytes):
        self.directory = directory
        self.image = directory + ".img"
        self.mounted = False
        self._make(megabytes)

    def _make(self, megabytes):
        with open(self.image, "wb") as file:
            file.truncate(megabytes << 20)
        subprocess.run(["mkfs.ext4", "-q", "-F", "-m", "0", self.image], check=True)
        os.makedirs(self.directory, exist_ok=True)
        self.mounted = subprocess.run(["mount", "-o", "loop", self.image, self.directory],
                                      check=False).returncode == 0
        if not self.mounted:
            os.unlink(self.image)

    def fill(self):
        """Until nothing more fits; says whether it could."""
        if not self.mounted:
            return False
        size = 1 << 20
        with open(self._ballast(), "ab", buffering=0) as file:
            while size:
                try:
                    file.write(b"x" * size)
                except OSError:
                    size //= 2
        return True

    def free(self):
        try:
            os.unlink(self._ballast())
        except FileNotFoundError:
            pass

    def remove(self):
        """Unmounted and gone; lazily, since somebody may still have a file open."""
        if self.mounted:
            subprocess.run(["umount", "-l", self.directory], check=False)
            os.unlink(self.image)
            self.mounted = False

    def _ballast(self):
        return os.path.join(self.directory, "ballast")
