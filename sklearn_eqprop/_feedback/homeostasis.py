"""Jacobian homeostasis: feedback turns towards the forward weights, from how units respond.

Equilibrium propagation is exact if A_ij = ∂μ_i/∂s_j = w_ij ρ'(s_j) - δ_ij is symmetric (Theorem 1).
Homeostasis penalises the antisymmetric part of A (Laborieux & Zenke 2023, arXiv:2309.02214).
Here, feedback of layer l is γ_l times weaker than the forward weights. So the penalty is put on A
in other units of the states. If s_l is measured in units t_l with t_l / t_{l+1} = √γ_l, then A_ij
becomes Ã_ij = A_ij t_j / t_i, and the two sides of a loop are √γ_l B_l/γ_l and √γ_l F_{l+1}. If Ã
is symmetric, ds^β/dβ in layer l is (t_l / t_L)² = Π_{j >= l} γ_j times that of the exact gradient.
`layerwise_rescale` divides by exactly this factor.

Each loop counts relative to its own strength. For units j above and i below, the penalty (a mean
over the samples, without units at a bound) and its gradient are

    P_l = 1/2 Σ_ij (B_ji/γ_l ρ'_j - F_ij ρ'_i)²,
    G_ji = ∂P_l/∂(B_ji/γ_l) = B_ji/γ_l ρ'_j² - ρ'_j F_ij ρ'_i.

The synapse from j to i can measure both terms of G_ji. The first is its own weight. For the second,
all units get small random pushes e and respond by A e: the mean of the response of j times the push
on i is F_ij ρ'_i. This splits E[||A e||² - e^T A² e] into its parts; no weight is used in reverse.
With fixed F and linear units it is the weight mirror of Akrout et al. 2019 (arXiv:1904.05391).

γ_l = ||B_l|| / ||F_{l+1}|| follows B_l. So P_l does not depend on the size of B_l, and its gradient
has no component along B_l: homeostasis turns feedback and keeps its strength.
"""

from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from sklearn_eqprop._backend.array_backend import Array
from sklearn_eqprop._feedback.base import FeedbackLearning
from sklearn_eqprop._network import Network, Wiring
from sklearn_eqprop._substrates.seam import FreePhase, ProbedSubstrate

#: Noise that the probes may leave in B_l, relative to its size. If every update removes a share c
#: of the asymmetry, sqrt(c n_l / 2 n) is left, n being the number of samples.
RESIDUAL_NOISE = 0.1
#: Largest share that one update removes, for minibatches of any size.
LARGEST_SHARE = 0.5


class Homeostasis(FeedbackLearning):
    """Feedback learns from its own ΔB, and in addition from random probes of the units."""

    name = "homeostasis"
    aligns = True
    adjusts = True
    draws = True
    needs = ("local_asymmetry",)

    def own_change(self, wiring: Wiring) -> list[bool]:
        return [True] * len(wiring.feedback)

    def adjust(
        self,
        substrate: Any,
        network: Network,
        free: FreePhase,
        weights: Any,
        gains: Sequence[float],
        rate_factor: float,
        rng: np.random.RandomState | None,
    ) -> None:
        """One step down the penalty, for feedback that has a forward partner."""
        n_samples = free.inputs.shape[0]
        probes = draw_probes(network, n_samples, cast("np.random.RandomState", rng))
        probed: ProbedSubstrate = substrate
        asymmetries = probed.local_asymmetry(free, probes, gains, weights)
        parts = homeostatic_shares(network, n_samples, rate_factor)
        steps = homeostatic_steps(network, asymmetries, gains, parts)
        for feedback, partner, step in zip(
            network.feedback, network.wiring.partners, steps, strict=True
        ):
            if partner is not None:
                feedback.weights += step


def draw_probes(network: Network, n_samples: int, rng: np.random.RandomState) -> list[Array]:
    """Standard normal pushes on every unit of layers 1..L, drawn on the host in float64."""
    return [
        network.backend.from_host(rng.standard_normal((n_samples, size)), network.dtype)
        for size in network.layer_sizes
    ]


def homeostatic_shares(network: Network, n_samples: int, rate_factor: float) -> list[float]:
    """Share of each loop's asymmetry that one update removes, the largest that the noise allows.

    It is proportional to the number of samples in the minibatch. So the speed per epoch and the
    noise do not depend on the size of the minibatches. Both decrease with the factor of the
    learning-rate schedule. A kernel sums what it measures in all of its places, so its share is
    divided by their number. The mean over the places has less noise.
    """
    shares = []
    for feedback in network.feedback:
        n_weights = feedback.weights.size or 1  # 1: an identity has none, and no noise
        n_probed = n_weights * feedback.n_uses / feedback.n_source
        share = 2 * RESIDUAL_NOISE**2 * n_samples * feedback.n_uses / n_probed
        shares.append(min(share, LARGEST_SHARE) / feedback.n_uses * rate_factor)
    return shares


def homeostatic_steps(
    network: Network,
    asymmetries: Sequence[Array],
    gains: Sequence[float],
    shares: Sequence[float],
) -> list[Array]:
    """Steps of B_1..B_{L-1} down the gradient of the penalty, without a component along B_l.

    The steps overwrite the asymmetries G_l, see `local_asymmetries`. `gains` has γ_l of each
    feedback connection, and `shares` the parts of G_l to remove, see `homeostatic_shares`.
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
