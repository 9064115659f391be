"""The layers and connections that `hidden_layer_sizes`, `connections` and `input_shape` ask for."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence, Set
from numbers import Integral
from typing import TYPE_CHECKING, Any

from sklearn_eqprop._network import (
    Conv2D,
    Layout,
    Pair,
    Wiring,
    dense_layout,
    layered_wiring,
    layout_of,
    reachable,
)
from sklearn_eqprop._rules import RULES
from sklearn_eqprop._sklearn_compat import InvalidParameterError

#: The third member of an entry of `connections` that joins two layers of one shape.
IDENTITY = "identity"

if TYPE_CHECKING:
    from sklearn_eqprop._estimators.parameters.config import Config


def hidden_layers(hidden_layer_sizes: Any) -> tuple[int | Conv2D, ...]:
    """Return the units, or the convolution, of each hidden layer; refuse other entries."""
    wrong = ""
    if isinstance(hidden_layer_sizes, (Set, Mapping)):
        wrong = "whose entries have no order: use a tuple"
    is_single = isinstance(hidden_layer_sizes, Conv2D) or not isinstance(
        hidden_layer_sizes, Iterable
    )
    is_single |= getattr(hidden_layer_sizes, "ndim", 1) == 0  # an array that holds one number
    entries = [hidden_layer_sizes] if is_single else list(hidden_layer_sizes)
    for entry in entries:
        if not isinstance(entry, Conv2D) and not is_integer(entry, 1):
            wrong = wrong or f"in which {entry!r} is not a positive integer"
    if wrong:
        msg = (
            "The 'hidden_layer_sizes' parameter must be a positive integer or a sequence of "
            "positive integers, one per hidden layer, or Conv2D(...) for a convolutional one. Got "
            f"{hidden_layer_sizes!r}, {wrong}."
        )
        raise InvalidParameterError(msg)
    return tuple(entry if isinstance(entry, Conv2D) else int(entry) for entry in entries)


def requested_layout(config: Config, *, n_features: int, n_outputs: int) -> Layout:
    """Return the layers and connections that the parameters ask for.

    Raises
    ------
    InvalidParameterError
        If `connections` or `input_shape` is not valid by itself or for this number of columns, or
        a convolutional layer lacks `input_shape`.
    ValueError
        If the connections do not go with `feedback` or `gradient`, or a convolution does not fit
        the layer that it reads.
    """
    wiring, own = requested_wiring(config), own_convolutions(config)
    shape = _image_shape(config.input_shape, n_features)
    dense = [entry for entry in config.hidden if not isinstance(entry, Conv2D)]
    if len(dense) == len(config.hidden):
        # Dense layers read any input as a row, so that a search may hold input_shape fixed.
        return dense_layout(wiring, (n_features, *dense, n_outputs))
    if shape is None:
        msg = (
            f"hidden_layer_sizes={config.hidden!r} has convolutional layers, but input_shape=None. "
            "Set the 'input_shape' parameter to the (height, width) or (height, width, channels) "
            f"of the images. Their product must be {n_features}, the number of columns of X."
        )
        raise InvalidParameterError(msg)
    try:
        return layout_of(wiring, shape, config.hidden, n_outputs, own)
    except ValueError as error:
        msg = (
            f"hidden_layer_sizes={config.hidden!r} with input_shape={config.input_shape!r}: {error}"
        )
        raise ValueError(msg) from None


def requested_wiring(config: Config) -> Wiring:
    """Return the wiring that the parameters ask for.

    Raises
    ------
    InvalidParameterError
        If `connections` is not a list of different pairs of layers, each with a kind that is
        possible, or some layer lies on no path from the input to the output.
    ValueError
        If the wiring does not go with `feedback` or `gradient`.
    """
    n_layers = len(config.hidden) + 1
    if config.connections is None:
        return layered_wiring(n_layers)
    kinds = _kinds(config.connections, n_layers)
    wiring = Wiring.of(kinds, [pair for pair, kind in kinds.items() if kind == IDENTITY])
    _check_kinds(wiring, kinds, config)
    _check_every_layer_counts(wiring, config.connections, n_layers)
    if config.tied:
        _check_partners(wiring, config.hidden)
    if not config.rule.exact:
        _check_nudge_arrives(wiring, n_layers, config)
    return wiring


def own_convolutions(config: Config) -> dict[Pair, Conv2D]:
    """Return the convolutions that entries of `connections` have as their third member."""
    entries = map(list, config.connections or ())
    return {(e[0], e[1]): e[2] for e in entries if len(e) == 3 and isinstance(e[2], Conv2D)}


def _kinds(connections: Any, n_layers: int) -> dict[Pair, Any]:
    """Return the kind of each pair of layers; each pair is possible, and none is repeated.

    The kind is that of an entry with three members: 'identity' or a `Conv2D`. Otherwise it is None.
    """
    kinds: dict[Pair, Any] = {}
    for entry in connections:
        members = list(entry) if isinstance(entry, Iterable) and not isinstance(entry, str) else []
        kind = members.pop() if len(members) == 3 and not is_integer(members[2]) else None
        if len(members) != 2 or not all(map(is_integer, members)):
            raise _invalid(connections, f"{entry!r} is not a pair of whole numbers")
        if kind not in (None, IDENTITY) and not isinstance(kind, Conv2D):
            wanted = f"{IDENTITY!r} or a Conv2D"
            raise _invalid(connections, f"{entry!r} has a third member that is not {wanted}")
        source, target = (int(layer) for layer in members)
        if not (0 <= source <= n_layers and 0 <= target <= n_layers):
            raise _invalid(
                connections,
                f"{entry!r} names a layer that does not exist: layers are numbered from 0, the "
                f"input, to {n_layers}, the output",
            )
        if target == 0:
            raise _invalid(connections, f"{entry!r} leads to layer 0, but the input is clamped")
        if (source, target) in kinds:
            raise _invalid(connections, f"{entry!r} is repeated")
        kinds[source, target] = kind
    return kinds


def _check_kinds(wiring: Wiring, kinds: Mapping[Pair, Any], config: Config) -> None:
    """Refuse identities and convolutions between layers that they cannot join."""
    for pair, kind in kinds.items():
        entry, back = pair if kind is None else (*pair, kind), pair[::-1]
        wrong = ""
        if kind == IDENTITY and pair[0] == 0:
            wrong = "is an identity from the input. Use a connection with weights"
        elif kind == IDENTITY and pair == back:
            wrong = "is an identity within a layer. Remove it"
        elif kind == IDENTITY and pair[0] > pair[1] and back not in wiring.identities:
            wrong = f"is an identity as feedback, which needs {(*back, kind)!r}. Add it"
        elif kind is None and pair[0] > pair[1] and back in wiring.identities:
            wrong = f"is feedback beside an identity. Write {(*pair, IDENTITY)!r}"
        elif isinstance(kind, Conv2D):
            if not isinstance((*config.hidden, 0)[pair[1] - 1], Conv2D):
                wrong = f"is a convolution into a dense layer. Write {pair!r}"
            elif pair[0] > pair[1] and back in kinds:
                wrong = f"is feedback beside {back!r}, whose kernels it uses. Write {pair!r}"
        if wrong:
            raise _invalid(config.connections, f"{entry!r} {wrong}")


def _check_every_layer_counts(wiring: Wiring, connections: Any, n_layers: int) -> None:
    layers, pairs = set(range(1, n_layers + 1)), list(wiring.pairs)

    def unreached() -> set[int]:
        return layers - reachable(pairs, 0)

    def useless() -> set[int]:
        return layers - reachable([(target, source) for source, target in pairs], n_layers)

    gaps = []
    if unreached():
        gaps.append(f"no path leads from the input, layer 0, to {named(unreached())}")
    while left := unreached():
        pairs.append((0, min(left)))
    if useless():
        gaps.append(f"no path leads from {named(useless())} to the output, layer {n_layers}")
    while left := useless():
        pairs.append((max(left), n_layers))
    if gaps:
        added = ", ".join(map(str, pairs[len(wiring.pairs) :]))
        raise _invalid(connections, f"{'; '.join(gaps)}. Add connections such as {added}")


def _check_partners(wiring: Wiring, hidden: Sequence[int | Conv2D]) -> None:
    """Refuse tied feedback without a forward connection whose weights it could share."""
    alone = [
        pair
        for pair, partner in zip(wiring.feedback, wiring.partners, strict=True)
        if partner is None
    ]
    if not alone:
        return
    # A layer has no other connection to itself, and a dense layer cannot drive a convolution.
    missing = [
        (target, source)
        for source, target in alone
        if source > target and not isinstance((*hidden, 0)[source - 1], Conv2D)
    ]
    remove = [pair for pair in alone if pair[::-1] not in missing]
    steps = [f"add {', '.join(map(str, missing))}"] if missing else []
    if remove:
        steps.append(f"remove {', '.join(map(str, remove))}")
    why = ""
    if any(source == target for source, target in alone):
        why = "Tied weights within a layer would have to be symmetric, which is not supported. "
    msg = (
        "feedback='tied' shares the weights of the forward connection that leads the other way, "
        f"but connections has none for {', '.join(map(str, alone))}. {why}To keep tied feedback, "
        f"{' and '.join(steps)}. Otherwise use feedback='untied'."
    )
    raise ValueError(msg)


def _check_nudge_arrives(wiring: Wiring, n_layers: int, config: Config) -> None:
    """Refuse layers that the nudge cannot reach, if the rule learns from the nudge alone."""
    deaf = set(range(1, n_layers + 1)) - reachable(wiring.pairs, n_layers)
    if deaf:
        exact = " or ".join(repr(rule.name) for rule in RULES.values() if rule.exact)
        also = needed_for_exact(config)
        msg = (
            f"gradient={config.gradient!r} trains a layer by the nudge that reaches it from the "
            f"output, but no path in connections leads from layer {n_layers} to {named(deaf)}. Add "
            f"connections such as {', '.join(map(str, _ways_back(wiring, deaf)))}, or use "
            f"gradient={exact}, which need none{', with ' if also else ''}{' and '.join(also)}."
        )
        raise ValueError(msg)


def needed_for_exact(config: Config) -> list[str]:
    """Return other changes that an exact gradient needs, such as "a finite beta"."""
    changes = (
        ("objective='fixed_point'", config.averages),
        ("a finite beta", config.clamps),
        ("credit_coordinates='auto'", config.credit_coordinates == "rate" and config.rates_differ),
    )
    return [change for change, is_needed in changes if is_needed]


def _ways_back(wiring: Wiring, deaf: set[int]) -> list[tuple[int, int]]:
    """Return connections to add so that a nudge arrives in every layer.

    Each leads the other way along a connection that exists, as tied feedback requires.
    """
    found: list[tuple[int, int]] = []
    left = set(deaf)
    while left:  # every layer leads to the output, so one of those left leads to one that hears
        source, target = max((s, t) for s, t in wiring.pairs if s in left and t not in left)
        found.append((target, source))
        # From there the nudge follows the connections that exist.
        left -= reachable((*wiring.pairs, *found), wiring.n_layers)
    return found


def _image_shape(input_shape: Any, n_features: int) -> tuple[int, int, int] | None:
    """Return height, width and channels; None if no shape is given."""
    if input_shape is None:
        return None
    entries = list(input_shape)
    if len(entries) not in (2, 3) or not all(is_integer(entry, 1) for entry in entries):
        raise _wrong_shape(input_shape, "these are not two or three positive integers")
    height, width, channels = (int(entry) for entry in (*entries, 1)[:3])
    if height * width * channels != n_features:
        raise _wrong_shape(
            input_shape,
            f"an image of that shape has {math.prod(entries)} values, but X has {n_features} "
            "columns",
        )
    return height, width, channels


def is_integer(value: Any, least: float = -math.inf) -> bool:
    """Return whether a value is a whole number, not a boolean, of at least `least`."""
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= least


def named(layers: set[int]) -> str:
    """Return layers in words, such as "layers 1, 2"."""
    return f"layer{'s' if len(layers) > 1 else ''} {', '.join(map(str, sorted(layers)))}"


def _invalid(connections: Any, what: str) -> InvalidParameterError:
    return InvalidParameterError(
        "The 'connections' parameter must be None or a list of different pairs (source layer, "
        "target layer) that put every layer on a path to the output. A third member can be "
        f"{IDENTITY!r} or a Conv2D. Got {connections!r}: {what}."
    )


def _wrong_shape(input_shape: Any, what: str) -> InvalidParameterError:
    return InvalidParameterError(
        "The 'input_shape' parameter must be None, (height, width) or (height, width, channels) "
        "of the images that the rows of X are, flattened in this order. "
        f"Got {input_shape!r}: {what}."
    )
