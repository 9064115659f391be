"""Wiring: which layer drives which."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

#: Source and target layer of a connection.
Pair = tuple[int, int]


@dataclass(frozen=True)
class Wiring:
    """A directed graph of layers 0 (input, clamped) to L (output), its connections in order.

    A connection to a later layer is a *forward* connection, all others are *feedback*: to an
    earlier layer, or lateral, from a layer to itself. So forward connections alone make no loop.

    Attributes
    ----------
    forward, feedback : tuple of (source, target)
        Each in the order of (target, source).
    """

    forward: tuple[Pair, ...]
    feedback: tuple[Pair, ...]

    @classmethod
    def of(cls, pairs: Iterable[Pair]) -> Wiring:
        """Wiring with these connections, given in any order."""
        in_order = sorted(pairs, key=lambda pair: (pair[1], pair[0]))
        return cls(
            tuple(pair for pair in in_order if pair[0] < pair[1]),
            tuple(pair for pair in in_order if pair[0] >= pair[1]),
        )

    def __getstate__(self) -> dict[str, tuple[Pair, ...]]:
        """What it is, without what has been worked out from that: using it does not change it."""
        return {"forward": self.forward, "feedback": self.feedback}

    @cached_property
    def pairs(self) -> tuple[Pair, ...]:
        """Every connection, the forward ones first."""
        return self.forward + self.feedback

    @cached_property
    def n_layers(self) -> int:
        """L, the last layer that anything drives."""
        return max(target for _, target in self.pairs)

    @cached_property
    def partners(self) -> tuple[int | None, ...]:
        """Index of the forward connection that each feedback connection runs beside.

        Feedback from t to s has the forward connection from s to t as its partner; None where
        there is no such connection, as for lateral ones.
        """
        index = {pair: position for position, pair in enumerate(self.forward)}
        return tuple(index.get((target, source)) for source, target in self.feedback)

    @cached_property
    def routes_from_output(self) -> tuple[tuple[int, tuple[Pair, ...]], ...]:
        """Layers in an order in which the output reaches them, each with the connections it takes.

        Feedback alone, lateral connections left out, as far as that goes: it makes no loop. Layers
        it misses are joined to those it reaches by as few connections as possible.
        """
        last, routes = self.n_layers, []
        reached = {last}

        def arriving(layer: int, pairs: tuple[Pair, ...]) -> tuple[Pair, ...]:
            return tuple(pair for pair in pairs if pair[1] == layer and pair[0] in reached)

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

    @cached_property
    def is_layered(self) -> bool:
        """Whether this is the default, neighbouring layers that drive each other."""
        return self == layered_wiring(self.n_layers)


def layered_wiring(n_layers: int) -> Wiring:
    """Layers in a row: l - 1 drives l for l = 1..L, l + 1 drives l for l = 1..L-1."""
    return Wiring(
        tuple((layer - 1, layer) for layer in range(1, n_layers + 1)),
        tuple((layer + 1, layer) for layer in range(1, n_layers)),
    )


def reachable(pairs: Iterable[Pair], start: int, most_steps: float = math.inf) -> set[int]:
    """Layers that connections lead to from `start` in so many steps or less, `start` included."""
    pairs, found, n_steps = list(pairs), {start}, 0
    while n_steps < most_steps:
        further = {target for source, target in pairs if source in found} - found
        if not further:
            break
        found |= further
        n_steps += 1
    return found
