"""What a package index shows: links that lead somewhere, and the Python versions."""

import re
import tomllib
from pathlib import Path

import pytest

import sklearn_eqprop

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
    base = rf"{re.escape(project['urls']['Homepage'])}/(?:blob|raw|tree)/main/(.+)"
    inside = [match[1] for link in links if (match := re.fullmatch(base, link))]
    assert len(inside) > 10
    assert [path for path in inside if not (ROOT / path).exists()] == []


def test_python_versions(project):
    prefix = "Programming Language :: Python :: 3."
    versions = [name for name in project["classifiers"] if name.startswith(prefix)]
    assert versions == [f"{prefix}{minor}" for minor in (11, 12, 13)]
    assert project["requires-python"] == ">=3.11"


def test_citation_has_the_version_of_the_package():
    version = re.search(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)[1]
    assert version == sklearn_eqprop.__version__


def test_results_in_the_readme_are_recorded():
    """Every row of the table of results, as far as benchmarks/results has it."""
    results = {p.stem: p.read_text() for p in (ROOT / "benchmarks" / "results").glob("*.md")}
    table = (ROOT / "README.md").read_text().split("## How good is it")[1].split("\n## ")[0]

    def row(start):
        (line,) = (line for line in table.splitlines() if line.startswith(f"| {start} |"))
        return [number for cell in line.split("|")[3:] for number in re.findall(r"\d+\.\d+", cell)]

    def mnist(preset, name="mnist"):
        return re.search(rf"^\| {re.escape(preset)} \| \*\*(.+?)\*\*", results[name], re.MULTILINE)[
            1
        ]

    ranks = re.search(r"mean rank by score: (.+)", results["tables"])[1]
    ours, mlp, at_our_rate, linear, trees = re.findall(r"\d\.\d+", ranks.replace("0.003", ""))
    assert row("22 real tables | mean rank among five models, 1 is best") == [
        ours,
        mlp,
        at_our_rate,
    ]
    assert f"{linear} (linear)" in table
    assert f"{trees} (gradient" in table
    time = re.search(r"processor time over MLP's: median (\S+),", results["tables"])[1]
    assert row("22 real tables | processor time of a fit / MLP's, median") == [time]
    accuracies = re.findall(r"Classifier: (0\.\d+)", results["digits"])
    percent = [f"{100 * float(accuracy):.1f}" for accuracy in accuracies]
    assert row("digits, 100 hidden units | accuracy, 5-fold") == percent
    for words, preset in (("two", "2x512"), ("three", "3x512")):
        presets = (
            f"{preset}, {name}"
            for name in ("Kolen-Pollack", "MLPClassifier", "MLPClassifier, searched")
        )
        assert row(f"MNIST, {words} hidden layers of 512 | test error") == [
            mnist(p) for p in presets
        ]
    deep = [
        mnist(p, "mnist_conv")
        for p in ("mnist, paper's layers, vector field", "fashion, paper's layers averaged")
    ]
    found = [
        row(f"{data}MNIST, two convolutional layers | test error")[0] for data in ("", "Fashion-")
    ]
    assert found == deep
