"""alpha='auto': the strength of the L2 penalty follows from a trial fit on a part of the rows."""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from sklearn_eqprop._backend import ArrayBackend
from sklearn_eqprop._estimators.data.rows import Rows
from sklearn_eqprop._estimators.fitting.judging import losses_on
from sklearn_eqprop._estimators.fitting.loop import LITTLE
from sklearn_eqprop._estimators.fitting.state import EndedBy, TrainingState
from sklearn_eqprop._estimators.fitting.train import Fitted, train
from sklearn_eqprop._estimators.parameters.config import Config
from sklearn_eqprop._estimators.targets import Targets
from sklearn_eqprop._network import Network
from sklearn_eqprop.exceptions import DivergenceError

#: The smallest alpha_; MLP's default.
LEAST_ALPHA = 1e-4
#: Fits of fewer epochs have no trial: they end before they follow noise.
FEWEST_EPOCHS = 10
#: Share of the distinct rows that is held out, per class if there are classes.
HELD_OUT = 0.2
#: With fewer distinct rows than this there are three trials, each with other held-out rows.
FEW_ROWS = 500
#: A trial has about this number of updates, within this range of epochs, but no more than this
#: share of the epochs of the fit.
TRIAL_UPDATES = 150
TRIAL_EPOCHS = (8, 50)
TRIAL_SHARE = 0.5
#: Factor of the learning rate in the trial, if the optimiser takes steps of a given size (Adam).
RATE_FACTOR = 2
#: The strength is adapted about this often.
N_CHECKS = 16
#: Each time it moves by this share of the way (in logarithms).
STEP = 0.25
#: The gaps of so many last checks are averaged for the trials that follow.
N_AVERAGED = 4
#: The first and the largest strength, divided by the weight of a minibatch, in units of the loss.
#: The first one is large, so that the random initial weights shrink before they are measured.
FIRST_DECAY, MOST_DECAY = 0.05, 0.1
#: Both are divided by this for each hidden layer after the first. If all layers of a deep network
#: shrink, no signal arrives, and it learns nothing.
PER_LAYER = 3
#: relax_tol='auto' for the held-out rows. Their losses need not be as exact as predictions.
TOLERANCE = 1e-3


class _Check:
    """Stops training after some epochs, and looks at the network.

    Attributes
    ----------
    losses : ndarray of shape (n_held_out,)
        Losses of the held-out rows.
    squares : float
        Sum of the squares of all feedforward weights.
    """

    losses: np.ndarray
    squares: float

    def __init__(self, losses_of: Callable[[Network], np.ndarray], n_epochs: int) -> None:
        self._losses_of, self._n_left = losses_of, n_epochs

    def epoch_begins(self) -> None:
        """Do nothing."""

    def epoch_ended(self, network: Network, state: TrainingState) -> bool:
        """Return whether the epochs are over."""
        self._n_left -= 1
        if self._n_left > 0:
            return False
        self.losses = self._losses_of(network)
        weights = [each.array for each in network.parameters() if each.role == "forward"]
        self.squares = sum(norm * norm for norm in network.norms(weights))
        return True


