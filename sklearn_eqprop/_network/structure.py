"""Which layer drives which, the shape of every layer, the first weights, and the network."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from sklearn_eqprop._backend.array_backend import ArrayBackend
from sklearn_eqprop._network.activations import ACTIVATIONS
from sklearn_eqprop._network.connections import Connection, Dense, Pair, Reversed, TiedFeedback
from sklearn_eqprop._network.conv2d import ConvGeometry, Shape
from sklearn_eqprop._network.convolution import Convolution
from sklearn_eqprop._network.identity import Identity
from sklearn_eqprop._network.max_pooling import PooledConvolution, PoolingNetwork
from sklearn_eqprop._network.network import Network

#: Matrices of forward weights start at this fraction of the Glorot-uniform range. With the full
#: range, loops through transposed feedback would exceed the safeguard's bound from the start.
FORWARD_SCALE = 0.5
#: With more hidden layers in a row than this, hidden layers start near the identity.
SHALLOW = 3


@dataclass(frozen=True)
class Wiring:
    """A directed graph of layers 0 (the clamped input) to L (the output).

    A connection to a later layer is a *forward* connection. All others are *feedback*: to an
    earlier layer, or lateral, from a layer to itself. So forward connections alone make no loop.

    Parameters
    ----------
    forward, feedback : tuple of (source, target)
        Each in the order of (target, source).
    identities : frozenset of (source, target), default=frozenset()
        The connections that are identities. Such feedback has an identity as its partner.
    """

    forward: tuple[Pair, ...]
    feedback: tuple[Pair, ...]
    identities: frozenset[Pair] = frozenset()

    @cached_property
    def pairs(self) -> tuple[Pair, ...]:
        """Every connection, the forward ones first."""
        return self.forward + self.feedback

    @cached_property
    def n_layers(self) -> int:
        """L, the last layer that a connection drives."""
        return max((target for _, target in self.pairs), default=0)

    @cached_property
    def partners(self) -> tuple[int | None, ...]:
        """For each feedback connection, the index of the forward connection in the other direction.

        None if there is none, as for lateral connections.
        """
        index = {pair: position for position, pair in enumerate(self.forward)}
        return tuple(index.get((target, source)) for source, target in self.feedback)

    @cached_property
    def spans(self) -> tuple[int, ...]:
        """For each feedback connection, how many levels it leads down; 1 without a partner.

        The level of a layer is the largest number of forward connections from it to the output.
        Feedback with a partner leads down by at least 1.
        """
        levels = [0] * (self.n_layers + 1)
        for source, target in sorted(self.forward, reverse=True):
            levels[source] = max(levels[source], levels[target] + 1)
        pairs = zip(self.feedback, self.partners, strict=True)
        return tuple(1 if partner is None else levels[t] - levels[s] for (s, t), partner in pairs)

    def strengths(self, scale: float, dtype: Any) -> list[np.ndarray]:
        """Strength of each feedback connection, of shape ().

        An energy weighs the layers by c_l, and needs γ = c_source / c_target for every pair of
        layers that drive each other. So feedback that leads down by n levels has γ^n. It then
        carries the error signal at the strength of the n connections beside it. If it were
        stronger, the update of the layers below would follow this way alone.
        """
        return [np.array(scale**span, dtype=dtype) for span in self.spans]

    @cached_property
    def is_layered(self) -> bool:
        """Whether this is the default: neighbouring layers that drive each other."""
        return (self.forward, self.feedback) == _row_of_layers(self.n_layers)

    @property
    def n_deep(self) -> int:
        """Number of hidden layers, if they are in a row and more than `SHALLOW`; otherwise 0."""
        n_hidden = self.n_layers - 1
        return n_hidden if n_hidden > SHALLOW and self.is_layered else 0

    @cached_property
    def routes_from_output(self) -> tuple[tuple[int, tuple[Pair, ...]], ...]:
        """Layers in an order in which the output reaches them, each with the pairs it arrives by.

        Feedback alone, without lateral connections, as far as it leads: it makes no loop. Layers
        that it misses are reached from those by as few connections as possible.
        """
        routes, reached, last = [], {self.n_layers}, self.n_layers

        def arriving(layer: int, some: Sequence[Pair]) -> tuple[Pair, ...]:
            return tuple(pair for pair in some if pair[1] == layer and pair[0] in reached)

        for layer in range(last - 1, 0, -1):
            found = arriving(layer, self.feedback)
            if found:
                routes.append((layer, found))
                reached.add(layer)
        further = True
        while further:
            missed = [layer for layer in range(1, last) if layer not in reached]
            joined = [(layer, arriving(layer, self.pairs)) for layer in missed]
            joined = [(layer, found) for layer, found in joined if found]
            routes += joined
            reached |= {layer for layer, _ in joined}
            further = bool(joined)
        return tuple(routes)

    @classmethod
    def of(cls, pairs: Iterable[Pair], identities: Iterable[Pair] = ()) -> Wiring:
        """Wiring with these connections, given in any order."""
        in_order = sorted(pairs, key=lambda pair: (pair[1], pair[0]))
        return cls(
            tuple(pair for pair in in_order if pair[0] < pair[1]),
            tuple(pair for pair in in_order if pair[0] >= pair[1]),
            frozenset(identities),
        )


def layered_wiring(n_layers: int) -> Wiring:
    """Layers in a row: l - 1 drives l for l = 1..L, and l + 1 drives l for l = 1..L-1."""
    return Wiring(*_row_of_layers(n_layers))


def _row_of_layers(n_layers: int) -> tuple[tuple[Pair, ...], tuple[Pair, ...]]:
    return (
        tuple((layer - 1, layer) for layer in range(1, n_layers + 1)),
        tuple((layer + 1, layer) for layer in range(1, n_layers)),
    )


def reachable(pairs: Iterable[Pair], start: int, most_steps: float = math.inf) -> set[int]:
    """Layers that at most `most_steps` connections lead to from `start`, `start` included."""
    pairs, found, n_steps = list(pairs), {start}, 0
    while n_steps < most_steps:
        further = {target for source, target in pairs if source in found} - found
        if not further:
            break
        found |= further
        n_steps += 1
    return found


@dataclass(frozen=True)
class Layout:
    """Shapes of layers 0..L, and which connections are convolutions.

    Parameters
    ----------
    wiring : Wiring
    shapes : tuple of tuple of int
        (units,) of a dense layer, or (height, width, channels) of a convolutional layer, whose
        units are counted in this order.
    geometries : dict of (source, target) to ConvGeometry
        Of connections that are convolutions. Feedback beside a forward convolution has the
        geometry of that, and uses it in reverse.

    Raises
    ------
    ValueError
        If an identity joins layers of different shapes.
    """

    wiring: Wiring
    shapes: tuple[Shape, ...]
    geometries: Mapping[Pair, ConvGeometry]

    def __post_init__(self) -> None:
        for source, target in sorted(self.wiring.identities):
            ends = self.shapes[source], self.shapes[target]
            if ends[0] != ends[1]:
                msg = (
                    f"The identity from layer {source} to layer {target} joins layers of shapes "
                    f"{ends[0]} and {ends[1]}. Give them one shape, or use a connection with "
                    f"weights: {source, target}."
                )
                raise ValueError(msg)

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """Units of layers 0..L."""
        return tuple(math.prod(shape) for shape in self.shapes)

    @cached_property
    def bias_shapes(self) -> list[Shape]:
        """Shapes of the biases of layers 1..L: one bias per unit, or per channel."""
        return [shape[-1:] for shape in self.shapes[1:]]

    @property
    def reads_maps(self) -> bool:
        """Whether a convolution reads the input."""
        return any(source == 0 for source, _ in self.geometries)

    def weight_shape(self, pair: Pair) -> Shape:
        """Shape of the weights of one connection; () for feedback that is an identity."""
        if pair in self.wiring.identities:
            return (0,) if pair[0] < pair[1] else ()
        geometry = self.geometries.get(pair)
        if geometry is not None:
            return geometry.weight_shape
        return self.sizes[pair[0]], self.sizes[pair[1]]

    def is_reversed(self, pair: Pair) -> bool:
        """Whether a connection uses the convolution of its forward partner in reverse."""
        return pair in self.geometries and pair[::-1] in self.wiring.forward


def dense_layout(wiring: Wiring, sizes: Sequence[int]) -> Layout:
    """Layout of dense layers of these sizes, input and output included."""
    return Layout(wiring, tuple((size,) for size in sizes), {})


def wired_network(
    wiring: Wiring,
    coefs: Sequence[Any],
    intercepts: Sequence[Any],
    feedback_coefs: Sequence[Any] | None,
    *,
    activation: str,
    output_activation: str = "identity",
    backend: ArrayBackend,
    layout: Layout | None = None,
) -> Network:
    """Network around given arrays, in which layers drive each other as the wiring says.

    Parameters
    ----------
    wiring : Wiring
    coefs, feedback_coefs : sequences of array
        Weights (n_source, n_target) of the forward and of the feedback connections, in the order
        of the wiring. If an entry of `feedback_coefs` has the shape (), it is the strength γ of
        feedback that is tied to its partner F in `coefs`, B = γ F^T. None: tied with γ = 1.
        The entry of an identity in `coefs` has the shape (0,).
    intercepts : sequence of array
        Biases (n_l,) of layers l = 1..L.
    activation, output_activation : str
        Names of the activations of the hidden units and of the output, which must transmit its
        state.
    backend : ArrayBackend
        Where the arrays live.
    layout : Layout or None, default=None
        Which connections are convolutions, whose weights are kernels. None: all are dense.

    Returns
    -------
    Network
        It holds the given arrays themselves, not copies.

    Raises
    ------
    ValueError
        If feedback is to be tied, but a feedback connection has no partner.
    """
    geometries: Mapping[Pair, ConvGeometry] = {} if layout is None else layout.geometries

    def connection(pair: Pair, weights: Any) -> Connection:
        if weights.ndim == 0:
            return TiedFeedback(_partner(forward, pair), weights)
        if pair in wiring.identities:
            return Identity(*pair, weights, sizes[pair[1] - 1])
        geometry = geometries.get(pair)
        if geometry is None:
            return Dense(*pair, weights)
        kind = PooledConvolution if geometry.picks_winners else Convolution
        if layout is not None and layout.is_reversed(pair):
            return Reversed(kind(*pair[::-1], weights, geometry, backend))
        return kind(*pair, weights, geometry, backend)

    sizes = [bias.shape[0] for bias in intercepts] if layout is None else layout.sizes[1:]
    if feedback_coefs is None:
        feedback_coefs = wiring.strengths(1.0, intercepts[0].dtype)
    forward: dict[Pair, Connection] = {}
    for pair, weights in zip(wiring.forward, coefs, strict=True):
        forward[pair] = connection(pair, weights)
    feedback = [connection(*of) for of in zip(wiring.feedback, feedback_coefs, strict=True)]
    pools = any(geometry.picks_winners for geometry in geometries.values())
    kind = PoolingNetwork if pools else Network
    names = [activation] * (len(intercepts) - 1) + [output_activation]
    activations, joined = [ACTIVATIONS[name] for name in names], list(forward.values())
    return kind(wiring, activations, joined, feedback, intercepts, backend, sizes)


def _partner(forward: Mapping[Pair, Connection], pair: Pair) -> Connection:
    if pair[::-1] not in forward:
        msg = f"Feedback {pair} cannot be tied: no connection {pair[::-1]} leads the other way."
        raise ValueError(msg)
    return forward[pair[::-1]]


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


def _deep_weights(
    n_source: int, n_target: int, *, n_deep: int, rng: np.random.RandomState
) -> np.ndarray:
    """Weights between two hidden layers of a deep network, which keep the size of signals.

    Layers of one size: the identity plus weights of Glorot's range divided by sqrt(n_deep). Each of
    these layers adds about 1 / n_deep of the squared signal to it, so that it grows by a factor of
    at most e. Other layers: the variance of He et al. (2015), which keeps the size of ReLU rates.
    """
    if n_source != n_target:
        bound = math.sqrt(6.0 / n_source)
        return rng.uniform(-bound, bound, size=(n_source, n_target))
    bound = math.sqrt(6.0 / (n_source + n_target) / n_deep)
    return np.eye(n_source) + rng.uniform(-bound, bound, size=(n_source, n_target))


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
    start: np.ndarray | None = None,
) -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]]:
    """Weights that an untrained network starts from, drawn on the host.

    With more than three dense hidden layers in a row, signals would fade on their way through the
    layers. Hidden layers then start near the identity.

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
        γ. Feedback that skips layers has a power of it, see `Wiring.strengths`.
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
    start : ndarray of shape (n_outputs,) or None, default=None
        Biases of the outputs. None: 0.

    Returns
    -------
    coefs, intercepts, feedback_coefs : lists of ndarray
        Weights of shape (n_source, n_target), or of the shape of kernels, in the order of the
        wiring. Biases of layers 1..L, of shape (n_l,) or (channels,).
    """
    layout = layout or dense_layout(wiring, sizes)
    residual = {target for source, target in wiring.identities if source < target}

    n_deep = 0 if layout.geometries else wiring.n_deep

    def draw(pair: Pair, scale: float) -> np.ndarray:
        shape = layout.weight_shape(pair)
        if pair in wiring.identities:
            return np.empty(shape)
        if n_deep and 0 < pair[0] < pair[1] < wiring.n_layers:
            return _deep_weights(*sizes[pair[0] : pair[1] + 1], n_deep=n_deep, rng=rng)
        bound = scale * _starting_bound(shape)
        if len(shape) == 4 and max(pair) in residual:
            # An identity adds to these. With their full range, signals would grow in every block.
            bound *= FORWARD_SCALE
        if pair[0] == 0 and pair[1] < wiring.n_layers and len(shape) == 2:
            bound = max(bound, spread * math.sqrt(3.0 / shape[0]))
        return rng.uniform(-bound, bound, size=shape)

    coefs = [draw(pair, 1.0) for pair in wiring.forward]
    feedback, strengths = [], wiring.strengths(feedback_scale, dtype)
    for pair, partner, strength in zip(wiring.feedback, wiring.partners, strengths, strict=True):
        if pair in wiring.identities:
            feedback.append(strength)
            continue
        if partner is not None and feedback_init == "transpose":
            forward = coefs[partner]
            feedback.append(strength * (forward if layout.is_reversed(pair) else forward.T))
            continue
        feedback.append(draw(pair, float(strength)))
        if pair[0] == pair[1]:
            np.fill_diagonal(_of_own_place(feedback[-1], layout.geometries.get(pair)), 0)
    biases = [np.zeros(shape) for shape in layout.bias_shapes]
    if start is not None:
        biases[-1] += start
    if spread:
        convolved = {target for _, target in layout.geometries}
        for layer, bias in enumerate(biases[:-1], start=1):
            if layer not in convolved:
                most = spread / math.sqrt(n_deep) if n_deep and layer > 1 else spread
                bias[...] = rng.uniform(-most, most, size=bias.shape)
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
