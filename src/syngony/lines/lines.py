"""Diffraction lines of a pattern: where they are, how strong, how wide, and how surely."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from syngony.errors import InputError
from syngony.pattern import Pattern, q_from_two_theta
from syngony.scatter import is_calculated
from syngony.wavelengths import parse_wavelength

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Lines:
    """Diffraction lines found in a pattern (or given by a user), in order of angle.

    Attributes:
        two_theta: (n,) degrees, increasing.
        intensity: (n,) integrated intensity, strongest 100.
        position_uncertainty: (n,) degrees, one standard uncertainty: statistics of the fit, its misfit, and a
            floor for what lies unresolved under a line.
        significance: (n,) intensity over its standard uncertainty.
        fwhm: (n,) degrees.
        wavelength: Å, that the positions refer to: Kα1 where a Kα doublet was found, else the pattern's.
        two_theta_range: degrees, first and last angle that was measured.
        calculated: the scan has no scatter, so it is of a model: every line is of the phase, and nothing is shifted.
    """

    two_theta: Array
    intensity: Array
    position_uncertainty: Array
    significance: Array
    fwhm: Array
    wavelength: float
    two_theta_range: tuple[float, float]
    calculated: bool = False

    def __len__(self) -> int:
        return len(self.two_theta)

    @property
    def q(self) -> Array:
        """(n,) Q = 1/d^2 in 1/Å^2."""
        return q_from_two_theta(self.two_theta, self.wavelength)

    @property
    def q_uncertainty(self) -> Array:
        """(n,) one standard uncertainty of Q, 1/Å^2: dQ = (2 sin 2θ / λ^2) d(2θ)."""
        slope = 2.0 * np.sin(np.radians(self.two_theta)) / self.wavelength**2
        return np.abs(slope) * np.radians(self.position_uncertainty)

    @classmethod
    def from_positions(
        cls,
        two_theta: ArrayLike,
        wavelength: float | str,
        intensity: ArrayLike | None = None,
        position_uncertainty: ArrayLike = 0.02,
    ) -> Lines:
        """Lines that a user gives, in any order.

        Args:
            two_theta: (n,) degrees.
            wavelength: Å, or the name of a tube line, of these positions.
            intensity: (n,) on any scale; all alike when left out.
            position_uncertainty: degrees, one for all or (n,).

        Raises:
            LineError: no list of numbers, no lines, an angle outside 0 to 180 degrees or given twice, an
                intensity or uncertainty that is not above zero, lengths that differ.
            WavelengthError: the wavelength is absurd or unknown.
        """
        length = parse_wavelength(wavelength)
        angles = _numbers(two_theta, "2θ")
        if len(angles) == 0:
            raise LineError("no lines: give at least one angle 2θ in degrees")
        wrong = (angles <= 0) | (angles >= 180)
        if wrong.any():
            raise LineError(f"a line at {angles[wrong][0]:g}: 2θ must be in degrees, between 0 and 180")
        heights = np.full(len(angles), 100.0) if intensity is None else _numbers(intensity, "intensity")
        if len(heights) != len(angles):
            raise LineError(f"{len(angles)} angles but {len(heights)} intensities: give one for each line, or none")
        if not (heights > 0).all():
            raise LineError(f"an intensity of {heights.min():g}: leave out lines that are not there")
        spread = _numbers(np.atleast_1d(np.asarray(position_uncertainty, dtype=object)), "position_uncertainty")
        if len(spread) not in (1, len(angles)):
            raise LineError(f"{len(angles)} angles but {len(spread)} uncertainties: give one for all, or one a line")
        if not (spread > 0).all():
            raise LineError(f"an uncertainty of {spread.min():g} degrees: it must be above zero")
        order = np.argsort(angles, kind="stable")
        angles, heights = angles[order], heights[order]
        same = np.flatnonzero(np.diff(angles) <= 0)
        if len(same):
            raise LineError(f"two lines at {angles[same[0]]:g}: give each line once")
        return cls(
            angles,
            heights * (100.0 / heights.max()),
            np.broadcast_to(spread, len(angles))[order if len(spread) > 1 else slice(None)].copy(),
            np.full(len(angles), np.inf),
            np.full(len(angles), np.nan),
            length,
            (float(angles[0]), float(angles[-1])),
        )


class LineError(InputError):
    """A list of lines is wrong."""


def _numbers(values: ArrayLike, what: str) -> Array:
    try:
        found = np.array(values, dtype=float)
    except (TypeError, ValueError, OverflowError):
        raise LineError(f"the list of {what} is not numbers: {values!r}") from None
    if found.ndim != 1:
        raise LineError(f"{what} has shape {found.shape}: give a flat list")
    if not np.isfinite(found).all():
        raise LineError(f"{what} holds NaN or infinity: leave those lines out")
    return found


def find_lines(pattern: Pattern, min_significance: float = 4.0) -> Lines:
    """Search the lines of a pattern and fit them.

    Args:
        pattern: the scan. Counts, or counts that were scaled, subtracted or clipped.
        min_significance: lines whose intensity is fewer standard uncertainties are left out.

    Returns:
        Lines, none where the scan holds none. Where a Kα doublet is in the data their wavelength is that
        of Kα1, else the pattern's.
    """
    from syngony.lines.search import search_lines

    found = search_lines(pattern, min_significance)
    strongest = found.area.max(initial=0.0)
    return Lines(
        found.position,
        found.area * (100.0 / strongest) if strongest > 0 else found.area,
        found.position_uncertainty,
        found.significance,
        found.fwhm,
        found.wavelength,
        (float(pattern.two_theta[0]), float(pattern.two_theta[-1])),
        is_calculated(pattern),
    )
