"""The script that measures the house counts correctly, and the page on the design is up to date."""

import importlib.util
import inspect
import re
from functools import reduce
from pathlib import Path

import pytest
from sklearn.datasets import load_digits

import sklearn_eqprop
from sklearn_eqprop import Conv2D, EqPropClassifier
from sklearn_eqprop._network.structure import layered_wiring
from sklearn_eqprop._training.updates import apply_updates

PACKAGE = Path(sklearn_eqprop.__file__).parent
SCRIPT = Path(__file__).parents[1] / ".ci" / "check_house.py"
PAGE = Path(__file__).parents[1] / "docs" / "design.md"
needs_page = pytest.mark.skipif(not PAGE.exists(), reason="the page is in a checkout only")


def places(text):
    """Files and functions in text, which are written as `folder/file.py:function`."""
    return [(f"{file}.py", name) for file, name in re.findall(r"`(\S+)\.py:([\w.]+)`", text)]


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
    names = {Path(file).name for file in house.files_entered(lambda: Conv2D(3, 3))}
    assert names == {"conv2d.py"}

    def both():
        layered_wiring(2)
        Conv2D(3, 3)

    files = house.files_entered(both, until=layered_wiring)
    assert {Path(file).name for file in files} == {"structure.py"}
    with pytest.raises(RuntimeError, match="layered_wiring"):
        house.files_entered(lambda: Conv2D(3, 3), until=layered_wiring)


@needs_page
def test_the_page_names_functions_that_exist():
    found = set(places(PAGE.read_text()))
    assert len(found) > 50
    for file, name in found:
        module = importlib.import_module(f"sklearn_eqprop.{file[:-3].replace('/', '.')}")
        function = inspect.unwrap(reduce(getattr, name.split("."), module))
        assert inspect.getsourcefile(function) == str(PACKAGE / file), name


@needs_page
@pytest.mark.filterwarnings("ignore:Training reached max_iter")
def test_the_page_names_every_file_on_the_way_to_the_first_update(house):
    X, y = load_digits(return_X_y=True)
    model = EqPropClassifier(max_iter=1, backend="numpy", random_state=0)
    entered = house.files_entered(lambda: model.fit(X / 16, y), until=apply_updates)
    way = PAGE.read_text().split("\n## From `fit`")[1].split("\nAfter the last epoch")[0]
    named = {file for file, _ in places(way)}
    assert named == {str(Path(file).relative_to(PACKAGE)) for file in entered}
