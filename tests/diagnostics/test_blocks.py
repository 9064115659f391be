"""Names of blocks of parameters: one for each, and the weights it stands for."""

import numpy as np
import pytest

from sklearn_eqprop.diagnostics import error_processes, gradient_alignment
from tests.dense_graph import CHAIN, SIZES
from tests.diagnostics.graphs import ALL_GRAPHS, graph_problem
from tests.diagnostics.twins import shares


@pytest.mark.parametrize("graph", ALL_GRAPHS.values(), ids=ALL_GRAPHS)
def test_a_name_says_where_weights_lead(graph):
    _, X, _, model, y = graph_problem(graph)
    blocks = gradient_alignment(model, X, y).blocks
    weights = [block for block in blocks if block.role != "bias"]
    assert {(block.source, block.layer) for block in weights} == set(graph)
    for block in weights:
        assert block.role == ("forward" if block.source < block.layer else "feedback")
        assert block.name == f"{'FB'[block.role == 'feedback']}_{block.source}→{block.layer}"
    biases = [(b.name, b.source, b.layer) for b in blocks if b.role == "bias"]
    assert biases == [("b_1", None, 1), ("b_2", None, 2), ("b_3", None, 3)]
    assert len({block.name for block in blocks}) == len(blocks)


@pytest.mark.parametrize("graph", ALL_GRAPHS.values(), ids=ALL_GRAPHS)
def test_what_stands_beside_a_name_is_of_these_weights(graph):
    net, X, Y, model, y = graph_problem(graph)
    found = error_processes(model, X, y, max_time=300, tol=1e-10)
    aligned = gradient_alignment(model, X, y).blocks
    assert found.blocks == [block.name for block in aligned]
    assert found.roles == [block.role for block in aligned]
    assert found.sources == [block.source for block in aligned]
    assert found.layers == [block.layer for block in aligned]
    truth = net.gradient(X, "squared_error", Y, shares())
    parts = net.parts()
    weights = [*net.connections, *((None, layer) for layer in (1, 2, 3))]
    truths = {pair: truth[part] for pair, part in zip(weights, parts, strict=True)}
    for index, pair in enumerate(zip(found.sources, found.layers, strict=True)):
        shape = tuple(SIZES[layer] for layer in pair if layer is not None)
        assert found.gradient[index].shape == shape
        np.testing.assert_allclose(found.gradient[index].ravel(), truths[pair], atol=1e-7)


@pytest.mark.parametrize(
    ("graph", "names"),
    [
        (CHAIN[::-1], ["F_1", "F_2", "F_3", "B_1", "B_2"]),
        (CHAIN[:3], ["F_1", "F_2", "F_3"]),
        (CHAIN[:4], ["F_1", "F_2", "F_3", "B_2"]),
    ],
    ids=["as by default", "no feedback", "some feedback"],
)
def test_neighbours_alone_are_named_as_in_the_equations(graph, names):
    _, X, _, model, y = graph_problem(graph)
    blocks = gradient_alignment(model, X, y).blocks
    assert [block.name for block in blocks] == [*names, "b_1", "b_2", "b_3"]
    for block in blocks:
        neighbour = {"forward": block.layer - 1, "feedback": block.layer + 1, "bias": None}
        assert block.source == neighbour[block.role]


def test_tied_feedback_is_no_block():
    graph = (*CHAIN, (1, 3), (3, 1))
    _, X, _, model, y = graph_problem(graph, tied=True)
    names = [block.name for block in gradient_alignment(model, X, y).blocks]
    assert names == ["F_0→1", "F_1→2", "F_1→3", "F_2→3", "b_1", "b_2", "b_3"]
