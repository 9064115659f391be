"""Infinite β: the second phase of a simulated network, its output clamped to the target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sklearn_eqprop._backend.array_backend import Array
from sklearn_eqprop._network import arrival_scales
from sklearn_eqprop._relaxation import DisplacementField, Result
from sklearn_eqprop._substrates.phases import FreePhase, network_at, relative_tolerance

if TYPE_CHECKING:
    from sklearn_eqprop._substrates.simulated import SimulatedNetwork


def settle_clamped(substrate: SimulatedNetwork, free: FreePhase, target: Array) -> Result:
    """Equilibrium with the output clamped to the target, as displacements from the free one.

    Parameters
    ----------
    substrate : SimulatedNetwork
    free : FreePhase
        A free phase of this substrate.
    target : array of shape (n_samples, n_outputs)
    """
    limits, network = substrate.limits, network_at(free)
    origin = substrate.origin(free)
    error = target - origin.states[-1]
    # The range of the output is the one displacement that leads to the target.
    origin = replace(origin, lower=[*origin.lower[:-1], error], upper=[*origin.upper[:-1], error])
    n_samples, scales, allowances = target.shape[0], None, None
    if limits.literal:
        tolerance, allowances = substrate.tolerances(limits.nudged_tolerance, origin.states)
    else:
        scales = arrival_scales(substrate.network)
        tolerance = relative_tolerance(network.backend, limits.nudged_tolerance, error)
    field = DisplacementField(
        network, origin, n_samples, None, scales=scales, allowances=allowances
    )
    start = [*field.zero_states()[:-1], error.copy()]
    return substrate.settle_second(field, start, tolerance)


def local_contrast(
    substrate: SimulatedNetwork,
    free: FreePhase,
    displacements: Sequence[Array],
    weights: Any,
) -> list[Array]:
    """Change that each block measures between the free and the clamped equilibrium.

    Parameters
    ----------
    substrate : SimulatedNetwork
    free : FreePhase
    displacements : list of array
        Displacement of every layer from the free to the clamped equilibrium.
    weights : array of shape (n_samples, 1) or float
        Share of each sample in the mean.

    Returns
    -------
    list of array
        In the order of `Network.parameters`. Tied weights measure the difference of the products
        of their two rates, others the free rate times the displacement of the state or, if
        ``substrate.rate_coordinates``, of the rate.
    """
    network = network_at(free)
    states = free.result.states
    rates, moved = network.rates(states), list(displacements)
    if substrate.rate_coordinates:
        layers = range(1, network.n_layers + 1)
        moved = [
            network.rate_change(layer, state, displacement)
            for layer, state, displacement in zip(layers, states, displacements, strict=True)
        ]
    if network.tied:
        # a' b' - a b = ½ (a + a') (b' - b) + ½ (b + b') (a' - a): one half per direction.
        rates = [rate + 0.5 * change for rate, change in zip(rates, moved, strict=True)]
    deltas = [change * weights for change in moved]
    return network.local_products(
        free.inputs, rates, deltas, feedback_learns=substrate.feedback_learns
    )
