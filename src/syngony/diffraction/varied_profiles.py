"""Patterns without noise whose lines differ in width and shape: the training data of Park et al. 2017."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from syngony.diffraction.line_shape import LineShape, draw_lines

_TAIL = 1e-3  # of the strongest line: the long tails of Lorentzians cost time and show nothing


@dataclass(frozen=True)
class VariedProfiles:
    """Ranges of the Caglioti parameters and of the share of Lorentzian, drawn anew for each pattern.

    Park et al. 2017, IUCrJ 4, 486, mix profiles at random: pseudo-Voigts with Caglioti parameters and mixing
    parameters of several instruments. The values are not to hand; the ranges here are ours, about the u = 0.0041,
    v = -0.0076, w = 0.0063 of the generator that the same group later published (Lee et al. 2023, Adv. Intell. Syst. 5,
    2300140). One wavelength, no background, no noise.

    Attributes:
        u, w: degrees^2, evenly in the logarithm; FWHM^2 = u tan^2 θ + v tan θ + w.
        dip: v is minus this times 2 (u w)^(1/2), evenly: below 1, FWHM^2 is positive at every angle.
        lorentzian: share of each line, evenly.
        step: degrees of 2θ.
    """

    u: tuple[float, float] = (0.001, 0.05)
    w: tuple[float, float] = (0.003, 0.03)
    dip: tuple[float, float] = (0.0, 0.9)
    lorentzian: tuple[float, float] = (0.0, 1.0)
    step: float = 0.01

    def draw(self, rng: np.random.Generator) -> tuple[LineShape, float]:
        """The Gaussian part of an instrument, and its Lorentzian share."""
        u, w = (low * (high / low) ** rng.random() for low, high in (self.u, self.w))
        dip, share = (low + (high - low) * rng.random() for low, high in (self.dip, self.lorentzian))
        return LineShape(u=u, v=-2.0 * dip * math.sqrt(u * w), w=w), share

    def pattern(
        self,
        two_theta: NDArray[np.floating],
        intensity: NDArray[np.floating],
        two_theta_range: tuple[float, float],
        rng: np.random.Generator,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """One pattern of lines.

        Args:
            two_theta, intensity: (n,) of the lines, degrees and areas.
            two_theta_range: of the pattern, degrees, both ends included.
            rng: of the profile.

        Returns:
            (m,) degrees and (m,) intensity per degree.
        """
        low, high = two_theta_range
        grid = low + self.step * np.arange(round((high - low) / self.step) + 1, dtype=np.float64)
        shape, share = self.draw(rng)
        # A line just outside the range still shows its tail.
        near = (two_theta > low - 1.0) & (two_theta < high + 1.0)
        position = np.asarray(two_theta[near], dtype=np.float64)
        out = np.zeros(len(grid))
        if len(position):
            fwhm, _ = shape.widths(position)
            area, none = np.asarray(intensity[near], dtype=np.float64), np.zeros(len(position))
            draw_lines(position, area, fwhm, np.full(len(position), share), none, grid, _TAIL, out)
        return grid, out
