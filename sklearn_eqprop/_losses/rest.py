"""Equilibria of nudged outputs: a search that needs no slope of the force."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from sklearn_eqprop._backend.array_backend import Array, read

#: Most directions, if outputs act on each other. Most trials along a direction, and if the loss has
#: a kink. Most halvings of the interval afterwards.
MOST_LINES, MOST_TRIALS, TRIALS_WITH_KINK, MOST_HALVINGS = 4, 8, 3, 60
#: Precision with which a kink is found, relative to the outputs; rounding can limit it.
FINEST = 2.0**-33
#: An output seldom moves further than this many times its size, however strong the force is.
FAR = 16
#: A search ends when the velocity is below this fraction of the first one.
RESOLVED = 1e-2
#: Number of points on a line on which the steepest place of the loss is searched, and number of
#: draws that show whether outputs act on each other.
LINE_POINTS, DRAWS = 129, 8


#: Derivative of a loss by the outputs, given outputs and targets.
Slope = Callable[[np.ndarray, np.ndarray], np.ndarray]


class LossShape(NamedTuple):
    """Properties of a loss, measured at a few outputs."""

    #: Whether the derivative by one output depends on another output.
    couples: bool
    #: Whether the derivative jumps.
    kinked: bool
    #: Largest rise of the derivative per unit of the outputs.
    steepest: float


def shape_of(slope: Slope, target: np.ndarray) -> LossShape:
    """Return the properties of a loss between outputs on both sides of some targets."""

    def slopes_at(outputs: np.ndarray) -> np.ndarray:
        rows, targets = outputs.reshape(-1, target.shape[1]), np.tile(target, (len(outputs), 1))
        return slope(rows.astype(target.dtype), targets).reshape(outputs.shape)

    draw = np.random.RandomState(0)
    side = np.where(draw.randint(2, size=target.shape), 1, -1)
    start = target + side * draw.uniform(1, 3, target.shape)
    end = target - side * draw.uniform(1, 3, target.shape)
    # Every second line leads through the target, where norms have a kink that other lines miss.
    end[::2] = target[::2] - 0.9 * (start - target)[::2]
    with np.errstate(all="ignore"):
        # If outputs do not act on each other, those that stay keep their derivative exactly.
        moved = draw.randint(2, size=(DRAWS, *target.shape)) == 1
        slopes = slopes_at(np.where(moved, start, end))
        change = np.where(moved, 0, np.abs(slopes - slopes_at(end[None])))
        couples = not change.max() <= 100 * np.finfo(target.dtype).eps * np.abs(slopes).max()
        # The rise of a smooth derivative shrinks with the distance of the points. A jump does not.
        rises, steepest = [], 0.0
        for _ in range(2):
            way = np.linspace(0, 1, LINE_POINTS)[:, None, None]
            outputs = start + way * (end - start)
            rise = np.linalg.norm(np.diff(slopes_at(outputs), axis=0), axis=2)
            distance = np.linalg.norm(np.diff(outputs, axis=0), axis=2)
            steepest = max(steepest, float((rise / distance).max()))
            rises.append(rise.max(axis=0))
            top, rows = rise.argmax(axis=0), np.arange(len(target))
            start, end = outputs[top, rows], outputs[top + 1, rows]
    kinked = bool((rises[1] > 0.5 * rises[0]).any())
    return LossShape(couples, kinked, steepest)


def output_at_rest(
    xp: Any,
    velocity_at: Callable[[Array], Array],
    start: Array,
    origin: Any,
    shape: LossShape,
    *,
    steep: bool,
) -> Array:
    """Displacement of the outputs at which their velocity vanishes, or jumps through 0.

    If outputs do not act on each other, each of them is searched on its own. Otherwise the search
    goes along conjugate directions, each sample on its own.

    ``velocity_at(d)`` is the velocity ``drive + β force(origin + d) - d`` at any displacement d.
    Along a direction u it falls by at least ``||u||²`` per step u if the loss is convex. If the
    loss is `steep`, rounding may leave a velocity that is not small. An output that rests is then
    recognised by a change of sign within rounding.
    """
    couples = shape.couples

    def total(products: Array) -> Array:
        return products.sum(axis=1, keepdims=True) if couples else products

    def largest(numbers: Array) -> Array:
        return numbers.max(axis=1, keepdims=True) if couples else numbers

    with np.errstate(over="ignore", under="ignore", divide="ignore", invalid="ignore"):
        moved, velocity = start, velocity_at(start)
        direction, first = velocity, total(velocity * velocity)
        finest = max(float(xp.finfo(velocity.dtype).eps), FINEST if shape.kinked else 0.0)
        for _ in range(MOST_LINES if couples else 1):
            size = largest(xp.abs(direction))
            unit = direction / xp.where(size > 0, size, 1)
            span = largest(xp.abs(origin) + xp.abs(moved) + xp.minimum(size, 1))
            rounding = finest * span

            def speed_after(way: Array) -> Array:
                return total(velocity_at(moved + way * unit) * unit)  # noqa: B023

            speed = total(velocity * unit)
            full = speed / xp.maximum(total(unit * unit), 1)
            trial = xp.minimum(full, 2 * rounding) if steep else full
            share = 0.0 if shape.kinked else RESOLVED
            moved = moved + unit * _way_to_rest(
                xp, speed_after, speed, full, span, trial, rounding, share
            )
            if not couples:
                break
            before, velocity = velocity, velocity_at(moved)
            waiting = total(velocity * velocity) > RESOLVED**2 * first
            if not read(xp, waiting.any()):
                break
            turn = total(velocity * (velocity - before)) / total(before * before)
            turn = xp.where(turn > 0, turn, 0)
            direction = xp.where(waiting, velocity + turn * direction, 0)
    return moved


def _way_to_rest(
    xp: Any,
    speed_after: Callable[[Array], Array],
    speed: Array,
    full: Array,
    span: Array,
    trial: Array,
    rounding: Array,
    share: float,
) -> Array:
    """Way along a direction after which the speed is about 0.

    Until a trial is too long, the next one continues the secant of the last two speeds, unless
    they may jump. Afterwards the way is kept in an interval, and each trial is the secant's. If
    the last trial has not halved the interval, its middle is tried.

    Parameters
    ----------
    xp : module
    speed_after : callable
        Speed along the direction after any way; it falls.
    speed : array
        Speed at the start. If it is not positive, nothing moves.
    full : array
        Way after which the speed has changed its sign if the loss is convex.
    span : array
        Size of the outputs. If the force is very strong, `full` is much longer.
    trial : array
        First way that is tried.
    rounding : array
        Precision of the way.
    share : float
        The same, relative to the way. 0: the speed may jump.
    """
    low, speed_low = xp.zeros_like(speed), speed
    # A speed also bounds the way that is left, so it must be small next to the ways, too.
    small, reach = RESOLVED * xp.minimum(speed, span), xp.minimum(full, FAR * span)
    high = width = low + math.inf
    speed_high = -high
    waiting = speed > 0
    for _ in range(MOST_TRIALS if share else TRIALS_WITH_KINK):
        if not read(xp, waiting.any()):
            break
        found = speed_after(trial)
        beyond = reach
        if share:
            beyond = trial + (trial - low) * (found / xp.maximum(speed_low - found, 0))
        # A speed that is not a number means that the way was too long.
        short, long = waiting & (found > 0), waiting & ~(found > 0)
        low, speed_low = xp.where(short, trial, low), xp.where(short, found, speed_low)
        found = xp.where(xp.isfinite(found), found, -math.inf)
        high, speed_high = xp.where(long, trial, high), xp.where(long, found, speed_high)
        before, width = width, high - low
        enough = xp.maximum(2 * rounding, share * low)
        waiting = waiting & (xp.abs(found) > small) & (width > enough)
        secant = low + width * (speed_low / (speed_low - speed_high))
        halved = (width <= 0.5 * before) & xp.isfinite(speed_high)
        trial = xp.where(halved, secant, 0.5 * (low + high))
        beyond = xp.where(beyond < reach, beyond, reach)
        beyond = xp.where(low < reach, beyond, xp.maximum(full, 2 * low))
        trial = xp.where(xp.isfinite(high), trial, beyond)
    # At a jump none of the two speeds is small. The lower end then stays where the search began.
    nearer = (speed_low <= -speed_high) | (width <= 2 * rounding)
    found = xp.where(nearer, low, high)
    enough = xp.maximum(rounding, share * low)
    left = float(read(xp, xp.where(waiting, width / enough, 1).max()))
    n_halvings = math.ceil(math.log2(left)) if math.isfinite(left) else MOST_HALVINGS
    for _ in range(min(n_halvings, MOST_HALVINGS)):
        # Each way ends on its own, so that results do not depend on the batch.
        trial = xp.where(high - low > enough, 0.5 * (low + high), low)
        short = speed_after(trial) > 0
        low, high = xp.where(short, trial, low), xp.where(short, high, trial)
    return xp.where(waiting, low, found)
