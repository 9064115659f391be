"""Jacobian homeostasis: feedback learns to face the forward weights from how units respond.

A_ij = ∂μ_i/∂s_j = w_ij ρ'(s_j) - δ_ij is symmetric where equilibrium propagation is exact
(Theorem 1), so its antisymmetric part is penalised (Laborieux & Zenke 2023, arXiv:2309.02214).
Feedback here is γ_l times weaker than the forward weights; hence the penalty is put on A in other
units of the states. With s_l measured in t_l, where t_l / t_{l+1} = √γ_l, A_ij becomes
Ã_ij = A_ij t_j / t_i: the two sides of a loop are then √γ_l B_l/γ_l and √γ_l F_{l+1}, and where Ã
is symmetric, ds^β/dβ in layer l is (t_l / t_L)² = Π_{j >= l} γ_j times what the exact gradient
asks for, which is just what `layerwise_rescale` divides by.

Each loop counted relative to its own strength, the penalty for units j above and i below, a mean
over the samples without the units held at a bound, and its gradient are

    P_l = 1/2 Σ_ij (B_ji/γ_l ρ'_j - F_ij ρ'_i)²,
    G_ji = ∂P_l/∂(B_ji/γ_l) = B_ji/γ_l ρ'_j² - ρ'_j F_ij ρ'_i.

All of it can be measured at the synapse from j to i. The first term is its own weight. For the
second, all units get small random pushes e and respond by A e: the mean of the response of j times
the push on i is F_ij ρ'_i. That is E[||A e||² - e^T A² e] taken apart: no weight is ever used
in reverse. With fixed F and linear units it is the weight mirror of Akrout et al. 2019
(arXiv:1904.05391).

γ_l = ||B_l|| / ||F_{l+1}|| follows B_l. So P_l does not depend on the size of B_l, and its gradient
has no component along it: homeostasis turns feedback, and leaves its strength as it is.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sklearn_eqprop._backend.array_backend import Array
from sklearn_eqprop._network import Network

#: What the probes may leave as noise in B_l, relative to its size. Taking away a share c of the
#: asymmetry in every update leaves sqrt(c n_l / 2 n), n being the samples probed.
RESIDUAL_NOISE = 0.1
#: Most that one update takes away, however large the minibatch.
LARGEST_SHARE = 0.5


def draw_probes(network: Network, n_samples: int, rng: np.random.RandomState) -> list[Array]:
    """Standard normal pushes on every unit of layers 1..L, drawn on the host in float64.

    Parameters
    ----------
    network : Network
    n_samples : int
    rng : RandomState

    Returns
    -------
    list of array of shape (n_samples, n_l)
    """
    return [
        network.backend.from_host(rng.standard_normal((n_samples, size)), network.dtype)
        for size in network.layer_sizes
    ]


def homeostatic_shares(network: Network, n_samples: int, rate_factor: float) -> list[float]:
    """Share of each loop's asymmetry that one update takes away, as fast as the noise allows.

    In proportion to the samples, so that neither the speed, an epoch, nor the noise depends
    on the size of the minibatches.

    Parameters
    ----------
    network : Network
    n_samples : int
        Samples probed.
    rate_factor : float
        Of the learning-rate schedule: both fade out with it.

    Returns
    -------
    list of float
        One for each of B_1..B_{L-1}, in (0, `LARGEST_SHARE`]; that of units always active.
    """
    sizes = [network.layer_sizes[feedback.target - 1] for feedback in network.feedback]
    shares = [2 * RESIDUAL_NOISE**2 * n_samples / size for size in sizes]
    return [min(share, LARGEST_SHARE) * rate_factor for share in shares]


def homeostatic_steps(
    network: Network,
    asymmetries: Sequence[Array],
    gains: Sequence[float],
    shares: Sequence[float],
) -> list[Array]:
    """Steps down the gradient of the penalty, without a component along B_l.

    Parameters
    ----------
    network : Network
    asymmetries : sequence of array
        G_l, see `local_asymmetries`; used up.
    gains : sequence of float
        γ_l of layers 1..L-1.
    shares : sequence of float
        Part of G_l to take away, see `homeostatic_shares`.

    Returns
    -------
    list of array
        One step for each of B_1..B_{L-1}.
    """
    xp = network.backend.xp
    blocks = [feedback.weights for feedback in network.feedback]
    sizes = [xp.vdot(weights, weights) for weights in blocks]
    along = [xp.vdot(weights, part) for weights, part in zip(blocks, asymmetries, strict=True)]
    read = network.backend.numbers([*sizes, *along])
    for index, (weights, gradient, gain, share) in enumerate(
        zip(blocks, asymmetries, gains, shares, strict=True)
    ):
        size = read[index]
        if size > 0:
            gradient -= (read[len(blocks) + index] / size) * weights
        gradient *= -share * gain
    return list(asymmetries)
