"""Convolutions against scipy.signal, against one another, and written out as a matrix."""

import itertools

import numpy as np
import pytest
from scipy.signal import correlate

from sklearn_eqprop._backend import NumpyBackend
from sklearn_eqprop._network import (
    Conv2D,
    Convolution,
    Dense,
    PooledConvolution,
    Reversed,
    initial_weights,
    layered_wiring,
    layout_of,
    wired_network,
)
from sklearn_eqprop._network.conv2d import geometry_of

SPECS = [
    Conv2D(3, 3),
    Conv2D(2, (2, 3)),
    Conv2D(2, 3, padding="same"),
    Conv2D(2, (4, 2), padding="same"),
    Conv2D(3, 3, stride=2),
    Conv2D(2, (3, 2), stride=(2, 3), padding="same"),
    Conv2D(3, 3, pool=2),
    Conv2D(2, 2, pool=3, padding="same"),
    Conv2D(2, (3, 1), stride=(1, 2), pool=2),
    Conv2D(3, 3, pool=2, pooling="average"),
    Conv2D(2, (2, 3), stride=(2, 1), padding="same", pool=2, pooling="average"),
    Conv2D(2, 3, padding="same", pool=3, pooling="average"),
    Conv2D(2, 5, stride=3, padding="same"),
    Conv2D(1, 1),
    Conv2D(3, 1, stride=2),
    Conv2D(2, 1, stride=(3, 2), padding="same"),
    Conv2D(2, 2, stride=3),
    Conv2D(3, 1, stride=2, pool=2),
    Conv2D(3, 1, pool=3, pooling="average"),
]
SHAPES = [(7, 6, 1), (8, 9, 2)]
CASES = list(itertools.product(SPECS, SHAPES))
N_SAMPLES = 5


def ids(value):
    return repr(value).replace(" ", "")


def make(spec, shape, seed=0, dtype=np.float64):
    geometry = geometry_of(spec, shape)
    rng = np.random.RandomState(seed)
    weights = rng.standard_normal(geometry.weight_shape).astype(dtype)
    kind = PooledConvolution if geometry.picks_winners else Convolution
    return kind(0, 1, weights, geometry, NumpyBackend())


def activity(size, seed):
    return np.random.RandomState(seed).standard_normal((N_SAMPLES, size))


