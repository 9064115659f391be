"""The user's description of a convolutional layer, and the shapes that follow from it."""

import math
from dataclasses import dataclass, fields, replace
from numbers import Integral
from typing import Any, Literal, Self

#: (height, width, channels) of a convolutional layer, or (units,) of a dense layer.
Shape = tuple[int, ...]


@dataclass(frozen=True, repr=False)
class Conv2D:
    """A convolutional layer with pooling, as an entry of ``hidden_layer_sizes``.

    The state of the layer is the *pooled* map, s = ρ(pool(conv(s_before)) + feedback + b), as in
    Ernoult et al. 2019 (arXiv:1905.13633) and Laborieux et al. 2021 (arXiv:2006.03824).

    A `Conv2D` cannot be changed: it is hashable and comparable, and `clone` keeps it. Its values
    are checked when an estimator is fitted.

    Parameters
    ----------
    filters : int
        Number of output channels, >= 1.
    kernel_size : int or (int, int)
        Height and width of the kernels. One number stands for both.
    stride : int or (int, int), default=1
        Vertical and horizontal step of the kernels.
    padding : {'valid', 'same'}, default='valid'
        'valid': kernels stay inside their input. 'same': zeros surround the input, equally on both
        sides; if their number is odd, one more is below and to the right. A convolution of stride 1
        then keeps height and width. Stride s divides them by s, rounded up.
    pool : int or None, default=None
        Side of the pooling windows, which do not overlap. Rows and columns that fill no window are
        left out. None: no pooling.
    pooling : {'max', 'average'}, default='max'
        Result of a window; no effect if `pool` is None.

        * 'max': the largest unit of the window, the winner. Feedback goes to the winner alone. The
          state decides on the winner in the free phase, and it is held in the nudged phase. There
          may be more than one equilibrium. With negative rates ('tanh', 'identity') or
          ``feedback_init='independent'`` some samples may never settle; fit warns then.
        * 'average': linear and cheaper. It is computed as a convolution with a wider kernel and a
          longer stride.

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
        """Turn lists into tuples, which are hashable."""
        for name in ("kernel_size", "stride"):
            value = getattr(self, name)
            if isinstance(value, list):
                object.__setattr__(self, name, tuple(value))

    @property
    def picks_winners(self) -> bool:
        """Whether it pools by the maximum over windows of more than one unit."""
        return isinstance(self.pool, Integral) and self.pool > 1 and self.pooling == "max"

    def __repr__(self) -> str:
        """The call that makes this layer, without parameters at their defaults."""
        shown = [repr(self.filters), repr(self.kernel_size)]
        for field in fields(self)[2:]:
            value = getattr(self, field.name)
            if value != field.default:
                shown.append(f"{field.name}={value!r}")
        return f"Conv2D({', '.join(shown)})"


@dataclass(frozen=True)
class ConvGeometry:
    """All sizes of one convolution and its pooling.

    Attributes
    ----------
    in_shape : (int, int, int)
        Height, width and channels of its input.
    kernel, stride : (int, int)
    pad_top, pad_left : int
        Rows of zeros above the input, and columns of zeros to the left.
    conv_shape : (int, int, int)
        Height, width and channels before pooling.
    pool : int
        Side of the windows; 1 means no pooling.
    pooling : {'max', 'average'}
    out_shape : (int, int, int)
        Height, width and channels after pooling.
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
        """(kernel height, kernel width, input channels, output channels)."""
        return (*self.kernel, self.in_shape[2], self.conv_shape[2])

    @property
    def picks_winners(self) -> bool:
        """Whether it is pooled by the maximum."""
        return self.pool > 1 and self.pooling == "max"

    def unpooled(self) -> Self:
        """The same convolution without its pooling."""
        return replace(self, pool=1, out_shape=self.conv_shape)

    def averaged(self) -> Self:
        """The average of a convolution over windows, as one convolution with a wider kernel."""
        p = self.pool
        kernel = [k + s * (p - 1) for k, s in zip(self.kernel, self.stride, strict=True)]
        stride = (self.stride[0] * p, self.stride[1] * p)
        return replace(
            self, kernel=(kernel[0], kernel[1]), stride=stride, conv_shape=self.out_shape, pool=1
        )


def geometry_of(spec: Conv2D, in_shape: Shape) -> ConvGeometry:
    """Sizes of a convolutional layer whose input has a given shape.

    Parameters
    ----------
    spec : Conv2D
    in_shape : (int, int, int)
        Height, width, channels.

    Raises
    ------
    ValueError
        If a field of the spec is invalid, or if the kernel or the pooling window is larger than
        its input. The message names the field, its value and the remedy.
    """
    filters, kernel, stride, pool = _checked(spec)
    height, width, channels = in_shape
    padding, size = [], []
    for extent, k, s in zip((height, width), kernel, stride, strict=True):
        pad = 0
        if spec.padding == "same":
            pad = max((math.ceil(extent / s) - 1) * s + k - extent, 0)
        if extent + pad < k:
            use = f"a kernel_size of at most {in_shape[:2]}, or padding='same'"
            raise _larger(spec, f"kernel_size={spec.kernel_size!r}", "its input", in_shape, use)
        padding.append(pad // 2)
        size.append((extent + pad - k) // s + 1)
    if min(size) < pool:
        shape, use = (*size, filters), f"pool={min(size)} or less"
        raise _larger(spec, f"pool={pool}", "the convolution it pools", shape, use)
    return ConvGeometry(
        (height, width, channels),
        kernel,
        stride,
        padding[0],
        padding[1],
        (size[0], size[1], filters),
        pool,
        spec.pooling if pool > 1 else "average",  # a window of one unit is no pooling
        (size[0] // pool, size[1] // pool, filters),
    )


def _larger(spec: Conv2D, part: str, than: str, shape: Shape, use: str) -> ValueError:
    return ValueError(
        f"{spec!r}: {part} is larger than {than}, of shape (height, width, channels) = {shape}. "
        f"Use {use}."
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
    sides = value if isinstance(value, (tuple, list)) else (value, value)
    if len(sides) == 2 and all(map(_is_positive_integer, sides)):
        return int(sides[0]), int(sides[1])
    raise _wrong(spec, name, "a positive integer or a pair of them")


def _is_positive_integer(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= 1


def _wrong(spec: Conv2D, name: str, wanted: str) -> ValueError:
    return ValueError(f"{spec!r}: {name} must be {wanted}. Got {getattr(spec, name)!r}.")
