"""Building networks: the weights they start from, and the network around given weights."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from sklearn_eqprop._backend.array_backend import ArrayBackend
from sklearn_eqprop._network.activations import ACTIVATIONS
from sklearn_eqprop._network.connections import Connection, Dense, Reversed, TiedFeedback
from sklearn_eqprop._network.conv2d import ConvGeometry
from sklearn_eqprop._network.convolution import Convolution, PooledConvolution
from sklearn_eqprop._network.layout import Layout, dense_layout
from sklearn_eqprop._network.network import Network
from sklearn_eqprop._network.wiring import Pair, Wiring

#: Matrices of forward weights start at this fraction of the Glorot-uniform range: the full range
#: would put the loops through transposed feedback beyond the safeguard from the start.
FORWARD_SCALE = 0.5


def _starting_bound(shape: Sequence[int]) -> float:
    """Range of the uniform distribution that forward weights of this shape are drawn from.

    Kernels have the variance that keeps the size of what ReLU units transmit (He et al. 2015,
    arXiv:1502.01852); few weights lead into their units, and loops through them are bounded by
    the safeguard. Matrices start at a fraction of Glorot's range.
    """
    *places, n_source, n_target = shape
    if places:
        return math.sqrt(6.0 / (math.prod(places) * n_source))
    return FORWARD_SCALE * math.sqrt(6.0 / (n_source + n_target))


def starting_norm(*shape: int) -> float:
    """Root mean square of the Frobenius norm that forward weights of this shape start with."""
    return _starting_bound(shape) * math.sqrt(math.prod(shape) / 3)


def initial_weights(
    sizes: Sequence[int],
    wiring: Wiring,
    *,
    feedback_init: str,
    feedback_scale: float,
    rng: np.random.RandomState,
    dtype: Any,
    layout: Layout | None = None,
    spread: float = 0.0,
) -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]]:
    """Weights an untrained network starts from, drawn on the host.

    Parameters
    ----------
    sizes : sequence of int
        Units in layers 0..L.
    wiring : Wiring
    feedback_init : {'transpose', 'independent'}
        B = γ F^T, F being the forward partner, or γ times a draw of its own from the same
        distribution. Feedback without a partner always gets a draw of its own; lateral
        connections start without those of a unit to itself.
    feedback_scale : float
        γ.
    rng : RandomState
        Source of the draws; always float64, so that float32 and float64 networks start
        from the same numbers.
    dtype : dtype
        Type of the arrays returned.
    layout : Layout or None, default=None
        Which connections are convolutions; None: all are dense.
    spread : float, default=0.0
        Least standard deviation of what standardised inputs drive dense hidden units with, and
        range of the biases that these start from.

    Returns
    -------
    coefs, intercepts, feedback_coefs : lists of ndarray
        Weights of shape (n_source, n_target), or of the shape of kernels, in the order of the
        wiring; biases of layers 1..L, (n_l,) or one a map.
    """
    layout = layout or dense_layout(wiring, sizes)

    def draw(pair: Pair, scale: float) -> np.ndarray:
        shape = layout.weight_shape(pair)
        bound = scale * _starting_bound(shape)
        if pair[0] == 0 and pair[1] < wiring.n_layers and len(shape) == 2:
            bound = max(bound, spread * math.sqrt(3.0 / shape[0]))
        return rng.uniform(-bound, bound, size=shape)

    coefs = [draw(pair, 1.0) for pair in wiring.forward]
    feedback = []
    for pair, partner in zip(wiring.feedback, wiring.partners, strict=True):
        if partner is not None and feedback_init == "transpose":
            forward = coefs[partner]
            feedback.append(feedback_scale * (forward if layout.is_reversed(pair) else forward.T))
            continue
        feedback.append(draw(pair, feedback_scale))
        if pair[0] == pair[1]:
            np.fill_diagonal(_of_own_place(feedback[-1], layout.geometries.get(pair)), 0)
    biases = [np.zeros(shape) for shape in layout.bias_shapes]
    if spread:
        convolved = {target for _, target in layout.geometries}
        for layer, bias in enumerate(biases[:-1], start=1):
            if layer not in convolved:
                bias[...] = rng.uniform(-spread, spread, size=bias.shape)
    return (
        [coef.astype(dtype) for coef in coefs],
        [bias.astype(dtype) for bias in biases],
        [np.array(coef, dtype=dtype, order=feedback_order(coef)) for coef in feedback],
    )


def _of_own_place(weights: np.ndarray, geometry: ConvGeometry | None) -> np.ndarray:
    """Lateral weights that join the units of one place: all, or those in a kernel's middle."""
    return weights if geometry is None else weights[geometry.pad_top, geometry.pad_left]


def feedback_order(weights: np.ndarray) -> Literal["C", "F"]:
    """Memory layout of feedback weights: that of the forward ones beside them.

    Whose changes they may be given; matrices run the other way, kernels do not.
    """
    return "F" if weights.ndim == 2 else "C"


def wired_network(
    wiring: Wiring,
    coefs: Sequence[Any],
    intercepts: Sequence[Any],
    feedback_coefs: Sequence[Any] | None,
    *,
    activation: str,
    backend: ArrayBackend,
    layout: Layout | None = None,
) -> Network:
    """Network in which layers drive each other as the wiring says.

    Parameters
    ----------
    wiring : Wiring
    coefs, feedback_coefs : sequences of array
        Weights (n_source, n_target) of the forward and of the feedback connections, in the order
        of the wiring. Feedback that is None is tied to the partners in `coefs`.
    intercepts : sequence of array
        Biases (n_l,) of layers l = 1..L.
    activation : str
        Name of the hidden units' activation.
    backend : ArrayBackend
        Where the arrays live.
    layout : Layout or None, default=None
        Which connections are convolutions, whose weights are kernels; None: all are dense.

    Returns
    -------
    Network
        It holds the given arrays themselves.

    Raises
    ------
    ValueError
        If feedback is to be tied, but a connection has no partner.
    """
    geometries: Mapping[Pair, ConvGeometry] = {} if layout is None else layout.geometries

    def connection(pair: Pair, weights: Any) -> Connection:
        geometry = geometries.get(pair)
        if geometry is None:
            return Dense(*pair, weights)
        kind = PooledConvolution if geometry.picks_winners else Convolution
        if layout is not None and layout.is_reversed(pair):
            return Reversed(kind(*pair[::-1], weights, geometry, backend))
        return kind(*pair, weights, geometry, backend)

    forward = [connection(*of) for of in zip(wiring.forward, coefs, strict=True)]
    feedback: list[Connection]
    if feedback_coefs is None:
        feedback = [
            TiedFeedback(forward[_existing(pair, partner)])
            for pair, partner in zip(wiring.feedback, wiring.partners, strict=True)
        ]
    else:
        feedback = [connection(*of) for of in zip(wiring.feedback, feedback_coefs, strict=True)]
    sizes = None if layout is None else layout.sizes[1:]
    return Network(ACTIVATIONS[activation], forward, feedback, intercepts, backend, sizes)


def _existing(pair: Pair, partner: int | None) -> int:
    if partner is None:
        msg = f"Feedback {pair} cannot be tied: no connection {pair[::-1]} leads the other way."
        raise ValueError(msg)
    return partner
