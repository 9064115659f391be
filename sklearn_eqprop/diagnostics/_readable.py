"""Results that print as something a person can read."""

from __future__ import annotations

from collections.abc import Sequence


class Readable:
    """A result whose repr is its str: what was found, as text."""

    def __repr__(self) -> str:
        """What was found, as text."""
        return str(self)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns of text, the first flush left and the others flush right."""
    lines = [header, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]

    def padded(line: Sequence[str]) -> str:
        first, *others = (
            word.ljust(width) if column == 0 else word.rjust(width)
            for column, (word, width) in enumerate(zip(line, widths, strict=True))
        )
        return "  ".join([first, *others]).rstrip()

    return "\n".join(padded(line) for line in lines)


def number(value: float | None, pattern: str = "+.4f") -> str:
    """A number in a table, a dash where there is none."""
    return "-" if value is None or value != value else format(value, pattern)
