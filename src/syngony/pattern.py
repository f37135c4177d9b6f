"""A powder pattern, and the plain relations between 2θ, d and Q."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from syngony.errors import PatternError
from syngony.wavelengths import parse_wavelength

MIN_POINTS = 20
MIN_SPAN = 3.0  # degrees of 2θ; at 0.2 Å as much as 23 degrees of CuKa
MAX_INTENSITY = 1e30  # networks compute in single precision, which ends at 3e38


@dataclass(frozen=True)
class Measurement:
    """What a file says of how its scan was measured; empty or None where it is silent.

    Attributes:
        format: name of the file's format.
        part: which scan of several in one file (``"2 of 22"``), with its title if it has one.
        sample, instrument, date: as written in the file.
        anode: symbol of the tube's element.
        count_time: seconds a point; with a line detector, all channels together.
        wavelength_source: where the pattern's wavelength was found, or ``"user"``.
        k_alpha1, k_alpha2: Å.
        ratio: intensity of Kα2 over Kα1; 0 behind a monochromator that takes Kα2 away.
    """

    format: str = ""
    part: str = ""
    sample: str = ""
    instrument: str = ""
    date: str = ""
    anode: str = ""
    count_time: float | None = None
    wavelength_source: str = ""
    k_alpha1: float | None = None
    k_alpha2: float | None = None
    ratio: float | None = None


@dataclass(frozen=True, eq=False)
class Pattern:
    """A powder pattern: intensity against 2θ at a known wavelength.

    Args:
        two_theta: (n,) degrees, strictly increasing within [-1, 180], or decreasing (the scan is turned
            round); points at or below zero are dropped (instruments write a few).
        intensity: (n,) counts or arbitrary units.
        wavelength: Å, or the name of a tube line (``"CuKa"``).
        name: what people call it; a file name, usually.
        warnings: what a reader noticed and the user should know.
        measurement: what the file says of the measurement, when the pattern was read from one.

    Raises:
        PatternError: shapes differ, NaN, angles not increasing, fewer than 20 points, a span
            under 3 degrees, or no intensity at all.
        WavelengthError: the wavelength is absurd or unknown.
    """

    two_theta: NDArray[np.float64]
    intensity: NDArray[np.float64]
    wavelength: float
    name: str = ""
    warnings: tuple[str, ...] = ()
    measurement: Measurement | None = None

    def __init__(
        self,
        two_theta: ArrayLike,
        intensity: ArrayLike,
        wavelength: float | str,
        name: str = "",
        warnings: tuple[str, ...] = (),
        measurement: Measurement | None = None,
    ) -> None:
        angles, counts = check_scan(two_theta, intensity)
        angles.setflags(write=False)
        counts.setflags(write=False)
        object.__setattr__(self, "two_theta", angles)
        object.__setattr__(self, "intensity", counts)
        object.__setattr__(self, "wavelength", parse_wavelength(wavelength))
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "warnings", tuple(warnings))
        object.__setattr__(self, "measurement", measurement)

    def __len__(self) -> int:
        return len(self.two_theta)

    def __repr__(self) -> str:
        first, last = self.two_theta[0], self.two_theta[-1]
        return f"Pattern({len(self)} points, {first:g}-{last:g}°, {self.wavelength:g} Å)"


def check_scan(two_theta: ArrayLike, intensity: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The two columns of a scan as new arrays, fit for a `Pattern`.

    A scan that runs downwards is turned round; points at or below zero are dropped.

    Raises:
        PatternError: what `Pattern` says.
    """
    try:
        angles = np.array(two_theta, dtype=float)
        counts = np.array(intensity, dtype=float)
    except (TypeError, ValueError, OverflowError) as error:
        raise PatternError(f"the scan is not numbers: {error}") from None
    if angles.ndim != 1 or counts.ndim != 1:
        raise PatternError(f"arrays of shape {angles.shape} and {counts.shape}: pass 2θ and intensity as flat arrays")
    if len(angles) != len(counts):
        raise PatternError(f"{len(angles)} angles but {len(counts)} intensities")
    if len(angles) < MIN_POINTS:
        raise PatternError(f"{len(angles)} points: a powder scan needs at least {MIN_POINTS}; give the whole scan")
    if not (np.isfinite(angles).all() and np.isfinite(counts).all()):
        raise PatternError("the scan holds NaN or infinity: remove those points")
    if angles.min() < -1 or angles.max() > 180:
        raise PatternError(
            f"angles from {angles.min():g} to {angles.max():g}: the first column must be 2θ in degrees, 0 to 180"
        )
    if np.abs(counts).max() > MAX_INTENSITY:
        raise PatternError(f"intensities up to {np.abs(counts).max():g}: no detector counts so far; scale them")
    steps = np.diff(angles)
    if (steps < 0).all():
        angles, counts, steps = angles[::-1].copy(), counts[::-1].copy(), -steps[::-1]
    if (steps <= 0).any():
        where = int(np.argmax(steps <= 0))
        raise PatternError(
            f"2θ does not increase at point {where + 2} ({angles[where]:g} then {angles[where + 1]:g}): "
            "give one range a file, sorted and without repeated angles"
        )
    kept = angles > 0
    angles, counts = angles[kept], counts[kept]
    if len(angles) < MIN_POINTS or angles[-1] - angles[0] < MIN_SPAN:
        raise PatternError(
            f"the scan spans {np.ptp(angles) if len(angles) else 0:.3g} degrees of 2θ in {len(angles)} points: "
            f"at least {MIN_SPAN:g} degrees and {MIN_POINTS} points are needed; measure a longer range"
        )
    if not (counts > 0).any() or np.ptp(counts) == 0:
        raise PatternError("the scan has no signal: every intensity is the same or below zero; check the second column")
    return angles, counts


def q_from_two_theta(two_theta: ArrayLike, wavelength: float) -> NDArray[np.float64]:
    """Q = 1/d^2 = (2 sin θ / λ)^2 in 1/Å^2, the quadratic form of powder indexing."""
    return (2.0 * np.sin(np.radians(np.asarray(two_theta, dtype=float)) / 2.0) / wavelength) ** 2


def two_theta_from_q(q: ArrayLike, wavelength: float) -> NDArray[np.float64]:
    """2θ in degrees of Q = 1/d^2 (1/Å^2); NaN where the wavelength is too long to reach it."""
    sine = 0.5 * wavelength * np.sqrt(np.asarray(q, dtype=float))
    with np.errstate(invalid="ignore"):
        return np.degrees(2.0 * np.arcsin(sine))
