"""The arithmetic of a speed-up: when a curve reaches a quality, and how much sooner that is.

A curve is the quality of one run, measured now and then, over training steps or seconds of training. With t(c, q) the
time from which curve c is at quality q or above until its end, the speed-up over a reference is

    speed-up = t(reference, q) / t(curve, q).

Nothing is extrapolated. A curve that ends below q at time T has t(c, q) > T, so that the speed-up is only known to lie
between bounds. Numbers are therefore intervals, of width zero where all is known, and they stay true bounds under
medians, means and ranges: these grow with each of their values, so that their bounds are those of the bounds.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

import numpy as np


class Between(NamedTuple):
    """A number of which two bounds are known; where they are equal, the number is."""

    low: float
    high: float

    @property
    def known(self) -> bool:
        """Whether it is one number."""
        return self.low == self.high


def exactly(number: float) -> Between:
    """A known number."""
    return Between(number, number)


@dataclass(frozen=True)
class Curve:
    """The quality of one run over time.

    Raises:
        ValueError: if it is empty, its times do not increase, or a number is not finite.
    """

    times: tuple[float, ...]
    """When it was measured, in increasing order: steps, or seconds."""
    psnr: tuple[float, ...]
    """What was measured, dB."""

    def __post_init__(self) -> None:
        if not self.times or len(self.times) != len(self.psnr):
            raise ValueError(f"a curve needs as many times as values: {len(self.times)} and {len(self.psnr)}")
        if not np.isfinite(self.times + self.psnr).all() or (np.diff(self.times) <= 0).any():
            raise ValueError("a curve needs increasing times and finite values")


def time_to_reach(curve: Curve, target: float) -> float | None:
    """The time from which the curve is at the target or above until its end; None if it ends below.

    This is the conservative choice: a curve that reaches the target, falls below it and reaches it again counts from
    its last upward crossing. The crossing is linear between two measurements. A tie counts as reached; a curve that is
    never below counts from its first measurement, as what came before was not measured.
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

    Holding the last value is no extrapolation in favour of a run: it is what the run had shown by then.
    """
    return None if time < curve.times[0] else float(np.interp(time, curve.times, curve.psnr))


def speed_up(reference: Curve, curve: Curve, target: float) -> Between:
    """How many times sooner the curve reaches the target than the reference; 1 is as soon, below 1 is later.

    Where a curve ends below the target, its time is at least its last and the result is a bound: from above where only
    the reference reaches it, from below where only the curve does, and none (0 to infinity) where neither does.
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
    """theirs / mine, where both may be zero: a curve measured before its first step may reach the target there."""
    if mine == 0:
        return 1.0 if theirs == 0 else math.inf
    return theirs / mine


def mean(numbers: Sequence[Between], *, geometric: bool) -> Between:
    """Their arithmetic or, for ratios, geometric mean. That of 0 and infinity may be anything between them."""
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
    """Numbers of several seeds in brief."""

    median: Between
    """Known where it is the same whatever a seed that is only bounded would turn out to be."""
    least: Between
    most: Between
    known: int
    """In how many seeds the number is known, rather than a bound: the quality was reached."""
    seeds: int
    """How many there are, those without a number included."""


def seed_range(numbers: Iterable[Between], seeds: int | None = None) -> SeedRange | None:
    """Median and range over seeds; None if there are no numbers.

    Args:
        seeds: how many there are, if some have no number.
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
        seeds=len(found) if seeds is None else seeds,
    )
