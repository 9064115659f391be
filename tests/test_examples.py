"""The examples: tiny runs of the paper and of the analog chip, the parts of the digits example.

`python examples/plot_digits.py` as a whole is one of the README's two commands, which .ci/run runs.
"""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_eqprop import EqPropClassifier
from tests.substrates.test_own_substrate import VERBS, Watched

pytest.importorskip("matplotlib")

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
TINY = ["--hidden", "16", "12", "--epochs", "2", "--free-steps", "10", "--nudged-steps", "4"]


def load_example(name):
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXAMPLES)  # which is there when an example runs as a script
        spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def paper():
    return load_example("plot_paper_mnist")


@pytest.fixture(scope="module")
def digits():
    return load_example("plot_digits")


@pytest.fixture(scope="module")
def analog():
    return load_example("plot_analog_substrate")


@pytest.fixture(scope="module")
def pipeline():
    X, y = load_digits(return_X_y=True)
    model = EqPropClassifier(20, max_iter=3, learning_rate="cosine", random_state=0)
    return make_pipeline(StandardScaler(), model).fit(X[:300], y[:300])


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
def test_settling_falls_and_leaves_the_model_alone(digits, pipeline, relaxation, step_size):
    X, _ = load_digits(return_X_y=True)
    model = pipeline[-1]
    before = model.get_params()
    residual = digits.settling(model, pipeline[0].transform(X[:20]), relaxation, step_size, [5, 40])
    assert residual.shape == (2, 20)
    assert (residual[1] < 0.1 * residual[0]).all()
    assert model.get_params() == before


def test_features(digits, pipeline):
    X, _ = load_digits(return_X_y=True)
    weights, patterns = digits.features(pipeline, X[:300], 6)
    assert weights.shape == patterns.shape == (6, 64)
    dark = X[:300].std(axis=0) == 0
    assert dark.any()
    assert not weights[:, dark].any()
    np.testing.assert_allclose(patterns[:, dark], 0, atol=1e-12)
    # A pattern goes with the unit's drive: it is on the side of the weights.
    scale = pipeline[0].scale_
    assert ((patterns / scale * weights).sum(axis=1) > 0).all()


def test_compare_prints_a_line_a_model(digits, capsys):
    X, y = load_digits(return_X_y=True)
    model = EqPropClassifier(10, max_iter=2, learning_rate="cosine", random_state=0)
    (fitted,) = digits.compare([("small", model)], X[:200], X[200:300], y[:200], y[200:300])
    header, line = capsys.readouterr().out.splitlines()
    assert header.split() == ["epochs", "seconds", "test", "accuracy"]
    assert line.split()[:2] == ["small", "2"]
    assert line.split()[-1] == f"{fitted.score(X[200:300], y[200:300]):.1%}"


def test_analog_chip_reads_its_record_on_few_levels(analog):
    record = analog.untrained_network(64, 10, seed=0)
    written = [parameter.array.copy() for parameter in record.parameters()]
    chip = analog.AnalogChip(record, analog.Scales((0.1,) * 5), analog.NOISY, seed=0)
    chip.settle(np.zeros((2, 64)))
    for weights, block in zip(chip._weights, written, strict=True):
        levels = weights / 0.1 * 31
        np.testing.assert_allclose(levels, np.round(levels), atol=1e-9)
        assert np.abs(levels).max() < 31.5
        assert np.abs(weights - np.clip(block, -0.1, 0.1)).max() <= 0.05 / 31 + 1e-12
    for parameter, block in zip(record.parameters(), written, strict=True):
        assert np.array_equal(parameter.array, block)  # reading is not writing


