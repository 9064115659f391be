"""A small picture of the network, for notebooks."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any, NamedTuple

from sklearn_eqprop._backend import NumpyBackend, ignoring_float_errors
from sklearn_eqprop._estimators.fitted.arrays import FittedArrays
from sklearn_eqprop._estimators.parameters.architecture import requested_wiring
from sklearn_eqprop._estimators.parameters.config import Config
from sklearn_eqprop._network import Wiring, feedback_gains

#: Pixels: box of a layer, gap between boxes, height of an arc over one gap.
_BOX_WIDTH, _BOX_HEIGHT = 96, 44
_GAP = 70
_ARC = 30
_FORWARD, _FEEDBACK = "#1f6f8b", "#c0562a"


@ignoring_float_errors
def drawing_of(estimator: Any) -> str:
    """Return a picture of the network, in SVG: as fitted, or as the parameters describe it.

    It is empty if the parameters describe no network, so that printing an estimator always works.
    """
    try:
        config = Config.of(estimator)
        if hasattr(estimator, "coefs_"):
            arrays = FittedArrays.of(estimator)
            gains = feedback_gains(arrays.network(config, NumpyBackend()))
            captions = _captions(arrays.layout.sizes, config)
            return network_svg(captions, arrays.layout.wiring, gains)
        sizes = ("?", *config.hidden, "?")
        return network_svg(_captions(sizes, config), requested_wiring(config))
    except (AttributeError, ValueError, TypeError, KeyError):
        return ""


def _captions(sizes: Sequence[Any], config: Config) -> list[LayerCaption]:
    last, rho = len(sizes) - 1, config.activation
    hidden = [LayerCaption(f"layer {layer}", f"{sizes[layer]} {rho}") for layer in range(1, last)]
    of_output = config.output_activation.replace("identity", "linear")
    return [
        LayerCaption("input", f"{sizes[0]} features"),
        *hidden,
        LayerCaption("output", f"{sizes[last]} {of_output}"),
    ]


class LayerCaption(NamedTuple):
    """The text in the box of a layer."""

    name: str
    detail: str


def network_svg(
    captions: Sequence[LayerCaption], wiring: Wiring, gains: Sequence[float] | None = None
) -> str:
    """Return an ``<svg>`` element with a box for each of layers 0..L.

    Forward connections are above, feedback (dashed) is below with its γ, if `gains` are given.
    """
    longest = max((abs(t - s) for s, t in wiring.pairs), default=1)
    middle = _ARC * (longest + 1) + _BOX_HEIGHT / 2
    width = len(captions) * _BOX_WIDTH + (len(captions) - 1) * _GAP + 8
    parts = [_box(layer, caption, middle) for layer, caption in enumerate(captions)]
    parts += [
        _arc(source, target, middle, _FORWARD, above=True) for source, target in wiring.forward
    ]
    texts = (
        [f"γ {gain:.2g}" for gain in gains] if gains is not None else [""] * len(wiring.feedback)
    )
    for (source, target), text in zip(wiring.feedback, texts, strict=True):
        parts.append(_arc(source, target, middle, _FEEDBACK, above=False, text=text))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{2 * middle:g}" '
        f'role="img" aria-label="{escape(_in_words(captions, wiring))}" '
        'style="font-family: sans-serif; font-size: 11px">'
        '<rect width="100%" height="100%" fill="white"/>'
        f"{_marker('forward', _FORWARD)}{_marker('feedback', _FEEDBACK)}{''.join(parts)}</svg>"
    )


def _in_words(captions: Sequence[LayerCaption], wiring: Wiring) -> str:
    layers = ", ".join(f"{caption.name} {caption.detail}" for caption in captions)
    return (
        f"network of {len(captions)} layers: {layers}; {len(wiring.forward)} forward and "
        f"{len(wiring.feedback)} feedback connections"
    )


def _centre(layer: int) -> float:
    return 4 + layer * (_BOX_WIDTH + _GAP) + _BOX_WIDTH / 2


def _box(layer: int, caption: LayerCaption, middle: float) -> str:
    left, top = _centre(layer) - _BOX_WIDTH / 2, middle - _BOX_HEIGHT / 2
    return (
        f'<rect x="{left:g}" y="{top:g}" width="{_BOX_WIDTH}" height="{_BOX_HEIGHT}" rx="6" '
        'fill="#f3f6f8" stroke="#4a5560"/>'
        f'<text x="{_centre(layer):g}" y="{middle - 4:g}" text-anchor="middle" '
        f'fill="black" font-weight="bold">{escape(caption.name)}</text>'
        f'<text x="{_centre(layer):g}" y="{middle + 12:g}" text-anchor="middle" '
        f'fill="black">{escape(caption.detail)}</text>'
    )


def _arc(
    source: int, target: int, middle: float, colour: str, *, above: bool, text: str = ""
) -> str:
    """Return an arrow from layer to layer, which rises higher over a longer distance."""
    side = -1 if above else 1
    start, end = _centre(source), _centre(target)
    shift = _BOX_WIDTH / 4 * (1 if target > source else -1)
    if source == target:  # a loop of a layer with itself
        shift = _BOX_WIDTH / 6
    edge = middle + side * _BOX_HEIGHT / 2
    height = edge + side * _ARC * (max(abs(target - source), 0.7) + 0.3)
    dash = "" if above else ' stroke-dasharray="5 3"'
    kind = "forward" if above else "feedback"
    label = ""
    if text:
        label = (
            f'<text x="{(start + end) / 2:g}" y="{(edge + 3 * height) / 4 + 17 * side:g}" '
            f'text-anchor="middle" fill="{colour}">{escape(text)}</text>'
        )
    return (
        f'<path d="M {start + shift:g} {edge:g} C {start + shift:g} {height:g}, '
        f'{end - shift:g} {height:g}, {end - shift:g} {edge + 4 * side:g}" fill="none" '
        f'stroke="{colour}" stroke-width="1.5"{dash} marker-end="url(#eqprop-{kind})"/>{label}'
    )


def _marker(kind: str, colour: str) -> str:
    return (
        f'<defs><marker id="eqprop-{kind}" viewBox="0 0 8 8" refX="5" refY="4" markerWidth="6" '
        f'markerHeight="6" orient="auto-start-reverse"><path d="M 0 0 L 8 4 L 0 8 z" '
        f'fill="{colour}"/></marker></defs>'
    )
