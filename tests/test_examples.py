"""The examples: every page runs on less data, and what it computes is right.

`python examples/plot_digits.py` as a whole is one of the README's two commands, which .ci/run runs.
The docs build runs all examples as they are.
"""

import importlib.util
import re
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning

from sklearn_eqprop._substrates.hardware import ngspice

plt = pytest.importorskip("matplotlib.pyplot")

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
TINY = ["--hidden", "16", "12", "--epochs", "2", "--free-steps", "10", "--nudged-steps", "4"]
# Short training on little data reaches max_iter.
ignore_max_iter = pytest.mark.filterwarnings(
    "ignore:Training reached max_iter:sklearn.exceptions.ConvergenceWarning",
    "ignore:Stochastic Optimizer. Maximum iterations:sklearn.exceptions.ConvergenceWarning",
)


@pytest.fixture(autouse=True)
def no_open_figures():
    yield
    plt.close("all")


def load_example(name):
    """Import an example that is a command with options."""
    path = EXAMPLES / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"example_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(path.parent)  # which is there when an example runs as a script
        spec.loader.exec_module(module)
    return module


def run_page(name, **constants):
    """Run an example whose constants at the top have other values; return its variables."""
    path = EXAMPLES / f"{name}.py"
    source = path.read_text(encoding="utf-8")
    for constant, value in constants.items():
        source, n_places = re.subn(
            rf"^{constant} = .*$", f"{constant} = {value!r}", source, flags=re.MULTILINE
        )
        assert n_places == 1, constant
    variables = {"__name__": "__main__"}
    exec(compile(source, path, "exec"), variables)
    return SimpleNamespace(**variables)


@pytest.fixture(scope="module")
def paper():
    return load_example("reproductions/plot_paper_mnist")


@pytest.fixture(scope="module")
def analog():
    return load_example("hardware/plot_analog_substrate")


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    small = {"HIDDEN": (20,), "EPOCHS": 3, "LONGEST": 3, "N_JOBS": 1, "SWEEPS": range(1, 9)}
    folder = tmp_path_factory.mktemp("digits")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        with pytest.warns(ConvergenceWarning):
            page = run_page("plot_digits", GRID={"beta": [0.5], "alpha": [0.1, 1.0]}, **small)
    assert is_png(folder / "digits.png")
    return page


def is_png(path):
    return path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("feedback_init", ["independent", "transpose"])
def test_paper_on_digits(paper, feedback_init, tmp_path, capsys):
    picture = tmp_path / "curves.png"
    rows = ["--train-rows", "200", "--test-rows", "100"]
    paper.main([*TINY, *rows, "--feedback-init", feedback_init, "--output", str(picture)])
    printed = capsys.readouterr().out
    assert "digits" in printed
    assert "--data" in printed
    assert "64-16-12-10" in printed
    lines = [line.split() for line in printed.splitlines() if line[:5].strip().isdigit()]
    assert [int(line[0]) for line in lines] == [1, 2]
    for line in lines:
        train_error, test_error, free, nudged = (float(word.rstrip("%")) for word in line[1:5])
        assert 0 < train_error < 100
        assert 0 < test_error < 100
        assert 0 <= free <= 100
        assert nudged > 0
    assert "cut off before" in printed
    assert "Test error after 2 epochs" in printed
    assert is_png(picture)


def test_paper_on_an_npz_file(paper, tmp_path, capsys):
    rng = np.random.RandomState(0)
    data, picture = tmp_path / "data.npz", tmp_path / "curves.png"
    np.savez(
        data,
        x_train=rng.randint(256, size=(60, 5, 5), dtype=np.uint8),
        y_train=np.arange(60, dtype=np.uint8) % 10,
        x_test=rng.randint(256, size=(30, 5, 5), dtype=np.uint8),
        y_test=np.arange(30, dtype=np.uint8) % 10,
    )
    paper.main([*TINY, "--data", str(data), "--train-rows", "50", "--output", str(picture)])
    printed = capsys.readouterr().out
    assert "MNIST, 50 rows to train, 30 to test" in printed
    assert "25-16-12-10" in printed
    assert is_png(picture)


