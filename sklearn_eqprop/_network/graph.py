"""Connections between layers, and who has won in those that pool by the maximum."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

from sklearn_eqprop._backend.array_backend import Array, ArrayBackend
from sklearn_eqprop._network.connections import Connection, TiedFeedback
from sklearn_eqprop._network.convolution import PooledConvolution, PoolingSignal, rates_of
from sklearn_eqprop._network.wiring import Pair, Wiring


class Graph:
    """What flows along the connections between layers 0 (input) to L (output).

    Pooling by the maximum is linear only while its winners stay the same, and which they are
    differs from sample to sample. A graph as it is built decides on them anew with every signal
    (`signal_of`, `inflow`). `holding` gives one of the same weights for the samples at hand,
    with winners held: it is linear in the rates, as everything that happens around an
    equilibrium needs it. Without such pooling that is the graph itself.

    Parameters
    ----------
    forward, feedback : sequences of Connection
        Those to a later layer and all others, each in the order of `Wiring`.
    n_layers : int
        L.
    dtype : dtype
        Of rates.
    backend : ArrayBackend

    Attributes
    ----------
    wiring : Wiring
        The ends of every connection.
    """

    def __init__(
        self,
        forward: Sequence[Connection],
        feedback: Sequence[Connection],
        n_layers: int,
        dtype: Any,
        backend: ArrayBackend,
    ) -> None:
        self.backend = backend
        self.n_layers = n_layers
        self.dtype = dtype
        self.wiring = Wiring(
            tuple((connection.source, connection.target) for connection in forward),
            tuple((connection.source, connection.target) for connection in feedback),
        )
        self._connect(forward, feedback)

    def _connect(self, forward: Sequence[Connection], feedback: Sequence[Connection]) -> None:
        self.forward = tuple(forward)
        self.feedback = tuple(feedback)
        within = [c for c in (*self.forward, *self.feedback) if c.source > 0]
        layers = range(1, self.n_layers + 1)
        self._incoming = [[c for c in within if c.target == layer] for layer in layers]
        self._outgoing = [[c for c in within if c.source == layer] for layer in layers]
        #: Poolings that decide on their winners themselves, by the layer that they read.
        self._deciding: dict[int, dict[Pair, PooledConvolution]] = {}
        for connection in self._poolings():
            if connection.winners is None:
                readers = self._deciding.setdefault(connection.source, {})
                readers[connection.source, connection.target] = connection

    @property
    def tied(self) -> bool:
        """Whether feedback uses the transposed forward weights."""
        return any(isinstance(connection, TiedFeedback) for connection in self.feedback)

    def signal_of(self, layer: int, rate: Array) -> Any:
        """A rate as `inflow` takes it: with what it decides, where the layer is pooled."""
        readers = self._deciding.get(layer)
        return rate if readers is None else PoolingSignal(rate, readers)

    def inflow(self, layer: int, signals: Sequence[Array | None], sources: range) -> Array | None:
        """What the connections into a layer bring from some of the layers 1..L, a fresh array.

        Parameters
        ----------
        layer : int
        signals : list of array or None
            Signal of every layer, see `signal_of`. One that is None is silent and costs no product.
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
                total = _sum(total, self.delivered(connection, signals, signal))
        return total

    def delivered(self, connection: Any, signals: Sequence[Any], signal: Any) -> Array:
        """What one connection brings, a fresh array, given its own and all layers' signals."""
        pool = connection.pool
        if pool is None or (pair := (pool.source, pool.target)) not in self._deciding.get(
            pool.source, {}
        ):
            return connection.apply(rates_of(signal))
        if connection is pool:
            return signal.decided(pair)[0].copy()
        decider = signals[pool.source - 1]
        if decider is None:  # at rest, where the first of each window wins
            xp = self.backend.xp
            resting = xp.zeros((rates_of(signal).shape[0], pool.n_source), dtype=self.dtype)
            decider = self.signal_of(pool.source, resting)
        return connection.holding(decider.decided(pair)[1]).apply(rates_of(signal))

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

    def each(self, change: Callable[[Array], Array]) -> Self:
        """With its held winners changed alike: some of the samples, or all of them repeated."""
        winners = {
            (connection.source, connection.target): change(connection.winners)
            for connection in self._poolings()
            if connection.winners is not None
        }
        return self._with_winners(winners)

    @property
    def decides(self) -> bool:
        """Whether states of layers 1..L decide on winners."""
        return any(layer > 0 for layer in self._deciding)

    def _poolings(self) -> list[PooledConvolution]:
        """Connections that pool what they read by the maximum."""
        return [c for c in (*self.forward, *self.feedback) if isinstance(c, PooledConvolution)]

    def holding(self, signals: Mapping[int, Any]) -> Self:
        """The same with the winners held that the signals of some layers decide on."""
        winners = {
            pair: signals[layer].decided(pair)[1]
            for layer, readers in self._deciding.items()
            if layer in signals
            for pair in readers
        }
        return self._with_winners(winners)

    def _with_winners(self, winners: Mapping[Pair, Array]) -> Self:
        if not winners:
            return self

        def held(connection: Any) -> Connection:
            pool = connection.pool
            if pool is None or (pool.source, pool.target) not in winners:
                return connection
            return connection.holding(winners[pool.source, pool.target])

        graph = copy.copy(self)
        graph._connect(
            [held(connection) for connection in self.forward],
            [held(connection) for connection in self.feedback],
        )
        return graph


def _sum(total: Array | None, term: Array) -> Array:
    """Add in place: ``total`` is a fresh product that nobody else holds."""
    if total is None:
        return term
    total += term
    return total
