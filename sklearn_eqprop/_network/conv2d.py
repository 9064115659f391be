"""What a user says about a convolutional layer, and the shapes that follow from it."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from numbers import Integral
from typing import Any, Literal

#: (height, width, channels) of a layer of maps, or (units,) of a dense one.
Shape = tuple[int, ...]


@dataclass(frozen=True, repr=False)
class Conv2D:
    """A layer of maps: a convolution of the layer before it, pooled; an entry of the hidden layers.

    A frozen value: hashable, comparable, and left as it is by `clone`. It is checked when an
    estimator is fitted.

    The state of the layer is the *pooled* map, s = ρ(pool(conv(s_before)) + feedback + b), as in
    Ernoult et al. 2019 (arXiv:1905.13633) and Laborieux et al. 2021 (arXiv:2006.03824).

    Parameters
    ----------
    filters : int
        Maps, >= 1.
    kernel_size : int or (int, int)
        Height and width of the kernels; one number for both.
    stride : int or (int, int), default=1
        Step of the kernels, down and across.
    padding : {'valid', 'same'}, default='valid'
        'valid': kernels stay inside their input. 'same': zeros around it, as many below and to
        the right as above and to the left (one more where the number is odd), so that a
        convolution of stride 1 keeps height and width; of stride s it divides them by s, rounded
        up.
    pool : int or None, default=None
        Side of the windows that the convolution is pooled over, which do not overlap; rows and
        columns that fill no window are left out. None: no pooling.
    pooling : {'max', 'average'}, default='max'
        What a window says. With 'max' feedback goes to the unit of the window that has won;
        which one that is, is decided by the current state in the free phase, and held in the
        nudged one. 'average' is linear, and costs less: it is a convolution by a wider kernel
        with a longer stride. With 'max' there may be more than one equilibrium, and where units
        have negative rates ('tanh', 'identity') or ``feedback_init='independent'`` some samples
        may never settle: fit warns. Without effect where `pool` is None.

    Examples
    --------
    >>> from sklearn_eqprop import Conv2D
    >>> Conv2D(32, 5, pool=2)
    Conv2D(32, 5, pool=2)
    """

    filters: int
    kernel_size: int | tuple[int, int]
    stride: int | tuple[int, int] = 1
    padding: Literal["valid", "same"] = "valid"
    pool: int | None = None
    pooling: Literal["max", "average"] = "max"

    def __post_init__(self) -> None:
        """Turn lists into tuples: with a list the spec would not be hashable."""
        for name in ("kernel_size", "stride"):
            value = getattr(self, name)
            if isinstance(value, list):
                object.__setattr__(self, name, tuple(value))

    @property
    def picks_winners(self) -> bool:
        """Whether it pools by the maximum, over windows of more than one unit."""
        return isinstance(self.pool, Integral) and self.pool > 1 and self.pooling == "max"

    def __repr__(self) -> str:
        """As it would be written, without what is at its default."""
        shown = [repr(self.filters), repr(self.kernel_size)]
        for field in fields(self)[2:]:
            value = getattr(self, field.name)
            if value != field.default:
                shown.append(f"{field.name}={value!r}")
        return f"Conv2D({', '.join(shown)})"


@dataclass(frozen=True)
class ConvGeometry:
    """Every size of one convolution and its pooling.

    Attributes
    ----------
    in_shape : (int, int, int)
        Height, width and channels of what it reads.
    kernel, stride : (int, int)
    pad_top, pad_left : int
        Zeros above and to the left of the input.
    conv_shape : (int, int, int)
        Height, width and maps before pooling.
    pool : int
        Side of the windows; 1: none.
    pooling : {'max', 'average'}
    out_shape : (int, int, int)
        Height, width and maps after pooling.
    """

    in_shape: tuple[int, int, int]
    kernel: tuple[int, int]
    stride: tuple[int, int]
    pad_top: int
    pad_left: int
    conv_shape: tuple[int, int, int]
    pool: int
    pooling: str
    out_shape: tuple[int, int, int]

    @property
    def weight_shape(self) -> tuple[int, int, int, int]:
        """(kernel height, kernel width, channels in, maps out)."""
        return (*self.kernel, self.in_shape[2], self.conv_shape[2])

    @property
    def picks_winners(self) -> bool:
        """Whether it is pooled by the maximum."""
        return self.pool > 1 and self.pooling == "max"

    def unpooled(self) -> ConvGeometry:
        """The same convolution without its pooling."""
        return ConvGeometry(
            self.in_shape,
            self.kernel,
            self.stride,
            self.pad_top,
            self.pad_left,
            self.conv_shape,
            1,
            self.pooling,
            self.conv_shape,
        )

    def averaged(self) -> ConvGeometry:
        """The average over windows of a convolution, as one convolution by a wider kernel."""
        p = self.pool
        kernel = [k + s * (p - 1) for k, s in zip(self.kernel, self.stride, strict=True)]
        return ConvGeometry(
            self.in_shape,
            (kernel[0], kernel[1]),
            (self.stride[0] * p, self.stride[1] * p),
            self.pad_top,
            self.pad_left,
            self.out_shape,
            1,
            self.pooling,
            self.out_shape,
        )


def geometry_of(spec: Conv2D, in_shape: Shape) -> ConvGeometry:
    """Sizes of a convolutional layer that reads maps of a given shape.

    Parameters
    ----------
    spec : Conv2D
    in_shape : (int, int, int)
        Height, width, channels.

    Returns
    -------
    ConvGeometry

    Raises
    ------
    ValueError
        If a field of the spec makes no sense, or the kernel or the pooling window is larger than
        what it slides over; naming the field, its value and the remedy.
    """
    filters, kernel, stride, pool = _checked(spec)
    height, width, channels = in_shape
    padding, size = [], []
    for extent, k, s in zip((height, width), kernel, stride, strict=True):
        pad = 0
        if spec.padding == "same":
            pad = max((math.ceil(extent / s) - 1) * s + k - extent, 0)
        if extent + pad < k:
            raise _larger(spec, f"kernel_size={spec.kernel_size!r}", "its input", in_shape)
        padding.append(pad // 2)
        size.append((extent + pad - k) // s + 1)
    if min(size) < pool:
        raise _larger(spec, f"pool={pool}", "the convolution it pools", (*size, filters))
    return ConvGeometry(
        (height, width, channels),
        kernel,
        stride,
        padding[0],
        padding[1],
        (size[0], size[1], filters),
        pool,
        spec.pooling if pool > 1 else "average",  # of one unit: the unit
        (size[0] // pool, size[1] // pool, filters),
    )


def _larger(spec: Conv2D, what: str, than: str, shape: Shape) -> ValueError:
    return ValueError(
        f"{spec!r}: {what} is larger than {than}, of shape (height, width, channels) = {shape}; "
        "use a smaller one, padding='same', or less pooling in the layers before."
    )


def _checked(spec: Conv2D) -> tuple[int, tuple[int, int], tuple[int, int], int]:
    """Filters, kernel, stride and pool of a spec, as whole numbers."""
    if spec.padding not in ("valid", "same"):
        raise _wrong(spec, "padding", "'valid' or 'same'")
    if spec.pooling not in ("max", "average"):
        raise _wrong(spec, "pooling", "'max' or 'average'")
    if not _is_positive_integer(spec.filters):
        raise _wrong(spec, "filters", "a positive integer")
    if spec.pool is not None and not _is_positive_integer(spec.pool):
        raise _wrong(spec, "pool", "a positive integer or None")
    pool = 1 if spec.pool is None else int(spec.pool)
    return int(spec.filters), _pair(spec, "kernel_size"), _pair(spec, "stride"), pool


def _pair(spec: Conv2D, name: str) -> tuple[int, int]:
    value = getattr(spec, name)
    if _is_positive_integer(value):
        return int(value), int(value)
    if (
        isinstance(value, (tuple, list))
        and len(value) == 2
        and all(map(_is_positive_integer, value))
    ):
        return int(value[0]), int(value[1])
    raise _wrong(spec, name, "a positive integer or a pair of them")


def _is_positive_integer(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= 1


def _wrong(spec: Conv2D, name: str, wanted: str) -> ValueError:
    return ValueError(f"{spec!r}: {name} must be {wanted}. Got {getattr(spec, name)!r}.")
