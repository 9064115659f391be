"""The memory of training: all that a later call needs to continue, besides the weights."""

from __future__ import annotations

import copy
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

import numpy as np

from sklearn_eqprop._training.epoch import EpochRecord

#: Columns of ``relaxation_``.
RELAXATION_RECORDS = (
    "free_steps",
    "nudged_steps",
    "free_residual",
    "nudged_residual",
    "free_unconverged",
    "nudged_unconverged",
)


class EndedBy(Enum):
    """Why training ended."""

    LIMIT = "max_iter was reached"
    PATIENCE = "no more improvement"
    INTERRUPT = "the user interrupted it"
    CALLBACK = "a callback asked for it"


@dataclass(frozen=True)
class Outcome:
    """How the epochs of one call went, for its warnings.

    Attributes
    ----------
    ended_by : EndedBy
    curve : list of float
        Training loss of each epoch.
    kept_epoch : int
        Epoch of this call that the weights come from. 0: they are older.
    kept_loss : float
        Loss on the training rows, without the penalty, of these weights. For restored weights it is
        an estimate if they are certainly better than a constant. Infinity for ``partial_fit``.
    penalty : float
        Part of the last training loss that is the penalty on the weights.
    signal : float
        β times the factor by which feedback attenuates the nudge on its way to the layer that it
        reaches most weakly. Infinity if feedback attenuates nothing.
    n_stuck : int
        Outputs that are the same for all rows although their targets differ. Only outputs with
        bounds are counted, because these can stay so.
    """

    ended_by: EndedBy
    curve: list[float]
    kept_epoch: int
    kept_loss: float
    penalty: float
    signal: float
    n_stuck: int


