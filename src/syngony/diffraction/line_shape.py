"""Widths, mixing and asymmetry of powder lines, and pseudo-Voigts at their exact positions on any grid."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from syngony.diffraction.exponential import exp_negative
from syngony.diffraction.reflections import Reflections
from syngony.errors import InputError

TAIL = 1e-4
"""Lines are drawn to where they fall under this share of the strongest line's height."""

_LN2 = math.log(2.0)
_STEEPEST = 0.9  # of the skew: the narrow side keeps a tenth of its width


@dataclass(frozen=True)
class LineShape:
    """How wide the lines of an instrument and a sample are; all angles in degrees of 2θ.

    Attributes:
        u, v, w: Gaussian FWHM^2 = u tan^2 θ + v tan θ + w, degrees^2 (Caglioti, Paoletti & Ricci,
            Nucl. Instrum. 3, 223 (1958)).
        size: Lorentzian FWHM size / cos θ, degrees; see `size_broadening`.
        strain: Lorentzian FWHM strain tan θ, degrees; see `strain_broadening`.
        asymmetry: of axial divergence. The half width on the low-angle side is 1 + s times that of the
            symmetric line and on the other side 1 - s, with s = asymmetry cot 2θ within +-0.9: the angle
            dependence of Finger, Cox & Jephcoat, J. Appl. Cryst. 27, 892 (1994), which vanishes at 90
            degrees and changes sides there, on a split pseudo-Voigt. Area and top stay as they are.
    """

    u: float = 0.0
    v: float = 0.0
    w: float = 0.01
    size: float = 0.0
    strain: float = 0.0
    asymmetry: float = 0.0

    def widths(self, two_theta: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """FWHM in degrees and Lorentzian share of lines at 2θ (degrees), both (n,).

        Raises:
            InputError: u, v, w make a negative square, or no term gives a line any width.
        """
        theta = np.radians(np.asarray(two_theta, dtype=float)) / 2.0
        cosine = np.maximum(np.cos(theta), 1e-3)
        tangent = np.sin(theta) / cosine
        squared = self.u * tangent**2 + self.v * tangent + self.w
        lorentz = self.size / cosine + self.strain * tangent
        if len(theta) and not (np.min(squared) >= 0 and np.min(lorentz) >= 0 and np.min(squared + lorentz) > 0):
            raise InputError(
                f"line widths: u, v, w = {self.u:g}, {self.v:g}, {self.w:g} and size, strain = {self.size:g}, "
                f"{self.strain:g} give lines between {np.min(two_theta):.4g} and {np.max(two_theta):.4g}° no width: "
                "Gaussian squares and Lorentzian widths must be zero or more, and not both zero"
            )
        return thompson_cox_hastings(np.sqrt(squared), lorentz)

    def skews(self, two_theta: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n,) asymmetry of lines at 2θ (degrees): positive where the low-angle side is the wider one."""
        angle = np.radians(np.asarray(two_theta, dtype=float))
        sine = np.maximum(np.abs(np.sin(angle)), 1e-9)
        return np.clip(self.asymmetry * np.cos(angle) / sine, -_STEEPEST, _STEEPEST)


def size_broadening(size: float, wavelength: float, shape_factor: float = 0.9) -> float:
    """`LineShape.size`, degrees, of crystallites of `size` Å (Scherrer: K λ / size radians)."""
    return math.degrees(shape_factor * wavelength / size)


def strain_broadening(strain: float) -> float:
    """`LineShape.strain`, degrees, of a spread Δd/d (Stokes & Wilson: 4 Δd/d radians times tan θ)."""
    return math.degrees(4.0 * strain)


def thompson_cox_hastings(
    gauss: NDArray[np.float64], lorentz: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """FWHM and Lorentzian share of the pseudo-Voigt closest to a Voigt of these two FWHM, any unit.

    Thompson, Cox & Hastings, J. Appl. Cryst. 20, 79 (1987), equations 4 and 5.
    """
    g, f = np.asarray(gauss, dtype=float), np.asarray(lorentz, dtype=float)
    fwhm = (
        g**5 + 2.69269 * g**4 * f + 2.42843 * g**3 * f**2 + 4.47163 * g**2 * f**3 + 0.07842 * g * f**4 + f**5
    ) ** 0.2
    ratio = f / fwhm
    return fwhm, 1.36603 * ratio - 0.47719 * ratio**2 + 0.11116 * ratio**3


def profile_pattern(
    lines: Reflections, shape: LineShape, two_theta: NDArray[np.float64], *, tail: float = TAIL
) -> NDArray[np.float64]:
    """Intensity per degree of 2θ at the points of any increasing grid.

    Args:
        lines: from `reflections`; their intensities are areas.
        shape: of instrument and sample.
        two_theta: (m,) degrees, increasing, at any spacing. For an axis of ln Q pass
            ``two_theta_from_q(np.exp(ln_q), wavelength)``. Points sample the curve: steps should not
            exceed about half the narrowest FWHM.
        tail: where lines end, as a share of the strongest line's height.

    Returns:
        (m,) intensity per degree: its integral over 2θ is the sum of the areas, tails apart.

    Raises:
        InputError: the grid does not increase, or a width is impossible.
    """
    grid = np.ascontiguousarray(two_theta, dtype=np.float64)
    if grid.ndim != 1 or not np.isfinite(grid).all() or not (np.diff(grid) > 0).all():
        raise InputError("the grid is not a list of increasing angles: sort it and drop repeated points")
    fwhm, eta = shape.widths(lines.two_theta)
    out = np.zeros(len(grid))
    draw_lines(lines.two_theta, lines.intensity, fwhm, eta, shape.skews(lines.two_theta), grid, tail, out)
    return out


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def draw_lines(position, area, fwhm, eta, skew, grid, tail, out):
    """Add pseudo-Voigt lines to a grid.

    Args:
        position, area: (n,) in the grid's unit, and integrated intensities, zero or more.
        fwhm, eta: (n,) full widths at half height in the grid's unit, and Lorentzian shares, 0 to 1.
        skew: (n,) half widths are (1 + skew) fwhm / 2 below the position and (1 - skew) fwhm / 2 above it.
        grid: (m,) increasing.
        tail: a line ends where it falls under this share of the strongest line's height.
        out: (m,) intensity per unit of the grid, added to.
    """
    gauss_scale, lorentz_scale = 2.0 * math.sqrt(_LN2 / math.pi), 2.0 / math.pi
    strongest = 0.0
    for i in range(position.shape[0]):
        height = area[i] / fwhm[i] * (eta[i] * lorentz_scale + (1.0 - eta[i]) * gauss_scale)
        strongest = max(strongest, height)
    floor = tail * strongest
    for i in range(position.shape[0]):
        lorentz = area[i] / fwhm[i] * eta[i] * lorentz_scale
        gauss = area[i] / fwhm[i] * (1.0 - eta[i]) * gauss_scale
        if lorentz + gauss <= floor:
            continue
        # Where the two parts together are under the floor, either has fallen under half of it.
        reach = max(
            math.sqrt(max(2.0 * lorentz / floor - 1.0, 0.0)), math.sqrt(max(math.log(2.0 * gauss / floor), 0.0) / _LN2)
            if gauss > 0.0 else 0.0,
        )  # fmt: skip
        middle = np.searchsorted(grid, position[i])
        for side in range(2):
            half = 0.5 * fwhm[i] * (1.0 + skew[i] if side == 0 else 1.0 - skew[i])
            if side == 0:
                first, last = np.searchsorted(grid, position[i] - reach * half), middle
            else:
                first, last = middle, np.searchsorted(grid, position[i] + reach * half)
            scale = 1.0 / half
            for j in range(first, last):
                square = (grid[j] - position[i]) * scale
                square *= square
                out[j] += lorentz / (1.0 + square) + gauss * exp_negative(-_LN2 * square)
