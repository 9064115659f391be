"""The blocks of parameters: what each is called, and which layers it joins."""

from __future__ import annotations

from typing import NamedTuple

from sklearn_eqprop._network import Network, Pair, Wiring

#: Letter of a block in the equations, by its role.
_LETTERS = {"forward": "F", "feedback": "B", "bias": "b"}


class Block(NamedTuple):
    """One block of parameters.

    Attributes
    ----------
    name : str
        No other block of the network has it.
    role : {'forward', 'feedback', 'bias'}
    source : int or None
        The layer it reads, 0..L; None for a bias.
    layer : int
        The layer it drives, 1..L.
    """

    name: str
    role: str
    source: int | None
    layer: int


def blocks_of(network: Network) -> list[Block]:
    """Every block of a network, in the order of `Network.parameters`."""
    wiring = network.wiring
    pairs = {"forward": wiring.forward, "feedback": () if network.tied else wiring.feedback}
    weights = [
        Block(weights_name(wiring, role, pair), role, *pair)
        for role, joined in pairs.items()
        for pair in joined
    ]
    layers = range(1, network.n_layers + 1)
    return weights + [Block(f"{_LETTERS['bias']}_{layer}", "bias", None, layer) for layer in layers]


def weights_name(wiring: Wiring, role: str, pair: Pair) -> str:
    """Name of the weights of one connection, ``F_1`` or ``F_0→1``.

    The layer that weights drive says all where only neighbours are joined, as in the equations;
    elsewhere several connections of a kind may lead into it.
    """
    source, target = pair
    joins_neighbours = all(abs(s - t) == 1 for s, t in wiring.pairs)
    return f"{_LETTERS[role]}_{target if joins_neighbours else f'{source}→{target}'}"
