"""Training rows that the user's `augment` changes, minibatch by minibatch."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from scipy import sparse

from sklearn_eqprop._backend.array_backend import Array, ArrayBackend
from sklearn_eqprop._backend.host import batches
from sklearn_eqprop._estimators.data.rows import Rows
from sklearn_eqprop._estimators.fitting.state import TrainingState


class AugmentedRows:
    """Rows for training, as a `Feed`. They are changed on the host, alike for every backend.

    Parameters
    ----------
    augment : callable
        The parameter of the estimator.
    rows : Rows
    target : ndarray of shape (n_samples, n_outputs)
    backend : ArrayBackend
        Minibatches are arrays of this backend, of the type of `target`.
    state : TrainingState
        Its stream for `augment` is drawn from. Minibatches are divided by its `input_scales`.

    Raises
    ------
    ValueError
        If X is sparse.
    """

    def __init__(
        self,
        augment: Callable[[np.ndarray, np.random.RandomState], Any],
        rows: Rows,
        target: np.ndarray,
        backend: ArrayBackend,
        state: TrainingState,
    ) -> None:
        self._augment, self._rows, self._target = augment, rows, target
        self._backend, self._rng = backend, state.augment_rng
        scales = state.input_scales
        self._factors = None if scales is None else (1 / scales).astype(target.dtype)
        if sparse.issparse(rows.X):
            msg = (
                f"{self._named} does not go with sparse X, because it changes dense rows. Pass "
                "X.toarray(), or set augment=None."
            )
            raise ValueError(msg)

    def minibatches(
        self, order: np.ndarray | None, batch_size: int
    ) -> Iterator[tuple[Any, Array, Array]]:
        """Every row once, changed anew; see `Feed`."""
        dtype = self._target.dtype
        for rows in batches(self._rows.n_samples, batch_size, order):
            inputs = self._changed(self._copied(rows))
            inputs = inputs if self._factors is None else inputs * self._factors
            target = self._backend.from_host(self._target[rows], dtype)
            yield rows, self._backend.from_host(inputs, dtype), target

    def _copied(self, rows: Any) -> np.ndarray:
        """Return some rows as an array that `augment` may write to."""
        X, device, dtype = self._rows.X, self._rows.device, self._target.dtype
        if device is None:
            return np.array(X[rows], dtype=dtype)
        if isinstance(rows, slice):
            rows = np.arange(rows.start, rows.stop)
        return np.array(device.to_host(device.take_rows(X, rows)), dtype=dtype)

    def _changed(self, rows: np.ndarray) -> np.ndarray:
        """Return the rows that `augment` makes of these, after a check."""
        shape, dtype = rows.shape, self._target.dtype
        changed = self._augment(rows, self._rng)
        if not isinstance(changed, np.ndarray) or changed.dtype.kind not in "fiu":
            kind = type(changed).__name__
            kind = f"an array of {changed.dtype}" if isinstance(changed, np.ndarray) else kind
            msg = (
                f"{self._named} returned {kind} instead of an ndarray of real numbers. It must "
                "return the changed rows, also if it changes them in place."
            )
            raise TypeError(msg)
        if changed.shape != shape:
            msg = (
                f"{self._named} returned an array of shape {changed.shape} for rows of shape "
                f"{shape}. Return the same shape: flatten images by reshape(rows.shape)."
            )
            raise ValueError(msg)
        changed = np.asarray(changed, dtype=dtype)
        if not np.isfinite(changed.sum()):  # a sum takes less time than a look at every number
            found = changed[~np.isfinite(changed)]
            if found.size:
                msg = (
                    f"{self._named} returned {found[0]} (as {dtype}), but the network needs finite "
                    f"numbers. Check how it changes the rows."
                )
                raise ValueError(msg)
        return changed

    @property
    def _named(self) -> str:
        return f"augment={getattr(self._augment, '__qualname__', repr(self._augment))}"
