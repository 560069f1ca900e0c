"""The arithmetic of a speed-up: when a curve reaches a quality, and how much sooner that is.

A curve is the quality of one run over training steps or seconds. Let t(c, q) be the time from which curve c stays at
quality q or above until its end. The speed-up over a reference is

    speed-up = t(reference, q) / t(curve, q).

Nothing is extrapolated. A curve that ends below q at time T has t(c, q) > T, which only bounds the speed-up. So every
number is an interval, of width zero if the number is known. Medians, means and ranges grow with each of their values:
those of the lower bounds and of the upper bounds bound the result.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

import numpy as np


class Between(NamedTuple):
    """The two bounds of a number. The number is known if they are equal."""

    low: float
    high: float

    @property
    def known(self) -> bool:
        """Whether the bounds are equal."""
        return self.low == self.high


def exactly(number: float) -> Between:
    """A known number."""
    return Between(number, number)


@dataclass(frozen=True)
class Curve:
    """The quality of one run over time.

    Raises:
        ValueError: the curve is empty, its times do not increase, or a number is not finite.
    """

    times: tuple[float, ...]
    """Steps or seconds of the measurements, in increasing order."""
    psnr: tuple[float, ...]
    """Measured quality, dB."""

    def __post_init__(self) -> None:
        if not self.times or len(self.times) != len(self.psnr):
            raise ValueError(f"a curve needs as many times as values: {len(self.times)} and {len(self.psnr)}")
        if not np.isfinite(self.times + self.psnr).all() or (np.diff(self.times) <= 0).any():
            raise ValueError("a curve needs increasing times and finite values")


def time_to_reach(curve: Curve, target: float) -> float | None:
    """The time from which the curve stays at the target or above until its end; None if it ends below.

    This is the conservative choice: of several upward crossings the last one counts. The curve is linear between two
    measurements. A tie counts as reached. A curve that is never below counts from its first measurement.
    """
    below = [index for index, value in enumerate(curve.psnr) if value < target]
    if not below:
        return curve.times[0]
    last = below[-1]
    if last == len(curve.psnr) - 1:
        return None
    (start, end), (lower, upper) = curve.times[last : last + 2], curve.psnr[last : last + 2]
    return start + (end - start) * (target - lower) / (upper - lower)


def psnr_at(curve: Curve, time: float) -> float | None:
    """The curve at a time, dB: linear between measurements, None before the first, the last value after the end.

    The last value is no extrapolation: the run has reached it by then.
    """
    return None if time < curve.times[0] else float(np.interp(time, curve.times, curve.psnr))


def speed_up(reference: Curve, curve: Curve, target: float) -> Between:
    """How many times sooner the curve reaches the target than the reference: 1 is as soon, below 1 is later.

    If only the reference reaches the target, the result is an upper bound; if only the curve does, a lower bound; if
    neither does, 0 to infinity.
    """
    theirs, mine = time_to_reach(reference, target), time_to_reach(curve, target)
    if theirs is None and mine is None:
        return Between(0.0, math.inf)
    if mine is None:
        return Between(0.0, _ratio(theirs or 0.0, curve.times[-1]))
    if theirs is None:
        return Between(_ratio(reference.times[-1], mine), math.inf)
    return exactly(_ratio(theirs, mine))


def _ratio(theirs: float, mine: float) -> float:
    """theirs / mine. Both may be zero: a curve may reach the target before its first step."""
    if mine == 0:
        return 1.0 if theirs == 0 else math.inf
    return theirs / mine


def mean(numbers: Sequence[Between], *, geometric: bool) -> Between:
    """The arithmetic or, for ratios, geometric mean. The mean of 0 and infinity may be anything between them."""
    if len(numbers) == 1:
        return numbers[0]

    def of(values: list[float], unclear: float) -> float:
        if not geometric:
            return sum(values) / len(values)
        product = math.prod(values)
        return unclear if math.isnan(product) else product ** (1 / len(values))

    return Between(of([n.low for n in numbers], 0.0), of([n.high for n in numbers], math.inf))


@dataclass(frozen=True)
class SeedRange:
    """Median and range of a number over seeds."""

    median: Between
    """Known if it is the same for every value within the bounds of the seeds."""
    least: Between
    most: Between
    known: int
    """Seeds with a known number: they reached the quality."""
    compared: int
    """Seeds with a number, known or bounded."""
    seeds: int
    """All seeds, those without a number included."""


def seed_range(numbers: Iterable[Between], seeds: int | None = None) -> SeedRange | None:
    """Median and range over seeds; None if there are no numbers.

    Args:
        seeds: Number of seeds, if some have no number.
    """
    found = list(numbers)
    if not found:
        return None
    lows, highs = [number.low for number in found], [number.high for number in found]
    return SeedRange(
        median=Between(median(lows), median(highs)),
        least=Between(min(lows), min(highs)),
        most=Between(max(lows), max(highs)),
        known=sum(number.known for number in found),
        compared=len(found),
        seeds=len(found) if seeds is None else seeds,
    )