@dataclass
class TrainingState:
    """Memory of training between calls; it holds NumPy arrays and numbers only.

    Attributes
    ----------
    split_seed : int
        Seed of the split into training and validation rows.
    stream_seeds : dict of str to int or list of int
        Seeds of the random streams.
    shuffle_rng, nudging_rng, probe_rng, augment_rng : RandomState
    input_scales : ndarray or None
        Scales by which training divides the columns of X.
    seen_sizes : ndarray or None
        The smallest and the largest `Columns.sizes` of the calls so far.
    most_rows : int
        Largest number of rows of a call so far.
    optimizer : dict or None
        Memory of the optimiser.
    guard_vectors : list of ndarray or None
        Memory of the loop-gain safeguard.
    latest : list of ndarray or None
        If the fitted arrays are averages: the weights that training continues from, as those of a
        network that reads X / `input_scales`.
    n_averaged : int
        Number of updates in these averages.
    left_with : tuple
        Fingerprint of the weights, and the bound on their loops, when the last call ended.
    n_epochs, n_samples_seen, n_rate_cuts : int
    judged_by : tuple
        Fingerprint of the data, and parameters, that a score depends on. Scores are compared only
        if they agree in it.
    n_compared : int
        Number of the last epochs whose scores are compared.
    best_score : float
        Best of these scores, higher is better.
    n_waiting : int
        Epochs in a row without an improvement that counts.
    loss_curve, validation_scores : list of float
    relaxation : dict of str to list of float
    constant_loss : float
        Loss of the best constant prediction on the training rows.
    untrained_loss : float
        Loss of outputs of 0, which is about that of an untrained network, or `constant_loss` if
        that is larger. Infinity if it is not known.
    decay : float
        α divided by the mean total weight of a minibatch.
    standardised : bool
        Whether the columns of X had means near 0 and standard deviations near 1.
    """

    split_seed: int
    stream_seeds: dict[str, Any]
    shuffle_rng: np.random.RandomState
    nudging_rng: np.random.RandomState
    probe_rng: np.random.RandomState
    augment_rng: np.random.RandomState
    input_scales: np.ndarray | None = None
    seen_sizes: np.ndarray | None = None
    most_rows: int = 0
    optimizer: dict[str, Any] | None = None
    guard_vectors: list[np.ndarray] | None = None
    latest: list[np.ndarray] | None = None
    n_averaged: int = 0
    left_with: tuple[Any, ...] = ()
    n_epochs: int = 0
    n_samples_seen: int = 0
    n_rate_cuts: int = 0
    judged_by: tuple[Any, ...] = ()
    n_compared: int = 0
    best_score: float = -math.inf
    n_waiting: int = 0
    loss_curve: list[float] = field(default_factory=list)
    validation_scores: list[float] = field(default_factory=list)
    relaxation: dict[str, list[float]] = field(
        default_factory=lambda: {name: [] for name in RELAXATION_RECORDS}
    )
    constant_loss: float = math.inf
    untrained_loss: float = math.inf
    decay: float = 0.0
    standardised: bool = False

    @classmethod
    def new(cls, split_seed: int, shuffle_seed: int, nudging_seed: int) -> TrainingState:
        """Return the memory of a network that has seen no samples."""
        stream_seeds: dict[str, Any] = {
            "shuffle_rng": shuffle_seed,
            "nudging_rng": nudging_seed,
            # These seeds derive from another one: more draws would shift the numbers of other
            # users of the same generator.
            "probe_rng": [nudging_seed, 1],
            "augment_rng": [nudging_seed, 2],
        }
        streams: Any = {name: np.random.RandomState(seed) for name, seed in stream_seeds.items()}
        return cls(split_seed, stream_seeds, **streams)

    def __getstate__(self) -> dict[str, Any]:
        """Return the content of a model file.

        Random streams are stored as plain data, which every version of NumPy can read, and only if
        they have been drawn from.
        """
        return vars(self) | {
            name: _stored_stream(getattr(self, name), seed)
            for name, seed in self.stream_seeds.items()
        }

    def __setstate__(self, stored: dict[str, Any]) -> None:
        """Restore the content of a model file."""
        self.__dict__.update(stored)
        for name, seed in self.stream_seeds.items():
            is_fresh = stored[name] is None
            stream = np.random.RandomState(seed) if is_fresh else _stream_in(stored[name])
            setattr(self, name, stream)

    def copy(self, drawn: Collection[str]) -> TrainingState:
        """Return a state that can change without an effect on this one.

        `drawn` names the random streams that will be drawn from. The others are shared, since
        copying them takes longer than a small update.
        """
        streams: Any = {
            name: _stream_in(getattr(self, name).get_state(legacy=False)) for name in drawn
        }
        return replace(
            self,
            **streams,
            optimizer=copy.deepcopy(self.optimizer),
            loss_curve=list(self.loss_curve),
            validation_scores=list(self.validation_scores),
            relaxation={name: list(values) for name, values in self.relaxation.items()},
        )

    @property
    def compared_losses(self) -> list[float]:
        """Training losses of the epochs whose scores are compared."""
        return self.loss_curve[len(self.loss_curve) - self.n_compared :]

    @property
    def compared_scores(self) -> list[float]:
        """Validation scores that are compared; with early stopping only."""
        return self.validation_scores[len(self.validation_scores) - self.n_compared :]

    def judge_by(self, *measure: Any) -> None:
        """Forget earlier scores if later ones cannot be compared with them."""
        if self.judged_by != measure:
            self.judged_by = measure
            self.n_compared = self.n_rate_cuts = 0
            self.forget_best()

    def forget_best(self) -> None:
        """Forget the best score, whose weights are gone, and the patience."""
        self.best_score, self.n_waiting = -math.inf, 0

    def take_score(self, score: float, tol: float) -> bool:
        """Note the score of an epoch, higher is better; return whether no earlier one is better.

        Of equal scores the last one counts as the best: accuracies are often equal although the
        loss still falls. An improvement by at most `tol` does not end the waiting.
        """
        self.n_waiting = 0 if score > self.best_score + tol else self.n_waiting + 1
        is_best = score >= self.best_score
        self.best_score = max(self.best_score, score)
        return is_best

    def note_sizes(self, sizes: np.ndarray, n_rows: int) -> None:
        """Note how the columns of X of a call vary, see `Columns.sizes`."""
        self.most_rows = max(self.most_rows, n_rows)
        lower, upper = (sizes, sizes) if self.seen_sizes is None else self.seen_sizes
        both = [np.fmin(lower, sizes), np.fmax(upper, sizes)]
        self.seen_sizes = np.array(both, dtype=np.float32)

    def remember_weights(self, loop_gain: float | None, weights: Sequence[np.ndarray]) -> None:
        """Note which weights and which bound this memory belongs to."""
        self.left_with = _fingerprint(loop_gain, weights)

    def forget_other_weights(self, loop_gain: float | None, weights: Sequence[np.ndarray]) -> None:
        """Drop what belongs to other weights if weights or bound have changed since."""
        now = _fingerprint(loop_gain, weights)
        if self.left_with != now:
            self.guard_vectors, self.judged_by = None, ()
        if self.left_with[1:] != now[1:]:
            self.latest, self.n_averaged = None, 0

    def record(self, epoch: EpochRecord, n_samples: int) -> None:
        """Append the record of an epoch; if no phase was measured, repeat the last numbers."""
        self.n_epochs += 1
        self.n_compared += 1
        self.n_samples_seen += n_samples
        self.loss_curve.append(epoch.loss)
        for name in RELAXATION_RECORDS:
            values, value = self.relaxation[name], getattr(epoch, name)
            values.append(values[-1] if value is None else value)


def _stored_stream(rng: np.random.RandomState, seed: Any) -> dict[str, Any] | None:
    """Return the state of a random stream; None if nothing has been drawn since it was seeded."""
    state: dict[str, Any] = rng.get_state(legacy=False)
    fresh: dict[str, Any] = np.random.RandomState(seed).get_state(legacy=False)
    same = state["state"]["pos"] == fresh["state"]["pos"]
    return None if same and (state["state"]["key"] == fresh["state"]["key"]).all() else state


def _stream_in(state: dict[str, Any]) -> np.random.RandomState:
    """Return a random stream in a given state; a deep copy would take ten times as long."""
    stream = np.random.RandomState(0)
    stream.set_state(state)
    return stream


def _fingerprint(loop_gain: float | None, weights: Sequence[np.ndarray]) -> tuple[Any, ...]:
    blocks = [block.ravel(order="K") for block in weights]
    # Not by a library of linear algebra, whose rounding depends on the number of threads.
    return (loop_gain, *(float(block.sum()) for block in blocks))
