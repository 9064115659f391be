"""The health report: everything that can quietly go wrong, in one list."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sklearn_eqprop.diagnostics._health_checks import CHECKS
from sklearn_eqprop.diagnostics._health_evidence import gather
from sklearn_eqprop.diagnostics._readable import Readable
from sklearn_eqprop.diagnostics._subject import subject_of
from sklearn_eqprop.diagnostics._verdicts import VERDICTS, HealthCheck


@dataclass(frozen=True, repr=False)
class HealthReport(Readable):
    """What `health_report` found.

    Attributes
    ----------
    checks : list of HealthCheck
        Settling, saturation, dead units, feedback gain, alignment, nudge signal, loop gain.
    verdict : {'good', 'watch', 'bad'}
        The worst of theirs.
    n_samples : int
        Samples looked at.
    """

    checks: list[HealthCheck]
    verdict: str
    n_samples: int

    def __getitem__(self, name: str) -> HealthCheck:
        """The check of that name.

        Raises
        ------
        KeyError
            If there is none.
        """
        found = {check.name: check for check in self.checks}
        if name not in found:
            msg = f"no check is named {name!r}; there are {', '.join(found)}"
            raise KeyError(msg)
        return found[name]

    def __str__(self) -> str:
        """See `Readable`."""
        lines = [f"Health over {self.n_samples} samples: {self.verdict}"]
        return "\n".join([*lines, *(str(check) for check in self.checks)])


def health_report(estimator: Any, X: Any, y: Any) -> HealthReport:
    """Look a trained network over, and say of each finding whether it is good and what to do.

    =============  ====================================================  ===============
    check          value                                                 watch, bad from
    =============  ====================================================  ===============
    settling       fraction of unsettled samples or phases               above 0, 0.05
    saturation     largest fraction of flat units in a hidden layer      0.5, 0.9 [#]_
    dead units     largest fraction of units flat in every sample        0.1, 0.5
    feedback gain  smallest part Π γ of a nudge that reaches a layer     1e-6, 1e-12
    alignment      lowest cosine of the update with -dJ/dθ               0.7, 0
    nudge signal   smallest β rms(ds/dβ) / (rounding · rms(s))           100, 1 [#]_
    loop gain      largest gain of a round trip through two layers       0.8, 1
    =============  ====================================================  ===============

    .. [#] With 'relu', whose silent units are no accident, 0.9 and 0.99.
    .. [#] With ``relax_tol='auto'``, which settles displacements and loses nothing to the rounding
       of states, watch from 1 and never bad.

    A sample that runs away, or is too large for the estimator's dtype, makes settling bad; where
    one runs away, what takes equilibria to look at then says so.

    Parameters
    ----------
    estimator : EqPropClassifier or EqPropRegressor
        Fitted. It is not changed.
    X : array-like or sparse matrix of shape (n_samples, n_features)
        Inputs, as the estimator's fit sees them; a few hundred rows tell enough.
        Sparse X is made dense, some rows at a time, and gives what dense X gives.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Targets.

    Returns
    -------
    HealthReport
        A check each, with value, verdict, finding and remedy; print it.

    Raises
    ------
    TypeError, NotFittedError, ValueError
        As `gradient_alignment`.
    DivergenceError
        If a weight is not finite, or states are too large to be squared.
    """
    subject = subject_of("health_report", estimator, X, y, needs_y=True)
    evidence = gather(subject)
    checks = [check(evidence) for check in CHECKS]
    worst = max(VERDICTS.index(check.verdict) for check in checks)
    return HealthReport(checks, VERDICTS[worst], evidence.n_samples)
