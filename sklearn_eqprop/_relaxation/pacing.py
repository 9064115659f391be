"""How often the host looks whether the samples on a device have settled."""

from __future__ import annotations

#: Sweeps between two looks at whether all samples have settled. A look costs a device less than the
#: sweeps it does in vain when nobody looks.
LOOK_EVERY = 3


class Pacing:
    """When to look whether a phase is over: where the last one like it ended, then now and then.

    What is swept beyond the end has no effect, so this decides on time, never on results.
    """

    def __init__(self) -> None:
        self._first = LOOK_EVERY

    def is_due(self, n_steps: int) -> bool:
        """Whether to look after that many steps."""
        return n_steps >= self._first and (n_steps - self._first) % LOOK_EVERY == 0

    def ended(self, n_steps: int) -> None:
        """Note how many steps a phase has needed."""
        self._first = max(n_steps, 1)
