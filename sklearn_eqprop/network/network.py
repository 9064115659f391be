"""The network: layers joined by connections, with every parameter in one list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sklearn_eqprop.backend.array_backend import Array, ArrayBackend
from sklearn_eqprop.network.activations import ACTIVATIONS, Activation
from sklearn_eqprop.network.connections import Connection, TiedFeedback


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
    forward : sequence of Connection
        Entry ``l - 1`` leads from layer ``l - 1`` to layer ``l``; L entries.
    feedback : sequence of Connection
        Entry ``l - 1`` leads from layer ``l + 1`` back to layer ``l``; L - 1 entries.
    biases : sequence of array
        Entry ``l - 1``, of shape (n_l,), belongs to layer ``l``.
    backend : ArrayBackend
        Where the arrays live.
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
        self.activations = (hidden_activation,) * (len(biases) - 1) + (ACTIVATIONS["identity"],)
        self.layer_sizes = tuple(bias.shape[0] for bias in biases)

    @property
    def n_layers(self) -> int:
        """L, the number of layers that have a state."""
        return len(self.biases)

    @property
    def dtype(self) -> Any:
        """Floating-point type of every parameter and state."""
        return self.biases[0].dtype

    @property
    def tied(self) -> bool:
        """Whether feedback uses the transposed forward weights."""
        return any(isinstance(connection, TiedFeedback) for connection in self.feedback)

    def parameters(self) -> list[Parameter]:
        """Every trainable block: forward by layer, then feedback, then biases."""
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

    def clamp(self, inputs: Array) -> list[Array]:
        """Drive that stays constant while the network settles, one entry a layer.

        ``inputs @ F_1 + b_1`` for layer 1, the bias alone for the others.
        """
        return [self.forward[0].apply(inputs) + self.biases[0], *self.biases[1:]]

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

    def drive(self, layer: int, rates: Sequence[Array | None], clamped: Sequence[Array]) -> Array:
        """Sum over the connections into a layer, plus what is clamped: μ_l + s_l of Eq. 1.

        A fresh array. A layer whose rates are None is silent and costs no product.
        """
        total = None
        if layer > 1 and rates[layer - 2] is not None:
            total = self.forward[layer - 1].apply(rates[layer - 2])
        if layer < self.n_layers and rates[layer] is not None:
            from_above = self.feedback[layer - 1].apply(rates[layer])
            total = from_above if total is None else _added(total, from_above)
        return clamped[layer - 1].copy() if total is None else _added(total, clamped[layer - 1])

    def project(self, layer: int, state: Array) -> Array:
        """Keep a layer's state in the range of its activation, in place."""
        activation = self.activations[layer - 1]
        return self.backend.project(state, activation.lower, activation.upper)

    def local_change(
        self, inputs: Array, states: Sequence[Array], deltas: Sequence[Array]
    ) -> list[Array]:
        """What each block of parameters measures locally, (∂μ/∂θ)^T Δ (Eqs. 18-19).

        ΔF_l = ρ(s_{l-1})^T Δ_l, ΔB_l = ρ(s_{l+1})^T Δ_l, Δb_l = Σ Δ_l; tied weights
        receive the sum of their forward and their feedback change.

        Parameters
        ----------
        inputs : array of shape (n_samples, n_0)
        states : list of array
            The free fixed point.
        deltas : list of array
            Displacement of every layer, already weighted by sample.

        Returns
        -------
        list of array
            In the order of `parameters`.
        """
        rates = [inputs, *self.rates(states)]
        forward = [
            connection.local_change(rates[connection.source], deltas[connection.target - 1])
            for connection in self.forward
        ]
        feedback = [
            connection.local_change(rates[connection.source], deltas[connection.target - 1])
            for connection in self.feedback
        ]
        biases = [delta.sum(axis=0) for delta in deltas]
        if not self.tied:
            return forward + feedback + biases
        for layer, change in enumerate(feedback, start=1):
            forward[layer] += change
        return forward + biases


def _added(total: Array, term: Array) -> Array:
    """Add in place: ``total`` is a fresh product that nobody else holds."""
    total += term
    return total
