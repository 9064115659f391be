"""The file from which an interrupted fit continues: its state after the last whole epoch."""

import hashlib
import os
import pickle
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from sklearn_eqprop._backend.array_backend import Array, ArrayBackend
from sklearn_eqprop._estimators.data.rows import Rows
from sklearn_eqprop._estimators.fitted.arrays import FittedArrays
from sklearn_eqprop._estimators.fitting.loop import Progress, remember
from sklearn_eqprop._estimators.fitting.state import TrainingState
from sklearn_eqprop._estimators.parameters.config import Config
from sklearn_eqprop._estimators.targets import Targets
from sklearn_eqprop._losses import WrappedLoss
from sklearn_eqprop._training.averaging import WeightAverage
from sklearn_eqprop._training.trainer import Trainer
from sklearn_eqprop._warnings import warn_at_call
from sklearn_eqprop.exceptions import EqPropWarning

#: Parameters that do not change the result of a fit.
WITHOUT_EFFECT = {"checkpoint", "verbose", "transform_layers", "warm_start"}


class Checkpoint:
    """Reads and writes the file that the parameter `checkpoint` names.

    Parameters
    ----------
    config : Config
    rows : Rows
        All rows that were passed to ``fit``.
    held_out : Rows or None
        The user's validation set.
    targets : Targets
    arrays : FittedArrays
        The weights that the fit starts from.
    state : TrainingState
        The memory that it starts with.

    Attributes
    ----------
    state : TrainingState
        The state to continue from: that of the file, if there is a file.
    progress : Progress
    alpha : float or 'auto'
        `alpha_` of the fit if there is a file, otherwise the parameter.

    Raises
    ------
    ValueError
        If the folder does not exist, if the file is not a checkpoint, or if it is from another fit.
    """

    def __init__(
        self,
        config: Config,
        rows: Rows,
        held_out: Rows | None,
        targets: Targets,
        arrays: FittedArrays,
        state: TrainingState,
    ) -> None:
        self._path = Path(config.checkpoint)
        self._named = f"checkpoint={os.fspath(config.checkpoint)!r}"
        self._facts = _facts(config, rows, held_out, targets, arrays, state.n_epochs)
        self.state, self.progress = state, Progress()
        self.alpha = config.alpha
        self._found: dict[str, Any] = {}
        if not self._path.parent.is_dir():
            msg = f"{self._named}: there is no folder {self._path.parent}. Make it first."
            raise ValueError(msg)
        if not self._path.exists():
            return
        self._found = self._read()
        self._refuse_other_fit()
        self.state, self.alpha = self._found["state"], self._found["alpha_"]
        self.progress = Progress(**self._found["progress"])
        if config.verbose:
            print(f"{self._named}: continuing after epoch {self.progress.n_done}.", flush=True)

    def _read(self) -> dict[str, Any]:
        try:
            with self._path.open("rb") as file:
                found: dict[str, Any] = pickle.load(file)
            found["facts"], found["state"]
        except Exception as error:  # unpickling may raise anything
            msg = (
                f"{self._named} is not a checkpoint of this version of sklearn-eqprop "
                f"({type(error).__name__}: {error}). Delete it, or name another file."
            )
            raise ValueError(msg) from error
        return found

    def _refuse_other_fit(self) -> None:
        then = self._found["facts"]
        differences = [
            name if name.startswith("the ") else f"{name} is {now} now, and was {then.get(name)}"
            for name, now in self._facts.items()
            if then.get(name) != now
        ]
        if differences:
            msg = (
                f"{self._named} belongs to another fit. It differs in: {'; '.join(differences)}. "
                "To continue that fit, pass the same parameters and rows in the same order. To "
                "start anew, delete the file or name another one."
            )
            raise ValueError(msg)

    def restore(self, arrays: FittedArrays) -> None:
        """Put the weights of the file, if there is one, into the arrays."""
        for array, stored in zip(arrays.all, self._found.get("arrays", arrays.all), strict=True):
            array[...] = stored

    def restore_memory(self, trainer: Trainer, arrays: list[Array]) -> None:
        """Restore what a trainer remembers within a fit, and the best weights of `arrays`."""
        if not self._found:
            return
        for habit, memory in zip(_habits(trainer), self._found["habits"], strict=True):
            habit |= memory
        if isinstance(trainer.loss, WrappedLoss):
            trainer.loss.shape = self._found["shape"]
        best, backend = self.progress.best_weights, trainer.network.backend
        if best is not None:  # strengths of tied feedback are on the host
            self.progress.best_weights = [
                stored if isinstance(array, np.ndarray) else backend.from_host(stored, stored.dtype)
                for stored, array in zip(best, arrays, strict=True)
            ]

    def write(
        self,
        trainer: Trainer,
        average: WeightAverage | None,
        state: TrainingState,
        progress: Progress,
        alpha: float,
    ) -> None:
        """Replace the file by one that holds the present state.

        The old file stays until the new one is complete. If the new one cannot be written, training
        continues with a warning.
        """
        backend, best = trainer.network.backend, progress.best_weights
        remember(trainer, state)
        latest = weights = _on_host(backend, trainer.network.arrays)
        if average is not None:
            weights = _on_host(backend, average.network.arrays)
            state.latest, state.n_averaged = latest, average.n_updates
        best = None if best is None else _on_host(backend, best)
        content = {
            "facts": self._facts,
            "state": state,
            "alpha_": alpha,
            "arrays": weights,
            "progress": {**vars(progress), "best_weights": best},
            "habits": _habits(trainer),
            "shape": getattr(trainer.loss, "shape", None),
        }
        partial = self._path.with_name(f"{self._path.name}.part")
        try:
            with partial.open("wb") as file:
                pickle.dump(content, file, protocol=pickle.HIGHEST_PROTOCOL)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(self._path)
        except OSError as error:
            warn_at_call(
                f"{self._named} could not be written: {error}. Training continues. If it is "
                "interrupted, the epochs since the last checkpoint are lost.",
                EqPropWarning,
            )


