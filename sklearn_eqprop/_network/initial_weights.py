"""The weights that an untrained network starts from."""

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from sklearn_eqprop._network.connections import Pair
from sklearn_eqprop._network.conv2d import ConvGeometry
from sklearn_eqprop._network.structure import Layout, Wiring, dense_layout

#: Matrices of forward weights start at this fraction of the Glorot-uniform range. With the full
#: range, loops through transposed feedback would exceed the safeguard's bound from the start.
FORWARD_SCALE = 0.5


def _starting_bound(shape: Sequence[int]) -> float:
    """Largest magnitude of forward weights of this shape, which are drawn uniformly.

    Matrices start at a fraction of Glorot's range. Kernels have the variance that keeps the size
    of the rates of ReLU units (He et al. 2015, arXiv:1502.01852): few weights lead to each of their
    units, and the safeguard bounds the loops through them.
    """
    *places, n_source, n_target = shape
    if places:
        return math.sqrt(6.0 / (math.prod(places) * n_source))
    return FORWARD_SCALE * math.sqrt(6.0 / (n_source + n_target))


def starting_norm(*shape: int) -> float:
    """Root mean square of the Frobenius norm of forward weights of this shape at the start."""
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
    """Weights that an untrained network starts from, drawn on the host.

    Parameters
    ----------
    sizes : sequence of int
        Units in layers 0..L.
    wiring : Wiring
    feedback_init : {'transpose', 'independent'}
        'transpose': B = γ F^T, with the forward partner F. 'independent': γ times a separate draw
        from the same distribution. Feedback without a partner always gets a separate draw. In
        lateral connections, the weight of a unit to itself is 0.
    feedback_scale : float
        γ.
    rng : RandomState
        Source of the draws. They are always float64, so that float32 and float64 networks start
        from the same numbers.
    dtype : dtype
        Type of the returned arrays.
    layout : Layout or None, default=None
        Which connections are convolutions. None: all are dense.
    spread : float, default=0.0
        Smallest standard deviation of the drive that standardised inputs give to dense hidden
        units, and range of the biases of these units.

    Returns
    -------
    coefs, intercepts, feedback_coefs : lists of ndarray
        Weights of shape (n_source, n_target), or of the shape of kernels, in the order of the
        wiring. Biases of layers 1..L, of shape (n_l,) or (channels,).
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
    """Lateral weights between units of the same place: all, or those in the kernel's centre."""
    return weights if geometry is None else weights[geometry.pad_top, geometry.pad_left]


def feedback_order(weights: np.ndarray) -> Literal["C", "F"]:
    """Memory order of feedback weights: that of the forward weights beside them.

    They may receive the changes of those. Matrices are transposed for that, kernels are not.
    """
    return "F" if weights.ndim == 2 else "C"
