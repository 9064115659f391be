"""One pass over the data, minibatch by minibatch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from sklearn_eqprop.learning.credit import Credit
from sklearn_eqprop.learning.trainer import Trainer
from sklearn_eqprop.relaxation import Result


@dataclass
class TrainingData:
    """Training rows on the host; a minibatch is moved to the device when its turn comes.

    Attributes
    ----------
    X : array of shape (n_samples, n_features)
    target : ndarray of shape (n_samples, n_outputs)
    sample_weight : ndarray of shape (n_samples,) or None
    n_samples_given : int
        Samples these rows stand for, before equal ones were merged.
    input_scales : ndarray of shape (n_features,) or None, default=None
        What the network sees each column divided by.
    """

    X: Any
    target: np.ndarray
    sample_weight: np.ndarray | None
    n_samples_given: int
    input_scales: np.ndarray | None = None


@dataclass
class EpochRecord:
    """What happened in one epoch; steps are means, residuals the largest over the samples.

    Attributes
    ----------
    loss : float
        Weighted mean cost of the free equilibria, each before its minibatch's update; the fit loop
        adds the penalty.
    mean_batch_weight : float
        Mean over the minibatches of the sum of their sample weights (rows, without weights).
    free_steps, nudged_steps : float
    free_residual, nudged_residual : float
        That of the nudged phase is divided by |β|.
    free_unconverged, nudged_unconverged : float
        Fraction of the samples that reached the limit of steps.
    """

    loss: float
    mean_batch_weight: float
    free_steps: float
    nudged_steps: float
    free_residual: float
    nudged_residual: float
    free_unconverged: float
    nudged_unconverged: float


class _PhaseTally:
    """Running totals of one phase over an epoch."""

    def __init__(self) -> None:
        self._n_results = 0
        self._steps = 0
        self._unconverged = 0
        self._residual = 0.0

    def add(self, result: Result) -> None:
        n_results = result.n_steps.shape[0]
        self._n_results += n_results
        self._steps += int(result.n_steps.sum())
        self._unconverged += n_results - int(result.converged.sum())
        self._residual = max(self._residual, float(result.residual.max()))

    def summary(self, scale: float) -> tuple[float, float, float]:
        """Mean steps, largest residual divided by `scale`, fraction unconverged."""
        n_results = self._n_results
        return self._steps / n_results, self._residual / scale, self._unconverged / n_results


def run_epoch(
    trainer: Trainer,
    data: TrainingData,
    *,
    batch_size: int,
    rate_factor: float,
    shuffle_rng: np.random.RandomState | None,
    nudging_rng: np.random.RandomState,
    beta: float,
) -> EpochRecord:
    """Train on every row once.

    Parameters
    ----------
    trainer : Trainer
    data : TrainingData
    batch_size : int
    rate_factor : float
        Factor of the learning-rate schedule.
    shuffle_rng : RandomState or None
        None keeps the rows in their order.
    nudging_rng : RandomState
        For nudging that draws.
    beta : float
        To report the nudged residual in units of β.

    Returns
    -------
    EpochRecord

    Raises
    ------
    DivergenceError
        If a loss is not finite.
    """
    network = trainer.network
    free, nudged = _PhaseTally(), _PhaseTally()
    to_unit = None
    if data.input_scales is not None:
        to_unit = network.backend.from_host(1 / data.input_scales, network.dtype)
    total_loss = total_weight = 0.0
    n_batches = 0
    for rows in _minibatches(data.X.shape[0], batch_size, shuffle_rng):
        inputs = network.backend.from_host(data.X[rows], network.dtype)
        if to_unit is not None:
            inputs = inputs * to_unit
        target = network.backend.from_host(data.target[rows], network.dtype)
        weight = None if data.sample_weight is None else data.sample_weight[rows]
        batch_weight = float(inputs.shape[0] if weight is None else weight.sum())
        loss, credit = trainer.train_on(inputs, target, weight, rate_factor, nudging_rng)
        total_loss += loss * batch_weight
        total_weight += batch_weight
        n_batches += 1
        _tally(credit, free, nudged)
    free_steps, free_residual, free_unconverged = free.summary(1.0)
    nudged_steps, nudged_residual, nudged_unconverged = nudged.summary(abs(beta))
    return EpochRecord(
        loss=total_loss / total_weight,
        mean_batch_weight=total_weight / n_batches,
        free_steps=free_steps,
        nudged_steps=nudged_steps,
        free_residual=free_residual,
        nudged_residual=nudged_residual,
        free_unconverged=free_unconverged,
        nudged_unconverged=nudged_unconverged,
    )


def _minibatches(
    n_samples: int, batch_size: int, rng: np.random.RandomState | None
) -> Iterator[Any]:
    """Indices of each minibatch; slices, which copy nothing, where rows keep their order."""
    order = None if rng is None or n_samples <= batch_size else rng.permutation(n_samples)
    for start in range(0, n_samples, batch_size):
        rows = slice(start, min(start + batch_size, n_samples))
        yield rows if order is None else order[rows]


def _tally(credit: Credit, free: _PhaseTally, nudged: _PhaseTally) -> None:
    free.add(credit.free.result)
    for result in credit.nudged:
        nudged.add(result)
