"""The `connections` parameter: from a list of pairs to a wiring that can learn."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Integral
from typing import Any

import numpy as np

from sklearn_eqprop._estimators.parameters.parameters import EXACT_GRADIENTS
from sklearn_eqprop._estimators.parameters.refused_pairs import needed_for_exact
from sklearn_eqprop._network import Wiring, layered_wiring, reachable
from sklearn_eqprop._sklearn_compat import InvalidParameterError
from sklearn_eqprop._warnings import warn_at_call


def requested_wiring(parameters: dict[str, Any], n_layers: int) -> Wiring:
    """Wiring that the estimator's parameters ask for.

    Parameters
    ----------
    parameters : dict
        The estimator's. `connections`, None for layers in a row, and those that not every wiring
        goes with.
    n_layers : int
        L, the number of the output layer.

    Returns
    -------
    Wiring

    Raises
    ------
    InvalidParameterError
        If `connections` is not a list of different pairs of layers, or some layer has no part in
        what leads from the input to the output.
    ValueError
        If the wiring does not go with `feedback` or `gradient`.
    """
    connections = parameters["connections"]
    wiring = layered_wiring(n_layers)
    if connections is not None:
        wiring = Wiring.of(_pairs(connections, n_layers))
        _check_every_layer_counts(wiring, connections, n_layers)
    _check_tied(wiring, parameters["feedback"])
    _check_nudge_arrives(wiring, n_layers, parameters)
    return wiring


def _pairs(connections: Any, n_layers: int) -> list[tuple[int, int]]:
    """Pairs of layer numbers, each of them possible and none twice."""
    pairs: list[tuple[int, int]] = []
    for entry in connections:
        if not _is_pair_of_integers(entry):
            raise _invalid(connections, f"{entry!r} is not a pair of whole numbers")
        source, target = (int(layer) for layer in entry)
        if not (0 <= source <= n_layers and 0 <= target <= n_layers):
            raise _invalid(
                connections,
                f"{entry!r} names a layer that is not there: layers are numbered from 0, the "
                f"input, to {n_layers}, the output",
            )
        if target == 0:
            raise _invalid(connections, f"{entry!r} leads to layer 0, but the input is clamped")
        if (source, target) in pairs:
            raise _invalid(connections, f"{entry!r} stands there twice")
        pairs.append((source, target))
    return pairs


def _is_pair_of_integers(entry: Any) -> bool:
    if isinstance(entry, str) or not isinstance(entry, Iterable):
        return False
    layers = list(entry)
    return len(layers) == 2 and all(
        isinstance(layer, Integral) and not isinstance(layer, (bool, np.bool_)) for layer in layers
    )


def _check_every_layer_counts(wiring: Wiring, connections: Any, n_layers: int) -> None:
    layers = set(range(1, n_layers + 1))
    unreached = layers - reachable(wiring.pairs, 0)
    if unreached:
        raise _invalid(
            connections,
            f"no path leads from the input, layer 0, to {_named(unreached)}; add a connection "
            f"such as (0, {min(unreached)})",
        )
    against = [(target, source) for source, target in wiring.pairs]
    useless = layers - reachable(against, n_layers)
    if useless:
        raise _invalid(
            connections,
            f"no path leads from {_named(useless)} to the output, layer {n_layers}; add a "
            f"connection such as ({min(useless)}, {n_layers})",
        )


def _check_tied(wiring: Wiring, feedback: str) -> None:
    if feedback != "tied":
        return
    alone = [
        pair
        for pair, partner in zip(wiring.feedback, wiring.partners, strict=True)
        if partner is None
    ]
    if alone:
        msg = (
            "feedback='tied' shares the weights of the forward connection that leads the other "
            f"way, but connections has none for {', '.join(map(str, alone))}. Add it, leave these "
            "out, or use feedback='untied'."
        )
        raise ValueError(msg)


def _check_nudge_arrives(wiring: Wiring, n_layers: int, parameters: dict[str, Any]) -> None:
    gradient = parameters["gradient"]
    if gradient in EXACT_GRADIENTS:
        return
    deaf = set(range(1, n_layers + 1)) - reachable(wiring.pairs, n_layers)
    if deaf:
        needed = needed_for_exact(parameters)
        also = f", with {' and '.join(needed)}" if needed else ""
        msg = (
            f"gradient={gradient!r} trains a layer by the nudge that reaches it from the output, "
            f"but connections lead by no path from layer {n_layers} to {_named(deaf)}. Add "
            f"connections such as {', '.join(map(str, _ways_back(wiring, deaf)))}, or use "
            f"gradient='asymmetric' or 'recurrent_backprop', which need none{also}."
        )
        raise ValueError(msg)


def _ways_back(wiring: Wiring, deaf: set[int]) -> list[tuple[int, int]]:
    """Connections to add so that a nudge arrives in every layer.

    Each leads the other way along one that there is, which is what tied feedback asks for.
    """
    found: list[tuple[int, int]] = []
    left = set(deaf)
    while left:  # every layer leads to the output, so one of those left leads to one that hears
        source, target = max((s, t) for s, t in wiring.pairs if s in left and t not in left)
        found.append((target, source))
        # A nudge goes on from there along the connections that there are.
        left -= reachable((*wiring.pairs, *found), wiring.n_layers)
    return found


def warn_about_short_runs(parameters: dict[str, Any], wiring: Wiring) -> None:
    """Warn where averages are taken before the nudge has arrived everywhere.

    Parameters
    ----------
    parameters : dict
        The estimator's.
    wiring : Wiring
    """
    if parameters["objective"] != "trajectory":
        return
    n_layers, n_steps = wiring.n_layers, parameters["max_nudge_iter"]
    untouched = reachable(wiring.pairs, n_layers) - reachable(wiring.pairs, n_layers, n_steps - 1)
    if untouched:
        warn_at_call(
            f"max_nudge_iter={n_steps} is too short for objective='trajectory' with {n_layers} "
            "layers: a nudge goes from layer to layer with every step, does not arrive in "
            f"{_named(untouched)}, and nothing is learned there. Use a max_nudge_iter of several "
            "times the number of layers.",
        )


def _named(layers: set[int]) -> str:
    return f"layer{'s' if len(layers) > 1 else ''} {', '.join(map(str, sorted(layers)))}"


def _invalid(connections: Any, what: str) -> InvalidParameterError:
    return InvalidParameterError(
        "The 'connections' parameter must be None or a list of different pairs (source layer, "
        f"target layer) along which every layer has a part in the output. Got {connections!r}: "
        f"{what}."
    )
