"""Learning-rate schedules: a factor on every learning rate, over the epochs."""

from __future__ import annotations

import math

#: Exponent of the 'invscaling' schedule, as in scikit-learn's MLP.
POWER_T = 0.5
#: What 'adaptive' divides the rate by, and the factor below which it gives up.
ADAPTIVE_DIVISOR = 5.0
ADAPTIVE_FLOOR = 1e-4


def rate_factor(schedule: str, n_epochs_done: float, max_epochs: int, n_cuts: int) -> float:
    """Factor on the learning rates of the next update.

    Parameters
    ----------
    schedule : {'constant', 'invscaling', 'adaptive', 'cosine'}
    n_epochs_done : float
        Epochs done so far. The cosine falls with every update; 'invscaling' changes from epoch to
        epoch.
    max_epochs : int
        Length of the cosine, in epochs; after that many it starts again from the top (warm
        restarts, Loshchilov & Hutter 2017), so that warm starts and partial_fit go on learning.
    n_cuts : int
        How often 'adaptive' has reduced the rate.

    Returns
    -------
    float
    """
    if schedule == "invscaling":
        return float((math.floor(n_epochs_done) + 1) ** -POWER_T)
    if schedule == "adaptive":
        return float(ADAPTIVE_DIVISOR**-n_cuts)
    if schedule == "cosine":
        progress = n_epochs_done % max_epochs / max_epochs
        return 0.5 * (1 + math.cos(math.pi * progress))
    return 1.0