def padded(maps, spec, geometry):
    """Zeros around the maps, to the extent that TensorFlow's 'same' asks for."""
    if spec.padding == "valid":
        return maps
    widths = [(0, 0)]
    for extent, k, s in zip(maps.shape[1:3], geometry.kernel, geometry.stride, strict=True):
        total = max((-(-extent // s) - 1) * s + k - extent, 0)
        widths.append((total // 2, total - total // 2))
    return np.pad(maps, [*widths, (0, 0)])


def by_scipy(connection, spec, pre):
    """Convolution map by map with scipy.signal, then pooling by loops."""
    geometry = connection.geometry
    maps = padded(pre.reshape(-1, *geometry.in_shape), spec, geometry)
    down, across = geometry.stride
    out = []
    for image in maps:
        planes = [
            sum(
                correlate(image[:, :, c], connection.weights[:, :, c, f], "valid", "direct")
                for c in range(image.shape[2])
            )[::down, ::across]
            for f in range(spec.filters)
        ]
        out.append(np.stack(planes, axis=-1))
    convolved = np.stack(out)
    side = spec.pool or 1
    n, height, width, filters = convolved.shape
    pooled = np.empty((n, height // side, width // side, filters))
    reduce = np.mean if spec.pooling == "average" else np.max
    for i, j in np.ndindex(pooled.shape[1:3]):
        window = convolved[:, i * side : (i + 1) * side, j * side : (j + 1) * side]
        pooled[:, i, j] = reduce(window, axis=(1, 2))
    return pooled.reshape(n, -1)


def held(connection, pre):
    """Linear: with the winners that `pre` decides on, where it pools by the maximum."""
    if connection.pool is None:
        return connection
    return connection.holding(connection.decide(pre)[1])


def as_matrix(connection, n_source):
    """What a linear connection does to each sample: (n_samples, n_source, n_target)."""
    columns = []
    for unit in range(n_source):
        pre = np.zeros((N_SAMPLES, n_source))
        pre[:, unit] = 1
        columns.append(connection.apply(pre))
    return np.stack(columns, axis=1)


@pytest.mark.parametrize(("spec", "shape"), CASES, ids=ids)
def test_apply_agrees_with_scipy(spec, shape):
    connection = make(spec, shape)
    pre = activity(connection.n_source, 1)
    expected = by_scipy(connection, spec, pre)
    assert connection.apply(pre).shape == (N_SAMPLES, connection.n_target)
    np.testing.assert_allclose(connection.apply(pre), expected, rtol=0, atol=1e-13)
    np.testing.assert_allclose(held(connection, pre).apply(pre), expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize(("spec", "shape"), CASES, ids=ids)
def test_transposed_is_the_transposed_matrix(spec, shape):
    connection = make(spec, shape)
    pre, post = activity(connection.n_source, 1), activity(connection.n_target, 2)
    linear = held(connection, pre)
    matrix = as_matrix(linear, connection.n_source)
    expected = np.einsum("sij,sj->si", matrix, post)
    np.testing.assert_allclose(linear.apply_transposed(post), expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize(("spec", "shape"), CASES, ids=ids)
@pytest.mark.parametrize("back", [False, True], ids=["forward", "reversed"])
def test_local_change_is_the_derivative_of_what_the_weights_deliver(spec, shape, back):
    # d/dW Σ delta · apply(pre), by central differences; linear in W, so exact but for rounding.
    connection = make(spec, shape)
    linear = held(connection, activity(connection.n_source, 1))
    if back:
        linear = Reversed(linear)
    pre, delta = activity(linear.n_source, 1), activity(linear.n_target, 2)
    change = linear.local_change(pre, delta)
    assert change.shape == connection.weights.shape
    for index in np.ndindex(connection.weights.shape):
        values = []
        for shift in (1.0, -2.0):
            connection.weights[index] += shift
            values.append((delta * linear.apply(pre)).sum())
        connection.weights[index] += 1.0
        assert abs(change[index] - (values[0] - values[1]) / 2) < 1e-11


@pytest.mark.parametrize(
    "spec", [spec for spec in SPECS if spec.pool and spec.pooling == "max"], ids=ids
)
def test_local_change_of_a_maximum_is_that_of_its_winners(spec):
    connection = make(spec, SHAPES[1])
    pre, delta = activity(connection.n_source, 1), activity(connection.n_target, 2)
    np.testing.assert_array_equal(
        connection.local_change(pre, delta), held(connection, pre).local_change(pre, delta)
    )


def test_of_equal_members_the_first_wins():
    connection = make(Conv2D(2, 3, pool=2), (6, 6, 1))
    _, winners = connection.decide(np.zeros((N_SAMPLES, 36)))
    assert (winners == 0).all()


def test_a_number_that_is_not_finite_is_not_lost_in_a_maximum():
    connection = make(Conv2D(1, 1, pool=2), (2, 2, 1))
    for place in range(4):
        pre = np.zeros((1, 4))
        pre[0, place] = np.nan
        assert np.isnan(connection.apply(pre)).all()


def test_winners_are_those_of_the_last_states_and_weights():
    # The last sweep may have decided on them already, but only for the same states and weights.
    hidden = (Conv2D(2, 2, pool=2), Conv2D(3, 2, pool=2))
    wiring = layered_wiring(3)
    layout = layout_of(wiring, (9, 8, 1), hidden, 2)
    weights = initial_weights(
        layout.sizes,
        wiring,
        feedback_init="transpose",
        feedback_scale=0.1,
        rng=np.random.RandomState(0),
        dtype=np.float64,
        layout=layout,
    )
    network = wired_network(
        wiring, *weights, activation="relu", backend=NumpyBackend(), layout=layout
    )
    [first, second, _] = network.forward
    inputs, state = activity(72, 3), np.abs(activity(first.n_target, 4))
    states = [state, np.abs(activity(second.n_target, 5)), activity(2, 6)]
    for factor in (1.0, 1.0, -1.0):
        second.weights *= factor
        _, driven = network.clamp_and_hold(inputs)
        network.signal(1, state)
        held = driven.hold(states)
        np.testing.assert_array_equal(held.forward[0].winners, first.decide(inputs)[1])
        np.testing.assert_array_equal(held.forward[1].winners, second.decide(state)[1])
        other = driven.hold([2 * state[::-1], *states[1:]])
        np.testing.assert_array_equal(other.forward[1].winners, second.decide(state[::-1])[1])


def test_without_winners_nothing_is_sent_back():
    connection = make(Conv2D(2, 3, pool=2), (6, 6, 1))
    with pytest.raises(RuntimeError, match="no winners"):
        connection.apply_transposed(activity(connection.n_target, 0))


@pytest.mark.parametrize("blocks", [1, 100, 10**9])
def test_blocks_of_samples_change_nothing(blocks, monkeypatch):
    spec, shape = Conv2D(2, 3, padding="same", pool=2), (6, 7, 2)
    whole = make(spec, shape)
    monkeypatch.setattr("sklearn_eqprop._network.convolution.CACHE_NUMBERS", blocks)
    cut = make(spec, shape)
    pre, post = activity(whole.n_source, 1), activity(whole.n_target, 2)
    for name, arguments in (
        ("apply", (pre,)),
        ("apply_transposed", (post,)),
        ("local_change", (pre, post)),
    ):
        results = [getattr(held(each, pre), name)(*arguments) for each in (whole, cut)]
        np.testing.assert_allclose(*results, rtol=0, atol=1e-13)


def test_a_convolution_of_one_pixel_is_a_dense_connection():
    connection = make(Conv2D(4, 1), (1, 1, 6))
    dense = Dense(0, 1, connection.weights[0, 0])
    pre, post = activity(6, 1), activity(4, 2)
    np.testing.assert_allclose(connection.apply(pre), dense.apply(pre), rtol=1e-15)
    np.testing.assert_allclose(
        connection.apply_transposed(post), dense.apply_transposed(post), rtol=1e-15
    )
    np.testing.assert_allclose(
        connection.local_change(pre, post)[0, 0], dense.local_change(pre, post), rtol=1e-15
    )


@pytest.mark.parametrize(("spec", "shape"), CASES, ids=ids)
def test_the_envelope_bounds_the_norm(spec, shape):
    connection = make(spec, shape)
    envelope = connection.envelope
    bound = np.linalg.norm(as_matrix(envelope, connection.n_source)[0], 2)
    linear = held(connection, activity(connection.n_source, 1))
    for matrix in as_matrix(linear, connection.n_source):
        assert np.linalg.norm(matrix, 2) <= bound * (1 + 1e-12)


@pytest.mark.parametrize(("spec", "shape"), CASES, ids=ids)
@pytest.mark.parametrize("back", [False, True], ids=["forward", "reversed"])
def test_reach_bounds_what_a_measured_change_moves(spec, shape, back):
    connection = make(spec, shape)
    linear = held(connection, activity(connection.n_source, 1))
    if back:
        linear = Reversed(linear)
    rng = np.random.RandomState(3)
    pre, delta = (
        rng.standard_normal((2, 1, linear.n_source))[0],
        rng.standard_normal((1, linear.n_target)),
    )
    if linear.pool is not None:
        one = linear.pool.holding(linear.pool.winners[:1])
        linear = Reversed(one) if back else one
    change, before = linear.local_change(pre, delta), linear.apply(pre)
    connection.weights += change
    moved = linear.apply(pre) - before
    assert np.linalg.norm(moved) <= linear.reach(pre)[0] * np.linalg.norm(delta) * (1 + 1e-12)


def test_single_precision_stays_single():
    connection = make(Conv2D(2, 3, pool=2, pooling="average"), (6, 6, 1), dtype=np.float32)
    pre = activity(36, 1).astype(np.float32)
    post = connection.apply(pre)
    assert post.dtype == connection.apply_transposed(post).dtype == np.float32
    assert connection.local_change(pre, post).dtype == np.float32


def test_a_spec_is_a_value():
    assert Conv2D(8, 3) == Conv2D(8, 3, stride=1, padding="valid", pool=None)
    assert len({Conv2D(8, 3), Conv2D(8, 3), Conv2D(8, 3, pool=2)}) == 2
    assert (
        repr(Conv2D(8, (3, 5), pool=2, pooling="average"))
        == "Conv2D(8, (3, 5), pool=2, pooling='average')"
    )
    assert eval(repr(Conv2D(4, 3, stride=2, padding="same"))) == Conv2D(
        4, 3, stride=2, padding="same"
    )
    assert hash(Conv2D(4, [3, 2])) == hash(Conv2D(4, (3, 2)))
    with pytest.raises(AttributeError):
        Conv2D(8, 3).filters = 4


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (Conv2D(0, 3), "filters must be a positive integer. Got 0"),
        (Conv2D(True, 3), "filters must be a positive integer. Got True"),
        (Conv2D(4, 0), "kernel_size must be a positive integer or a pair"),
        (Conv2D(4, (3, 3, 3)), "kernel_size must be"),
        (Conv2D(4, 2.5), "kernel_size must be"),
        (Conv2D(4, 3, stride=0), "stride must be"),
        (Conv2D(4, 3, padding="full"), "padding must be 'valid' or 'same'. Got 'full'"),
        (Conv2D(4, 3, pool=0), "pool must be a positive integer or None. Got 0"),
        (Conv2D(4, 3, pooling="mean"), "pooling must be 'max' or 'average'. Got 'mean'"),
        (Conv2D(4, 9), r"kernel_size=9 is larger than its input.*\(8, 8, 1\)"),
        (Conv2D(4, 5, pool=5), r"pool=5 is larger than the convolution it pools.*\(4, 4, 4\)"),
    ],
    ids=ids,
)
def test_what_makes_no_sense_is_refused(spec, message):
    with pytest.raises(ValueError, match=message):
        geometry_of(spec, (8, 8, 1))
