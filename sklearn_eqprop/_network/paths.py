"""How the error signal is weakened on its way along the connections from the output."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from sklearn_eqprop._network.network import Network
from sklearn_eqprop._network.wiring import Pair, Wiring

#: Gains below this carry no signal; dividing by them would only amplify rounding.
SMALLEST_GAIN = 1e-12


def attenuations(wiring: Wiring, gains: Sequence[float]) -> list[float]:
    """Factor by which feedback shrinks the error signal on its way to each layer.

    The product of the gains along the strongest path of feedback from the output, Π_{j >= l} γ_j
    with layers in a row; the output layer has it undiminished. To layers that feedback alone does
    not reach it goes on through forward connections, at no loss. Where it does not arrive at
    all the factor is 1.

    Parameters
    ----------
    wiring : Wiring
    gains : sequence of float
        γ of each feedback connection, see `network.feedback_gains`.

    Returns
    -------
    list of float
        One a layer 1..L.
    """
    of_pair = dict(zip(wiring.feedback, gains, strict=True))
    return _along_strongest_paths(wiring, lambda pair: of_pair.get(pair, 1.0))


def arrival_scales(network: Network) -> list[float]:
    """Typical size, in each layer, of a displacement of size 1 in the output.

    A connection with weights W brings a random displacement of size 1 to its target at a size
    of ||W|| / sqrt(units of the target), shared weights counted in all their places. Of several
    paths the strongest counts, as in `attenuations`.

    Parameters
    ----------
    network : Network

    Returns
    -------
    list of float
        One a layer 1..L; never above 1.
    """
    norm_of: dict[Pair, float] = {}

    def transfer(pair: Pair) -> float:
        if pair not in norm_of:  # forward connections are hardly ever asked for
            kind = network.feedback if pair in network.wiring.feedback else network.forward
            inner = [connection for connection in kind if connection.source > 0]
            norms = network.norms([connection.weights for connection in inner])
            for connection, norm in zip(inner, norms, strict=True):
                size = norm * math.sqrt(connection.n_uses / connection.n_target)
                norm_of[connection.source, connection.target] = size
        return min(norm_of[pair], 1.0)

    return _along_strongest_paths(network.wiring, transfer)


def _along_strongest_paths(wiring: Wiring, factor: Callable[[Pair], float]) -> list[float]:
    """Largest product of the connections' factors along a path from the output to each layer.

    See `Wiring.routes_from_output`; 1 for layers that the output does not reach.
    """
    last = wiring.n_layers
    reached = {last: 1.0}
    for layer, pairs in wiring.routes_from_output:
        reached[layer] = max(reached[pair[0]] * max(factor(pair), SMALLEST_GAIN) for pair in pairs)
    return [reached.get(layer, 1.0) for layer in range(1, last + 1)]
