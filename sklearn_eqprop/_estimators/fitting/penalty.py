"""alpha='auto': the strength of the L2 penalty follows from a trial fit on a part of the rows."""

import math
from dataclasses import replace
from typing import Any

import numpy as np

from sklearn_eqprop._backend import ArrayBackend
from sklearn_eqprop._estimators.data.rows import Rows
from sklearn_eqprop._estimators.fitting.judging import own_score
from sklearn_eqprop._estimators.fitting.state import EndedBy
from sklearn_eqprop._estimators.fitting.train import Fitted, train
from sklearn_eqprop._estimators.parameters.config import Config
from sklearn_eqprop._network import Network
from sklearn_eqprop.exceptions import DivergenceError

#: alpha_ in the trial, and if the loss of the held-out rows does not rise; MLP's default.
LEAST_ALPHA = 1e-4
#: Of the different rows of each class, and of all if there are no classes, this share is held out.
HELD_OUT = 0.2
#: The trial has about this number of updates, within this range of epochs, but no more than this
#: share of the epochs of the fit.
TRIAL_UPDATES = 300
TRIAL_EPOCHS = (12, 100)
TRIAL_SHARE = 0.5
#: Fits of fewer epochs have no trial: they end before they follow noise.
FEWEST_EPOCHS = 10
#: The held-out rows are judged about this often. Averages over so many results in a row are
#: compared, because single ones depend on the last minibatches.
N_CHECKS = 25
N_AVERAGED = 5


def chosen_alpha(config: Config, rows: Rows, start: Fitted, backend: ArrayBackend) -> float:
    """Return the strength of the penalty for these rows.

    A trial, a short fit with hardly any penalty, learns four fifths of the rows. While the network
    learns what holds for all rows, the loss of the other rows falls. When it begins to follow
    noise, that loss rises. The rise is measured in units of the loss of a constant prediction, and
    extrapolated to the epochs of the fit. alpha_ is proportional to its square root, up to the
    number that belongs to pure noise (`penalty_of_noise`).

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
    targets = start.targets
    parts = _parts(rows, targets.codes(rows.y), targets.stratify(rows.y), start.state.split_seed)
    if parts is None:
        return LEAST_ALPHA
    part, held_out = parts
    constant = targets.loss.constant_loss(targets.encode(held_out.y, np.float64), held_out.weight)
    if not 0 < constant < math.inf:
        return LEAST_ALPHA
    n_epochs = _epochs(config, part.n_samples)
    losses = _losses_of_trial(config, part, held_out, start, backend, n_epochs)
    rise = _rise(losses) / constant * config.max_iter / n_epochs
    alpha = targets.penalty_of_noise * math.sqrt(min(rise, 1))
    alpha = max(float(f"{alpha:.2g}"), LEAST_ALPHA)  # the same on every backend
    if config.verbose and losses:
        print(
            f"alpha='auto': in a trial the loss of held-out samples fell to {min(losses):.4g} and "
            f"ended at {losses[-1]:.4g} (a constant prediction has {constant:.4g}). "
            f"alpha_={alpha:g}",
            flush=True,
        )
    return alpha


def _losses_of_trial(
    config: Config,
    part: Rows,
    held_out: Rows,
    start: Fitted,
    backend: ArrayBackend,
    n_epochs: int,
) -> list[float]:
    """Fit a part of the rows, and return the losses of the others on the way; none if it diverges.

    The fit itself will tell why it diverges.
    """
    trial = replace(
        config,
        alpha=LEAST_ALPHA,
        max_iter=n_epochs,
        n_iter_no_change=None,
        early_stopping=False,
        restore_best_weights=False,
        scoring="loss",
        verbose=False,
    )
    score = own_score(trial, start.targets, held_out, start.state.input_scales)
    between, losses = math.ceil(n_epochs / N_CHECKS), []
    n_done = 0

    def score_now_and_then(network: Network) -> float:
        nonlocal n_done
        n_done += 1
        if (n_epochs - n_done) % between == 0:
            losses.append(-score(network))
        return 0.0

    try:
        outcome = train(
            trial, part, start, backend, incremental=False, validation_score=score_now_and_then
        ).outcome
    except DivergenceError:
        return []
    if isinstance(outcome, DivergenceError):
        return []
    if outcome.ended_by is EndedBy.INTERRUPT:
        raise KeyboardInterrupt
    return losses


def _rise(losses: list[float]) -> float:
    """Return by how much losses end above the lowest that they were before; averages count."""
    n_averaged = min(N_AVERAGED, len(losses))
    if n_averaged == 0:
        return 0.0
    averages = np.convolve(losses, np.full(n_averaged, 1 / n_averaged), "valid")
    return float(averages[-1] - averages.min())


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
    kinds: list[Any] = [np.arange(different.size)]
    if labels is not None:
        of_label = np.unique(labels, return_inverse=True)[1][first]
        kinds = [np.flatnonzero(of_label == k) for k in range(of_label.max() + 1)]
    is_held_out = np.zeros(different.size, dtype=bool)
    for kind in kinds:
        is_held_out[kind[: int(HELD_OUT * kind.size)]] = True
    if np.count_nonzero(is_held_out) < 2:
        return None
    order = np.argsort(which, kind="stable")
    held = is_held_out[which[order]]
    return rows.part(order[~held]), rows.part(order[held])
