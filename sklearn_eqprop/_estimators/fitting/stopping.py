"""When training stops."""

from __future__ import annotations

import math


class PatienceStop:
    """Stops when a score has not risen by `tol` for more than `patience` epochs in a row.

    Parameters
    ----------
    tol : float
        Least rise that counts.
    patience : int or None
        None never stops.
    best, n_waiting : float, int
        Where an earlier run left off.

    Attributes
    ----------
    best : float
        Highest score so far.
    n_waiting : int
        Epochs in a row without a rise that counts.
    """

    def __init__(
        self, tol: float, patience: int | None, best: float = -math.inf, n_waiting: int = 0
    ) -> None:
        self._tol = tol
        self._patience = math.inf if patience is None else patience
        self.best = best
        self.n_waiting = n_waiting

    def update(self, score: float) -> bool:
        """Take in an epoch's score; return whether it is the best so far."""
        self.n_waiting = 0 if score > self.best + self._tol else self.n_waiting + 1
        is_best = score > self.best
        self.best = max(self.best, score)
        return is_best

    @property
    def exhausted(self) -> bool:
        """Whether patience has run out."""
        return self.n_waiting > self._patience
