"""The network: layers joined by connections, and how signals flow between them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

from sklearn_eqprop._backend.array_backend import Array, ArrayBackend
from sklearn_eqprop._network.activations import Activation
from sklearn_eqprop._network.connections import Connection, TiedFeedback

if TYPE_CHECKING:
    from sklearn_eqprop._network.structure import Wiring


@dataclass
class Parameter:
    """One block of weights or biases, and its place in the network."""

    #: The numbers themselves, changed in place by learning.
    array: Array
    role: Literal["forward", "feedback", "bias"]
    #: The layer it drives, 1..L.
    layer: int


class Network:
    """Layers 0 (input) to L (output), their connections and biases.

    States, rates and signals are lists of L arrays: entry ``l - 1`` is layer ``l``, of shape
    (n_samples, n_l). The input layer has no state: it is clamped.

    Build networks with `wired_network`. Networks that pool by the maximum are a subclass,
    `PoolingNetwork`, because their signals carry more than rates. Around an equilibrium, use the
    network that `clamp_and_hold` or `hold` returns: with pooling it differs from this one.

    Parameters
    ----------
    wiring : Wiring
        Source and target of every connection.
    activations : sequence of Activation
        ρ of layers 1..L. That of the output transmits its state.
    forward, feedback : sequences of Connection
        In the order of the wiring.
    biases : sequence of array
        Entry ``l - 1`` belongs to layer ``l``. Its shape is (n_l,), or (channels,) in a
        convolutional layer.
    backend : ArrayBackend
        Where the arrays live.
    layer_sizes : sequence of int or None, default=None
        Units of layers 1..L. None: the sizes of the biases.

    Attributes
    ----------
    n_layers : int
        L, the number of layers that have a state.
    dtype : dtype
        Floating-point type of every parameter and state.
    tied : bool
        Whether all feedback uses the transposed forward weights.
    feedback_blocks : list of array
        For each feedback connection, the array that makes it weaker if it is multiplied by a
        number: its weights, or the strength γ of tied feedback and of identities.
    """

    def __init__(
        self,
        wiring: Wiring,
        activations: Sequence[Activation],
        forward: Sequence[Connection],
        feedback: Sequence[Connection],
        biases: Sequence[Array],
        backend: ArrayBackend,
        layer_sizes: Sequence[int] | None = None,
    ) -> None:
        self.wiring = wiring
        self.backend = backend
        self.n_layers = len(biases)
        self.dtype = biases[0].dtype
        self.biases = tuple(biases)
        self.activations = tuple(activations)
        self.layer_sizes = tuple(layer_sizes or (bias.shape[0] for bias in biases))
        tied = [isinstance(connection, TiedFeedback) for connection in feedback]
        self.tied = any(tied) and all(tied)
        self._connect(forward, feedback)

    def _connect(self, forward: Sequence[Connection], feedback: Sequence[Connection]) -> None:
        self.forward = tuple(forward)
        self.feedback = tuple(feedback)
        self.feedback_blocks = [
            connection.strength if isinstance(connection, TiedFeedback) else connection.weights
            for connection in feedback
        ]
        within = [c for c in (*self.forward, *self.feedback) if c.source > 0]
        layers = range(1, self.n_layers + 1)
        self._incoming = [[c for c in within if c.target == layer] for layer in layers]
        self._outgoing = [[c for c in within if c.source == layer] for layer in layers]

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

    @property
    def arrays(self) -> list[Array]:
        """All that training changes: forward weights, `feedback_blocks`, biases."""
        forward = [connection.weights for connection in self.forward]
        return [*forward, *self.feedback_blocks, *self.biases]

    def norms(self, arrays: Sequence[Array]) -> list[float]:
        """Euclidean (Frobenius) norm of each array, all read together."""
        return self.backend.norms(arrays)

    def clamp(self, inputs: Array) -> list[Array]:
        """Drive that stays constant while the network settles, one entry per layer.

        ``inputs @ F + b`` for layers that the input drives, else the bias alone, of shape (n_l,).
        """
        return self.clamp_and_hold(inputs)[0]

    def clamp_and_hold(self, inputs: Array) -> tuple[list[Array], Network]:
        """The drives of `clamp`, and this network with the winners held that the inputs decide on.

        Without pooling by the maximum that is this network itself.
        """
        return self._clamped(lambda connection: connection.apply(inputs)), self

    def _clamped(self, driven_by: Callable[[Connection], Array]) -> list[Array]:
        """Biases plus what connections from the input add, given the drive by one connection."""
        clamped = [self._bias_of_units(layer) for layer in range(1, self.n_layers + 1)]
        for connection in self.forward:
            if connection.source == 0:
                drive = driven_by(connection)
                drive += clamped[connection.target - 1]
                clamped[connection.target - 1] = drive
        return clamped

    def _bias_of_units(self, layer: int) -> Array:
        bias, size = self.biases[layer - 1], self.layer_sizes[layer - 1]
        return bias if bias.shape[0] == size else self.backend.xp.tile(bias, size // bias.shape[0])

    def hold(self, states: Sequence[Array]) -> Network:
        """The network with all winners held that the states of layers 1..L decide on.

        Without pooling by the maximum that is this network itself.
        """
        return self

    def each(self, change: Callable[[Array], Array]) -> Self:
        """The network for other samples: `change` selects or repeats the rows of held winners.

        Without pooling by the maximum that is this network itself.
        """
        return self

    def zero_states(self, n_samples: int) -> list[Array]:
        """States that are all zero."""
        xp = self.backend.xp
        return [xp.zeros((n_samples, size), dtype=self.dtype) for size in self.layer_sizes]

    def rate(self, layer: int, state: Array) -> Array:
        """Transmitted rate ρ(s) of one layer; the state itself if that is equal."""
        activation = self.activations[layer - 1]
        return state if activation.transmits_state else activation.rate(self.backend.xp, state)

    def rates(self, states: Sequence[Array]) -> list[Array]:
        """Transmitted rates ρ(s) of every layer."""
        return [self.rate(layer, state) for layer, state in enumerate(states, start=1)]

    def signal(self, layer: int, state: Array) -> Any:
        """What one layer tells the others, in the form that `inflow` takes: its rate."""
        activation = self.activations[layer - 1]
        return state if activation.transmits_state else activation.rate(self.backend.xp, state)

    def inflow(self, layer: int, signals: Sequence[Any], sources: range) -> Array | None:
        """Drive of a layer by some of the layers 1..L, a fresh array. None if no connection counts.

        `sources` are the layers to count. A layer whose signal is None is silent: it is at zero and
        costs no product.
        """
        total = None
        for connection in self._incoming[layer - 1]:
            signal = signals[connection.source - 1]
            if connection.source in sources and signal is not None:
                brought = connection.apply(signal)
                if total is None:
                    total = brought
                else:
                    total += brought
        return total

    def transposed_inflow(
        self, layer: int, signals: Sequence[Array | None], sources: range
    ) -> Array | None:
        """As `inflow`, through the connections out of a layer, each used in reverse."""
        total = None
        for connection in self._outgoing[layer - 1]:
            signal = signals[connection.target - 1]
            if connection.target in sources and signal is not None:
                brought = connection.apply_transposed(signal)
                if total is None:
                    total = brought
                else:
                    total += brought
        return total

    def rate_change(self, layer: int, state: Array, displacement: Array) -> Array:
        """ρ(s + d) - ρ(s) of one layer, as accurate as d; d itself if that is equal."""
        activation = self.activations[layer - 1]
        if activation.transmits_state:
            return displacement
        return activation.rate_change(self.backend.xp, state, displacement)

    def in_rates(self, layer: int, state: Array, displacement: Array) -> Array:
        """ρ'(s) d: a small displacement of one layer as a change of its rate.

        The displacement itself if the layer transmits its state.
        """
        activation = self.activations[layer - 1]
        if activation.transmits_state:
            return displacement
        slope = activation.slope(self.backend.xp, state)
        slope *= displacement
        return slope

    def leverages(self, inputs: Array, states: Sequence[Array], weights: Any) -> list[float]:
        """Σ ``|weight|`` (1 + ``||ρ||²``) over the samples, for all rates ρ that drive each layer.

        In a convolutional layer, weights and biases are shared, and `Connection.reach` counts them.
        `weights` has a number for each sample, shape (n_samples, 1), or one for all.
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
        """Range of a layer's state; None if that side is open."""
        activation = self.activations[layer - 1]
        return activation.lower, activation.upper

    def project(self, layer: int, state: Array, out: Array | None = None) -> Array:
        """A layer's state clipped to the range of its activation, in `out` or in a fresh array."""
        activation = self.activations[layer - 1]
        return self.backend.project(state, activation.lower, activation.upper, out)

    def local_products(
        self,
        inputs: Array,
        rates: Sequence[Array],
        deltas: Sequence[Array],
        *,
        feedback_learns: Sequence[bool] | None = None,
        attenuated: bool = False,
    ) -> list[Array | None]:
        """Local change of each block of parameters, (∂μ/∂θ)^T Δ (Eqs. 18-19).

        ΔW = ρ(s_source)^T Δ_target for every connection, and Δb_l = Σ Δ_l. Shared weights receive
        the sum over all places. Tied weights receive their forward change plus γ times their
        feedback change.

        Parameters
        ----------
        inputs : array of shape (n_samples, n_0)
        rates : list of array
            ρ of layers 1..L at the free fixed point.
        deltas : list of array
            Displacement of every layer, multiplied by the weight of each sample.
        feedback_learns : sequence of bool or None, default=None
            Which untied feedback connections learn from their own change. None: all.
        attenuated : bool, default=False
            Whether the deltas are displacements by a nudge, which feedback has attenuated on its
            way. The feedback change of tied weights has then lost a factor of γ more than their
            forward change. So it counts fully, and the sum follows the gradient except for one
            factor per layer, see `attenuations`.

        Returns
        -------
        list of array or None
            In the order of `parameters`. None for feedback that does not learn from its change.
        """
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
            back = change(connection)
            if not attenuated:
                back *= connection.gain
            forward[partner] += back
        return forward + biases
