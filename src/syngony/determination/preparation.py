"""What a user may do to a scan before it is determined: look at a part of it, take a background off."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from syngony.errors import InputError, PatternError
from syngony.lines.background import background_and_quiet_noise
from syngony.pattern import Pattern

NARROWEST, WIDEST = 0.5, 60.0
"""Degrees, of a background's features: lines are narrower, and wider is flat."""


@dataclass(frozen=True)
class Prepared:
    """A scan as the witnesses are to see it.

    Attributes:
        pattern: the scan.
        taken_off: (n,) what was subtracted, in the units of its intensity.
    """

    pattern: Pattern
    taken_off: NDArray[np.float64]


@dataclass(frozen=True)
class Preparation:
    """What a user asks to be done to a scan; nothing by default.

    Attributes:
        low, high: degrees of 2θ to look at; None for the end of the scan.
        background: degrees; a smooth curve that follows what is wider is taken off, so that the backgrounds which
            network, line search and library find for themselves are flat. None leaves it to them.

    Raises:
        InputError: a width that no background has, or a range upside down.
    """

    low: float | None = None
    high: float | None = None
    background: float | None = None

    def __post_init__(self) -> None:
        if self.background is not None and not NARROWEST <= self.background <= WIDEST:
            raise InputError(
                f"a background of {self.background:g}°: give the width of its narrowest hump in degrees of 2θ, "
                f"{NARROWEST:g} to {WIDEST:g}"
            )
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise InputError(f"from {self.low:g} to {self.high:g}° is no range: give the smaller angle first")

    def __call__(self, pattern: Pattern) -> Prepared:
        """Do it; what was done is said in the pattern's warnings, so that an answer can be repeated.

        Raises:
            PatternError: the range is empty, or too short for a powder pattern.
        """
        part = within(pattern, self.low, self.high)
        said = []
        if len(part) < len(pattern):
            said.append(f"looked at {part.two_theta[0]:g} to {part.two_theta[-1]:g}° alone, as asked")
        curve = np.zeros(len(part))
        if self.background is not None:
            found, _ = background_and_quiet_noise(part, self.background)
            curve = found - np.median(found)  # its level stays: counts without any would have no scatter
            said.append(f"a background of humps wider than {self.background:g}° was taken off, as asked")
        prepared = replace(part, intensity=part.intensity - curve, warnings=(*part.warnings, *said))
        return Prepared(prepared, curve)


def within(pattern: Pattern, low: float | None, high: float | None) -> Pattern:
    """The part of a pattern from `low` to `high` degrees of 2θ.

    Raises:
        PatternError: the range is empty, or too short for a powder pattern.
    """
    if low is None and high is None:
        return pattern
    first, last = low if low is not None else 0.0, high if high is not None else 180.0
    kept = (pattern.two_theta >= first) & (pattern.two_theta <= last)
    if not kept.any():
        raise PatternError(
            f"no point between {first:g} and {last:g}°: "
            f"the scan goes from {pattern.two_theta[0]:g} to {pattern.two_theta[-1]:g}°"
        )
    return replace(pattern, two_theta=pattern.two_theta[kept], intensity=pattern.intensity[kept])
