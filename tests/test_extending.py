"""Each example of CONTRIBUTING.md is one file and one line, and works through the estimators."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import sklearn_eqprop

GUIDE = Path(__file__).parents[1] / "CONTRIBUTING.md"
PACKAGE = Path(sklearn_eqprop.__file__).parent

START = """
import warnings
import numpy as np
from sklearn.datasets import load_diabetes, load_digits
from sklearn.preprocessing import scale
import pytest
import sklearn_eqprop
from sklearn_eqprop import EqPropClassifier, EqPropRegressor

warnings.simplefilter("error")
warnings.filterwarnings("ignore", "Training reached max_iter")

def is_a_choice(estimator, parameter, name):
    assert repr(name) in estimator.__doc__
    with pytest.raises(ValueError, match=name):  # the message lists the choices
        estimator(**{parameter: "no such name"}).fit(np.eye(4), [0, 1, 0, 1])

def learns_digits(**parameters):
    X, y = load_digits(return_X_y=True)
    X = X / 8 - 1
    parameters = {"random_state": 0, "n_iter_no_change": None} | parameters
    model = EqPropClassifier(**parameters).fit(X[:1000], y[:1000])
    assert model.score(X[1000:], y[1000:]) > 0.87
    return model, X[1000:1100], y[1000:1100]
"""

CHECKS = {
    "An activation: softplus": """
is_a_choice(EqPropClassifier, "activation", "softplus")
model, X, _ = learns_digits(activation="softplus", max_iter=10, dtype="float64")
hidden, output = model.relax(X).states
rate = np.log(1 + np.exp(hidden))
[feedback], [into_hidden, into_output] = model.feedback_coefs_, model.coefs_
drive = X @ into_hidden + output @ feedback + model.intercepts_[0]
assert np.abs(drive - hidden).max() < 1e-8
assert np.abs(rate @ into_output + model.intercepts_[1] - output).max() < 1e-8

from sklearn_eqprop._network import ACTIVATIONS
softplus, s = ACTIVATIONS["softplus"], np.linspace(-30, 30, 601)
h = 1e-5
slope = (np.log(1 + np.exp(s + h)) - np.log(1 + np.exp(s - h))) / (2 * h)
assert np.abs(softplus.slope(np, s) - slope).max() < 1e-9
assert np.isfinite(softplus.rate(np, np.array([-1e4, 1e4]))).all()
for d in (3.0, 1e-3, -2.0):
    change = np.log(1 + np.exp(s + d)) - np.log(1 + np.exp(s))
    assert np.abs(softplus.rate_change(np, s, np.full_like(s, d)) - change).max() < 1e-12
tiny = softplus.rate_change(np, s, np.full_like(s, 1e-30))
assert np.abs(tiny / 1e-30 - 1 / (1 + np.exp(-s))).max() < 1e-12
""",
    "A loss: log-cosh": """
is_a_choice(EqPropRegressor, "loss", "log_cosh")
with pytest.raises(ValueError, match="log_loss"):  # it judges numbers, not labels
    EqPropClassifier(loss="log_cosh").fit(np.eye(4), [0, 1, 0, 1])
X, y = load_diabetes(return_X_y=True)
X, settings = scale(X), {"loss": "log_cosh", "max_iter": 60, "n_iter_no_change": None}
model = EqPropRegressor(random_state=0, **settings).fit(X, y)
assert model.score(X, y) > 0.5
output = (model.predict(X) - model.target_mean_) / model.target_scale_
target = (y - model.target_mean_) / model.target_scale_
loss = np.log(np.cosh(target - output)).mean()
assert abs(model.loss_curve_[-1] - loss) < 0.1 * loss  # of the weights before the last updates

from sklearn_eqprop._losses import NUMBER_LOSSES
log_cosh, h = NUMBER_LOSSES["log_cosh"](), 1e-5
output = np.linspace(-9, 9, 181)[:, None]
target = np.full_like(output, 0.3)
value = np.log(np.cosh(target - output))[:, 0]
assert np.abs(log_cosh.value(np, output, target) - value).max() < 1e-12
rise = log_cosh.value(np, output + h, target) - log_cosh.value(np, output - h, target)
assert np.abs(log_cosh.force(np, output, target)[:, 0] + rise / (2 * h)).max() < 1e-9
assert np.isfinite(log_cosh.value(np, 1e4 + output, target)).all()
""",
    "A credit rule: direct feedback alignment": """
is_a_choice(EqPropClassifier, "gradient", "direct_feedback")
direct = {
    "gradient": "direct_feedback",
    "feedback_init": "independent",
    "feedback_learning": "fixed",
}
joined = [(0, 1), (1, 2), (2, 3), (3, 1), (3, 2)]
learns_digits(hidden_layer_sizes=(60, 40), connections=joined, max_iter=20, **direct)

