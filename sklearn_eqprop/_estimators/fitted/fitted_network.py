"""The fitted arrays: the network is these, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from sklearn_eqprop._network import Layout, Network, dense_layout, feedback_order

#: Share of the columns of X from which all are divided, be it by 1.
MANY = 0.25


@dataclass
class FittedArrays:
    """Weights and biases as the estimators expose them.

    Attributes
    ----------
    layout : Layout
    coefs : list of ndarray
        Of shape (n_source, n_target), one a forward connection; of a convolution (kernel height,
        kernel width, channels, filters).
    intercepts : list of ndarray
        Of shape (n_l,), l = 1..L; (filters,) in a layer of maps.
    feedback_coefs : list of ndarray or None
        Of shape (n_source, n_target), one a feedback connection, or of kernels; None where
        feedback is tied to `coefs`.
    """

    layout: Layout
    coefs: list[np.ndarray]
    intercepts: list[np.ndarray]
    feedback_coefs: list[np.ndarray] | None

    def copy(self, dtype: Any = None) -> FittedArrays:
        """Arrays that training may change: contiguous, writable, of one type.

        Feedback weights are laid out like the forward weights they run beside.
        """
        dtype = self.coefs[0].dtype if dtype is None else np.dtype(dtype)

        def fresh(arrays: list[np.ndarray]) -> list[np.ndarray]:
            return [np.array(array, dtype=dtype, order="C") for array in arrays]

        feedback = None
        if self.feedback_coefs is not None:
            feedback = [
                np.array(coef, dtype=dtype, order=feedback_order(coef))
                for coef in self.feedback_coefs
            ]
        return FittedArrays(self.layout, fresh(self.coefs), fresh(self.intercepts), feedback)

    @property
    def in_loops(self) -> list[np.ndarray]:
        """Weights between layers, those of the inputs left out."""
        pairs = zip(self.coefs, self.layout.wiring.forward, strict=True)
        inner = [coef for coef, (source, _) in pairs if source > 0]
        return inner + (self.feedback_coefs or [])

    @classmethod
    def copied_from(cls, network: Network, layout: Layout) -> FittedArrays:
        """Copies, on the host, of a network's parameters as they stand."""
        blocks: dict[str, list[np.ndarray]] = {"forward": [], "bias": [], "feedback": []}
        for parameter in network.parameters():
            blocks[parameter.role].append(np.array(network.backend.to_host(parameter.array)))
        feedback = None if network.tied else blocks["feedback"]
        return cls(layout, blocks["forward"], blocks["bias"], feedback)

    def divide_inputs_by(self, scales: np.ndarray | None) -> None:
        """From facing X / scales to facing X: the division moves into the weights."""
        if scales is None:
            return
        for coef, (source, _) in zip(self.coefs, self.layout.wiring.forward, strict=True):
            if source == 0:
                # All columns of a channel that is convolved have the same scale.
                of_rows = scales[: coef.shape[-2]]
                scaled: Any = of_rows != 1
                if scaled.mean() > MANY:
                    scaled = slice(None)  # a look-up of rows takes longer than to divide them
                coef[..., scaled, :] /= of_rows[scaled].astype(coef.dtype)[:, None]

    def take_from(self, network: Network) -> None:
        """Bring home what a network that was made of these arrays has learned elsewhere."""
        if not network.backend.is_device:
            return
        blocks = [*self.coefs, *(self.feedback_coefs or ()), *self.intercepts]
        for block, parameter in zip(blocks, network.parameters(), strict=True):
            block[...] = network.backend.to_host(parameter.array)

    @contextmanager
    def facing_scaled_inputs(self, scales: np.ndarray | None) -> Iterator[None]:
        """While inside, the network faces X / scales instead of X."""
        self.divide_inputs_by(None if scales is None else 1 / scales)
        try:
            yield
        finally:
            self.divide_inputs_by(scales)


