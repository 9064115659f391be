"""Pictures of training: the loss, and how the phases settled."""

from typing import Any, Self

import numpy as np

from sklearn_eqprop.diagnostics._displays.base import Display
from sklearn_eqprop.diagnostics._subject import check_estimator

#: An epoch is marked if more than this fraction of its samples did not settle. `fit` warns then.
_UNSETTLED = 0.01


class LossCurveDisplay(Display):
    """The training loss per epoch and, with early stopping, the validation score.

    Parameters
    ----------
    loss_curve : sequence of float
        Loss per epoch.
    validation_scores : sequence of float or None, default=None
        Score per epoch.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        The axes of the picture, and their figure. Set by `plot`.
    score_ax_ : matplotlib Axes or None
        Axes of the score, on the right. None without scores.
    """

    def __init__(self, loss_curve: Any, validation_scores: Any = None) -> None:
        self.loss_curve = list(loss_curve)
        self.validation_scores = validation_scores

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Any = None) -> Self:
        """Draw the curve of a fitted estimator.

        Parameters
        ----------
        estimator : EqPropClassifier or EqPropRegressor
        ax : matplotlib Axes, default=None
            Axes to draw in. None: a new figure.

        Returns
        -------
        LossCurveDisplay
        """
        check_estimator(cls.__name__, estimator)
        return cls(estimator.loss_curve_, estimator.validation_scores_).plot(ax)

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


class RelaxationCurveDisplay(Display):
    """Mean sweeps of the two phases per epoch. Epochs that did not settle are marked.

    Parameters
    ----------
    relaxation : dict of str to list of float
        As in the attribute `relaxation_`.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        The axes of the picture, and their figure. Set by `plot`.
    """

    def __init__(self, relaxation: Any) -> None:
        self.relaxation = relaxation

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
        RelaxationCurveDisplay
        """
        check_estimator(cls.__name__, estimator)
        return cls(estimator.relaxation_).plot(ax)

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
