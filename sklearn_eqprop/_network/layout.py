"""The layout of a network: the shape of every layer, and what kind of connection joins which."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sklearn_eqprop._network.conv2d import Conv2D, ConvGeometry, Shape, geometry_of
from sklearn_eqprop._network.wiring import Pair, Wiring


@dataclass(frozen=True)
class Layout:
    """Shapes of layers 0..L, and which connections are convolutions.

    Attributes
    ----------
    wiring : Wiring
    shapes : tuple of tuple of int
        (units,) of a dense layer, (height, width, channels) of a layer of maps, whose units are
        counted in this order.
    geometries : dict of (source, target) to ConvGeometry
        Of connections that are convolutions; feedback beside a forward convolution has the
        geometry of that, and goes through it in reverse.
    """

    wiring: Wiring
    shapes: tuple[Shape, ...]
    geometries: Mapping[Pair, ConvGeometry]

    @property
    def sizes(self) -> tuple[int, ...]:
        """Units of layers 0..L."""
        return tuple(math.prod(shape) for shape in self.shapes)

    @property
    def bias_shapes(self) -> list[Shape]:
        """One bias a unit, or a map, of layers 1..L."""
        return [shape[-1:] for shape in self.shapes[1:]]

    @property
    def reads_maps(self) -> bool:
        """Whether a convolution reads the input."""
        return any(source == 0 for source, _ in self.geometries)

    def weight_shape(self, pair: Pair) -> Shape:
        """Of the weights of one connection."""
        geometry = self.geometries.get(pair)
        if geometry is not None:
            return geometry.weight_shape
        return self.sizes[pair[0]], self.sizes[pair[1]]

    def is_reversed(self, pair: Pair) -> bool:
        """Whether a connection goes backwards through the geometry of its forward partner."""
        return pair in self.geometries and pair[::-1] in self.wiring.forward


def dense_layout(wiring: Wiring, sizes: Sequence[int]) -> Layout:
    """Layout of dense layers of these sizes, input and output included."""
    return Layout(wiring, tuple((size,) for size in sizes), {})


def layout_of(
    wiring: Wiring, in_shape: Shape, hidden: Sequence[int | Conv2D], n_outputs: int
) -> Layout:
    """Layout that hidden layers ask for.

    The map of a convolutional layer is what its `Conv2D` makes of the nearest layer before it that
    drives it. Any two layers are densely connected where one of them is dense, but for the
    forward connections of a convolutional layer, which must come from maps. Between two maps a
    connection is a convolution by the `Conv2D` of the layer it drives, which must make the
    shape of that; feedback beside a forward connection goes through that one in reverse.

    Parameters
    ----------
    wiring : Wiring
    in_shape : tuple of int
        (units,) or (height, width, channels) of the input.
    hidden : sequence of int or Conv2D
        Layers 1..L-1.
    n_outputs : int

    Returns
    -------
    Layout

    Raises
    ------
    ValueError
        If a convolution does not fit what it reads, with both shapes.
    """
    entries = [None, *hidden, n_outputs]
    shapes: list[Shape] = [in_shape]
    geometries: dict[Pair, ConvGeometry] = {}
    for layer, entry in enumerate(entries[1:], start=1):
        if not isinstance(entry, Conv2D):
            assert entry is not None
            shapes.append((entry,))
            continue
        sources = sorted(s for s, target in wiring.forward if target == layer)
        for source in reversed(sources):
            geometry = _convolution(entry, shapes[source], source, layer)
            if len(shapes) == layer:
                shapes.append(geometry.out_shape)
            _check_same_shape(geometry, shapes[layer], source, layer, entry)
            geometries[source, layer] = geometry
    for pair, partner in zip(wiring.feedback, wiring.partners, strict=True):
        source, target = pair
        if partner is not None:
            if pair[::-1] in geometries:
                geometries[pair] = geometries[pair[::-1]]
            continue
        entry = entries[target]
        if isinstance(entry, Conv2D) and isinstance(entries[source], Conv2D):
            geometry = _convolution(entry, shapes[source], source, target)
            _check_same_shape(geometry, shapes[target], source, target, entry)
            geometries[pair] = geometry
    return Layout(wiring, tuple(shapes), geometries)


def _convolution(spec: Conv2D, shape: Shape, source: int, target: int) -> ConvGeometry:
    if len(shape) != 3:
        msg = (
            f"Layer {target}, {spec!r}, reads maps of shape (height, width, channels), but layer "
            f"{source}, which drives it, is a dense layer of shape {shape}. Put the convolutional "
            "layers first."
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
            f"The connection {source, target} cannot be: {spec!r} makes maps of shape "
            f"{geometry.out_shape} of layer {source}, of shape {geometry.in_shape}, but layer "
            f"{target} has the shape {shape}. Leave the connection out, or choose kernels, "
            "strides, padding and pooling by which the shapes agree."
        )
        raise ValueError(msg)
