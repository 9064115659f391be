"""The fitted arrays: they are the network, and there is no second copy of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from sklearn_eqprop._backend import Array, ArrayBackend
from sklearn_eqprop._network import Layout, Network, dense_layout, feedback_order, wired_network

#: If more than this share of the columns of X has a scale, all columns are divided.
MANY = 0.25


@dataclass
class FittedArrays:
    """Weights and biases as the estimators expose them."""

    layout: Layout
    #: One per forward connection, of shape (n_source, n_target); of a convolution (kernel height,
    #: kernel width, channels, filters); of an identity (0,).
    coefs: list[np.ndarray]
    #: One per layer 1..L, of shape (n_l,); (filters,) in a convolutional layer.
    intercepts: list[np.ndarray]
    #: One per feedback connection, of shape (n_source, n_target), or kernels. Of shape () if
    #: feedback is tied to `coefs` or an identity: its strength γ.
    feedback_coefs: list[np.ndarray]

    @classmethod
    def of(cls, estimator: Any) -> FittedArrays:
        """Return the arrays of a fitted estimator, which the user may have replaced.

        It raises ValueError if they are not real numbers, or their number or shapes do not form the
        network that was fitted. Dense hidden layers may have other sizes.
        """
        layout: Layout = estimator._layout
        coefs = _numbers("coefs_", estimator.coefs_)
        dtype = np.dtype(np.float64)
        if coefs and coefs[0].dtype == np.float32:
            dtype = coefs[0].dtype
        coefs = [coef.astype(dtype, copy=False) for coef in coefs]
        intercepts = [
            b.astype(dtype, copy=False) for b in _numbers("intercepts_", estimator.intercepts_)
        ]
        if not layout.geometries:
            hidden = [intercept.size for intercept in intercepts[: layout.wiring.n_layers - 1]]
            sizes = (layout.sizes[0], *hidden, layout.sizes[-1])
            if sizes != layout.sizes:
                layout = dense_layout(layout.wiring, sizes)
        _check_shapes("intercepts_", intercepts, layout.bias_shapes)
        _check_shapes(
            "coefs_", coefs, [layout.weight_shape(pair) for pair in layout.wiring.forward]
        )
        feedback = estimator._feedback_coefs
        feedback = [B.astype(dtype, copy=False) for B in _numbers("feedback_coefs_", feedback)]
        if not is_tied(feedback):
            shapes = [layout.weight_shape(pair) for pair in layout.wiring.feedback]
            _check_shapes("feedback_coefs_", feedback, shapes)
        return cls(layout, coefs, intercepts, feedback)

    @classmethod
    def copied_from(cls, network: Network, layout: Layout) -> FittedArrays:
        """Return copies, on the host, of the current parameters of a network."""

        def copies(arrays: Sequence[Array]) -> list[np.ndarray]:
            return [np.array(network.backend.to_host(array)) for array in arrays]

        forward = [connection.weights for connection in network.forward]
        feedback = copies(network.feedback_blocks)
        return cls(layout, copies(forward), copies(network.biases), feedback)

    @property
    def attributes(self) -> dict[str, Any]:
        """Fitted attributes that hold the arrays."""
        return {
            "_layout": self.layout,
            "connections_": self.layout.wiring.pairs,
            "coefs_": self.coefs,
            "intercepts_": self.intercepts,
            "_feedback_coefs": self.feedback_coefs,
            "n_layers_": len(self.intercepts) + 1,
        }

    @property
    def all(self) -> list[np.ndarray]:
        """All arrays, in the order of `Network.arrays`."""
        return [*self.coefs, *self.feedback_coefs, *self.intercepts]

    @property
    def dtype(self) -> np.dtype:
        """Floating-point type of all arrays."""
        return self.coefs[0].dtype

    def copy(self, dtype: Any = None) -> FittedArrays:
        """Return arrays that training may change: contiguous, writable, of one type.

        Feedback weights lie in memory like the forward weights between the same layers.
        """
        dtype = self.dtype if dtype is None else np.dtype(dtype)

        def fresh(arrays: list[np.ndarray]) -> list[np.ndarray]:
            return [np.array(array, dtype=dtype, order="C") for array in arrays]

        feedback = [
            np.array(coef, dtype=dtype, order=feedback_order(coef)) for coef in self.feedback_coefs
        ]
        return FittedArrays(self.layout, fresh(self.coefs), fresh(self.intercepts), feedback)

    def network(self, chosen: Any, backend: ArrayBackend) -> Network:
        """Return the network of these arrays, with the activations of a `Config` or an estimator.

        On the host it holds these very arrays, on a device copies.
        """

        def placed(blocks: list[np.ndarray]) -> list[Array]:
            return [backend.from_host(block, block.dtype) for block in blocks]

        # Strengths stay on the host.
        feedback = [B if B.ndim == 0 else placed([B])[0] for B in self.feedback_coefs]
        return wired_network(
            self.layout.wiring,
            placed(self.coefs),
            placed(self.intercepts),
            feedback,
            activation=chosen.activation,
            output_activation=chosen.output_activation,
            backend=backend,
            layout=self.layout,
        )

    def take_from(self, network: Network) -> None:
        """Copy what a network of copies of these arrays has learned back into them."""
        for block, array in zip(self.all, network.arrays, strict=True):
            if array is not block:
                block[...] = network.backend.to_host(array)

    def divide_inputs_by(self, scales: np.ndarray | None) -> None:
        """Turn weights for X / scales into weights for X: the division moves into the weights."""
        if scales is None:
            return
        for coef, (source, _) in zip(self.coefs, self.layout.wiring.forward, strict=True):
            if source == 0:
                # In a convolution all columns of a channel have the same scale.
                of_rows = scales[: coef.shape[-2]]
                scaled: Any = of_rows != 1
                if scaled.mean() > MANY:
                    scaled = slice(None)  # selecting rows takes longer than dividing all of them
                coef[..., scaled, :] /= of_rows[scaled].astype(coef.dtype)[:, None]

    @contextmanager
    def facing_scaled_inputs(self, scales: np.ndarray | None) -> Iterator[None]:
        """Inside, the weights are those for X / scales instead of X."""
        self.divide_inputs_by(None if scales is None else 1 / scales)
        try:
            yield
        finally:
            self.divide_inputs_by(scales)


def is_tied(feedback_coefs: Any) -> bool:
    """Return whether these are strengths of tied feedback instead of weights."""
    if not isinstance(feedback_coefs, (Sequence, np.ndarray)) or len(feedback_coefs) == 0:
        return False
    return all(np.ndim(coef) == 0 for coef in feedback_coefs)


def check_weights_of_inputs(arrays: FittedArrays, X: Any) -> None:
    """Refuse weights that very small inputs have made too large for their type."""
    if all(np.isfinite(coef).all() for coef in arrays.coefs):
        return
    msg = (
        f"X holds columns of very small numbers (at most {abs(X).max():.3g}), whose weights are "
        f"beyond the largest number of {arrays.dtype}. Multiply X by a constant, or put a "
        "StandardScaler in front."
    )
    raise ValueError(msg)


def _numbers(name: str, arrays: Any) -> list[np.ndarray]:
    """Return arrays that hold real numbers and are not masked."""
    if not isinstance(arrays, (Sequence, np.ndarray)):
        msg = f"{name} must be a list of arrays, one per connection or layer. Got {arrays!r}."
        raise ValueError(msg)
    found = [np.asarray(array) for array in arrays]
    for array, given in zip(found, arrays, strict=True):
        if array.dtype.kind not in "fiu" or np.ma.is_masked(given):
            what = "masked numbers" if array.dtype.kind in "fiu" else f"{array.dtype} entries"
            msg = f"{name} holds {what}, but weights are real numbers. Assign arrays of floats."
            raise ValueError(msg)
    return found


def _check_shapes(name: str, arrays: Sequence[np.ndarray], shapes: Sequence[Any]) -> None:
    found = [array.shape for array in arrays]
    if found != list(shapes):
        msg = f"{name} has shapes {found}, which do not fit the network. Expected {list(shapes)}."
        raise ValueError(msg)
