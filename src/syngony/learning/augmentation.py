"""Physics-informed augmentation of patterns, after Oviedo et al. 2019, npj Comput. Mater. 5, 60.

Thin films are textured, strained and tilted: lines are scaled against each other, whole families of planes are
missing, and everything is displaced. Each transform is a function of an intensity and a random generator; `Chain`
applies several, one after another::

    augment = film_augmentation(step=0.04)
    augmented = augment(profile, np.random.default_rng(0))      # (n,) on a regular grid, largest value 1

Widths are in degrees of 2θ; the publication counts points of 0.04 degrees, as its public code has them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from syngony.errors import InputError

Profile = NDArray[np.floating]
Transform = Callable[[Profile, np.random.Generator], Profile]


@dataclass(frozen=True)
class PeakScaling:
    """Each stretch of the axis is multiplied by a number of its own, evenly from `lowest` to 1.

    Attributes:
        step: degrees between points.
        width: degrees of a stretch; 0.64 for simulated patterns and 0.24 for measured ones in the publication.
        lowest: factor.
    """

    step: float
    width: float = 0.64
    lowest: float = 0.0

    def __call__(self, profile: Profile, rng: np.random.Generator) -> Profile:
        """A new (..., n) profile."""
        stretches = _stretches(profile.shape[-1], self.width, self.step)
        factors = self.lowest + (1.0 - self.lowest) * rng.random(stretches[-1] + 1)
        return profile * factors[stretches]


@dataclass(frozen=True)
class TextureElimination:
    """Stretches of the axis are set to zero: planes that no grain turns towards the detector.

    Attributes:
        step: degrees between points.
        width: degrees of a stretch.
        share: of the stretches; a third in the publication.
    """

    step: float
    width: float = 0.2
    share: float = 1.0 / 3.0

    def __call__(self, profile: Profile, rng: np.random.Generator) -> Profile:
        """A new (..., n) profile."""
        stretches = _stretches(profile.shape[-1], self.width, self.step)
        kept = rng.random(stretches[-1] + 1) >= self.share
        return profile * kept[stretches]


@dataclass(frozen=True)
class Shift:
    """The whole pattern is displaced by whole points, evenly up to `most` to either side; zeros come in.

    Attributes:
        step: degrees between points.
        most: degrees; 0.8 in the publication, for strain and for films above or below the axis.
    """

    step: float
    most: float = 0.8

    def __call__(self, profile: Profile, rng: np.random.Generator) -> Profile:
        """A new (..., n) profile."""
        n = profile.shape[-1]
        most = round(self.most / self.step)
        by = int(rng.integers(-most, most + 1))
        moved = np.zeros_like(profile)
        if abs(by) < n:
            moved[..., max(by, 0) : n + min(by, 0)] = profile[..., max(-by, 0) : n - max(by, 0)]
        return moved


@dataclass(frozen=True)
class Chain:
    """Transforms one after another, then the largest value made 1 again.

    A pattern of which nothing is left is drawn anew: it has no class.

    Attributes:
        transforms: in order.
        attempts: draws, before the pattern is given back as it was.
    """

    transforms: Sequence[Transform]
    attempts: int = 10

    def __call__(self, profile: Profile, rng: np.random.Generator) -> Profile:
        """A new (..., n) profile, float32."""
        for _ in range(self.attempts):
            changed = profile
            for transform in self.transforms:
                changed = transform(changed, rng)
            top = float(changed.max(initial=0.0))
            if top > 0:
                return (changed / top).astype(np.float32)
        return np.asarray(profile, dtype=np.float32)


def film_augmentation(step: float, measured: bool = False) -> Chain:
    """The publication's chain: scaling, elimination, shift.

    Args:
        step: degrees between points.
        measured: True for its narrower stretches of measured patterns.
    """
    scaling, gaps = (0.24, 0.16) if measured else (0.64, 0.2)
    return Chain((PeakScaling(step, scaling), TextureElimination(step, gaps), Shift(step)))


def _stretches(points: int, width: float, step: float) -> NDArray[np.int64]:
    """(points,) number of the stretch that each point is in.

    Raises:
        InputError: no point in a stretch.
    """
    if not width >= step > 0:
        raise InputError(f"stretches of {width:g} degrees in steps of {step:g}: give 0 < step <= width")
    return np.arange(points) // max(1, round(width / step))