def test_analog_chip_without_faults_settles_where_its_record_does(analog):
    record = analog.untrained_network(64, 10, seed=0)
    chip = analog.AnalogChip(record, analog.Scales(), analog.Faults(), seed=0)
    chip.free_steps = 100
    X = np.random.default_rng(0).standard_normal((5, 64))
    hidden, output = chip.settle(X).result.states
    F1, F2, B, b1, b2 = (parameter.array for parameter in record.parameters())
    np.testing.assert_allclose(hidden, np.maximum(X @ F1 + output @ B + b1, 0), atol=1e-9)
    np.testing.assert_allclose(output, hidden @ F2 + b2, atol=1e-9)


def test_analog_units_are_off_by_what_their_faults_say(analog):
    record = analog.untrained_network(64, 10, seed=0)
    scales = analog.Scales(states=(2.0, 5.0))
    chip = analog.AnalogChip(record, scales, analog.Faults(offsets=0.1, slopes=0.2), seed=0)
    chip.free_steps = 100
    (hidden, output), (again, _) = (chip.settle(np.zeros((1, 64))).result.states for _ in range(2))
    assert np.array_equal(hidden, again)  # fixed, not drawn anew
    _, F2, B, b1, b2 = (parameter.array for parameter in record.parameters())
    driven = chip._slopes[0] * (output @ B + b1 + chip._offsets[0])
    np.testing.assert_allclose(hidden, np.maximum(driven, 0), atol=1e-9)
    driven = chip._slopes[1] * (hidden @ F2 + b2 + chip._offsets[1])
    np.testing.assert_allclose(output, driven, atol=1e-9)
    for offsets, scale in zip(chip._offsets, scales.states, strict=True):
        assert 0.5 < offsets.std() / (0.1 * scale) < 1.6
    assert all(0.1 < slopes.std() < 0.32 for slopes in chip._slopes)


def test_analog_chip_is_asked_for_nothing_but_the_two_verbs(analog):
    X, _, y, _ = analog.load_standardised()
    record = analog.untrained_network(64, 10, seed=0)
    scales = analog.Scales((1.0,) * 5, (1.0, 1.0))
    chip = Watched(analog.AnalogChip(record, scales, analog.mismatched(0.1), seed=0))
    analog.train(chip, record, X[:200], y[:200], analog.Recipe(n_epochs=1), seed=0)
    assert chip.asked_for == VERBS


def test_analog_substrate_prints_and_draws(analog, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
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
    assert is_png(tmp_path / analog.PICTURE)


def test_analog_recipe_never_sees_a_test_row(analog, monkeypatch, capsys):
    used, (_, X_test, *_) = [], analog.load_standardised()

    def networks(split, recipe, n_networks):
        used.extend(split[:2])
        return [analog.Ideal(0.9, None, analog.Scales(), (1.0, 1.0))] * n_networks

    monkeypatch.setattr(analog, "ideal_networks", networks)
    monkeypatch.setattr(analog, "copied", lambda *_: [0.8])
    monkeypatch.setattr(analog, "in_place", lambda *_: [0.85])
    analog.validate(n_chips=2)
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[3:]]
    assert len(rows) == 9
    assert all(row[2:] == ["90.0", "80.0", "85.0"] for row in rows)
    chosen = [str(analog.RECIPE.beta), str(analog.RECIPE.learning_rate)]
    assert chosen in [row[:2] for row in rows]
    tested = {row.tobytes() for row in X_test}
    assert not any(row.tobytes() in tested for rows in used for row in rows)


SMALL_DIAGNOSTICS = ["--hidden", "12", "10", "--epochs", "2", "--train-rows", "250", "--rows", "30"]


def columns_of(printed, n_columns):
    """Lines that are nothing but numbers, as arrays."""
    lines = []
    for line in printed.splitlines():
        try:
            numbers = [float(word) for word in line.split()]
        except ValueError:
            continue
        if len(numbers) == n_columns:
            lines.append(numbers)
    return np.array(lines)


def test_error_signals(tmp_path, capsys):
    picture = tmp_path / "signals.png"
    load_example("plot_error_signals").main([*SMALL_DIAGNOSTICS, "--output", str(picture)])
    layers, settled, peaks, sizes = columns_of(capsys.readouterr().out, 4).T
    assert layers.tolist() == [1, 2, 3]
    # Up while settling, down while nudged, and weaker on the way.
    assert (np.diff(settled) > 0).all()
    assert (np.diff(peaks) < 0).all()
    assert (np.diff(sizes) > 0).all()
    assert is_png(picture)


