"""The network: layers joined by connections, with every parameter in one list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sklearn_eqprop._backend.array_backend import Array, ArrayBackend
from sklearn_eqprop._network.activations import ACTIVATIONS, Activation
from sklearn_eqprop._network.connections import Connection
from sklearn_eqprop._network.graph import Graph


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


class Network(Graph):
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
        Entry ``l - 1`` belongs to layer ``l``; of shape (n_l,), or (maps,) in a layer of maps.
    backend : ArrayBackend
        Where the arrays live.
    layer_sizes : sequence of int or None, default=None
        Units of layers 1..L; None: as many as there are biases.

    Attributes
    ----------
    wiring : Wiring
        The ends of every connection.
    n_layers : int
        L, the number of layers that have a state.
    dtype : dtype
        Floating-point type of every parameter and state.

    Notes
    -----
    `clamp_and_hold` and `hold` give the network as it is around an equilibrium, with the winners
    of its poolings held, see `Graph`.
    """

    def __init__(
        self,
        hidden_activation: Activation,
        forward: Sequence[Connection],
        feedback: Sequence[Connection],
        biases: Sequence[Array],
        backend: ArrayBackend,
        layer_sizes: Sequence[int] | None = None,
    ) -> None:
        super().__init__(forward, feedback, len(biases), biases[0].dtype, backend)
        self.biases = tuple(biases)
        self.activations = (hidden_activation,) * (len(biases) - 1) + (ACTIVATIONS["identity"],)
        self.layer_sizes = tuple(layer_sizes or (bias.shape[0] for bias in biases))

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
        return self.clamp_and_hold(inputs)[0]

    def clamp_and_hold(self, inputs: Array) -> tuple[list[Array], Network]:
        """The same, and this network with the winners held that the inputs have decided on."""
        clamped = [self._bias_of_units(layer) for layer in range(1, self.n_layers + 1)]
        signal = self.signal_of(0, inputs)
        for connection in self.forward:
            if connection.source == 0:
                layer = connection.target
                clamped[layer - 1] = self.delivered(connection, [], signal) + clamped[layer - 1]
        return clamped, self.holding({0: signal})

    def hold(self, states: Sequence[Array]) -> Network:
        """The same network with all winners held that the states of layers 1..L decide on."""
        if not self.decides:
            return self
        rates = enumerate(self.rates(states), start=1)
        return self.holding({layer: self.signal_of(layer, rate) for layer, rate in rates})

    def _bias_of_units(self, layer: int) -> Array:
        bias, size = self.biases[layer - 1], self.layer_sizes[layer - 1]
        return bias if bias.shape[0] == size else self.backend.xp.tile(bias, size // bias.shape[0])

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

    def signal(self, layer: int, state: Array) -> Any:
        """Rate of one layer, as `inflow` takes it: with what it decides, where it decides."""
        return self.signal_of(layer, self.rate(layer, state))

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

    def leverages(self, inputs: Array, states: Sequence[Array], weights: Any) -> list[float]:
        """Σ ``|weight|`` (1 + ``||ρ||²``) over the samples, of all the rates that drive each layer.

        In a layer of maps, where weights and biases are shared, as `Connection.reach` counts.

        Parameters
        ----------
        inputs : array of shape (n_samples, n_0)
        states : list of array
        weights : array of shape (n_samples, 1) or float
            A number is the weight of every sample.
        """
        rates = [inputs, *self.rates(states)]
        totals = []
        for layer, (bias, size) in enumerate(zip(self.biases, self.layer_sizes, strict=True), 1):
            reaches = [
                connection.reach(rates[connection.source])
                for connection in (*self.forward, *self.feedback)
                if connection.target == layer
            ]
            reach = abs(weights) * (size / bias.shape[0] + sum(reaches))[:, None]
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
        sum of their forward and their feedback change, shared ones that of all their places.

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
        biases = [
            delta.reshape(-1, bias.shape[0]).sum(axis=0)
            for bias, delta in zip(self.biases, deltas, strict=True)
        ]
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
