"""Type checkers of users see the types of methods and fitted attributes."""

import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("what_users_type.py")


def test_the_package_says_that_it_is_typed():
    assert (files("sklearn_eqprop") / "py.typed").is_file()


@pytest.mark.slow
def test_mypy_on_a_script_of_a_user(tmp_path):
    pytest.importorskip("mypy")
    options = ["--strict", "--config-file=", "--cache-dir", str(tmp_path)]
    command = [sys.executable, "-m", "mypy", *options, str(SCRIPT)]
    root = SCRIPT.parents[1]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, check=False)
    assert done.returncode == 0, done.stdout