def test_theorem_1_angle(tmp_path, capsys):
    picture = tmp_path / "angle.png"
    options = [*SMALL_DIAGNOSTICS, "--points", "3", "--draws", "1", "--output", str(picture)]
    load_example("plot_theorem_1_angle").main(options)
    untrained, trained = columns_of(capsys.readouterr().out, 6).reshape(2, 3, 6)
    for dial, symmetry, overall, *of_layers in (untrained.T, trained.T):
        assert dial.tolist() == [0, 0.5, 1]
        assert (np.diff(symmetry) > 0).all()
        assert symmetry[-1] == overall[-1] == 1
        assert (np.diff(overall) > 0).all()
        assert all(of_layer[-1] == 1 for of_layer in of_layers)
    assert is_png(picture)


def test_feedback_is_dialled():
    rng = np.random.RandomState(0)
    forward = rng.standard_normal((7, 5))
    for a in (0.0, 0.3, 1.0):
        back = load_example("plot_theorem_1_angle").dialled(forward, a, rng)
        assert np.linalg.norm(back) == pytest.approx(np.linalg.norm(forward))
        assert (back * forward.T).sum() / (forward**2).sum() == pytest.approx(a, abs=1e-12)


def test_theorems_3_and_4(tmp_path, capsys):
    picture = tmp_path / "theorems.png"
    load_example("plot_theorems_3_and_4").main([*SMALL_DIAGNOSTICS, "--output", str(picture)])
    tied, random = capsys.readouterr().out.split("Random feedback")
    of_F_1 = [float(part.partition("F_1")[2].split()[0]) for part in (tied, random)]
    assert of_F_1[0] == 1
    assert abs(of_F_1[1]) < 0.9
    assert is_png(picture)


def test_alignment_over_training(tmp_path, capsys):
    picture = tmp_path / "alignment.png"
    example = load_example("plot_alignment_over_training")
    example.main([*SMALL_DIAGNOSTICS, "--output", str(picture)])
    lines = capsys.readouterr().out.splitlines()
    found = {line[:26].strip(): line[26:].split() for line in lines[1:-1]}
    assert list(found) == list(example.WAYS)
    cosines = {name: float(words[0]) for name, words in found.items()}
    assert cosines["transpose, Kolen-Pollack"] > 0.95 > cosines["random, fixed"]
    assert all(0 < float(words[2].rstrip("%")) <= 100 for words in found.values())
    assert is_png(picture)


def test_stdp_window(tmp_path, capsys):
    picture = tmp_path / "stdp.png"
    example = load_example("plot_stdp_window")
    example.main(["--neurons", "500", "--steps", "800", "--output", str(picture)])
    printed = capsys.readouterr().out
    interval, change, expected = columns_of(printed, 3).T
    assert (np.sign(expected) == np.sign(interval)).all()
    close = np.abs(interval) <= 10
    assert (np.sign(change) == np.sign(interval))[close].all()
    assert float(printed.partition("window: ")[2].split()[0]) < 1.5
    assert is_png(picture)


@pytest.mark.filterwarnings(
    "ignore:Training reached max_iter:sklearn.exceptions.ConvergenceWarning"
)
def test_convolutions(tmp_path, capsys):
    picture = tmp_path / "convolutions.png"
    example = load_example("plot_convolutions")
    example.main(["--epochs", "3", "--rows", "300", "--output", str(picture)])
    printed = capsys.readouterr().out
    accuracy = float(printed.partition("held out: ")[2].split()[0])
    mean_cosine = float(printed.partition("beside them: ")[2].split()[0])
    assert accuracy > 0.3
    assert mean_cosine > 0.99
    assert is_png(picture)
