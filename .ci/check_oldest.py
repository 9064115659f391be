"""Check that the oldest versions are the ones installed and the ones pyproject.toml promises."""

import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

HERE = Path(__file__).resolve().parent


def read_pins():
    """Return {package: version} of oldest-requirements.txt."""
    lines = (HERE / "oldest-requirements.txt").read_text(encoding="utf-8").splitlines()
    pins = {}
    for line in lines:
        if text := line.partition("#")[0].strip():
            requirement = Requirement(text)
            (specifier,) = requirement.specifier
            pins[requirement.name] = Version(specifier.version)
    return pins


def read_floors():
    """Return {package: lower bound} of the core dependencies in pyproject.toml."""
    project = tomllib.loads((HERE.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    floors = {}
    for text in project["dependencies"]:
        requirement = Requirement(text)
        (bound,) = [s.version for s in requirement.specifier if s.operator == ">="]
        floors[requirement.name] = Version(bound)
    return floors


def main():
    pins = read_pins()
    problems = [
        f"{name}: installed {version(name)}, pinned {pin}"
        for name, pin in pins.items()
        if Version(version(name)) != pin
    ]
    problems += [
        f"{name}: pyproject.toml promises >= {floor}, the pin tested is {pins.get(name)}"
        for name, floor in read_floors().items()
        if pins.get(name) != floor
    ]
    print(", ".join(f"{name} {pin}" for name, pin in pins.items()))
    return "\n".join(problems) or 0


if __name__ == "__main__":
    sys.exit(main())
