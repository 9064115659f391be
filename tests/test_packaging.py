"""What a package index shows: links that lead somewhere, and the Python versions."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.skipif(
    not (ROOT / "pyproject.toml").exists(), reason="the files are in a checkout only"
)


@pytest.fixture(scope="module")
def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_links_of_the_readme_are_absolute_and_lead_to_files(project):
    links = re.findall(r"\]\(([^)]+)\)", (ROOT / "README.md").read_text())
    assert [link for link in links if not link.startswith("https://")] == []
    base = rf"{re.escape(project['urls']['Homepage'])}/(?:blob|tree)/main/(.+)"
    inside = [match[1] for link in links if (match := re.fullmatch(base, link))]
    assert len(inside) > 10
    assert [path for path in inside if not (ROOT / path).exists()] == []


def test_python_versions(project):
    prefix = "Programming Language :: Python :: 3."
    versions = [name for name in project["classifiers"] if name.startswith(prefix)]
    assert versions == [f"{prefix}{minor}" for minor in (11, 12, 13)]
    assert project["requires-python"] == ">=3.11"