def test_paper_settings_are_literal(paper):
    parameters = paper.paper_classifier(paper.parse([])).get_params()
    literal = {
        "activation": "hard_sigmoid",
        "feedback": "untied",
        "feedback_init": "independent",
        "feedback_scale": 1.0,
        "gradient": "vector_field",
        "nudging": "one_sided",
        "relaxation": "euler",
        "loss": "squared_error",
        "optimizer": "sgd",
        "momentum": 0.0,
        "learning_rate": "constant",
        "alpha": 0.0,
        "batch_size": 20,
        "loop_gain": None,
        "layerwise_rescale": False,
        "feedback_learning": "local",
    }
    assert {name: parameters[name] for name in literal} == literal
    assert parameters["beta"] > 0
    assert len(set(parameters["learning_rate_init"])) > 1


def test_paper_learning_rates_follow_the_layers(paper):
    options = paper.parse(["--hidden", "8", "8", "8", "8", "--feedback-init", "transpose"])
    assert options.learning_rates == [0.1, 0.05, 0.02, 0.01, 0.005]
    assert len(paper.parse(["--hidden", "8"]).learning_rates) == 2


def test_paper_starts_at_glorot(paper):
    X, y = load_digits(return_X_y=True)
    for feedback_init in ("independent", "transpose"):
        model = paper.paper_classifier(
            paper.parse([*TINY, "--hidden", "100", "50", "--feedback-init", feedback_init])
        )
        with pytest.warns(ConvergenceWarning):
            paper.start_at_glorot(model, X / 16, y, seed=0)
        for weights in (*model.coefs_, *model.feedback_coefs_):
            bound = np.sqrt(6 / sum(weights.shape))
            assert 0.97 * bound < np.abs(weights).max() <= bound
        aligned = np.array(paper.alignments(model))
        if feedback_init == "transpose":
            np.testing.assert_allclose(aligned, 1, rtol=1e-6)
        else:
            assert np.abs(aligned).max() < 0.3


def test_grid_table(digits):
    grid = {"beta": [0.1, 0.5], "step_size": [0.5, 1.0]}
    results = {
        "params": [{"m__beta": b, "m__step_size": s} for b in (0.1, 0.5) for s in (0.5, 1.0)],
        "mean_test_score": [0.91, 0.92, 0.93, 0.94],
        "std_test_score": [0.01, 0.02, 0.03, 0.04],
    }
    header, first, second = digits.grid_table(results, grid)
    assert header.split() == ["step_size", "0.5", "step_size", "1.0"]
    assert first.split() == ["beta", "0.1", "91.0", "±", "1.0", "%", "92.0", "±", "2.0", "%"]
    assert second.split() == ["beta", "0.5", "93.0", "±", "3.0", "%", "94.0", "±", "4.0", "%"]


@pytest.mark.parametrize(("relaxation", "step_size"), [("gauss_seidel", 1.0), ("euler", 0.5)])
def test_settling_falls_and_leaves_the_model_alone(digits, relaxation, step_size):
    model = digits.eqprop[-1]
    before = model.get_params()
    X = digits.standardised[:20]
    residual = digits.settling(model, X, relaxation, step_size, [5, 40])
    assert residual.shape == (2, 20)
    assert (residual[1] < 0.1 * residual[0]).all()
    assert model.get_params() == before


def test_features(digits):
    X = digits.X_train
    weights, patterns = digits.features(digits.eqprop, X, 6)
    assert weights.shape == patterns.shape == (6, 64)
    dark = X.std(axis=0) == 0
    assert dark.any()
    assert not weights[:, dark].any()
    np.testing.assert_allclose(patterns[:, dark], 0, atol=1e-12)
    # A pattern goes with the unit's drive: it is on the side of the weights.
    scale = digits.eqprop[0].scale_
    assert ((patterns / scale * weights).sum(axis=1) > 0).all()


def test_compare_prints_a_line_a_model(digits, capsys):
    X, y = load_digits(return_X_y=True)
    (fitted,) = digits.compare(
        [("small", digits.short_training())], X[:200], X[200:300], y[:200], y[200:300]
    )
    header, line = capsys.readouterr().out.splitlines()
    assert header.split() == ["epochs", "seconds", "test", "accuracy"]
    assert line.split()[:2] == ["small", "3"]
    assert line.split()[-1] == f"{fitted.score(X[200:300], y[200:300]):.1%}"


