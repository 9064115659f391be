"""One pass over the data, minibatch by minibatch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from sklearn_eqprop._backend.array_backend import ArrayBackend, Feed
from sklearn_eqprop._network import Network
from sklearn_eqprop._relaxation import Result
from sklearn_eqprop._rules.two_phase import Credit
from sklearn_eqprop._training.trainer import Trainer


@dataclass
class TrainingData:
    """Training rows; where minibatches are taken from is the backend's business.

    Attributes
    ----------
    X : array or CSR matrix of shape (n_samples, n_features)
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
    _feed: Feed | None = None

    def feed(self, network: Network) -> Feed:
        """The rows as the network faces them, put in place at the first call."""
        if self._feed is None:
            factors = None if self.input_scales is None else 1 / self.input_scales
            self._feed = network.backend.feed(self.X, self.target, network.dtype, factors)
        return self._feed

    def minibatches(
        self, trainer: Trainer, order: np.ndarray | None, batch_size: int
    ) -> Iterator[tuple[Any, Any, np.ndarray | None]]:
        """Inputs as the trainer's substrate reads them, targets and weights of every minibatch."""
        for rows, inputs, target in self.feed(trainer.network).minibatches(order, batch_size):
            if sparse.issparse(inputs) and not getattr(trainer.substrate, "reads_sparse", False):
                inputs = inputs.toarray()
            weight = None if self.sample_weight is None else self.sample_weight[rows]
            yield inputs, target, weight


@dataclass
class EpochRecord:
    """What happened in one epoch; steps are means, residuals the largest over the samples.

    Attributes
    ----------
    loss : float
        Weighted mean loss of the free equilibria, each before its minibatch's update; the fit loop
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
    """Running totals of one phase over an epoch, where the arrays live until they are read."""

    def __init__(self, backend: ArrayBackend) -> None:
        self._backend = backend
        self._n_results = 0
        self._totals: tuple[Any, Any, Any] = (0, 0, 0.0)

    def add(self, result: Result) -> None:
        self._n_results += result.n_steps.shape[0]
        steps, converged = result.n_steps.sum(), result.converged.sum()
        residual = result.residual.max()
        if not self._backend.is_device:
            steps, converged, residual = int(steps), int(converged), float(residual)
        largest = self._backend.xp.fmax if self._backend.is_device else max
        so_far = self._totals
        self._totals = (so_far[0] + steps, so_far[1] + converged, largest(so_far[2], residual))

    def summary(self, scale: float) -> tuple[float, float, float]:
        """Mean steps, largest residual divided by `scale`, fraction unconverged."""
        n_results = self._n_results
        steps, converged, residual = self._backend.numbers(self._totals)
        return steps / n_results, residual / scale, (n_results - converged) / n_results


def run_epoch(
    trainer: Trainer,
    data: TrainingData,
    *,
    batch_size: int,
    rate_factor: float | Callable[[float], float],
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
    rate_factor : float or callable
        Factor of the learning-rate schedule, or what gives it for the fraction of the epoch that is
        done.
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
    free, nudged = _PhaseTally(network.backend), _PhaseTally(network.backend)
    n_samples = data.X.shape[0]
    order = None
    if shuffle_rng is not None and n_samples > batch_size:
        order = shuffle_rng.permutation(n_samples)  # on the host: the same on every backend
    total_loss = total_weight = 0.0
    n_batches = 0
    for inputs, target, weight in data.minibatches(trainer, order, batch_size):
        batch_weight = _total_weight(inputs, weight)
        done = n_batches * batch_size / n_samples
        factor = rate_factor(done) if callable(rate_factor) else rate_factor
        loss, credit = trainer.train_on(inputs, target, weight, factor, nudging_rng)
        total_loss += loss * batch_weight
        total_weight += batch_weight
        n_batches += 1
        _tally(credit, free, nudged)
        del credit  # its states would take up memory beside those of the next minibatch
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


def mean_loss(trainer: Trainer, data: TrainingData, batch_size: int) -> float:
    """Weighted mean loss of the free phases over all rows, with the weights as they are."""
    losses, weights = [], []
    for inputs, target, weight in data.minibatches(trainer, None, batch_size):
        losses.append(trainer.loss_of(inputs, target, weight))
        weights.append(_total_weight(inputs, weight))
    return float(np.average(losses, weights=weights))


def _total_weight(inputs: Any, weight: np.ndarray | None) -> float:
    return float(inputs.shape[0] if weight is None else weight.sum())


def _tally(credit: Credit, free: _PhaseTally, nudged: _PhaseTally) -> None:
    free.add(credit.free.result)
    for result in credit.nudged:
        nudged.add(result)
