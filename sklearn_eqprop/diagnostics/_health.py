"""The health report: checks of everything that can go wrong without an error."""

from dataclasses import dataclass
from typing import Any

from sklearn_eqprop._backend import ignoring_float_errors
from sklearn_eqprop.diagnostics._health_checks import CHECKS, VERDICTS, HealthCheck
from sklearn_eqprop.diagnostics._health_evidence import gather
from sklearn_eqprop.diagnostics._results import Readable
from sklearn_eqprop.diagnostics._subject import subject_of


@dataclass(frozen=True, repr=False)
class HealthReport(Readable):
    """Result of `health_report`.

    Attributes
    ----------
    checks : list of HealthCheck
        Settling, saturation, dead units, feedback gain, alignment, nudge signal, loop gain.
    verdict : {'good', 'watch', 'bad'}
        The worst verdict of the checks.
    n_samples : int
        Number of samples.
    """

    checks: list[HealthCheck]
    verdict: str
    n_samples: int

    def __getitem__(self, name: str) -> HealthCheck:
        """Return the check with this name.

        Raises
        ------
        KeyError
            If no check has this name.
        """
        found = {check.name: check for check in self.checks}
        if name not in found:
            msg = f"No check is named {name!r}. The checks are {', '.join(found)}."
            raise KeyError(msg)
        return found[name]

    def __str__(self) -> str:
        """Return every check with its verdict, finding and remedy."""
        lines = [f"Health over {self.n_samples} samples: {self.verdict}"]
        return "\n".join([*lines, *(str(check) for check in self.checks)])


@ignoring_float_errors
def health_report(estimator: Any, X: Any, y: Any) -> HealthReport:
    """Check a trained network, with a verdict and a remedy for each finding.

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

    A unit is flat if it is at a bound of its range or in the tail of a smooth activation.

    .. [#] With 'relu', 0.9 and 0.99, because silent units are normal.
    .. [#] With ``relax_tol='auto'``, watch from 1 and never bad. Phases then settle displacements,
       which lose nothing to the rounding of states.

    If a sample diverges, or is not finite in the estimator's dtype, settling is bad. If a sample
    diverges, the checks that need an equilibrium are not measured, and say so.

    Parameters
    ----------
    estimator : EqPropClassifier or EqPropRegressor
        Fitted. It is not changed.
    X : array-like or sparse matrix of shape (n_samples, n_features)
        Inputs, as the estimator's `fit` sees them. A few hundred rows are enough. Sparse X is made
        dense a few rows at a time, and gives the same result as dense X.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Targets.

    Returns
    -------
    HealthReport
        One check per line of the table, with value, verdict, finding and remedy. Print it.

    Raises
    ------
    TypeError, NotFittedError, ValueError
        As `gradient_alignment`.
    DivergenceError
        If a weight is not finite, or if states are too large to be squared.
    """
    subject = subject_of("health_report", estimator, X, y, needs_y=True)
    evidence = gather(subject)
    checks = [check(evidence) for check in CHECKS]
    worst = max(VERDICTS.index(check.verdict) for check in checks)
    return HealthReport(checks, VERDICTS[worst], subject.n_samples)