def test_analog_copies_are_the_weights_of_the_ideal_network(analog):
    split, recipe = analog.load_standardised(), analog.Recipe(n_epochs=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        [network] = analog.ideal_networks(split, recipe, 1)
    coefs = [coef.copy() for coef in network.model.coefs_]
    faultless = {"noise": 0, "bits": None, "mismatch": 0}
    assert analog.copied([network], split, **faultless) == [network.accuracy]
    assert analog.copied([network], split, mismatch=0.9) != [network.accuracy]
    assert all(map(np.array_equal, coefs, network.model.coefs_))
    chip = analog.chip_of(network, mismatch=0.3)
    assert (chip.mismatch, chip.bits, chip.noise) == (0.3, 6, 0.1)
    assert network.noisy.mismatch == 0


@ignore_max_iter
@pytest.mark.filterwarnings("ignore:beta=1.5 with nudging='centered' may be too strong")
def test_analog_substrate_prints_and_draws(analog, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(analog, "GRID", {"substrate__bits": [2, 6], "substrate__mismatch": [0.1]})
    analog.main(analog.Recipe(n_epochs=3), n_chips=2)
    lines = capsys.readouterr().out.splitlines()
    rows = {line[:32].strip(): line[32:].split() for line in lines if " mean " in line}
    sweep = 2 * len(analog.MISMATCHES)
    assert len(rows) == 1 + sweep + 4 + 2 + 2
    assert sum("lost" in cells for cells in rows.values()) == sweep + 4 + 2
    for name, cells in rows.items():
        assert cells.index("mean") == (1 if name.endswith("rounding") else 2)
        mean = float(cells[cells.index("mean") + 1])
        assert 0 < mean < 100
        if name == "ideal" or name.endswith("in place"):
            assert mean > 30  # three epochs are no more than a beginning
    assert sum(line.startswith("bits ") for line in lines) == 2
    assert is_png(tmp_path / analog.PICTURE)


def test_analog_recipe_never_sees_a_test_row(analog, monkeypatch, capsys):
    used, (_, X_test, *_) = [], analog.load_standardised()

    def networks(split, recipe, n_networks):
        used.extend(split[:2])
        return [analog.Ideal(0.9, None, analog.IDEAL, (1.0, 1.0))] * n_networks

    monkeypatch.setattr(analog, "ideal_networks", networks)
    monkeypatch.setattr(analog, "copied", lambda *_, **__: [0.8])
    monkeypatch.setattr(analog, "in_place", lambda *_, **__: [0.85])
    analog.validate(n_chips=2)
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[3:]]
    assert len(rows) == 9
    assert all(row[2:] == ["90.0", "80.0", "85.0"] for row in rows)
    chosen = [str(analog.RECIPE.beta), str(analog.RECIPE.learning_rate)]
    assert chosen in [row[:2] for row in rows]
    tested = {row.tobytes() for row in X_test}
    assert not any(row.tobytes() in tested for rows in used for row in rows)


@ignore_max_iter
def test_spice_circuit():
    try:
        ngspice.library()
    except OSError as error:
        pytest.skip(str(error))
    page = run_page("hardware/plot_spice_circuit", EPOCHS=15)
    assert page.in_circuit > 0.9
    assert page.voltages.min() < -0.4
    assert page.ideal.min() == 0
    ours = np.array([np.interp(page.steps, page.times, voltage) for voltage in page.output.T]).T
    assert np.abs(ours - page.euler).max() < 0.05 * np.abs(page.euler).max()


SMALL = {"HIDDEN": (12, 10), "EPOCHS": 2, "TRAIN_ROWS": 250, "ROWS": 30}


def test_one_synapse():
    """The page itself compares the package's step with the product of the two phases."""
    page = run_page("theory/plot_one_synapse")
    assert list(page.by_hand) == list(page.by_package) == ["F1", "F2", "B", "b1", "b2"]
    for name, change in page.by_hand.items():
        assert np.abs(change).max() > 1e-4
        np.testing.assert_allclose(page.by_package[name], change, rtol=0, atol=1e-10)
    for path, equilibrium in zip((page.h_free, page.o_free), page.free.states, strict=True):
        np.testing.assert_allclose(path[-1], equilibrium, atol=1e-9)
    for exact, name in zip(page.slopes, ("F1", "F2"), strict=True):
        product = page.by_hand[name]
        cosine = (exact * product).sum() / np.linalg.norm(exact) / np.linalg.norm(product)
        assert cosine > 0.99


@ignore_max_iter
def test_error_signals():
    page = run_page("theory/plot_error_signals", **SMALL)
    # Up while settling, down while nudged, and weaker on the way.
    assert len(page.peaks) == 3
    assert (np.diff(page.settled) > 0).all()
    assert (np.diff(page.peak_times) < 0).all()
    assert (np.diff(page.peaks) > 0).all()


@ignore_max_iter
def test_theorem_1_angle():
    page = run_page("theory/plot_theorem_1_angle", POINTS=3, DRAWS=1, **SMALL)
    assert page.dial.tolist() == [0, 0.5, 1]
    for cosines, overall, symmetry in page.measured.values():
        assert (np.diff(symmetry) > 0).all()
        assert (np.diff(overall) > 0).all()
        np.testing.assert_allclose([symmetry[-1], overall[-1]], 1, atol=1e-4)
        np.testing.assert_allclose(cosines[-1], 1, atol=1e-4)
    rng = np.random.RandomState(0)
    forward = rng.standard_normal((7, 5))
    for a in (0.0, 0.3, 1.0):
        back = page.dialled(forward, a, rng)
        assert np.linalg.norm(back) == pytest.approx(np.linalg.norm(forward))
        assert (back * forward.T).sum() / (forward**2).sum() == pytest.approx(a, abs=1e-12)


@ignore_max_iter
def test_theorems_3_and_4():
    page = run_page("theory/plot_theorems_3_and_4", **SMALL)
    tied, random = (
        float(str(page.found[name]).partition("F_1")[2].split()[0]) for name in page.networks
    )
    assert tied == 1
    assert abs(random) < 0.9


def test_alignment_over_training():
    page = run_page("theory/plot_alignment_over_training", **SMALL)
    assert list(page.histories) == list(page.WAYS)
    cosines = {name: history[-1, 0] for name, history in page.histories.items()}
    assert cosines["transpose, Kolen-Pollack"] > 0.95 > cosines["random, fixed"]
    assert all(0 < history[-1, 2] <= 1 for history in page.histories.values())


def test_stdp_window():
    page = run_page("theory/plot_stdp_window", NEURONS=500, STEPS=800)
    assert (np.sign(page.expected(page.intervals)) == np.sign(page.intervals)).all()
    close = (np.abs(page.intervals) <= 10) & (page.intervals != 0)
    assert (np.sign(page.change) == np.sign(page.intervals))[close].all()
    assert np.sqrt((page.distance**2).mean()) < 1.5


@ignore_max_iter
def test_convolutions():
    page = run_page("images/plot_convolutions", EPOCHS=3, TRAIN_ROWS=300)
    assert page.accuracy > 0.3
    assert page.cosines.mean() > 0.99


@ignore_max_iter
def test_digit_settles(tmp_path):
    page = run_page("images/plot_digit_settles", EPOCHS=5, N_STEPS=14)
    page.film.save(tmp_path / "film.gif", writer="pillow", dpi=30)
    assert len(page.path) == 2 * page.N_STEPS
    equilibrium = [state[0] for state in page.model.relax(page.image).states]
    for state, settled in zip(page.rest, equilibrium, strict=True):
        np.testing.assert_allclose(state, settled, atol=0.01)
    # The nudge raises the right output, and arrives weaker in lower layers.
    assert page.path[-1][2][page.label[0]] > page.rest[2][page.label[0]]
    assert page.moved[0] < page.moved[1] < page.moved[2]


def test_decision_boundary():
    page = run_page("plot_decision_boundary")
    assert page.model.score(page.X_test, page.y_test) > 0.9


@ignore_max_iter
def test_regression_curve():
    page = run_page("plot_regression_curve", EPOCHS=100)
    assert page.errors["absolute_error"] < page.errors["huber"] < page.errors["squared_error"]
    assert (page.curves["poisson"] > 0).all()


@ignore_max_iter
def test_own_loss():
    page = run_page("extend/plot_own_loss", EPOCHS=60)
    assert all(abs(below - quantile) < 0.06 for quantile, below in page.shares.items())
    assert (page.curves[0.1] < page.curves[0.9]).all()


@ignore_max_iter
def test_skip_connections():
    page = run_page("extend/plot_skip_connections", EPOCHS=10)
    assert min(page.alignments.values()) > 0.98
    scores = [model.score(page.X_test, page.y_test) for model in page.models.values()]
    assert min(scores) > 0.85


def test_never_settles():
    page = run_page("theory/plot_never_settles", EPOCHS=15, N_STEPS=120)
    settling, cycling = (np.ptp(page.walk(a, 1.0)[-20:], axis=0).max() for a in (0.5, 2.0))
    assert settling < 0.01
    assert cycling > 0.5
    start, *_, end = page.curves["trajectory"]
    assert end < 0.5 * start
