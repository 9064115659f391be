"""Pooling by the maximum: winners of each window, and networks in which winners are decided.

Pooling by the maximum is linear only while its winners stay the same, and the winners differ from
sample to sample. A network as it is built decides on them with every signal that it is given. A
network that *holds* winners is linear in the rates, as all computations around an equilibrium need.
"""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Self

from sklearn_eqprop._backend.array_backend import Array
from sklearn_eqprop._network.connections import Connection, Pair
from sklearn_eqprop._network.convolution import Convolution
from sklearn_eqprop._network.network import Network


class PooledConvolution(Convolution):
    """A convolution pooled by the maximum over windows.

    Its input decides which member of each window wins. With winners held, it is linear.

    Attributes
    ----------
    winners : array of shape (n_samples, height, width, filters) or None, default=None
        Winners of each sample. None: `apply` decides on them from its input.
    """

    winners: Array | None = None

    @property
    def pool(self) -> Self:
        return self

    @property
    def envelope(self) -> Convolution:
        """The convolution without its pooling; picking winners makes no vector longer."""
        unpooled = self.geometry.unpooled()
        return Convolution(self.source, self.target, self.weights, unpooled, self.backend)

    def holding(self, winners: Array) -> Self:
        """The same weights with these winners."""
        held = copy.copy(self)
        held.winners = winners
        return held

    def decide(self, pre: Array) -> tuple[Array, Array]:
        """The pooled convolution of `pre`, and the winners that `pre` decides on."""
        xp, side, shape = self.backend.xp, self.geometry.pool, self.geometry.out_shape
        out = self._empty(pre.shape[0], shape)
        winners = xp.empty(out.shape, dtype="uint8" if side <= 16 else "uint32")
        for rows, members in self._patches.convolve(self._maps_in(pre), self.weights):
            _pool_maximum(xp, members, out[rows], winners[rows])
        return out.reshape(-1, self.n_target), winners

    def apply(self, pre: Array) -> Array:
        """Drive of the target layer, (n_samples, n_target), by held or by decided winners."""
        if self.winners is None:
            return self.decide(pre)[0]
        xp = self.backend.xp
        out = self._empty(pre.shape[0], self.geometry.out_shape)
        for rows, members in self._patches.convolve(self._maps_in(pre), self.weights):
            for index in range(members.shape[0]):
                xp.copyto(out[rows], members[index], where=self.winners[rows] == index)
        return out.reshape(-1, self.n_target)

    def local_change(self, pre: Array, delta: Array) -> Array:
        """Σ pre ⊗ delta over samples and places, by held winners or those that `pre` decides on."""
        if self.winners is None:
            return self.holding(self.decide(pre)[1]).local_change(pre, delta)
        return super().local_change(pre, delta)

    def _members_of(self, post: Array, *, back: bool) -> Iterator[tuple[slice, Array]]:
        """Each number for the winner of its window, and 0 for all other members."""
        if self.winners is None:
            msg = f"The pooling of {self.source, self.target} has no winners to send a signal to."
            raise RuntimeError(msg)
        xp, n_members = self.backend.xp, self.geometry.pool**2
        for rows, block in super()._members_of(post, back=back):
            _, *places, filters = block.shape
            if back:
                out = xp.empty((*places, n_members, filters), dtype=post.dtype)
                members = out.transpose(3, 0, 1, 2, 4)
            else:
                out = members = xp.empty((n_members, *places, filters), dtype=post.dtype)
            for index in range(n_members):
                xp.multiply(block[0], self.winners[rows] == index, out=members[index])
            yield rows, out


class PoolingSignal:
    """Rates of a layer, and the winners they decide on, each computed once.

    Parameters
    ----------
    rates : array of shape (n_samples, n_l)
    poolings : dict of (source, target) to PooledConvolution
        Every pooling that reads this layer.
    """

    def __init__(self, rates: Array, poolings: dict[Pair, PooledConvolution]) -> None:
        self.rates = rates
        self._poolings = poolings
        self._decided: dict[Pair, tuple[Array, Array]] = {}

    def decided(self, pair: Pair) -> tuple[Array, Array]:
        """Result of a pooled convolution, which must not be written to, and its winners."""
        if pair not in self._decided:
            self._decided[pair] = self._poolings[pair].decide(self.rates)
        return self._decided[pair]


