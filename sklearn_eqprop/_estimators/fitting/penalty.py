"""alpha='auto': the strength of the L2 penalty follows from a trial fit on a part of the rows."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from sklearn_eqprop._backend import ArrayBackend
from sklearn_eqprop._estimators.data.rows import Rows
from sklearn_eqprop._estimators.fitting.judging import loss_on
from sklearn_eqprop._estimators.fitting.state import EndedBy, TrainingState
from sklearn_eqprop._estimators.fitting.train import Fitted, train
from sklearn_eqprop._estimators.parameters.config import AUTO_BATCH_SIZE, Config
from sklearn_eqprop._network import Network
from sklearn_eqprop.exceptions import DivergenceError

#: alpha_ in the trial, and if the loss of the held-out rows does not rise; MLP's default.
LEAST_ALPHA = 1e-4
#: Share of the distinct rows that is held out, per class if there are classes.
HELD_OUT = 0.2
#: The trial is to get as far as this number of updates would, within this range of epochs, but no
#: more than this share of the epochs of the fit.
TRIAL_UPDATES = 300
TRIAL_EPOCHS = (12, 100)
TRIAL_SHARE = 0.5
#: Adam gets as far in half of the updates at twice the rate.
TRIAL_HASTE = 2
#: Fits of fewer epochs have no trial: they end before they follow noise.
FEWEST_EPOCHS = 10
#: The held-out rows are judged at most this often. Averages over this share of the results are
#: compared, because single ones depend on the last minibatches.
N_CHECKS = 25
AVERAGED = 0.2
#: relax_tol='auto' for these results. They need not be as exact as predictions.
TOLERANCE = 1e-3


class Watch:
    """Watches the loss of held-out rows during a trial, and ends it when the rise is large enough.

    Parameters
    ----------
    loss_of : callable
        Returns the loss of a network on the held-out rows.
    n_epochs : int
        Epochs of the trial.
    most : float
        The trial ends when the loss has risen by this.

    Attributes
    ----------
    losses : list of float
    """

    def __init__(
        self, loss_of: Callable[[Network], float], n_epochs: int, most: float = math.inf
    ) -> None:
        self._loss_of, self._most = loss_of, most
        self._between = max(math.ceil(n_epochs / N_CHECKS), 1)
        self._n_averaged = math.ceil(AVERAGED * n_epochs / self._between)
        self._n_done = 0
        self.losses: list[float] = []

    def epoch_begins(self) -> None:
        """Do nothing."""

    def epoch_ended(self, network: Network, state: TrainingState) -> bool:
        """Measure the loss from time to time; return whether it has risen enough."""
        self._n_done += 1
        if self._n_done % self._between == 0:
            self.losses.append(self._loss_of(network))
        return self.rise >= self._most

    @property
    def rise(self) -> float:
        """Mean of the last losses, a fifth of all, minus the smallest mean of as many in a row."""
        n_averaged = min(self._n_averaged, len(self.losses))
        if n_averaged == 0:
            return 0.0
        averages = np.convolve(self.losses, np.full(n_averaged, 1 / n_averaged), "valid")
        return float(averages[-1] - averages.min())


def chosen_alpha(config: Config, rows: Rows, start: Fitted, backend: ArrayBackend) -> float:
    """Return the strength of the penalty for these rows.

    A trial, a short fit with hardly any penalty, learns four fifths of the rows. While the network
    learns what holds for all rows, the loss of the other rows falls. When it begins to follow
    noise, that loss rises. The rise is measured in units of the loss of a constant prediction, and
    extrapolated to the epochs of the fit. alpha_ is proportional to its square root, up to the
    number that belongs to pure noise (`penalty_of_noise`).

    Which rows are held out depends on their content and on `random_state`, not on their order.
    Rows with equal X and y stay together. The trial changes `start`: pass a copy.

    Returns
    -------
    float
        `LEAST_ALPHA` if no row can be held out, if a constant prediction is perfect or its loss is
        not known, or if the trial diverges or learns nothing.

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
    haste = TRIAL_HASTE if config.optimizer_type.normalises else 1
    n_epochs, n_layers = _epochs(config, part.n_samples), start.arrays.layout.wiring.n_layers
    trial = replace(
        config,
        alpha=LEAST_ALPHA,
        learning_rate_init=tuple(haste * rate for rate in config.layer_rates(n_layers)),
        max_iter=math.ceil(n_epochs / haste),
        n_iter_no_change=None,
        early_stopping=False,
        restore_best_weights=False,
        verbose=False,
    )
    unit = constant * n_epochs / config.max_iter
    judged = replace(trial, relax_tol=TOLERANCE) if config.relax_tol == "auto" else trial
    loss_of = loss_on(judged, targets, held_out, start.state.input_scales)
    watch = Watch(loss_of, trial.max_iter, most=unit)
    try:
        outcome = train(trial, part, start, backend, incremental=False, observer=watch).outcome
    except DivergenceError as error:
        outcome = error
    if isinstance(outcome, DivergenceError) or not np.isfinite(watch.losses).all():
        return LEAST_ALPHA  # the fit itself will tell
    if outcome.ended_by is EndedBy.INTERRUPT:
        raise KeyboardInterrupt
    if min(outcome.curve) >= start.state.constant_loss:
        return LEAST_ALPHA  # nothing was learned, not even noise
    alpha = targets.penalty_of_noise * math.sqrt(min(watch.rise / unit, 1))
    alpha *= targets.loss_unit(rows.y)
    # In deep networks a strong penalty shrinks every layer, and the signal vanishes.
    alpha /= 2 ** max(len(config.hidden) - 1, 0)
    # It will be divided by the size of the minibatch; over all rows, this should not matter.
    alpha *= min(config.most_samples, rows.n_samples) / min(AUTO_BATCH_SIZE, rows.n_samples)
    alpha = max(float(f"{alpha:.2g}"), LEAST_ALPHA)  # rounded: the same on every backend
    if config.verbose:
        print(
            f"alpha='auto': in a trial the loss of held-out samples fell to {min(watch.losses):.4g}"
            f" and ended at {watch.losses[-1]:.4g} (a constant prediction has {constant:.4g}). "
            f"alpha_={alpha:g}",
            flush=True,
        )
    return alpha


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
