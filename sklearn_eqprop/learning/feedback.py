"""How feedback weights move: scales along the feedback path, and rules for B."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from sklearn_eqprop.backend.array_backend import Array
from sklearn_eqprop.network import Network, Wiring
from sklearn_eqprop.network.wiring import Pair

#: Feedback that learns by its own ΔB moves at this fraction of the forward rate, times its
#: current gain γ. Adam's steps do not scale with the weights, and B is γ times smaller than F.
FEEDBACK_RATE = 0.1
#: Gains below this carry no signal; dividing by them would only amplify rounding.
SMALLEST_GAIN = 1e-12


def learns_from_own_change(wiring: Wiring, feedback_learning: str) -> list[bool]:
    """Which untied feedback connections learn from their own ΔB.

    Parameters
    ----------
    wiring : Wiring
    feedback_learning : {'local', 'kolen_pollack', 'homeostasis', 'fixed'}
        With 'kolen_pollack', those that have no forward partner to follow.

    Returns
    -------
    list of bool
        One a feedback connection.
    """
    if feedback_learning == "kolen_pollack":
        return [partner is None for partner in wiring.partners]
    return [feedback_learning in ("local", "homeostasis")] * len(wiring.feedback)


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


def follow(feedback: Array, forward: Array, step: Array, gain: float, decay: float) -> None:
    """Make B follow γ F^T (Kolen & Pollack 1994; Akrout et al. 2019), in place.

    B gets the change of F, its forward partner, times γ, and what separates the two decays by the
    factor 1 - decay. Of a convolution it is γ times its kernels, which feedback uses in reverse.

    Parameters
    ----------
    feedback : array
        B in the shape of F.
    forward : array
        F as it was before its step.
    step : array
        Of F.
    gain : float
        γ.
    decay : float
        Learning rate times weight decay of F.
    """
    if decay:
        apart = gain * forward
        apart -= feedback
        apart *= decay
        feedback += apart
    feedback += gain * step
