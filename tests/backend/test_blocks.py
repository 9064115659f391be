"""Iterators over rows: every row once, in its place, and no block too large."""

import numpy as np
import pytest

from sklearn_eqprop._backend import batches, blocks


@pytest.mark.parametrize("n_rows", [0, 1, 10, 11])
@pytest.mark.parametrize("size", [1, 5, 10, 20])
def test_batches_hold_every_row_once(n_rows, size):
    rows, order = np.arange(n_rows), np.random.RandomState(0).permutation(n_rows)
    in_place = [rows[each] for each in batches(n_rows, size)]
    sizes = [part.size for part in in_place]
    assert len(sizes) == np.ceil(n_rows / size)
    assert max(sizes, default=0) <= size
    assert max(sizes, default=0) - min(sizes, default=0) <= 1
    assert np.concatenate([rows[:0], *in_place]).tolist() == rows.tolist()
    shuffled = list(batches(n_rows, size, order))
    assert np.concatenate([rows[:0], *shuffled]).tolist() == order.tolist()


@pytest.mark.parametrize(("row_numbers", "expected"), [(0, 84), (1, 84), (30, 3), (1000, 1)])
def test_blocks_hold_at_most_so_many_numbers(row_numbers, expected):
    sizes = [rows.stop - rows.start for rows in blocks(250, row_numbers, 100)]
    assert max(sizes) == expected
    assert sum(sizes) == 250
