"""Ready augmentations of images, against loops over single pixels."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone

from sklearn_eqprop import EqPropClassifier
from sklearn_eqprop.augmentation import Compose, Cutout, RandomCrop, RandomHorizontalFlip

SHAPES = pytest.mark.parametrize("shape", [(5, 7), (6, 4, 3), (1, 1, 2)])
DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def images_of(shape, n=40, dtype=np.float64):
    rows = np.random.RandomState(0).uniform(1, 2, (n, int(np.prod(shape)))).astype(dtype)
    return rows, rows.reshape(n, *(*shape, 1)[:3])


def shifted(image, down, right, fill):
    """The pixel at (y, x) is that of the image at (y + down, x + right)."""
    height, width, _ = image.shape
    new = np.full_like(image, fill)
    for y in range(height):
        for x in range(width):
            if 0 <= y + down < height and 0 <= x + right < width:
                new[y, x] = image[y + down, x + right]
    return new


@SHAPES
@DTYPES
def test_crops_are_shifts_of_every_size(shape, dtype):
    rows, images = images_of(shape, 400, dtype)
    before = rows.copy()
    cropped = RandomCrop(2, fill=-1, input_shape=shape)(rows, np.random.RandomState(1))
    assert cropped.dtype == dtype
    assert_array_equal(rows, before)
    found = set()
    for image, new in zip(images, cropped.reshape(images.shape), strict=True):
        moves = {
            (down, right)
            for down in range(-2, 3)
            for right in range(-2, 3)
            if np.array_equal(shifted(image, down, right, -1), new)
        }
        assert moves
        found |= moves
    assert len(found) == 25


@SHAPES
@DTYPES
def test_flips_swap_left_and_right(shape, dtype):
    rows, images = images_of(shape, 2000, dtype)
    before = rows.copy()
    flipped = RandomHorizontalFlip(0.3, input_shape=shape)(rows, np.random.RandomState(1))
    assert flipped.dtype == dtype
    assert_array_equal(rows, before)
    n_flipped = 0
    for image, new in zip(images, flipped.reshape(images.shape), strict=True):
        mirrored = np.array([[line[-1 - x] for x in range(len(line))] for line in image])
        is_flipped = np.array_equal(new, mirrored)
        assert is_flipped or np.array_equal(new, image)
        n_flipped += is_flipped
    if shape[1] > 1:
        assert abs(n_flipped / 2000 - 0.3) < 4 * np.sqrt(0.3 * 0.7 / 2000)


@SHAPES
@DTYPES
@pytest.mark.parametrize("size", [1, 2, 3, 9])
def test_cutouts_are_squares_around_any_pixel(shape, dtype, size):
    rows, images = images_of(shape, 600, dtype)
    before = rows.copy()
    cut = Cutout(size, fill=-1, input_shape=shape)(rows, np.random.RandomState(1))
    assert cut.dtype == dtype
    assert_array_equal(rows, before)
    height, width, _ = images[0].shape
    half, found = size // 2, set()
    for image, new in zip(images, cut.reshape(images.shape), strict=True):
        centers = set()
        for center_y in range(height):
            for center_x in range(width):
                expected = image.copy()
                for y in range(height):
                    for x in range(width):
                        inside_y = center_y - half <= y < center_y - half + size
                        if inside_y and center_x - half <= x < center_x - half + size:
                            expected[y, x] = -1
                if np.array_equal(expected, new):
                    centers.add((center_y, center_x))
        assert centers
        found |= centers
    assert len(found) == height * width


def test_compose_goes_through_all_in_order():
    rows, _ = images_of((4, 4))
    crop, flip = RandomCrop(1, input_shape=[4, 4]), RandomHorizontalFlip(input_shape=(4, 4))
    together = Compose([crop, flip])(rows, np.random.RandomState(3))
    rng = np.random.RandomState(3)
    assert_array_equal(together, flip(crop(rows, rng), rng))


def test_augmentations_are_values():
    augment = Compose([RandomCrop(1, input_shape=(4, 4)), Cutout(2, input_shape=(4, 4))])
    assert pickle.loads(pickle.dumps(augment)) == augment
    assert hash(augment) == hash(pickle.loads(pickle.dumps(augment)))
    assert clone(EqPropClassifier(augment=augment)).augment == augment
    assert augment != Compose([RandomCrop(1, input_shape=(4, 4))])


@pytest.mark.parametrize(
    ("make", "parts"),
    [
        (lambda: RandomCrop(0, input_shape=(4, 4)), ["padding=0", "at least 1"]),
        (lambda: RandomCrop(1.5, input_shape=(4, 4)), ["padding=1.5", "at least 1"]),
        (lambda: Cutout(True, input_shape=(4, 4)), ["size=True", "at least 1"]),
        (lambda: RandomHorizontalFlip(1.2, input_shape=(4, 4)), ["p=1.2", "from 0 to 1"]),
        (lambda: RandomHorizontalFlip("x", input_shape=(4, 4)), ["p='x'", "from 0 to 1"]),
        (lambda: Cutout(2, input_shape=(16,)), ["input_shape=(16,)", "(height, width)"]),
        (lambda: Cutout(2, input_shape=(4, 0)), ["input_shape=(4, 0)", "(height, width)"]),
        (lambda: Cutout(2, input_shape=16), ["input_shape=16", "(height, width)"]),
        (
            lambda: Cutout(2, input_shape=(4, 5))(np.ones((3, 16)), np.random.RandomState(0)),
            ["input_shape=(4, 5)", "20 values", "16 columns"],
        ),
    ],
)
def test_wrong_values_are_named(make, parts):
    with pytest.raises(ValueError, match="=") as error:
        make()
    for part in parts:
        assert part in str(error.value)
