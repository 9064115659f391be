"""How training went: the loss, and how far and how fast the network settled."""

from __future__ import annotations

from typing import Any

import numpy as np

from sklearn_eqprop.diagnostics._displays.base import Display
from sklearn_eqprop.diagnostics._subject import check_is_ours

#: Fraction of unsettled samples from which an epoch is marked; `fit` warns from there on.
_UNSETTLED = 0.01


class LossCurveDisplay(Display):
    """The training loss over the epochs and, with early stopping, the validation score.

    Parameters
    ----------
    loss_curve : sequence of float
        Loss of every epoch.
    validation_scores : sequence of float or None, default=None
        Score of every epoch.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        Where it was drawn; set by `plot`.
    score_ax_ : matplotlib Axes or None
        Axes of the score, on the right.
    """

    def __init__(self, loss_curve: Any, validation_scores: Any = None) -> None:
        self.loss_curve = list(loss_curve)
        self.validation_scores = validation_scores

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Any = None) -> LossCurveDisplay:
        """Draw the curve of a fitted estimator.

        Parameters
        ----------
        estimator : EqPropClassifier or EqPropRegressor
        ax : matplotlib Axes, default=None
            None: a figure of its own.

        Returns
        -------
        LossCurveDisplay
        """
        check_is_ours(cls.__name__, estimator)
        return cls(estimator.loss_curve_, estimator.validation_scores_).plot(ax)

    def plot(self, ax: Any = None) -> LossCurveDisplay:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None: a figure of its own.

        Returns
        -------
        LossCurveDisplay
            Itself.
        """
        ax = self._axes(ax)
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
        return self


class RelaxationCurveDisplay(Display):
    """Mean sweeps of the two phases over the epochs; epochs that did not settle are marked.

    Parameters
    ----------
    relaxation : dict of str to list of float
        As in the attribute `relaxation_`.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        Where it was drawn; set by `plot`.
    """

    def __init__(self, relaxation: Any) -> None:
        self.relaxation = relaxation

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Any = None) -> RelaxationCurveDisplay:
        """Draw the curves of a fitted estimator.

        Parameters
        ----------
        estimator : EqPropClassifier or EqPropRegressor
        ax : matplotlib Axes, default=None
            None: a figure of its own.

        Returns
        -------
        RelaxationCurveDisplay
        """
        check_is_ours(cls.__name__, estimator)
        return cls(estimator.relaxation_).plot(ax)

    def plot(self, ax: Any = None) -> RelaxationCurveDisplay:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None: a figure of its own.

        Returns
        -------
        RelaxationCurveDisplay
            Itself.
        """
        ax = self._axes(ax)
        for phase, colour in (("free", "tab:blue"), ("nudged", "tab:orange")):
            steps = np.array(self.relaxation[f"{phase}_steps"])
            epochs = np.arange(1, steps.size + 1)
            ax.plot(epochs, steps, color=colour, label=f"{phase} phase")
            unsettled = np.array(self.relaxation[f"{phase}_unconverged"]) > _UNSETTLED
            if unsettled.any():
                label = f"more than {_UNSETTLED:.0%} unsettled"
                ax.plot(epochs[unsettled], steps[unsettled], "x", color=colour, label=label)
        ax.set(xlabel="epoch", ylabel="mean sweeps or steps a sample")
        ax.set_ylim(bottom=0)
        ax.legend()
        return self
