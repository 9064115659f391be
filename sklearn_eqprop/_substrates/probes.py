"""Measurements of synapses while units get small random pushes, see `_feedback.homeostasis`."""

from collections.abc import Sequence
from typing import Any

from sklearn_eqprop._backend.array_backend import Array
from sklearn_eqprop._network import SMALLEST_GAIN, Network


def local_asymmetries(
    network: Network,
    slopes: Sequence[Array | None],
    probes: Sequence[Array],
    gains: Sequence[float],
    weights: Any,
) -> list[Array]:
    """Estimate of G_l for each feedback connection, as its synapses measure it under probes.

    The arrays have the order and the shapes of ``network.feedback``.

    Parameters
    ----------
    network : Network
    slopes : list of array or None
        ρ' at the free equilibrium, 0 for units at a bound; None: 1 for every unit.
    probes : list of array of shape (n_samples, n_l)
        Pushes e on layers 1..L, of mean 0 and covariance 1; not changed.
    gains : sequence of float
        γ of each feedback connection, see `network.feedback_gains`.
    weights : array of shape (n_samples, 1) or float
        Share of each sample in the mean.
    """
    probes = [_times(_responsive(network, layer, slopes), e) for layer, e in enumerate(probes, 1)]
    signals = [_times(slope, e) for slope, e in zip(slopes, probes, strict=True)]
    estimates = []
    for feedback, gain in zip(network.feedback, gains, strict=True):
        pre, post = feedback.source, feedback.target
        slope = slopes[pre - 1]
        ones = network.backend.xp.ones_like
        squares = ones(probes[pre - 1]) if slope is None else slope * slope
        counted = _times(_responsive(network, post, slopes), ones(probes[post - 1])) * weights
        own = feedback.weighted_change(squares, counted)
        own /= max(gain, SMALLEST_GAIN)
        response = network.inflow(pre, signals, range(1, network.n_layers + 1))
        if response is not None:  # the input alone drives some layers of graphs
            own -= feedback.local_change(_times(slope, response), probes[post - 1] * weights)
        estimates.append(own)
    return estimates


def _responsive(network: Network, layer: int, slopes: Sequence[Array | None]) -> Array | None:
    """1 for units that can move, 0 for units at a bound; None: all can."""
    return slopes[layer - 1] if network.activations[layer - 1].bounded else None


def _times(factor: Array | None, array: Array) -> Array:
    return array if factor is None else factor * array
