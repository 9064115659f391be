"""What a rule needs of a substrate and of a loss, checked before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sklearn_eqprop._losses.classification import Loss

#: What some rules ask of a substrate beyond settling and local change, see `seam`.
ABILITIES = {
    "settle_corrected": "connections that can also be used in reverse",
    "settle_adjoint": "connections that can also be used in reverse",
    "flow": "synapses that can be watched while it settles",
    "settle_clamped": "an output that can be held at its target",
    "local_contrast": "synapses that compare two equilibria",
    "local_asymmetry": "units that can be pushed a little and watched",
}


def check_abilities(substrate: Any, needs: Sequence[str], who: str, instead: str) -> None:
    """Refuse a substrate that cannot do what is needed.

    Parameters
    ----------
    substrate : Substrate
    needs : sequence of str
        Names of methods, those of `ABILITIES` or of a rule's own making.
    who : str
        What needs them.
    instead : str
        What needs none of them.

    Raises
    ------
    TypeError
        Naming the pair, what is missing and what to use instead.
    """
    for need in needs:
        if not callable(getattr(substrate, need, None)):
            msg = (
                f"{who} does not go with {type(substrate).__name__}: it needs "
                f"{ABILITIES.get(need, 'more')}, and there is no method {need}. Write one, or use "
                f"{instead}."
            )
            raise TypeError(msg)


def check_loss(loss: Loss, usable: tuple[type, ...] | None, who: str, instead: str) -> None:
    """Refuse a loss that a rule is not about.

    Parameters
    ----------
    loss : Loss
    usable : tuple of type or None
        None: any loss.
    who, instead : str
        As in `check_abilities`.

    Raises
    ------
    TypeError
        Naming the pair and what to use instead.
    """
    if usable is not None and not isinstance(loss, usable):
        names = " or ".join(kind.__name__ for kind in usable)
        msg = f"{who} does not go with {type(loss).__name__}: use {names}, or {instead}."
        raise TypeError(msg)
