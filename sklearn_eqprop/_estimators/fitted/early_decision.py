"""Whether predictions may settle only as far as decisions need."""

from __future__ import annotations

from typing import Any


def may_decide_early(parameters: dict[str, Any]) -> bool:
    """Whether the equilibrium decides, and the user has chosen no tolerance."""
    return parameters["relax_tol"] == "auto" and parameters["objective"] == "fixed_point"
