"""The health report of networks whose layers are not in a row."""

import numpy as np
import pytest

from sklearn_eqprop.diagnostics import health_report
from tests.dense_graph import CHAIN
from tests.diagnostics.graphs import ALL_GRAPHS, graph_problem

SKIP = (*CHAIN, (1, 3), (3, 1))


@pytest.mark.parametrize("graph", ALL_GRAPHS.values(), ids=ALL_GRAPHS)
def test_every_graph_has_a_report(graph):
    _, X, _, model, y = graph_problem(graph)
    report = health_report(model, X, y)
    assert report["alignment"].value > 0.999
    assert "→" in report["alignment"].finding
    for source, target in graph:
        if source >= target:
            assert f" for B_{source}→{target}" in report["feedback gain"].finding


def _scaled_feedback(**gains):
    """Network on `SKIP` whose feedback has these sizes, relative to its forward partners."""
    _, X, _, model, y = graph_problem(SKIP)
    ends = model.connections_
    for feedback, (source, target) in zip(model.feedback_coefs_, ends[4:], strict=True):
        forward = model.coefs_[ends.index((target, source))]
        size = gains[f"B_{source}_{target}"] * np.linalg.norm(forward)
        feedback *= size / np.linalg.norm(feedback)
    return model, X, y


def test_the_layer_that_a_nudge_hardly_reaches_is_found():
    check = health_report(*_scaled_feedback(B_2_1=0.1, B_3_1=0.2, B_3_2=1e-8))["feedback gain"]
    assert check.value == pytest.approx(1e-8)
    assert check.verdict == "watch"
    assert "is 0.1 for B_2→1, 0.2 for B_3→1, 1e-08 for B_3→2." in check.finding
    assert check.finding.endswith("The strongest path carries 1e-08 of a nudge to layer 2.")
    # To layer 1 the detour is the stronger path here.
    check = health_report(*_scaled_feedback(B_2_1=0.1, B_3_1=1e-8, B_3_2=0.3))["feedback gain"]
    assert check.value == pytest.approx(0.03)
    assert check.verdict == "good"


def test_layers_that_no_nudge_reaches_have_no_gain():
    _, X, _, model, y = graph_problem(CHAIN[:4])
    gain = np.linalg.norm(model.feedback_coefs_[0]) / np.linalg.norm(model.coefs_[2])
    check = health_report(model, X, y)["feedback gain"]
    assert check.value == pytest.approx(gain)
    assert check.finding.endswith("to layer 2.")


def test_no_feedback_at_all():
    _, X, _, model, y = graph_problem(ALL_GRAPHS["no feedback"])
    check = health_report(model, X, y)["feedback gain"]
    assert check.verdict == "good"
    assert check.finding == "There is no feedback into the hidden layers."


def test_an_update_that_does_not_arrive_is_named_by_both_ends():
    # An Euler step carries it by one layer.
    _, X, _, model, y = graph_problem(
        (*CHAIN, (0, 2)), gradient="vector_field", relaxation="euler", max_nudge_iter=2
    )
    check = health_report(model, X, y)["alignment"]
    assert "No update arrives at F_0→1 within max_nudge_iter=2" in check.finding
