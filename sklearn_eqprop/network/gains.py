"""How strong feedback is, compared with the forward weights it runs beside."""

from __future__ import annotations

from sklearn_eqprop.network.network import Network
from sklearn_eqprop.network.structure import starting_norm


def feedback_gains(network: Network) -> list[float]:
    """Strength of each feedback connection, γ = ||B|| / ||F||, F being its forward partner.

    Frobenius norms: the ratio is γ exactly where B = γ F^T. Feedback without a partner, lateral
    connections among it, is compared with forward weights of its shape as they start.
    """
    gains = []
    for feedback, partner in zip(network.feedback, network.wiring.partners, strict=True):
        if partner is None:
            source, target = feedback.source, feedback.target
            norm = starting_norm(network.layer_sizes[source - 1], network.layer_sizes[target - 1])
        else:
            norm = network.norm(network.forward[partner].weights)
        gains.append(network.norm(feedback.weights) / norm if norm > 0 else 1.0)
    return gains
