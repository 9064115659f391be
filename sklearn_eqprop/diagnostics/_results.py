"""How results print, and how blocks of parameters are named in them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sklearn_eqprop._network import Network, Pair, Wiring

#: Letter of a block in the equations, by its role.
_LETTERS = {"forward": "F", "feedback": "B", "bias": "b"}


class Readable:
    """Base class of results: `repr` returns the same text as `str`."""

    def __repr__(self) -> str:
        """Return the result as text."""
        return str(self)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Text in columns. The first column is aligned left, the others are aligned right."""
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
    """A number as text. None and NaN become a dash."""
    return "-" if value is None or value != value else format(value, pattern)


class Block(NamedTuple):
    """Name and place of one block of parameters, as `BlockAlignment` describes them."""

    name: str
    role: str
    source: int | None
    layer: int


def blocks_of(network: Network) -> list[Block]:
    """Every block of a network, in the order of `Network.parameters`, without identities."""
    wiring = network.wiring
    pairs = {"forward": wiring.forward, "feedback": () if network.tied else wiring.feedback}
    weights = [
        Block(weights_name(wiring, role, pair), role, *pair)
        for role, joined in pairs.items()
        for pair in joined
        if pair not in wiring.identities
    ]
    layers = range(1, network.n_layers + 1)
    return weights + [Block(f"{_LETTERS['bias']}_{layer}", "bias", None, layer) for layer in layers]


def weights_name(wiring: Wiring, role: str, pair: Pair) -> str:
    """Name of the weights of one connection: ``F_1``, or ``F_0→1``.

    If only neighbouring layers are connected, the driven layer is enough, as in the equations.
    Otherwise several connections of one role can drive the same layer.
    """
    source, target = pair
    only_neighbours = all(abs(s - t) == 1 for s, t in wiring.pairs)
    return f"{_LETTERS[role]}_{target if only_neighbours else f'{source}→{target}'}"


#: Verdicts of a health check, from best to worst.
VERDICTS = ("good", "watch", "bad")


@dataclass(frozen=True, repr=False)
class HealthCheck(Readable):
    """One check of `health_report`.

    Attributes
    ----------
    name : str
        For example 'loop gain'.
    value : float
        The number that the verdict depends on. NaN if it could not be measured.
    verdict : {'good', 'watch', 'bad'}
    finding : str
        The number in words.
    remedy : str
        What to do about it. Empty if there is nothing to do.
    """

    name: str
    value: float
    verdict: str
    finding: str
    remedy: str

    def __str__(self) -> str:
        """Return verdict, name and finding in one line, and the remedy in the next."""
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
    """A check with the verdict that the limits give. If it is good, the remedy is left out.

    The value is beyond a limit if it is above it or, if `high_is_good`, below it.
    """
    sign = -1 if high_is_good else 1
    level = sum(sign * value > sign * limit for limit in limits)
    return HealthCheck(name, float(value), VERDICTS[level], finding, remedy if level else "")
