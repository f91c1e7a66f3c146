"""What tests of replicated writes share."""

import os
import pathlib
import shutil
import sys
import tempfile
import time

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]

import orphans  # noqa: E402

BEGAN = time.time()


def pytest_sessionfinish(session):
    orphans.sweep(BEGAN)


@pytest.fixture
def base():
    """A directory that httpd's children and the keeper's user may enter: pytest's own
    are closed to them."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="gb-commit-"))
    os.chmod(path, 0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)