def chosen_alpha(
    config: Config, rows: Rows, start: Callable[[], Fitted], backend: ArrayBackend
) -> float:
    """Return the strength of the penalty for these rows.

    A trial learns four fifths of the rows. The loss of the other rows is larger, by a gap that
    tells how far the network follows noise. The evidence for the strength is largest (MacKay
    1992) if ::

        gap = decay * ||W||²,    decay = alpha / (weight of a minibatch)

    Both sides are proportional to the number of weights that the rows determine. During the trial,
    the decay moves towards gap / ||W||² of the present network.

    Which rows are held out depends on their content and on `random_state`, not on their order.
    Rows with equal X and y stay together.

    Parameters
    ----------
    config : Config
    rows : Rows
    start : callable
        Returns the untrained network. Each call returns another copy.
    backend : ArrayBackend

    Returns
    -------
    float
        `LEAST_ALPHA` if no row can be held out, or if a trial diverges.

    Raises
    ------
    KeyboardInterrupt
        If the user interrupts a trial.
    """
    untrained = start()
    unit = untrained.targets.loss_unit(rows.y) / PER_LAYER ** max(len(config.hidden) - 1, 0)
    decay = first = FIRST_DECAY * unit
    gaps: list[float] = []
    for part, held_out in _parts(rows, untrained):
        trial = _Trial(config, part, held_out, start(), backend, MOST_DECAY * unit)
        try:
            for _ in range(trial.n_checks):
                decay = trial.improved(decay, gaps)
        except DivergenceError:
            return LEAST_ALPHA  # the fit itself will tell
        if trial.learned_nothing:
            decay = first
        gaps.append(trial.gap)
    if not gaps:
        return LEAST_ALPHA
    # The gap is inversely proportional to the number of samples.
    decay *= 1 - HELD_OUT
    alpha = max(decay * _batch_weight(config, rows), LEAST_ALPHA)
    alpha = float(f"{alpha:.2g}")  # rounded: the same on every backend
    if config.verbose:
        print(
            f"alpha='auto': in a trial of {trial.n_epochs} epochs, the gap between the losses of "
            f"held-out and of trained samples was {np.mean(gaps):.2g}. alpha_={alpha:g}",
            flush=True,
        )
    return alpha


class _Trial:
    """A network that learns a part of the rows, and is judged on the others.

    Attributes
    ----------
    learned_nothing : bool
        Whether the last training loss is that of a constant prediction.
    """

    learned_nothing: bool

    def __init__(
        self,
        config: Config,
        part: Rows,
        held_out: Rows,
        start: Fitted,
        backend: ArrayBackend,
        most: float,
    ) -> None:
        self._most = most
        self.n_epochs = _epochs(config, part.n_samples)
        self._between = math.ceil(self.n_epochs / N_CHECKS)
        self.n_checks = self.n_epochs // self._between
        factor = RATE_FACTOR if config.optimizer_type.normalises else 1
        rates = config.layer_rates(start.arrays.layout.wiring.n_layers)
        self._config = replace(
            config,
            learning_rate_init=tuple(factor * rate for rate in rates),
            max_iter=self.n_epochs,
            n_iter_no_change=None,
            early_stopping=False,
            restore_best_weights=False,
            average_weights=False,
            verbose=False,
        )
        self._part, self._start, self._backend = part, start, backend
        judged = self._config
        if config.relax_tol == "auto":
            judged = replace(judged, relax_tol=TOLERANCE)
        self._losses_of = losses_on(judged, start.targets, held_out, start.state.input_scales)
        self._held_out_weight = held_out.weight
        self._hardness = _hardness(start.targets, held_out)
        hardness = _hardness(start.targets, part)
        self._trained_hardness = float(np.average(hardness, weights=part.weight))
        self._batch_weight = _batch_weight(config, part)
        self._gaps: list[float] = []

    def improved(self, decay: float, earlier: list[float]) -> float:
        """Train for some epochs, and return a better decay. `earlier` are gaps of other trials."""
        config = replace(self._config, alpha=decay * self._batch_weight)
        check = _Check(self._losses_of, self._between)
        outcome = train(
            config, self._part, self._start, self._backend, incremental=False, observer=check
        ).outcome
        if isinstance(outcome, DivergenceError):
            raise outcome
        if outcome.ended_by is EndedBy.INTERRUPT:
            raise KeyboardInterrupt
        loss = outcome.curve[-1] - outcome.penalty
        constant = self._start.state.constant_loss
        self.learned_nothing = loss > (1 - LITTLE) * constant > 0
        gap, error = self._gap(check.losses, loss)
        self._gaps.append(gap)
        error /= math.sqrt(len(earlier) + 1)
        # A gap that is smaller than its standard error may be chance.
        gap = max(float(np.mean([*earlier, gap])), error)
        wanted = gap / check.squares if check.squares > 0 else self._most
        wanted = min(max(wanted, LEAST_ALPHA / self._batch_weight), self._most)
        return decay ** (1 - STEP) * wanted**STEP

    @property
    def gap(self) -> float:
        """Mean loss of the held-out rows minus that of the others, at the last checks."""
        return float(np.mean(self._gaps[-N_AVERAGED:]))

    def _gap(self, losses: np.ndarray, training_loss: float) -> tuple[float, float]:
        """Return the gap and its standard error.

        Some of the difference is chance: the held-out rows may be harder. The loss of the
        prediction 0 tells how hard a row is, and is taken into account like a control variate.
        """
        weight = self._held_out_weight
        hardness = self._hardness - np.average(self._hardness, weights=weight)
        spread = np.average(hardness**2, weights=weight)
        share = 0.0
        if spread > 0:
            share = min(
                max(float(np.average(losses * hardness, weights=weight) / spread), 0.0), 1.0
            )
        harder = float(np.average(self._hardness, weights=weight)) - self._trained_hardness
        mean = float(np.average(losses, weights=weight))
        rest = losses - mean - share * hardness
        n_held_out = rest.size if weight is None else weight.sum()
        error = math.sqrt(np.average(rest**2, weights=weight) / n_held_out)
        gap = mean - training_loss - share * harder
        if not math.isfinite(gap):
            msg = "the loss of held-out rows is not finite"
            raise DivergenceError(msg)
        return gap, error