def checked_arrays(
    layout: Layout, coefs: Any, intercepts: Any, feedback_coefs: Any
) -> FittedArrays:
    """Arrays as they stand on an estimator, which a user may have replaced.

    Parameters
    ----------
    layout : Layout
        Of the network that was fitted. Dense hidden layers may have been given other sizes since.
    coefs, intercepts, feedback_coefs : as in `FittedArrays`

    Raises
    ------
    ValueError
        If they are no real numbers, or their number or shapes do not make such a network; naming
        the attribute.
    """
    coefs = _numbers("coefs_", coefs)
    dtype = coefs[0].dtype if coefs and coefs[0].dtype == np.float32 else np.dtype(np.float64)
    coefs = [coef.astype(dtype, copy=False) for coef in coefs]
    intercepts = [b.astype(dtype, copy=False) for b in _numbers("intercepts_", intercepts)]
    if not layout.geometries:
        hidden = [intercept.size for intercept in intercepts[: layout.wiring.n_layers - 1]]
        layout = dense_layout(layout.wiring, [layout.sizes[0], *hidden, layout.sizes[-1]])
    _check_shapes("intercepts_", intercepts, layout.bias_shapes)
    _check_shapes("coefs_", coefs, [layout.weight_shape(pair) for pair in layout.wiring.forward])
    if feedback_coefs is not None:
        feedback_coefs = [np.asarray(coef, dtype=dtype) for coef in feedback_coefs]
        shapes = [layout.weight_shape(pair) for pair in layout.wiring.feedback]
        _check_shapes("feedback_coefs_", feedback_coefs, shapes)
    return FittedArrays(layout, coefs, intercepts, feedback_coefs)


def _numbers(name: str, arrays: Any) -> list[np.ndarray]:
    """Arrays of real numbers, not masked."""
    if not isinstance(arrays, (Sequence, np.ndarray)):
        msg = f"{name} must be a list of arrays, one a connection or layer; got {arrays!r}."
        raise ValueError(msg)
    found = [np.asarray(array) for array in arrays]
    for array, given in zip(found, arrays, strict=True):
        if array.dtype.kind not in "fiu" or np.ma.is_masked(given):
            what = "masked numbers" if array.dtype.kind in "fiu" else f"{array.dtype} entries"
            msg = f"{name} holds {what}, but weights are real numbers: assign arrays of floats."
            raise ValueError(msg)
    return found


def _check_shapes(name: str, arrays: Sequence[np.ndarray], shapes: Sequence[Any]) -> None:
    found = [array.shape for array in arrays]
    if found != list(shapes):
        msg = f"{name} has shapes {found}, which do not fit the network: expected {list(shapes)}."
        raise ValueError(msg)


def check_weights_of_inputs(arrays: FittedArrays, X: Any) -> None:
    """Refuse weights that inputs have made too large for their type.

    Raises
    ------
    ValueError
        With the remedy.
    """
    if all(np.isfinite(coef).all() for coef in arrays.coefs):
        return
    msg = (
        f"X holds columns of numbers so small ({abs(X).max():.3g} at most) that the weights they "
        f"need have no {arrays.coefs[0].dtype}: multiply X by a constant, or put a StandardScaler "
        "in front."
    )
    raise ValueError(msg)


def check_same_network(arrays: FittedArrays, layout: Layout, *, tied: bool) -> None:
    """Refuse to go on training a network of another shape.

    Raises
    ------
    ValueError
        If layer sizes, connections or the kind of feedback have changed since the first fit.
    """
    was = arrays.layout
    if was.sizes != layout.sizes:
        msg = (
            f"The network fitted so far has layers of {was.sizes} units, but hidden_layer_sizes "
            f"and the data now ask for {layout.sizes}. Set warm_start=False, or use a fresh "
            "clone, to train a network of the new sizes."
        )
        raise ValueError(msg)
    if was.wiring != layout.wiring:
        msg = (
            f"The network fitted so far has the connections {list(was.wiring.pairs)}, but the "
            f"parameter connections now asks for {list(layout.wiring.pairs)}. Set it back, or use "
            "a fresh clone with warm_start=False."
        )
        raise ValueError(msg)
    if was != layout:
        msg = (
            "The network fitted so far has other convolutions than hidden_layer_sizes and "
            "input_shape now ask for, though the layers have the same sizes. Set them back, or use "
            "a fresh clone with warm_start=False."
        )
        raise ValueError(msg)
    if tied != (arrays.feedback_coefs is None):
        before, now = ("untied", "tied") if tied else ("tied", "untied")
        msg = (
            f"The network fitted so far has feedback={before!r}, now it is {now!r}. Set it back, "
            "or use a fresh clone with warm_start=False."
        )
        raise ValueError(msg)
