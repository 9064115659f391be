"""How strong feedback is, compared with the forward weights it runs beside."""

from __future__ import annotations

from sklearn_eqprop._network.network import Network
from sklearn_eqprop._network.structure import starting_norm


def feedback_gains(network: Network) -> list[float]:
    """Strength of each feedback connection, γ = ||B|| / ||F||, F being its forward partner.

    Frobenius norms: the ratio is γ exactly where B = γ F^T. Feedback without a partner, lateral
    connections among it, is compared with forward weights of its shape as they start.
    """
    partners = network.wiring.partners
    present = [partner for partner in partners if partner is not None]
    weights = [network.forward[partner].weights for partner in present]
    weights += [feedback.weights for feedback in network.feedback]
    norms = network.norms(weights)
    of_partner = dict(zip(present, norms[: len(present)], strict=True))
    gains = []
    own_norms = norms[len(present) :]
    for feedback, partner, own in zip(network.feedback, partners, own_norms, strict=True):
        shape = feedback.weights.shape
        norm = starting_norm(*shape) if partner is None else of_partner[partner]
        gains.append(own / norm if norm > 0 else 1.0)
    return gains
