"""The network: layers joined by connections, with every parameter in one list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sklearn_eqprop.backend.array_backend import Array, ArrayBackend
from sklearn_eqprop.network.activations import ACTIVATIONS, Activation
from sklearn_eqprop.network.connections import Connection, TiedFeedback
from sklearn_eqprop.network.wiring import Wiring


@dataclass
class Parameter:
    """One block of weights or biases and where it stands in the network.

    Attributes
    ----------
    array : array
        The numbers themselves, changed in place by learning.
    role : {'forward', 'feedback', 'bias'}
        What the block is.
    layer : int
        The layer it drives, 1..L.
    """

    array: Array
    role: Literal["forward", "feedback", "bias"]
    layer: int


class Network:
    """Layers 0 (input) to L (output), their connections and biases.

    States and rates are lists of L arrays: entry ``l - 1`` is layer ``l``, of shape
    (n_samples, n_l). The input layer has no state: it is clamped.

    Parameters
    ----------
    hidden_activation : Activation
        ρ of layers 1..L-1. The output layer is linear.
    forward, feedback : sequences of Connection
        Those to a later layer and all others, each in the order of `Wiring`.
    biases : sequence of array
        Entry ``l - 1``, of shape (n_l,), belongs to layer ``l``.
    backend : ArrayBackend
        Where the arrays live.

    Attributes
    ----------
    wiring : Wiring
        The ends of every connection.
    n_layers : int
        L, the number of layers that have a state.
    """

    def __init__(
        self,
        hidden_activation: Activation,
        forward: Sequence[Connection],
        feedback: Sequence[Connection],
        biases: Sequence[Array],
        backend: ArrayBackend,
    ) -> None:
        self.forward = tuple(forward)
        self.feedback = tuple(feedback)
        self.biases = tuple(biases)
        self.backend = backend
        self.n_layers = len(self.biases)
        self.activations = (hidden_activation,) * (len(biases) - 1) + (ACTIVATIONS["identity"],)
        self.layer_sizes = tuple(bias.shape[0] for bias in biases)
        self.wiring = Wiring(
            tuple((connection.source, connection.target) for connection in self.forward),
            tuple((connection.source, connection.target) for connection in self.feedback),
        )
        within = [c for c in (*self.forward, *self.feedback) if c.source > 0]
        layers = range(1, len(biases) + 1)
        self._incoming = [[c for c in within if c.target == layer] for layer in layers]
        self._outgoing = [[c for c in within if c.source == layer] for layer in layers]

    @property
    def dtype(self) -> Any:
        """Floating-point type of every parameter and state."""
        return self.biases[0].dtype

    @property
    def tied(self) -> bool:
        """Whether feedback uses the transposed forward weights."""
        return any(isinstance(connection, TiedFeedback) for connection in self.feedback)

    def parameters(self) -> list[Parameter]:
        """Every trainable block: forward, then feedback, then biases."""
        blocks = [
            Parameter(connection.weights, "forward", connection.target)
            for connection in self.forward
        ]
        if not self.tied:
            blocks += [
                Parameter(connection.weights, "feedback", connection.target)
                for connection in self.feedback
            ]
        return blocks + [
            Parameter(bias, "bias", layer) for layer, bias in enumerate(self.biases, start=1)
        ]

    def norm(self, array: Array) -> float:
        """Euclidean (Frobenius) norm of an array."""
        return self.norms([array])[0]

    def norms(self, arrays: Sequence[Array]) -> list[float]:
        """Euclidean (Frobenius) norm of each array, all read together."""
        return self.backend.norms(arrays)

    def clamp(self, inputs: Array) -> list[Array]:
        """Drive that stays constant while the network settles, one entry a layer.

        ``inputs @ F + b`` for layers the input drives, the bias alone, of shape (n_l,), for others.
        """
        clamped = list(self.biases)
        for connection in self.forward:
            if connection.source == 0:
                layer = connection.target
                clamped[layer - 1] = connection.apply(inputs) + clamped[layer - 1]
        return clamped

    def zero_states(self, n_samples: int) -> list[Array]:
        """States that are all zero."""
        xp = self.backend.xp
        return [xp.zeros((n_samples, size), dtype=self.dtype) for size in self.layer_sizes]

    def rate(self, layer: int, state: Array) -> Array:
        """Transmitted rate ρ(s) of one layer, without a copy where it equals the state."""
        activation = self.activations[layer - 1]
        return state if activation.transmits_state else activation.rate(self.backend.xp, state)

    def rates(self, states: Sequence[Array]) -> list[Array]:
        """Transmitted rates ρ(s) of every layer."""
        return [self.rate(layer, state) for layer, state in enumerate(states, start=1)]

    def rate_change(self, layer: int, state: Array, displacement: Array) -> Array:
        """ρ(s + d) - ρ(s) of one layer to the full accuracy of d, without a copy where it is d."""
        activation = self.activations[layer - 1]
        if activation.transmits_state:
            return displacement
        return activation.rate_change(self.backend.xp, state, displacement)

    def in_rates(self, layer: int, state: Array, displacement: Array) -> Array:
        """ρ'(s) d: a small displacement of one layer as a change of its rate.

        Without a copy where the layer transmits its state.
        """
        activation = self.activations[layer - 1]
        if activation.transmits_state:
            return displacement
        slope = activation.slope(self.backend.xp, state)
        slope *= displacement
        return slope

    def inflow(self, layer: int, signals: Sequence[Array | None], sources: range) -> Array | None:
        """What the connections into a layer bring from some of the layers 1..L, a fresh array.

        Parameters
        ----------
        layer : int
        signals : list of array or None
            Signal of every layer. One that is None is silent and costs no product.
        sources : range
            Layers to count.

        Returns
        -------
        array of shape (n_samples, n_l) or None
            None if nothing flows in.
        """
        total = None
        for connection in self._incoming[layer - 1]:
            signal = signals[connection.source - 1]
            if connection.source in sources and signal is not None:
                total = _sum(total, connection.apply(signal))
        return total

    def transposed_inflow(
        self, layer: int, signals: Sequence[Array | None], sources: range
    ) -> Array | None:
        """The same through the connections out of a layer, each used in reverse."""
        total = None
        for connection in self._outgoing[layer - 1]:
            signal = signals[connection.target - 1]
            if connection.target in sources and signal is not None:
                total = _sum(total, connection.apply_transposed(signal))
        return total

    def leverages(self, inputs: Array, states: Sequence[Array], weights: Any) -> list[float]:
        """Σ ``|weight|`` (1 + ``||ρ||²``) over the samples, of all the rates that drive each layer.

        Parameters
        ----------
        inputs : array of shape (n_samples, n_0)
        states : list of array
        weights : array of shape (n_samples, 1) or float
            A number is the weight of every sample.
        """
        squares = [(rate * rate).sum(axis=1) for rate in (inputs, *self.rates(states))]
        connections = (*self.forward, *self.feedback)
        totals = []
        for layer in range(1, self.n_layers + 1):
            sources = [squares[c.source] for c in connections if c.target == layer]
            reach = abs(weights) * (1 + sum(sources))[:, None]
            totals.append(reach.sum())
        return self.backend.numbers(totals)

    def bounds(self, layer: int) -> tuple[float | None, float | None]:
        """Range of a layer's state; None where it is open."""
        activation = self.activations[layer - 1]
        return activation.lower, activation.upper

    def project(self, layer: int, state: Array, out: Array | None = None) -> Array:
        """A layer's state kept in the range of its activation, in `out` or in a fresh array."""
        return self.backend.project(state, *self.bounds(layer), out)

    def local_change(
        self,
        inputs: Array,
        states: Sequence[Array],
        deltas: Sequence[Array],
        *,
        feedback_learns: Sequence[bool] | None = None,
    ) -> list[Array | None]:
        """What each block of parameters measures locally, (∂μ/∂θ)^T Δ (Eqs. 18-19).

        ΔW = ρ(s_source)^T Δ_target for every connection, Δb_l = Σ Δ_l; tied weights receive the
        sum of their forward and their feedback change.

        Parameters
        ----------
        inputs : array of shape (n_samples, n_0)
        states : list of array
            The free fixed point.
        deltas : list of array
            Displacement of every layer, already weighted by sample.
        feedback_learns : sequence of bool or None, default=None
            Which untied feedback connections learn from their own change; None: all.

        Returns
        -------
        list of array or None
            In the order of `parameters`; None for feedback that does not learn from it.
        """
        return self.local_products(
            inputs, self.rates(states), deltas, feedback_learns=feedback_learns
        )

    def local_products(
        self,
        inputs: Array,
        rates: Sequence[Array],
        deltas: Sequence[Array],
        *,
        feedback_learns: Sequence[bool] | None = None,
    ) -> list[Array | None]:
        """As `local_change`, given the rates of layers 1..L instead of their states."""
        rates = [inputs, *rates]

        def change(connection: Connection) -> Array:
            pre, post = rates[connection.source], deltas[connection.target - 1]
            return connection.local_change(pre, post)

        forward = [change(connection) for connection in self.forward]
        biases = [delta.sum(axis=0) for delta in deltas]
        if not self.tied:
            learns = feedback_learns or [True] * len(self.feedback)
            feedback = [
                change(connection) if own else None
                for connection, own in zip(self.feedback, learns, strict=True)
            ]
            return forward + feedback + biases
        for connection, partner in zip(self.feedback, self.wiring.partners, strict=True):
            assert partner is not None  # or it could not be tied
            forward[partner] += change(connection)
        return forward + biases


def _sum(total: Array | None, term: Array) -> Array:
    """Add in place: ``total`` is a fresh product that nobody else holds."""
    if total is None:
        return term
    total += term
    return total
