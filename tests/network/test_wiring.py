"""Graphs of layers: order, partners, what leads where; and the weights they start from."""

import itertools

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sklearn_eqprop._network import Wiring, initial_weights, layered_wiring, reachable
from sklearn_eqprop._network.structure import FORWARD_SCALE, starting_norm
from tests.dense_graph import GRAPHS
from tests.dense_truth import random_net
from tests.engine import network_of

SIZES = (40, 30, 50, 20)
ALL = GRAPHS["all"]


def _weights(graph, feedback_init="transpose", scale=0.3, seed=0, dtype=np.float64):
    return initial_weights(
        SIZES,
        Wiring.of(graph),
        feedback_init=feedback_init,
        feedback_scale=scale,
        rng=np.random.RandomState(seed),
        dtype=dtype,
    )


def test_order_of_the_connections():
    rng = np.random.RandomState(0)
    for _ in range(5):
        wiring = Wiring.of([ALL[index] for index in rng.permutation(len(ALL))])
        assert wiring.forward == ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
        assert wiring.feedback == ((1, 1), (2, 1), (3, 1), (2, 2), (3, 2), (3, 3))
        assert wiring.pairs == wiring.forward + wiring.feedback
        assert wiring.n_layers == 3


def test_partners_lead_the_other_way():
    # (1, 1), (2, 1), (3, 1), (2, 2), (3, 2), (3, 3) against the order above.
    assert Wiring.of(ALL).partners == (None, 2, 4, None, 5, None)
    assert Wiring.of(GRAPHS["ring"]).partners == (None,)


@pytest.mark.parametrize("n_layers", range(1, 6))
def test_layers_in_a_row(n_layers):
    wiring = layered_wiring(n_layers)
    assert wiring == Wiring.of(wiring.pairs[::-1])
    assert wiring.is_layered
    assert wiring.n_layers == n_layers
    assert wiring.partners == tuple(range(1, n_layers))
    assert not Wiring.of([*wiring.pairs, (n_layers, n_layers)]).is_layered
    sizes = (4, 5, 3, 6, 2, 3)[: n_layers + 1]
    assert network_of(random_net(sizes, "tanh")).wiring == wiring


def test_reachable_is_the_transitive_closure():
    # Against powers of the matrix of neighbours, over every graph of three layers.
    every = list(itertools.product(range(3), repeat=2))
    for chosen in itertools.product([False, True], repeat=len(every)):
        pairs = list(itertools.compress(every, chosen))
        steps = np.eye(3, dtype=int)
        for source, target in pairs:
            steps[source, target] = 1
        closure = np.linalg.matrix_power(steps, 3) > 0
        for start in range(3):
            assert reachable(pairs, start) == set(np.flatnonzero(closure[start]))


@pytest.mark.parametrize("graph", GRAPHS)
def test_shapes_of_the_first_weights(graph):
    wiring = Wiring.of(GRAPHS[graph])
    coefs, intercepts, feedback = _weights(GRAPHS[graph], dtype=np.float32)
    assert [c.shape for c in coefs] == [(SIZES[s], SIZES[t]) for s, t in wiring.forward]
    assert [c.shape for c in feedback] == [(SIZES[s], SIZES[t]) for s, t in wiring.feedback]
    assert [b.shape for b in intercepts] == [(size,) for size in SIZES[1:]]
    for array in (*coefs, *feedback, *intercepts):
        assert array.dtype == np.float32


def test_feedback_starts_at_the_scaled_transpose_of_its_partner():
    wiring = Wiring.of(ALL)
    coefs, _, feedback = _weights(ALL)
    for block, partner in zip(feedback, wiring.partners, strict=True):
        if partner is not None:
            span = 2 if wiring.forward[partner] == (1, 3) else 1
            assert_allclose(block, 0.3**span * coefs[partner].T, rtol=1e-15)


@pytest.mark.parametrize("feedback_init", ["transpose", "independent"])
def test_feedback_without_a_partner_is_drawn_at_the_same_scale(feedback_init):
    wiring = Wiring.of(ALL)
    coefs, _, feedback = _weights(ALL, feedback_init)
    for (source, target), block, partner in zip(
        wiring.feedback, feedback, wiring.partners, strict=True
    ):
        if partner is not None and feedback_init == "transpose":
            continue
        scale = 0.09 if (source, target) == (3, 1) else 0.3  # it skips a layer
        bound = scale * FORWARD_SCALE * np.sqrt(6 / (SIZES[source] + SIZES[target]))
        assert 0.9 * bound < np.abs(block).max() <= bound
        assert abs(block.mean()) < 0.1 * bound
        for coef in coefs:
            if coef.T.shape == block.shape:
                assert np.abs(block - 0.3 * coef.T).max() > 0.1 * bound


def test_lateral_connections_start_without_those_of_a_unit_to_itself():
    _, _, feedback = _weights([*layered_wiring(3).pairs, (2, 2)])
    lateral = feedback[1]
    assert (np.diag(lateral) == 0).all()
    assert (lateral[~np.eye(50, dtype=bool)] != 0).all()


def test_starting_norm_is_that_of_the_draws():
    squares = np.zeros(6)
    for seed in range(20):
        coefs, _, _ = _weights(ALL, seed=seed)
        squares += [np.linalg.norm(coef) ** 2 / 20 for coef in coefs]
    shapes = [coef.shape for coef in coefs]
    expected = [starting_norm(*shape) for shape in shapes]
    assert np.sqrt(squares) == pytest.approx(expected, rel=0.01)