def _on_host(backend: ArrayBackend, arrays: list[Array]) -> list[np.ndarray]:
    return [backend.to_host(array) for array in arrays]


def _habits(trainer: Trainer) -> list[dict[str, Any]]:
    """Return what the substrate remembers from one phase to the next, see `Habit`."""
    return [vars(habit) for habit in getattr(trainer.substrate, "habits", ()) if habit is not None]


def _facts(
    config: Config,
    rows: Rows,
    held_out: Rows | None,
    targets: Targets,
    arrays: FittedArrays,
    n_epochs: int,
) -> dict[str, str]:
    """Return all that the result of a fit depends on, by name.

    Names of things that cannot be shown in a message begin with "the".
    """
    names = [field.name for field in fields(config) if field.name not in WITHOUT_EFFECT]
    facts = {name: _told(getattr(config, name)) for name in names}
    facts |= {"the kind of estimator": type(targets).__name__, "X.shape": repr(rows.X.shape)}
    facts["the type of the weights"] = str(arrays.dtype)
    facts["the kind of X (sparse or dense)"] = str(sparse.issparse(rows.X))
    facts["the rows, their targets, weights or order"] = _digest(rows, targets)
    facts["the validation set"] = "" if held_out is None else _digest(held_out, targets)
    # The first weights of a new network follow from random_state.
    start = [float(array.sum()) for array in arrays.all] if n_epochs else []
    facts["the earlier fit, from which warm_start=True continues (use a fresh clone)"] = (
        f"{n_epochs} {start}"
    )
    return facts


def _digest(rows: Rows, targets: Targets) -> str:
    """Return a number that depends on every bit of the rows and on their order."""
    weight = np.ones(rows.n_samples) if rows.weight is None else rows.weight
    hashes = rows.hashes(np.column_stack([targets.codes(rows.y), weight]))
    return hashlib.sha256(hashes.tobytes()).hexdigest()


def _told(value: Any) -> str:
    """Return a parameter as text that is the same in every process."""
    if isinstance(value, np.random.RandomState):
        return f"RandomState in the state {hashlib.sha256(pickle.dumps(value)).hexdigest()[:8]}"
    return re.sub(" at 0x[0-9a-fA-F]+", "", repr(value))
