"""The largest number of each row, against Python's own."""

import numpy as np
import pytest

from sklearn_eqprop._backend.host import FEWEST_ROWS, NARROW, WIDE, row_max


@pytest.mark.parametrize("n_columns", [1, 2, NARROW, NARROW + 1, WIDE - 1, WIDE, WIDE + 37])
@pytest.mark.parametrize("n_rows", [0, 1, FEWEST_ROWS - 1, FEWEST_ROWS])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_of_every_width(n_columns, n_rows, order, dtype):
    numbers = np.random.RandomState(0).standard_normal((n_rows, n_columns)).astype(dtype)
    numbers[::3] -= 10  # also where all are negative
    array = np.asarray(numbers, order=order)
    found = row_max(np, array)
    assert found.dtype == dtype
    assert found.tolist() == [max(row) for row in numbers.tolist()]
    assert np.array_equal(array, numbers)


@pytest.mark.parametrize("n_columns", [1, NARROW, NARROW + 1, WIDE])
@pytest.mark.parametrize("column", [0, -1])
def test_what_is_not_finite_shows(n_columns, column):
    array = np.zeros((FEWEST_ROWS, n_columns))
    array[1, column], array[2, column] = np.nan, np.inf
    if n_columns > 1:
        array[3] = -np.inf
    found = row_max(np, array)
    assert np.isnan(found[1])
    assert found[2] == np.inf
    assert found[3] == (0 if n_columns == 1 else -np.inf)
    assert found[0] == 0
