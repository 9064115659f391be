"""Pictures of training: the loss, and how the phases settled."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from sklearn_eqprop.diagnostics._displays.base import Display
from sklearn_eqprop.diagnostics._subject import check_estimator

#: An epoch is marked if more than this fraction of its samples did not settle. `fit` warns then.
_UNSETTLED = 0.01


class _TrainingDisplay(Display):
    """A picture of attributes of a fitted estimator."""

    #: The attributes, in the order of the fields.
    _attributes: ClassVar[tuple[str, ...]]

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Any = None) -> Self:
        """Draw the curves of a fitted estimator.

        Parameters
        ----------
        estimator : EqPropClassifier or EqPropRegressor
        ax : matplotlib Axes, default=None
            Axes to draw in. None: a new figure.

        Returns
        -------
        Display
        """
        check_estimator(cls.__name__, estimator)
        return cls(*(getattr(estimator, name) for name in cls._attributes)).plot(ax)


@dataclass(eq=False)
class LossCurveDisplay(_TrainingDisplay):
    """The training loss per epoch and, with early stopping, the validation score.

    Parameters
    ----------
    loss_curve : sequence of float
        Loss per epoch.
    validation_scores : sequence of float or None, default=None
        Score per epoch.

    Attributes
    ----------
    score_ax_ : matplotlib Axes or None
        Axes of the score, on the right. None without scores.
    """

    loss_curve: Sequence[float]
    validation_scores: Sequence[float] | None = None

    _attributes = ("loss_curve_", "validation_scores_")

    def _draw(self, ax: Any) -> None:
        epochs = np.arange(1, len(self.loss_curve) + 1)
        (line,) = ax.plot(epochs, self.loss_curve, color="tab:blue", label="training loss")
        ax.set(xlabel="epoch", ylabel="training loss")
        if min(self.loss_curve, default=0) > 0:
            ax.set_yscale("log")
        self.score_ax_ = None
        if self.validation_scores:
            self.score_ax_ = ax.twinx()
            epochs = np.arange(1, len(self.validation_scores) + 1)
            (score,) = self.score_ax_.plot(
                epochs, self.validation_scores, color="tab:orange", label="validation score"
            )
            best = int(np.argmax(self.validation_scores))
            self.score_ax_.plot(epochs[best], self.validation_scores[best], "o", color="tab:orange")
            self.score_ax_.set_ylabel("validation score (best marked)")
            ax.legend(handles=[line, score], loc="center right")


@dataclass(eq=False)
class RelaxationCurveDisplay(_TrainingDisplay):
    """Mean sweeps of the two phases per epoch. Epochs that did not settle are marked.

    Parameters
    ----------
    relaxation : dict of str to list of float
        As in the attribute `relaxation_`.
    """

    relaxation: dict[str, list[float]]

    _attributes = ("relaxation_",)

    def _draw(self, ax: Any) -> None:
        for phase, colour in (("free", "tab:blue"), ("nudged", "tab:orange")):
            steps = np.array(self.relaxation[f"{phase}_steps"])
            epochs = np.arange(1, steps.size + 1)
            ax.plot(epochs, steps, color=colour, label=f"{phase} phase")
            unsettled = np.array(self.relaxation[f"{phase}_unconverged"]) > _UNSETTLED
            if unsettled.any():
                label = f"more than {_UNSETTLED:.0%} unsettled"
                ax.plot(epochs[unsettled], steps[unsettled], "x", color=colour, label=label)
        ax.set(xlabel="epoch", ylabel="mean sweeps or steps per sample")
        ax.set_ylim(bottom=0)
        ax.legend()
