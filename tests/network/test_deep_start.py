"""The start of deep networks keeps the size of signals; other networks start as before."""

import numpy as np
import pytest

from sklearn_eqprop._network import Wiring, initial_weights, layered_wiring
from sklearn_eqprop._network.structure import FORWARD_SCALE
from tests.dense_graph import GRAPHS


def _weights(sizes, seed=0, wiring=None, **changed):
    settings = {"feedback_init": "transpose", "feedback_scale": 0.3, "dtype": np.float64}
    return initial_weights(
        sizes,
        wiring or layered_wiring(len(sizes) - 1),
        rng=np.random.RandomState(seed),
        **settings | changed,
    )


def test_linear_units_grow_by_the_closed_form():
    # E ||s (1 + V)||² = ||s||² (1 + n Var V), and n Var V = 1 / n_hidden.
    n_hidden, growth = 64, []
    for seed in range(10):
        coefs, _, _ = _weights((5, *[60] * n_hidden, 3), seed)
        signals = np.random.RandomState(seed).standard_normal((50, 60))
        before = (signals**2).sum()
        for coef in coefs[1:-1]:
            signals = signals @ coef
        growth.append((signals**2).sum() / before)
    assert np.mean(growth) == pytest.approx((1 + 1 / n_hidden) ** (n_hidden - 1), rel=0.1)


@pytest.mark.parametrize("n_hidden", [4, 8, 20, 64])
def test_rectified_signals_keep_their_size(n_hidden):
    coefs, _, _ = _weights((40, *[100] * n_hidden, 3))
    rates = np.maximum(np.random.RandomState(0).standard_normal((200, 40)) @ coefs[0], 0)
    first = np.sqrt((rates**2).mean())
    for coef in coefs[1:-1]:
        rates = np.maximum(rates @ coef, 0)
        assert 0.9 < np.sqrt((rates**2).mean()) / first < np.sqrt(np.e)
        assert (rates > 0).any(axis=0).mean() > 0.9  # hardly a unit is silent for all samples
    # Samples stay apart.
    assert np.corrcoef(rates)[np.triu_indices(200, 1)].mean() < 0.5


def test_rectified_signals_keep_their_size_between_layers_of_other_sizes():
    sizes = (40, 200, 150, 100, 80, 60, 40, 3)
    coefs, _, _ = _weights(sizes)
    rates = np.maximum(np.random.RandomState(0).standard_normal((500, 40)) @ coefs[0], 0)
    first = np.sqrt((rates**2).mean())
    for coef in coefs[1:-1]:
        rates = np.maximum(rates @ coef, 0)
        assert 0.5 < np.sqrt((rates**2).mean()) / first < 2


def test_feedback_starts_at_the_scaled_transpose():
    coefs, _, feedback = _weights((4, *[6] * 5, 2))
    for forward, back in zip(coefs[1:], feedback, strict=True):
        assert np.array_equal(back, 0.3 * forward.T)


def test_independent_feedback_knows_nothing_of_the_identity():
    _, _, feedback = _weights((4, *[40] * 6, 2), feedback_init="independent")
    for back in feedback[:-1]:
        assert np.abs(back).max() <= 0.3 * FORWARD_SCALE * np.sqrt(6 / 80)


@pytest.mark.parametrize("n_hidden", [1, 2, 3])
def test_up_to_three_hidden_layers_start_at_half_of_glorots_range(n_hidden):
    sizes = (7, *[30] * n_hidden, 2)
    rng = np.random.RandomState(0)
    coefs, _, _ = _weights(sizes)
    for source, target, coef in zip(sizes, sizes[1:], coefs, strict=False):
        bound = FORWARD_SCALE * np.sqrt(6 / (source + target))
        assert np.array_equal(coef, rng.uniform(-bound, bound, size=(source, target)))


def test_other_graphs_start_at_half_of_glorots_range():
    row = layered_wiring(7)
    wiring = Wiring.of([*row.pairs, (1, 3)])
    assert wiring.n_deep == 0
    coefs, _, _ = _weights((4, *[30] * 6, 2), wiring=wiring)
    for (source, target), coef in zip(wiring.forward, coefs, strict=True):
        if 0 < source < target < 7:
            assert np.abs(coef).max() <= FORWARD_SCALE * np.sqrt(6 / 60)
    assert Wiring.of(GRAPHS["all"]).n_deep == 0
    assert [layered_wiring(n).n_deep for n in range(1, 7)] == [0, 0, 0, 0, 4, 5]


def test_spread_of_biases_does_not_add_up():
    _, biases, _ = _weights((4, *[500] * 9, 1), spread=0.4)
    assert 0.39 < np.abs(biases[0]).max() <= 0.4
    total = np.sqrt(sum((bias**2).mean() for bias in biases[1:-1]))
    assert total < 0.4