def _hardness(targets: Targets, rows: Rows) -> np.ndarray:
    """Return the loss of the prediction 0 for each row."""
    target = targets.encode(rows.y, np.float64)
    return targets.loss.value(np, np.zeros_like(target), target)


def _batch_weight(config: Config, rows: Rows) -> float:
    """Return the mean weight of a minibatch, which the penalty is divided by."""
    weight = rows.n_samples if rows.weight is None else float(rows.weight.sum())
    return weight / math.ceil(rows.n_samples / config.most_samples)


def _epochs(config: Config, n_samples: int) -> int:
    """Return the number of epochs of the trial."""
    fewest, most = TRIAL_EPOCHS
    n_epochs = math.ceil(TRIAL_UPDATES / math.ceil(n_samples / config.most_samples))
    return min(max(n_epochs, fewest), most, math.ceil(TRIAL_SHARE * config.max_iter))


def _parts(rows: Rows, start: Fitted) -> Iterator[tuple[Rows, Rows]]:
    """Yield rows to train on, in an order that follows from their content, and other rows.

    Yields nothing if too few rows differ.
    """
    targets = start.targets
    labels = targets.stratify(rows.y)
    # Ranks do not change with the unit of the targets.
    columns = targets.codes(rows.y).reshape(rows.n_samples, -1).T
    ranks = [np.unique(column, return_inverse=True)[1] for column in columns]
    hashes = rows.hashes(np.column_stack(ranks), start.state.split_seed)
    different, first, which = np.unique(hashes, return_index=True, return_inverse=True)
    order = np.argsort(which, kind="stable")
    kinds: list[Any] = [np.arange(different.size)]
    if labels is not None:
        of_label = np.unique(labels, return_inverse=True)[1][first]
        kinds = [np.flatnonzero(of_label == k) for k in range(of_label.max() + 1)]
    sizes = [int(HELD_OUT * kind.size) for kind in kinds]
    if sum(sizes) < 2:
        return
    for k in range(3 if different.size < FEW_ROWS else 1):
        is_held_out = np.zeros(different.size, dtype=bool)
        for kind, size in zip(kinds, sizes, strict=True):
            is_held_out[kind[k * size : (k + 1) * size]] = True
        held = is_held_out[which[order]]
        yield rows.part(order[~held]), rows.part(order[held])
