"""The reproductions: what each page computes is right, and the docs say what was recorded."""

import re
import sys

import numpy as np
import pytest

from tests.test_examples import EXAMPLES, ignore_max_iter, run_page

plt = pytest.importorskip("matplotlib.pyplot")

ROOT = EXAMPLES.parent
FOLDER = EXAMPLES / "reproductions"


@pytest.fixture
def page(monkeypatch, capsys):
    """Return a function that runs a page and checks that its last line is its result."""
    monkeypatch.syspath_prepend(FOLDER)  # which is there when a script runs
    monkeypatch.setattr(sys, "argv", ["page"])

    def run(name, **constants):
        variables = run_page(f"reproductions/plot_{name}", **constants)
        assert capsys.readouterr().out.splitlines()[-1].startswith("Result: ")
        return variables

    yield run
    plt.close("all")


@pytest.mark.slow
def test_almeida_pineda_1987(page):
    found = page("almeida_pineda_1987", SEEDS=2)
    assert found.error < 1e-6
    assert len(found.epochs) == 2


@pytest.mark.slow
def test_movellan_1991(page):
    found = page("movellan_1991", SEEDS=2)
    assert found.error < 1e-6
    assert found.learned == 2


@pytest.mark.slow
def test_oreilly_1996(page):
    found = page("oreilly_1996", SEEDS=2)
    assert max(found.errors) < 1e-10
    assert list(found.learned.values()) == [2, 2]


@pytest.mark.slow
@ignore_max_iter
@pytest.mark.filterwarnings("ignore:.*settle:sklearn.exceptions.ConvergenceWarning")
def test_scellier_bengio_2017(page):  # with γ = 1 single samples can take very many sweeps
    found = page("scellier_bengio_2017", UNITS=50, EPOCHS=15)
    for model in found.networks.values():
        assert model.score(found.X_test, found.y_test) > 0.85
        assert (model.feedback_gains_ == 1).all()


@pytest.mark.slow
def test_ernoult_2019(page):
    found = page("ernoult_2019", STEPS=12)
    assert found.largest["transpose"] < 1e-5
    assert found.largest["independent"] > 0.5


@pytest.mark.slow
def test_backpropagation_through_time_sums_to_the_gradient(page):
    """The derivatives by the weights of all steps sum up to finite differences of the loss."""
    found = page("ernoult_2019", STEPS=60, FREE_STEPS=60, SAMPLES=2)
    model, free = found.network("independent"), found.FREE_STEPS

    def loss(F):
        (_, F2, F3), (B1, B2) = model.coefs_, model.feedback_coefs_
        h1, h2, o = (np.zeros((2, n)) for n in (*found.HIDDEN, 10))
        for _ in range(free):
            drives = found.X @ F + h2 @ B1, h1 @ F2 + o @ B2, h2 @ F3
            moved = [s + 0.5 * (d - s) for s, d in zip((h1, h2, o), drives, strict=True)]
            h1, h2, o = np.clip(moved[0], 0, 1), np.clip(moved[1], 0, 1), moved[2]
        return 0.5 * ((o - found.target) ** 2).sum()

    model.intercepts_ = [np.zeros_like(b) for b in model.intercepts_]
    by_drive = sum(derivatives[0] for derivatives in found.backward(model))
    gradient = found.X.T @ by_drive
    for rank in np.argsort(np.abs(gradient), axis=None)[-3:]:
        place = np.unravel_index(rank, gradient.shape)
        F, h = model.coefs_[0].copy(), 1e-6
        F[place] += h
        up = loss(F)
        F[place] -= 2 * h
        assert (up - loss(F)) / (2 * h) == pytest.approx(gradient[place], rel=1e-5)


@pytest.mark.slow
@ignore_max_iter
def test_ernoult_2020(page):
    found = page("ernoult_2020", EPOCHS=1)
    for distance in found.distances.values():
        assert distance[0] < 5e-3
        assert (np.diff(distance) > 0).all()


@pytest.mark.slow
@ignore_max_iter
def test_laborieux_2021(page):
    orders = page("laborieux_2021", EPOCHS=3).orders
    assert orders["one-sided"] == pytest.approx(1, abs=0.1)
    assert orders["random sign, mean"] == pytest.approx(2, abs=0.1)
    assert orders["centred"] == pytest.approx(2, abs=0.1)


@pytest.mark.slow
@ignore_max_iter
def test_laborieux_zenke_2022(page):
    found = page("laborieux_zenke_2022", EPOCHS=3)
    assert found.slopes == pytest.approx(list(found.POINTS), abs=0.1)


@pytest.mark.slow
def test_laborieux_zenke_2023(page):
    cosines = page("laborieux_zenke_2023", EPOCHS=8).cosines
    assert cosines["homeostasis"][-1] > 0.85
    assert max(cosines["own product"][-1], cosines["fixed"][-1]) < 0.7


@pytest.mark.slow
@ignore_max_iter
def test_scurria_2026(page):
    found = page("scurria_2026", EPOCHS=3)
    assert found.error < 1e-6
    assert min(found.cosines["asymmetric"]) > 0.999 > 0.8 > min(found.cosines["vector_field"])


def test_images_of_an_npz_file(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(FOLDER)
    from common import load_images

    rng = np.random.RandomState(0)
    images = rng.randint(256, size=(6, 5, 5), dtype=np.uint8)
    labels = np.arange(6, dtype=np.uint8)
    parts = {"x_train": images, "y_train": labels, "x_test": images[:2], "y_test": labels[:2]}
    np.savez(tmp_path / "data.npz", **parts)
    X_train, X_test, y_train, y_test = load_images(tmp_path / "data.npz")
    np.testing.assert_allclose(X_train, images.reshape(6, 25) / 255, rtol=1e-6)
    assert X_test.shape == (2, 25)
    assert y_train.tolist() == list(range(6))
    assert y_test.tolist() == [0, 1]


def test_the_page_says_what_was_recorded():
    """`docs/reproductions.md` has a row for each script, with its recorded result and time."""
    recorded = (ROOT / "benchmarks/results/reproductions.md").read_text("utf-8")
    rows = re.findall(r"^\| (plot_\S+\.py) \| (.+) \| (\d+) \|$", recorded, re.MULTILINE)
    assert [name for name, *_ in rows] == sorted(path.name for path in FOLDER.glob("plot_*.py"))
    text = (ROOT / "docs/reproductions.md").read_text("utf-8")
    lines = [line for line in text.splitlines() if line.startswith("|")]
    for name, result, seconds in rows:
        (line,) = (line for line in lines if f"`{name} <" in line)
        assert [cell.strip() for cell in line.split("|")][3] == result
        assert line.endswith(f"| {seconds} |")


def test_the_run_to_the_letter_is_quoted_as_recorded():
    recorded = (ROOT / "benchmarks/results/paper.md").read_text("utf-8")
    section = recorded.split("## 2x512, seed 0")[1].split("\n## ")[0]
    epochs, _, train_error, test_error, *_ = (
        cell.strip() for cell in section.strip().splitlines()[-1].strip("|").split("|")
    )
    text = " ".join((ROOT / "docs/reproductions.md").read_text("utf-8").split())
    wanted = f"After {epochs} epochs it has a training error of {train_error} % and a test error of"
    assert f"{wanted} {test_error} %" in text
