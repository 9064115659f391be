"""Which connections are convolutions, of which shapes, and which are refused."""

import numpy as np
import pytest

from sklearn_eqprop._network import Conv2D, Wiring, initial_weights, layered_wiring, layout_of

SAME, HALF = Conv2D(3, 3, padding="same"), Conv2D(3, 3, padding="same", stride=2)


def test_layers_in_a_row():
    layout = layout_of(layered_wiring(4), (8, 8, 1), (HALF, Conv2D(5, 3, pool=2), 7), 2)
    assert layout.shapes == ((8, 8, 1), (4, 4, 3), (1, 1, 5), (7,), (2,))
    assert layout.sizes == (64, 48, 5, 7, 2)
    assert layout.bias_shapes == [(3,), (5,), (7,), (2,)]
    shapes = {pair: layout.weight_shape(pair) for pair in layout.wiring.pairs}
    assert shapes[1, 2] == shapes[2, 1] == (3, 3, 3, 5)
    assert shapes[2, 3] == (5, 7)
    assert shapes[3, 2] == (7, 5)
    assert layout.is_reversed((2, 1))
    assert not layout.is_reversed((1, 2))
    assert layout.reads_maps


def test_skips_lateral_connections_and_feedback_of_any_reach():
    pairs = [(0, 1), (1, 2), (0, 2), (2, 3), (1, 3), (0, 3), (3, 1), (2, 1), (2, 2), (3, 0 + 2)]
    layout = layout_of(Wiring.of(pairs), (6, 5, 3), (SAME, SAME), 4)
    shapes = {pair: layout.weight_shape(pair) for pair in layout.wiring.pairs}
    assert shapes[0, 2] == shapes[2, 2] == (3, 3, 3, 3)
    assert shapes[0, 3] == (90, 4)
    assert shapes[1, 3] == shapes[3, 1][::-1] == (90, 4)
    assert not layout.is_reversed((2, 2))


def test_feedback_between_maps_without_a_partner_is_a_convolution_of_its_own():
    wiring = Wiring.of([(0, 1), (1, 2), (2, 3), (3, 4), (4, 3), (3, 2), (2, 1), (3, 1)])
    layout = layout_of(wiring, (6, 6, 1), (SAME, SAME, SAME), 2)
    assert layout.weight_shape((3, 1)) == (3, 3, 3, 3)
    assert not layout.is_reversed((3, 1))


@pytest.mark.parametrize(
    ("pairs", "hidden", "message"),
    [
        (
            [(0, 1), (1, 2), (0, 2), (2, 3)],
            (HALF, SAME),
            r"connection \(0, 2\) cannot be.*layer 0, of shape \(8, 8, 3\),.*\(4, 4, 3\)",
        ),
        (
            [(0, 1), (1, 2), (2, 3), (3, 1), (2, 2), (3, 2)],
            (SAME, Conv2D(3, 3)),
            r"connection \(2, 2\) cannot be.*\(4, 4, 3\).*\(6, 6, 3\)",
        ),
        (
            [(0, 1), (1, 2), (0, 3), (2, 3), (3, 4)],
            (SAME, 5, SAME),
            r"Layer 3, Conv2D.*layer 2, which drives it, is a dense layer of shape \(5,\)",
        ),
    ],
)
def test_shapes_that_do_not_meet_are_refused_with_both(pairs, hidden, message):
    with pytest.raises(ValueError, match=message):
        layout_of(Wiring.of(pairs), (8, 8, 3), hidden, 2)


@pytest.mark.parametrize("n_inputs", [1, 3, 500])
def test_hidden_units_start_spread_out_where_they_are_to(n_inputs):
    wiring = Wiring.of([(0, 1), (1, 2), (2, 1), (0, 2)])
    settings = {"feedback_init": "transpose", "feedback_scale": 0.3, "dtype": np.float64}

    def start(**spread):
        rng = np.random.RandomState(0)
        return initial_weights((n_inputs, 400, 2), wiring, rng=rng, **settings, **spread)

    (wide, skip, up), (biases, of_output), feedback = start(spread=0.4)
    drive = np.random.RandomState(1).standard_normal((2000, n_inputs)) @ wide
    least = 0.5 * np.sqrt(2 * n_inputs / (n_inputs + 400))  # half of Glorot's
    assert drive.std() == pytest.approx(max(0.4, least), rel=0.1)
    assert 0.35 < abs(biases).max() <= 0.4
    assert not of_output.any()
    (_, same_skip, same_up), (no_biases, _), same_feedback = start()
    assert not no_biases.any()
    for one, other in zip((skip, up, *feedback), (same_skip, same_up, *same_feedback), strict=True):
        np.testing.assert_array_equal(one, other)


def test_where_weights_start():
    wiring = Wiring.of([(0, 1), (1, 2), (2, 1), (1, 1)])
    layout = layout_of(wiring, (9, 9, 4), (Conv2D(4, 5, padding="same"),), 3)
    settings = {"feedback_scale": 0.25, "rng": np.random.RandomState(0), "dtype": np.float64}
    coefs, intercepts, feedback = initial_weights(
        layout.sizes, wiring, feedback_init="transpose", layout=layout, **settings
    )
    assert coefs[0].shape == (5, 5, 4, 4)
    # He's variance, 2 / (weights into a unit).
    assert abs(coefs[0]).max() <= np.sqrt(6 / 100)
    assert coefs[0].var() == pytest.approx(2 / 100, rel=0.2)
    assert [bias.shape for bias in intercepts] == [(4,), (3,)]
    lateral, back = feedback
    np.testing.assert_array_equal(back, 0.25 * coefs[1].T)
    assert (lateral[2, 2].diagonal() == 0).all()
    assert (lateral != 0).sum() == 400 - 4