class PoolingNetwork(Network):
    """A network in which some connections pool by the maximum; see `Network` for the parameters."""

    def _connect(self, forward: Sequence[Connection], feedback: Sequence[Connection]) -> None:
        super()._connect(forward, feedback)
        #: Poolings without held winners, by the layer that they read.
        self._deciding: dict[int, dict[Pair, PooledConvolution]] = {}
        for connection in self._poolings():
            if connection.winners is None:
                readers = self._deciding.setdefault(connection.source, {})
                readers[connection.source, connection.target] = connection
        #: The last state that each layer has signalled, and the signal.
        self._latest: dict[int, tuple[Array, Any]] = {}

    def _poolings(self) -> list[PooledConvolution]:
        return [c for c in (*self.forward, *self.feedback) if isinstance(c, PooledConvolution)]

    def signal(self, layer: int, state: Array) -> Any:
        """Rate of one layer, with the winners that it decides on."""
        signal = self._signal_of(layer, self.rate(layer, state))
        if layer in self._deciding:
            self._latest[layer] = state, signal
        return signal

    def _signal_of(self, layer: int, rate: Array) -> Any:
        readers = self._deciding.get(layer)
        return rate if readers is None else PoolingSignal(rate, readers)

    def clamp_and_hold(self, inputs: Array) -> tuple[list[Array], Network]:
        signal = self._signal_of(0, inputs)
        clamped = self._clamped(lambda connection: self._delivered(connection, [], signal))
        driven = self._holding({0: signal})
        self._latest.clear()
        driven._latest = (
            self._latest
        )  # layers signal to this network, and that one is asked to hold
        return clamped, driven

    def hold(self, states: Sequence[Array]) -> Network:
        signals = {}
        for layer, state in enumerate(states, start=1):
            signalled, signal = self._latest.pop(layer, (None, None))
            # States are not changed in place. So the last sweep has often decided on these winners.
            signals[layer] = signal if signalled is state else self.signal(layer, state)
        self._latest.clear()
        return self._holding(signals)

    def inflow(self, layer: int, signals: Sequence[Any], sources: range) -> Array | None:
        total = None
        for connection in self._incoming[layer - 1]:
            signal = signals[connection.source - 1]
            if connection.source in sources and signal is not None:
                brought = self._delivered(connection, signals, signal)
                if total is None:
                    total = brought
                else:
                    total += brought
        return total

    def _delivered(self, connection: Any, signals: Sequence[Any], signal: Any) -> Array:
        """Drive by one connection, a fresh array, given its signal and those of all layers."""
        rates = signal.rates if isinstance(signal, PoolingSignal) else signal
        pool = connection.pool
        pair = (-1, -1) if pool is None else (pool.source, pool.target)
        if pair not in self._deciding.get(pair[0], {}):
            return connection.apply(rates)
        if connection is pool:
            return signal.decided(pair)[0].copy()
        decider = signals[pool.source - 1]
        if decider is None:  # a layer without a signal is at zero: the first of each window wins
            zeros = self.backend.xp.zeros((rates.shape[0], pool.n_source), dtype=self.dtype)
            decider = self._signal_of(pool.source, zeros)
        return connection.holding(decider.decided(pair)[1]).apply(rates)

    def each(self, change: Callable[[Array], Array]) -> Self:
        winners = {
            (connection.source, connection.target): change(connection.winners)
            for connection in self._poolings()
            if connection.winners is not None
        }
        return self._with_winners(winners)

    def _holding(self, signals: Mapping[int, Any]) -> Self:
        """The network with the winners held that the signals of some layers decide on."""
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

        network = copy.copy(self)
        network._connect(
            [held(connection) for connection in self.forward],
            [held(connection) for connection in self.feedback],
        )
        return network


def _pool_maximum(xp: Any, members: Array, out: Array, winners: Array) -> None:
    """Write the largest member of each window, and its position; the first of equal ones wins.

    Parameters
    ----------
    xp : module
    members : array of shape (members, n, height, width, filters)
    out, winners : arrays of shape (n, height, width, filters)
        Overwritten. Winners are row-major positions within the window.
    """
    out[...] = members[0]
    winners[...] = 0
    for index in range(1, members.shape[0]):
        member = members[index]
        # NaN counts as largest, so that it is not lost. Later winners have larger numbers.
        better = (~(member <= out)).astype(winners.dtype)
        better *= winners.dtype.type(index)
        xp.maximum(winners, better, out=winners)
        xp.maximum(out, member, out=out)
