"""How feedback weights move: scales along the feedback path, and rules for B_l."""

from __future__ import annotations

from collections.abc import Sequence

from sklearn_eqprop.backend.array_backend import Array
from sklearn_eqprop.network import Network

#: Feedback that learns by its own ΔB moves at this fraction of the forward rate, times its
#: current gain γ_l. Adam's steps do not scale with the weights, and B is γ_l times smaller than F.
FEEDBACK_RATE = 0.1
#: Gains below this carry no signal; dividing by them would only amplify rounding.
SMALLEST_GAIN = 1e-12


def attenuations(gains: Sequence[float]) -> list[float]:
    """Factor by which feedback shrinks the error signal on its way to each layer.

    Layer l receives it through every loop above, Π_{j >= l} γ_j; the output layer undiminished.

    Parameters
    ----------
    gains : sequence of float
        γ_l of layers 1..L-1, see `network.feedback_gains`.

    Returns
    -------
    list of float
        One a layer 1..L.
    """
    factors = [1.0]
    for gain in reversed(gains):
        factors.append(factors[-1] * max(gain, SMALLEST_GAIN))
    return factors[::-1]


def kolen_pollack_steps(
    network: Network,
    forward_steps: Sequence[Array],
    gains: Sequence[float],
    decays: Sequence[float],
) -> list[Array]:
    """Steps that make each B_l follow γ_l F_{l+1}^T (Kolen & Pollack 1994; Akrout et al. 2019).

    B_l gets the change of F_{l+1}, transposed and times γ_l, and what separates the two
    decays by the factor 1 - decay.

    Parameters
    ----------
    network : Network
    forward_steps : sequence of array
        Steps of F_2..F_L.
    gains : sequence of float
        Current γ_l of layers 1..L-1.
    decays : sequence of float
        Learning rate times weight decay of layers 1..L-1.

    Returns
    -------
    list of array
        One step for each of B_1..B_{L-1}.
    """
    steps = []
    for forward, feedback, step, gain, decay in zip(
        network.forward[1:], network.feedback, forward_steps, gains, decays, strict=True
    ):
        change = gain * step.T
        if decay:
            change -= decay * (feedback.weights - gain * forward.weights.T)
        steps.append(change)
    return steps
