"""The layout of networks with convolutional layers, whose shapes follow from their sources."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from sklearn_eqprop._network.connections import Pair
from sklearn_eqprop._network.conv2d import Conv2D, ConvGeometry, Shape, geometry_of
from sklearn_eqprop._network.structure import Layout, Wiring


def layout_of(
    wiring: Wiring,
    in_shape: Shape,
    hidden: Sequence[int | Conv2D],
    n_outputs: int,
    own: Mapping[Pair, Conv2D] = MappingProxyType({}),
) -> Layout:
    """Layout of a network with these hidden layers.

    A convolutional layer takes its shape from the nearest earlier layer that drives it. Two layers
    are connected densely if one of them is dense. The exception is a forward connection to a
    convolutional layer, which must come from a layer with channels. Two convolutional layers are
    connected by the `Conv2D` of the connection or else of the target, whose result must have the
    shape of the target. Feedback beside a forward convolution uses that one in reverse. An identity
    needs no convolution, but gives no layer its shape.

    The input has the shape (units,) or (height, width, channels).
    `own` has the convolutions of connections that do not use that of their target.

    It raises ValueError if a convolution does not fit its source (the message has both shapes), or
    if identities alone drive a convolutional layer.
    """
    entries = [None, *hidden, n_outputs]
    shapes: list[Shape] = [in_shape]
    geometries: dict[Pair, ConvGeometry] = {}
    for layer, entry in enumerate(entries[1:], start=1):
        if not isinstance(entry, Conv2D):
            assert entry is not None
            shapes.append((entry,))
            continue
        weighted = set(wiring.forward) - wiring.identities
        sources = sorted(s for s, target in weighted if target == layer)
        for source in reversed(sources):
            spec = own.get((source, layer), entry)
            geometry = _convolution(spec, shapes[source], source, layer)
            if len(shapes) == layer:
                shapes.append(geometry.out_shape)
            _check_same_shape(geometry, shapes[layer], source, layer, spec)
            geometries[source, layer] = geometry
        if not sources:
            msg = (
                f"Layer {layer}, {entry!r}, is driven by identities alone: no layer is read by its "
                f"kernels. Add a connection such as {layer - 1, layer}."
            )
            raise ValueError(msg)
    for pair, partner in zip(wiring.feedback, wiring.partners, strict=True):
        source, target = pair
        if partner is not None:
            if pair[::-1] in geometries:
                geometries[pair] = geometries[pair[::-1]]
            continue
        entry = entries[target]
        if isinstance(entry, Conv2D) and isinstance(entries[source], Conv2D):
            spec = own.get(pair, entry)
            geometry = _convolution(spec, shapes[source], source, target)
            _check_same_shape(geometry, shapes[target], source, target, spec)
            geometries[pair] = geometry
    return Layout(wiring, tuple(shapes), geometries)


def _convolution(spec: Conv2D, shape: Shape, source: int, target: int) -> ConvGeometry:
    if len(shape) != 3:
        msg = (
            f"Layer {target}, {spec!r}, needs an input of shape (height, width, channels), but "
            f"layer {source}, which drives it, is a dense layer of shape {shape}. Put the "
            f"convolutional layers first, or remove the connection {source, target}."
        )
        raise ValueError(msg)
    try:
        return geometry_of(spec, shape)
    except ValueError as error:
        msg = f"Layer {target} of the network, driven by layer {source}: {error}"
        raise ValueError(msg) from None


def _check_same_shape(
    geometry: ConvGeometry, shape: Shape, source: int, target: int, spec: Conv2D
) -> None:
    if geometry.out_shape != shape:
        msg = (
            f"The connection {source, target} cannot be: {spec!r} turns layer {source}, of shape "
            f"{geometry.in_shape}, into the shape {geometry.out_shape}, but layer {target} has the "
            f"shape {shape}. Remove the connection, or choose kernels, strides, padding and "
            "pooling that give equal shapes."
        )
        raise ValueError(msg)
