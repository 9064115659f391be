"""The script that measures the house counts what it says."""

import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / ".ci" / "check_house.py"


@pytest.fixture(scope="module")
def house():
    if not SCRIPT.exists():
        pytest.skip("the script is in a checkout of the repository only")
    spec = importlib.util.spec_from_file_location("check_house", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_strings_that_are_looked_up(house):
    counted = 'a["beta"]', 'getattr(a, "beta")', 'a.get("beta", 1)', 'vars(a).pop("beta")'
    others = 'a["beta"] = 1', 'a["gamma"]', 'f("beta")', 'getattr(a, "dtype")', "a.beta"
    assert house.strings_looked_up("\n".join(counted), {"beta", "dtype"}) == [1, 2, 3, 4]
    assert house.strings_looked_up("\n".join(others), {"beta", "dtype"}) == []


class Bottom:
    def _own(self):
        return self._own_too()

    def _own_too(self):
        return 1


class Top(Bottom):
    def _own(self):
        return super()._own()

    def public(self):
        return self._own() + self._own_too()


def test_private_calls_across_classes(house):
    found = house.private_calls_across(Top.__mro__, [Top, Bottom])
    assert sorted(found) == ["Top calls Bottom._own", "Top calls Bottom._own_too"]
    assert house.private_calls_across(Top.__mro__, [Top]) == []


def test_files_that_a_call_enters(house):
    from sklearn_eqprop import Conv2D
    from sklearn_eqprop._network.structure import layered_wiring

    names = {Path(file).name for file in house.files_entered(lambda: Conv2D(3, 3))}
    assert names == {"conv2d.py"}

    def both():
        layered_wiring(2)
        Conv2D(3, 3)

    files = house.files_entered(both, until=layered_wiring)
    assert {Path(file).name for file in files} == {"structure.py"}
    with pytest.raises(RuntimeError, match="layered_wiring"):
        house.files_entered(lambda: Conv2D(3, 3), until=layered_wiring)
