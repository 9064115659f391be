"""Findings of the health report and their verdicts."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sklearn_eqprop.diagnostics._readable import Readable

#: Verdicts, from best to worst.
VERDICTS = ("good", "watch", "bad")


@dataclass(frozen=True, repr=False)
class HealthCheck(Readable):
    """One finding of `health_report`.

    Attributes
    ----------
    name : str
        What was looked at.
    value : float
        The number judged.
    verdict : {'good', 'watch', 'bad'}
    finding : str
        The number in words.
    remedy : str
        What to do about it; '' where there is nothing to do.
    """

    name: str
    value: float
    verdict: str
    finding: str
    remedy: str

    def __str__(self) -> str:
        """See `Readable`."""
        remedy = f"\n{'':24}-> {self.remedy}" if self.remedy else ""
        return f"{self.verdict:6} {self.name:17}{self.finding}{remedy}"


def judged(
    name: str,
    value: float,
    limits: tuple[float, float],
    finding: str,
    remedy: str,
    *,
    high_is_good: bool = False,
) -> HealthCheck:
    """A finding whose verdict turns to "watch" at the first limit and to "bad" at the second.

    Parameters
    ----------
    name : str
    value : float
    limits : (float, float)
    finding : str
    remedy : str
        Left out where the verdict is good.
    high_is_good : bool, default=False
        Whether low values are the troubling ones.

    Returns
    -------
    HealthCheck
    """
    sign = -1 if high_is_good else 1
    level = sum(sign * value > sign * limit for limit in limits)
    return HealthCheck(name, float(value), VERDICTS[level], finding, remedy if level else "")


def not_looked_at(name: str) -> HealthCheck:
    """The finding of a check that needs equilibria where samples run away."""
    return HealthCheck(
        name,
        math.nan,
        "watch",
        "could not be looked at: samples run away, and there is no equilibrium to look at",
        "see to settling first",
    )


def no_signals(name: str) -> HealthCheck:
    """The finding of a check that needs error signals where there are none."""
    return HealthCheck(
        name,
        math.nan,
        "bad",
        "error signals do not settle at the states reached: they grow without end",
        "see to the loop gain and to settling first",
    )