rng, rate = np.random.RandomState(0), 0.1
X, y = rng.standard_normal((40, 5)), np.arange(40) % 3
model = EqPropClassifier(
    (7, 6), connections=joined, activation="tanh", optimizer="sgd", momentum=0, alpha=0,
    learning_rate_init=rate, relax_tol=1e-13, max_relax_iter=1000, random_state=0, **direct,
)
model.partial_fit(X, y, classes=[0, 1, 2])
first, second, output = model.relax(X).states
before = [coef.copy() for coef in model.coefs_]
from_output = [feedback.copy() for feedback in model.feedback_coefs_]
model.partial_fit(X, y)
e = np.eye(3)[y] - np.exp(output) / np.exp(output).sum(axis=1, keepdims=True)
deltas = [(e @ B) * (1 - np.tanh(s) ** 2) for B, s in zip(from_output, (first, second))]
for old, new, pre, delta in zip(
    before, model.coefs_, (X, np.tanh(first), np.tanh(second)), [*deltas, e], strict=True
):
    assert np.abs(new - old - rate * pre.T @ delta / 40).max() < 1e-10
    assert np.abs(new - old).max() > 1e-4
""",
    "A relaxation: Euler steps with momentum": """
is_a_choice(EqPropClassifier, "relaxation", "heavy_ball")
settings = {"hidden_layer_sizes": (60, 40), "loop_gain": 0.5, "dtype": "float64"}
model, X, y = learns_digits(relaxation="heavy_ball", step_size=0.5, max_iter=20, **settings)
for nudge in ((), (y, 0.3)):
    found = model.set_params(relaxation="heavy_ball", step_size=0.5).relax(X, *nudge)
    truth = model.set_params(relaxation="gauss_seidel", step_size=1).relax(X, *nudge)
    assert found.converged.all() and np.unique(found.n_steps).size > 1
    for state, expected in zip(found.states, truth.states, strict=True):
        assert np.abs(state - expected).max() < 1e-8
""",
    "An optimiser: Nesterov's momentum": """
is_a_choice(EqPropClassifier, "optimizer", "nesterov")
learns_digits(optimizer="nesterov", learning_rate_init=0.05, max_iter=20)

rng, rate, momentum, beta, n = np.random.RandomState(0), 0.1, 0.7, 0.5, 30
X = rng.standard_normal((n, 4))
y = X @ rng.standard_normal(4) + 0.3 * rng.standard_normal(n)
def trained(n_epochs, rate):
    return EqPropRegressor(
        (), optimizer="nesterov", momentum=momentum, learning_rate_init=rate, beta=beta, alpha=0,
        nudging="one_sided", shuffle=False, max_iter=n_epochs, n_iter_no_change=None,
        relax_tol=1e-14, random_state=0,
    ).fit(X, y)
model, start = trained(6, rate), trained(1, 1e-300)
W, target = start.coefs_[0], (y - model.target_mean_) / model.target_scale_
W = np.vstack([W, start.intercepts_[0]])
X, velocity = np.c_[X, np.ones(n)], 0
for _ in range(6):
    ascent = X.T @ (target[:, None] - X @ W) / n / (1 + beta)  # a nudge moves by e / (1 + beta)
    velocity = momentum * velocity + rate * ascent
    W = W + momentum * velocity + rate * ascent
assert np.abs(np.vstack([model.coefs_[0], model.intercepts_[0]]) - W).max() < 1e-9
""",
}


def examples():
    """For each example of the guide: its file's path and text, the other file, the lines of it."""
    if not GUIDE.exists():
        return {}
    section = GUIDE.read_text().split("\n## Extend it\n")[1].split("\n## ")[0]
    found = {}
    for part in section.split("\n### ")[1:]:
        [(path, text)] = re.findall(r"```python\n# (\S+)\n(.*?)```", part, re.DOTALL)
        [(other, lines)] = re.findall(r"```diff\n--- (\S+)\n(.*?)```", part, re.DOTALL)
        found[part.partition("\n")[0]] = path, text, other, lines.splitlines()
    return found


@pytest.mark.skipif(not GUIDE.exists(), reason="CONTRIBUTING.md is in a checkout only")
def test_every_example_is_checked():
    assert list(examples()) == list(CHECKS)


@pytest.mark.skipif(not GUIDE.exists(), reason="CONTRIBUTING.md is in a checkout only")
@pytest.mark.parametrize("title", CHECKS)
def test_one_file_and_one_line_are_enough(title, tmp_path):
    path, text, other, lines = examples()[title]
    shutil.copytree(PACKAGE, tmp_path / PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__"))
    assert not (tmp_path / path).exists()
    (tmp_path / path).write_text(text)
    [context] = [line[1:] for line in lines if line.startswith(" ")]
    [added] = [line[1:] for line in lines if line.startswith("+")]
    registry = (tmp_path / other).read_text()
    assert registry.count(f"{context}\n") == 1
    (tmp_path / other).write_text(registry.replace(f"{context}\n", f"{context}\n{added}\n"))
    is_copy = f"assert sklearn_eqprop.__file__.startswith({str(tmp_path)!r})\n"
    done = subprocess.run(
        [sys.executable, "-c", START + is_copy + CHECKS[title]],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
