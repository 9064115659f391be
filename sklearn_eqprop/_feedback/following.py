"""How feedback weights move."""

from __future__ import annotations

from sklearn_eqprop._backend.array_backend import Array
from sklearn_eqprop._network import Wiring

#: Feedback that learns by its own ΔB moves at this fraction of the forward rate, times its
#: current gain γ. Adam's steps do not scale with the weights, and B is γ times smaller than F.
FEEDBACK_RATE = 0.1


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
