"""Intervals for a share of right answers, and for the difference of two patterns on the same items."""

import math
import random
from collections import Counter
from collections.abc import Sequence
from typing import Final, NamedTuple

_Z: Final = 1.959963984540054
"""The 97.5th percentile of the normal distribution."""

_Z_OF_POWER: Final = 0.8416212335729143
"""Its 80th percentile."""

_WORTH: Final = 40
"""Drawing how many items have a value takes about as long as drawing so many items one by one."""

_PRECISION: Final = 32


class Interval(NamedTuple):
    """A 95 % interval.

    Attributes:
        low: Its lower end.
        high: Its upper end.
    """

    low: float
    high: float


def mean(values: Sequence[float]) -> float:
    """The arithmetic mean."""
    return math.fsum(values) / len(values)


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest of the values that at least this share of them don't exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def interval_of_mean(grades: Sequence[float], *, resamples: int, seed: int) -> Interval:
    """The interval of the mean grade.

    Of grades that are all 0 or 1 it is Wilson's score interval: unlike a bootstrap, it keeps its width where
    all answers are right, or all wrong. Of others it is a percentile bootstrap over the items, widened for
    few of them, and where all
    of them are equal Wilson's again, which is then too wide rather than too narrow: no grades in [0, 1] with
    this mean vary more than those that are 0 and 1.

    References:
        E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927).
        L. D. Brown, T. T. Cai, A. DasGupta, "Interval estimation for a binomial proportion", Statistical
        Science 16 (2001).
    """
    if len(values := set(grades)) == 1 or values <= {0.0, 1.0}:
        return wilson(mean(grades), len(grades))
    return _for_few(grades, bootstrap(grades, resamples=resamples, seed=seed), 0.0)


def interval_of_difference(differences: Sequence[float], *, resamples: int, seed: int) -> Interval:
    """The interval of the mean of paired differences: a percentile bootstrap over the items.

    Both patterns of a pair are resampled together, so that hard items are hard for both. Of grades that are
    all 0 or 1, two imaginary items are added, one won and one lost. Without them the interval would have no
    width where the patterns agree on every item, and too little where they disagree on a few. Of other
    grades it is widened for few items.

    References:
        B. Efron, R. J. Tibshirani, "An Introduction to the Bootstrap" (1993), chapters 8 and 13.
        D. G. Bonett, R. M. Price, "Adjusted Wald confidence interval for a difference of binomial proportions
        based on paired data", Journal of Educational and Behavioral Statistics 37 (2012): the two items.
    """
    values = steadied(differences)
    found = bootstrap(values, resamples=resamples, seed=seed)
    return found if values is not differences else _for_few(values, found, -1.0)


def _for_few(values: Sequence[float], found: Interval, least: float) -> Interval:
    """A bootstrap interval as wide as few values need: by the bootstrap alone it is too narrow for them.

    It is widened as the interval of a mean is by Student's t. It ends at `least`, and at 1.

    References:
        T. C. Hesterberg, "What teachers should know about the bootstrap", American Statistician 69 (2015).
    """
    size, centre = len(values), mean(values)
    factor = _student(size - 1) / _Z * math.sqrt(size / (size - 1))
    low, high = (centre + factor * (end - centre) for end in found)
    return Interval(max(least, low), min(1.0, high))


def _student(freedom: int) -> float:
    """The 97.5th percentile of Student's t distribution.

    References:
        R. A. Fisher, E. A. Cornish, "The percentile points of distributions having known cumulants",
        Technometrics 2 (1960): the series, which is right to 0.2 % from 3 degrees of freedom on.
    """
    if freedom < 3:
        return (12.706204736174698, 4.302652729911275)[freedom - 1]
    z = _Z
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92_160,
    )
    return z + sum(term / float(freedom) ** power for power, term in enumerate(terms, 1))


def steadied(differences: Sequence[float]) -> Sequence[float]:
    """The differences, with an item won and an item lost where they could hide that patterns may differ."""
    if len(values := set(differences)) == 1 or values <= {-1.0, 0.0, 1.0}:
        return [*differences, 1.0, -1.0]
    return differences


def items_needed(differences: Sequence[float], size: float) -> int:
    """The items with which four of five comparisons would show that a true difference of `size` is not 0.

    References:
        R. J. Connor, "Sample size for testing differences in proportions for the paired-sample design",
        Biometrics 43 (1987); here with the variance that was seen.
    """
    values = steadied(differences)
    centre = mean(values)
    variance = mean([(value - centre) ** 2 for value in values])
    return math.ceil((_Z + _Z_OF_POWER) ** 2 * variance / size**2)


def wilson(share: float, count: int) -> Interval:
    """Wilson's score interval of a share among `count`."""
    square = _Z * _Z / count
    centre = (share + square / 2) / (1 + square)
    half = _Z * math.sqrt(share * (1 - share) / count + square / (4 * count)) / (1 + square)
    return Interval(max(0.0, centre - half), min(1.0, centre + half))


def bootstrap(values: Sequence[float], *, resamples: int, seed: int) -> Interval:
    """The percentile interval of the mean, by resampling the values with replacement."""
    chance = random.Random(seed)  # noqa: S311 - statistics, no secrets
    counts = sorted(Counter(values).items())
    size = len(values)
    if size <= _WORTH * len(counts):
        sums = [math.fsum(chance.choices(values, k=size)) for _ in range(resamples)]
    else:
        sums = [_resampled_sum(counts, size, chance) for _ in range(resamples)]
    sums.sort()
    tail = int(0.025 * resamples)
    return Interval(sums[tail] / size, sums[-1 - tail] / size)


def _resampled_sum(counts: Sequence[tuple[float, int]], size: int, chance: random.Random) -> float:
    """The sum of `size` values drawn with replacement: only how many have each value is drawn."""
    total, draws, left = 0.0, size, size
    for value, count in counts:
        drawn = _binomial(draws, count / left, chance)
        total += value * drawn
        draws -= drawn
        left -= count
    return total


def _binomial(trials: int, share: float, chance: random.Random) -> int:
    """The successes among independent trials: each bit of an integer is a trial, all made at once.

    A bit that is 1 with probability p becomes one of probability (1 + p) / 2 by OR with a fair bit, and p / 2
    by AND, so the binary digits of `share`, the last one first, lead to it.
    """
    digits = round(share * (1 << _PRECISION))
    if digits >> _PRECISION or not trials:
        return trials
    found = 0
    for place in range(_PRECISION):
        if digits >> place & 1:
            found |= chance.getrandbits(trials)
        elif found:
            found &= chance.getrandbits(trials)
    return found.bit_count()
