"""Displays: scikit-learn's manners, and that the pictures show the numbers."""

import subprocess
import sys

import numpy as np
import pytest

from sklearn_eqprop.diagnostics import (
    ErrorProcessesDisplay,
    GoodParameterDisplay,
    GradientAlignmentDisplay,
    HealthReportDisplay,
    JacobianSymmetryDisplay,
    error_processes,
    gradient_alignment,
    health_report,
)
from tests.diagnostics.twins import problem, twin

pytest.importorskip("matplotlib")
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

DISPLAYS = {
    ErrorProcessesDisplay: True,
    GoodParameterDisplay: True,
    GradientAlignmentDisplay: True,
    HealthReportDisplay: True,
    JacobianSymmetryDisplay: False,
}


@pytest.fixture(scope="module")
def fitted():
    net, X, Y = problem("hard_sigmoid", "log_loss")
    model, y = twin(net, "log_loss", X, Y)
    return model, X, y


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def _from_estimator(display, fitted, **settings):
    model, X, y = fitted
    return display.from_estimator(*((model, X, y) if DISPLAYS[display] else (model, X)), **settings)


@pytest.mark.parametrize("display", DISPLAYS)
def test_axes_and_figure(display, fitted):
    drawn = _from_estimator(display, fitted)
    assert isinstance(drawn, display)
    assert drawn.ax_.figure is drawn.figure_
    drawn.figure_.canvas.draw()  # every label and formula can be drawn
    figure, ax = plt.subplots()
    again = drawn.plot(ax)
    assert again is drawn
    assert drawn.ax_ is ax
    assert drawn.figure_ is figure
    assert len(plt.get_fignums()) == 2
    on_given = _from_estimator(display, fitted, ax=ax)
    assert on_given.ax_ is ax
    assert len(plt.get_fignums()) == 2


def test_bars_are_the_cosines(fitted):
    found = gradient_alignment(*fitted)
    drawn = GradientAlignmentDisplay(found).plot()
    heights = [[bar.get_height() for bar in bars] for bars in drawn.bars_]
    np.testing.assert_array_equal(heights[0], [*(b.cosine for b in found.blocks), found.overall])
    updates = [np.nan if b.update_cosine is None else b.update_cosine for b in found.blocks]
    np.testing.assert_array_equal(heights[1], [*updates, found.update])
    labels = [label.get_text() for label in drawn.ax_.get_xticklabels()]
    assert labels[0] == "$F_{1}$"
    assert labels[-1] == "all"


@pytest.mark.parametrize("kind", ["signals", "updates", "cosines"])
def test_lines_are_the_processes(fitted, kind):
    found = error_processes(*fitted)
    drawn = ErrorProcessesDisplay(found).plot(kind=kind)
    columns = [found.blocks.index(f"F_{layer}") for layer in (1, 2, 3)]
    truth = {
        "signals": (found.S_size, found.sigma_size),
        "updates": (found.theta_size[:, columns], found.nu_size[:, columns]),
        "cosines": (found.theta_cosine[:, columns], found.cosine),
    }[kind]
    for layer in range(3):
        for line, values in zip(drawn.lines_[2 * layer : 2 * layer + 2], truth, strict=True):
            shown = line.get_ydata()
            drawn_there = ~np.isnan(shown)
            np.testing.assert_array_equal(shown[drawn_there], values[drawn_there, layer])
            assert drawn_there.sum() >= len(found.times) - 3
    with pytest.raises(ValueError, match=r"kind must be one of .* Got 'arrows'"):
        drawn.plot(kind="arrows")


@pytest.mark.parametrize("kind", ["signals", "updates", "cosines"])
def test_outputs_at_their_targets_leave_the_picture_empty(kind):
    net, X, Y = problem("tanh")
    net.coefs[-1][:] = 0
    net.biases[-1][:] = 0
    model, _ = twin(net, "squared_error", X, Y)
    drawn = ErrorProcessesDisplay.from_estimator(model, X, np.zeros_like(Y), kind=kind)
    drawn.figure_.canvas.draw()
    assert all(np.isnan(line.get_ydata()).all() for line in drawn.lines_[:6])


def test_health_says_every_check(fitted):
    report = health_report(*fitted)
    texts = [text.get_text() for text in HealthReportDisplay(report).plot().ax_.texts]
    for check in report.checks:
        assert check.name in texts
        assert any(check.finding[:30] in text for text in texts)


def test_settings_reach_the_measurement(fitted):
    processes = _from_estimator(ErrorProcessesDisplay, fitted, max_time=1, tol=0, step_size=0.5)
    np.testing.assert_allclose(processes.processes.times, [0, 0.5, 1])
    starts = _from_estimator(GoodParameterDisplay, fitted, n_starts=3).result
    assert starts.settled.shape[0] == 3
    symmetry = _from_estimator(JacobianSymmetryDisplay, fitted, n_probes=5).symmetry
    assert symmetry.n_probes == 5


def _in_fresh_interpreter(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_matplotlib_is_not_imported_with_the_package():
    done = _in_fresh_interpreter(
        "import sys, sklearn_eqprop.diagnostics; assert 'matplotlib' not in sys.modules"
    )
    assert done.returncode == 0, done.stderr


def test_missing_matplotlib(fitted, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r"GoodParameterDisplay.plot needs matplotlib: python -m"):
        _from_estimator(GoodParameterDisplay, fitted)
