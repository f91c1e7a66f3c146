"""What tests of replicated writes share."""

import os
import pathlib
import shutil
import sys
import tempfile

import pytest

sys.path[:0] = [os.path.dirname(os.path.abspath(__file__))]


@pytest.fixture
def base():
    """A directory that httpd's children and the keeper's user may enter: pytest's own
    are closed to them."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="gb-commit-"))
    os.chmod(path, 0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)
