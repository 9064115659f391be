"""Displays of networks whose layers are not in a row."""

import numpy as np
import pytest

from sklearn_eqprop.diagnostics import (
    ErrorProcessesDisplay,
    GoodParameterDisplay,
    GradientAlignmentDisplay,
    HealthReportDisplay,
    JacobianSymmetryDisplay,
    LossCurveDisplay,
    RelaxationCurveDisplay,
    WeightsDisplay,
    error_processes,
)
from tests.diagnostics.graphs import ALL_GRAPHS, graph_problem

pytest.importorskip("matplotlib")
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

#: Displays and what they are drawn from.
DISPLAYS = {
    ErrorProcessesDisplay: "Xy",
    GoodParameterDisplay: "Xy",
    GradientAlignmentDisplay: "Xy",
    HealthReportDisplay: "Xy",
    JacobianSymmetryDisplay: "X",
    LossCurveDisplay: "",
    RelaxationCurveDisplay: "",
    WeightsDisplay: "",
}


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


@pytest.mark.parametrize("graph", ALL_GRAPHS.values(), ids=ALL_GRAPHS)
@pytest.mark.parametrize("display", DISPLAYS)
def test_every_display_draws_every_graph(display, graph):
    _, X, _, model, y = graph_problem(graph)
    data = {"X": X, "y": y}
    drawn = display.from_estimator(model, *(data[name] for name in DISPLAYS[display]))
    drawn.figure_.canvas.draw()


@pytest.mark.parametrize("graph", ALL_GRAPHS.values(), ids=ALL_GRAPHS)
@pytest.mark.parametrize("kind", ["signals", "updates", "cosines"])
def test_error_processes_have_a_colour_a_layer(kind, graph):
    _, X, _, model, y = graph_problem(graph)
    drawn = ErrorProcessesDisplay.from_estimator(model, X, y, kind=kind)
    drawn.figure_.canvas.draw()
    layers = [1, 2, 3]
    if kind == "updates":  # of forward weights
        layers = sorted({target for source, target in graph if source < target})
    labels = [text.get_text() for text in drawn.ax_.get_legend().get_texts()]
    assert labels[:-2] == [f"layer {layer}" for layer in layers]


@pytest.mark.parametrize("name", ["skip", "all"])
def test_all_forward_weights_into_a_layer_are_drawn_as_one(name):
    _, X, _, model, y = graph_problem(ALL_GRAPHS[name])
    found = error_processes(model, X, y)
    updates, cosines = (
        ErrorProcessesDisplay(found).plot(kind=kind).lines_ for kind in ("updates", "cosines")
    )
    for layer in (1, 2, 3):
        whole = [
            np.concatenate(
                [
                    block.ravel()
                    for block, role, target in zip(blocks, found.roles, found.layers, strict=True)
                    if role == "forward" and target == layer
                ]
            )
            for blocks in (found.gradient, found.nu)
        ]
        sizes = [np.linalg.norm(part) for part in whole]
        drawn = [line.get_ydata()[-1] for line in updates[2 * layer - 2 : 2 * layer]]
        np.testing.assert_allclose(drawn, sizes, rtol=1e-12)
        cosine = -whole[0] @ whole[1] / (sizes[0] * sizes[1])
        of_weights, of_signals = cosines[2 * layer - 2 : 2 * layer]
        assert of_weights.get_ydata()[-1] == pytest.approx(cosine, abs=1e-12)
        assert np.isnan(of_weights.get_ydata()[0])
        np.testing.assert_array_equal(of_signals.get_ydata(), found.cosine[:, layer - 1])


def test_a_layer_without_forward_weights_has_no_cosine_of_weights():
    # Layer 3 alone drives layers 1 and 2: no forward weights lead there.
    _, X, _, model, y = graph_problem(ALL_GRAPHS["behind the output"])
    lines = ErrorProcessesDisplay.from_estimator(model, X, y, kind="cosines").lines_
    assert np.isnan(lines[0].get_ydata()).all()
    assert np.isfinite(lines[4].get_ydata()[1:]).all()


def test_bars_are_named_by_both_ends():
    _, X, _, model, y = graph_problem(ALL_GRAPHS["skip"])
    drawn = GradientAlignmentDisplay.from_estimator(model, X, y)
    labels = [label.get_text() for label in drawn.ax_.get_xticklabels()]
    assert labels[2] == r"$F_{0 \to 3}$"
    assert len(set(labels)) == len(labels) == 12


def test_images_are_of_weights_from_the_input():
    # The first array, into layer 2, comes from layer 1.
    _, X, _, model, _ = graph_problem(((0, 3), (3, 1), (1, 2), (2, 3)))
    assert model.connections_[:2] == ((1, 2), (0, 3))
    drawn = WeightsDisplay.from_estimator(model, image_shape=(1, X.shape[1]))
    seen = {tuple(image.ravel()) for image in drawn.images}
    assert seen == {tuple(column) for column in model.coefs_[1].T}
