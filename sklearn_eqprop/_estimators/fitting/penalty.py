"""alpha='auto': the strength of the L2 penalty follows from the noise that a trial finds."""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sklearn_eqprop._backend import ArrayBackend
from sklearn_eqprop._estimators.data.rows import Rows
from sklearn_eqprop._estimators.fitting.judging import own_score
from sklearn_eqprop._estimators.fitting.state import EndedBy
from sklearn_eqprop._estimators.fitting.train import Fitted, train
from sklearn_eqprop._estimators.parameters.config import Config
from sklearn_eqprop.exceptions import DivergenceError

#: alpha_ if the rows cannot tell, and in the trial; MLP's default.
LEAST_ALPHA = 1e-4
#: Of each class, and of all rows if there are no classes, one different row in this number is held
#: out of the trial.
HELD_OUT = 5
#: The trial has about this number of updates, within this range of epochs, but no more than this
#: share of the epochs of the fit.
TRIAL_UPDATES = 300
TRIAL_EPOCHS = (12, 100)
TRIAL_SHARE = 0.5
#: Fits of fewer epochs have no trial: they end before they follow noise.
FEWEST_EPOCHS = 10
#: alpha_ is a multiple of the noise to this power. The noise counts as at most this.
POWER = 1.25
MOST_NOISE = 1.2


@dataclass(frozen=True)
class Trial:
    """What a trial fit found.

    Attributes
    ----------
    loss, held_out_loss : float
        Mean losses of the rows that it trained on and of the others.
    constant_loss : float
        Loss of the best constant prediction for the others.
    """

    loss: float
    held_out_loss: float
    constant_loss: float

    @property
    def noise(self) -> float:
        """Loss of other rows relative to that of a constant prediction, 0 to `MOST_NOISE`."""
        return min(self.held_out_loss / self.constant_loss, MOST_NOISE)


def chosen_alpha(config: Config, rows: Rows, start: Fitted, backend: ArrayBackend) -> float:
    """Return the strength of the penalty for these rows.

    A short fit, a trial, learns four fifths of the rows. The noise is the loss of the other rows
    divided by that of a constant prediction. The penalty is proportional to a power of the noise:
    whatever other rows do not confirm, the weights should not follow.

    Which rows are held out depends on their content and on `random_state`, not on their order.
    Equal rows stay together. The arrays and the state of `start` are used up.

    Returns
    -------
    float
        `LEAST_ALPHA` if no row can be held out, if a constant prediction is perfect or its loss is
        not known, or if the trial diverges.

    Raises
    ------
    KeyboardInterrupt
        If the user interrupts the trial.
    """
    trial = _trial(config, rows, start, backend)
    if trial is None:
        return LEAST_ALPHA
    alpha = start.targets.penalty_of_noise * max(trial.noise, 0) ** POWER
    alpha = max(float(f"{alpha:.2g}"), LEAST_ALPHA)  # the same on every backend
    if config.verbose:
        print(
            f"alpha='auto': after a trial the loss of held-out samples is "
            f"{trial.held_out_loss:.4g}, of a constant prediction {trial.constant_loss:.4g}. "
            f"alpha_={alpha:g}",
            flush=True,
        )
    return alpha


def _trial(config: Config, rows: Rows, start: Fitted, backend: ArrayBackend) -> Trial | None:
    """Fit a part of the rows for some epochs, and judge the rest; None if that tells nothing."""
    targets = start.targets
    parts = _parts(rows, targets.codes(rows.y), targets.stratify(rows.y), start.state.split_seed)
    if parts is None:
        return None
    part, held_out = parts
    target = targets.encode(held_out.y, np.float64)
    constant_loss = targets.loss.constant_loss(target, held_out.weight)
    if not 0 < constant_loss < math.inf:
        return None
    short = replace(
        config,
        alpha=LEAST_ALPHA,
        max_iter=_epochs(config, part.n_samples),
        n_iter_no_change=None,
        early_stopping=False,
        restore_best_weights=False,
        scoring="loss",
        verbose=False,
    )
    try:
        trained = train(short, part, start, backend, incremental=False)
        if isinstance(trained.outcome, DivergenceError):
            return None
        if trained.outcome.ended_by is EndedBy.INTERRUPT:
            raise KeyboardInterrupt
        network = start.arrays.network(config.activation, backend)
        held_out_loss = -own_score(short, targets, held_out, None)(network)
    except DivergenceError:  # the fit itself will tell
        return None
    return Trial(trained.outcome.curve[-1], held_out_loss, constant_loss)


def _epochs(config: Config, n_samples: int) -> int:
    """Return the number of epochs of the trial."""
    fewest, most = TRIAL_EPOCHS
    n_epochs = math.ceil(TRIAL_UPDATES / math.ceil(n_samples / config.most_samples))
    return min(max(n_epochs, fewest), most, math.ceil(TRIAL_SHARE * config.max_iter))


def _parts(
    rows: Rows, codes: np.ndarray, labels: np.ndarray | None, seed: int
) -> tuple[Rows, Rows] | None:
    """Return rows to train on, in an order that follows from their content, and other rows.

    None if too few rows differ.
    """
    hashes = rows.hashes(codes, seed)
    different, first, which = np.unique(hashes, return_index=True, return_inverse=True)
    is_held_out = np.zeros(different.size, dtype=bool)
    kinds: list[Any] = [np.arange(different.size)]
    if labels is not None:
        of_label = np.unique(labels, return_inverse=True)[1][first]
        kinds = [np.flatnonzero(of_label == k) for k in range(of_label.max() + 1)]
    for kind in kinds:
        is_held_out[kind[: kind.size // HELD_OUT]] = True
    if np.count_nonzero(is_held_out) < 2:
        return None
    order = np.argsort(which, kind="stable")
    held = is_held_out[which[order]]
    return rows.part(order[~held]), rows.part(order[held])
