"""Print what a benchmark found, and write it to the file that ``--output`` names."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

from environment import describe_environment


def argument_parser(docstring: str) -> argparse.ArgumentParser:
    """Return a parser with ``--output``; the first line of the docstring is its description."""
    parser = argparse.ArgumentParser(description=docstring.splitlines()[0])
    parser.add_argument("--output", type=Path, help="file for the output, which is also printed")
    return parser


def publish(title: str, *parts: str, output: Path | None) -> None:
    """Print and write the title, the environment and the parts, with blank lines between them."""
    text = "\n\n".join([f"# {title}", describe_environment(), *parts]) + "\n"
    print(text)
    if output:
        output.write_text(text, encoding="utf-8")


def table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """Return a Markdown table."""
    head = list(head)
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)
