"""Structure to diffraction lines: positions, intensities, multiplicities and indices."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from syngony.diffraction import kernel
from syngony.diffraction.merging import polarise, powder_lines
from syngony.elements import ATOMIC_NUMBER, ELEMENT_INDEX, ELEMENTS, SCATTERING_A, SCATTERING_B
from syngony.errors import InputError, StructureError, WavelengthError
from syngony.pattern import q_from_two_theta
from syngony.structure import Structure
from syngony.wavelengths import parse_wavelength

MAX_REFLECTIONS = 20_000_000
"""A cell with more expected reflections than this is refused: they would take some 3 GB."""

SCATTERING_TABLE: NDArray[np.float64] = np.column_stack([ATOMIC_NUMBER, SCATTERING_A, SCATTERING_B])
"""(n_elements, 9) Z, four a and four b of every element, as the kernel takes them."""


@dataclass(frozen=True, eq=False)
class Reflections:
    """The diffraction lines of a structure, in order of 2θ.

    Attributes:
        two_theta: (n,) degrees.
        intensity: (n,) with the strongest line at 100.
        d_spacing: (n,) Å.
        hkl: (n, 3) the lexicographically largest indices of each line, in the structure's own cell.
        multiplicity: (n,) reflections of the whole sphere that fall together in the line.
        wavelength: Å.
    """

    two_theta: NDArray[np.float64]
    intensity: NDArray[np.float64]
    d_spacing: NDArray[np.float64]
    hkl: NDArray[np.int64]
    multiplicity: NDArray[np.int64]
    wavelength: float

    def __len__(self) -> int:
        return len(self.two_theta)


def reflections(
    structure: Structure,
    wavelength: float | str = 1.54184,
    two_theta_range: tuple[float, float] = (0.0, 90.0),
    *,
    b_iso: Mapping[str, float] | None = None,
    b_overall: float = 0.0,
    monochromator: float | None = None,
) -> Reflections:
    """Diffraction lines of a structure: kinematic, X-ray, with the Lorentz-polarisation factor.

    Neutral-atom scattering factors and no anomalous terms, as pymatgen's ``XRDCalculator``, with which
    positions and intensities agree to 1e-9.

    Args:
        structure: the crystal.
        wavelength: Å, or a tube line (``"CuKa"``).
        two_theta_range: degrees, within [0, 180].
        b_iso: isotropic displacement parameter B of elements, Å^2; f is multiplied by exp(-B sin^2 θ / λ^2).
            Elements left out have none.
        b_overall: B added for every element, Å^2.
        monochromator: 2θ_M of a crystal monochromator in degrees (26.6 for graphite and CuKa), for the
            polarisation factor (1 + cos^2 2θ_M cos^2 2θ) / (1 + cos^2 2θ_M) of an ideally mosaic crystal
            (Azaroff, Acta Cryst. 8, 701 (1955)); without one, (1 + cos^2 2θ) / 2.

    Raises:
        WavelengthError: the wavelength is absurd, or too long for any line of this cell.
        InputError: the range is empty, or a displacement parameter or angle is impossible.
        StructureError: no line in the range, or too many to list.
    """
    wavelength = parse_wavelength(wavelength)
    q_min, q_max = shell(wavelength, two_theta_range)
    thermal, polarisation = displacement_parameters(b_iso, b_overall), polarisation_of(monochromator)
    q, squared_factor, hkl = half_sphere(structure, q_max, q_min, thermal)
    if not squared_factor.any():
        raise no_line(structure, wavelength, two_theta_range)
    two_theta, q, intensity, multiplicity, hkl = powder_lines(q, squared_factor, hkl, wavelength, polarisation)
    return Reflections(two_theta, intensity, 1.0 / np.sqrt(q), hkl, multiplicity, wavelength)


def half_sphere(
    structure: Structure, q_max: float, q_min: float = 0.0, thermal: NDArray[np.float64] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """One of each Friedel pair of reflections with q_min <= Q <= q_max.

    Args:
        structure: the crystal.
        q_max, q_min: limits of Q = 1/d^2, 1/Å^2.
        thermal: (n_elements,) from `displacement_parameters`; none when omitted.

    Returns:
        Q = 1/d^2 (m,) in 1/Å^2, |F|^2 (m,) in electrons^2 and hkl (m, 3), not sorted.

    Raises:
        StructureError: the cell is so large that the list would not fit in memory.
    """
    expected = kernel.expected_size(structure.lattice.copy(), q_max)
    if expected > MAX_REFLECTIONS:
        raise StructureError(
            f"{structure.formula}: about {expected:.2g} reflections (cell of {structure.volume:.0f} Å^3): "
            "use a longer wavelength or a smaller range"
        )
    element = np.array([ELEMENT_INDEX[symbol] for symbol in structure.species], np.int16)
    return kernel.half_sphere(  # copies: compiled code for read-only arrays would be a second copy of all of it
        structure.lattice.copy(),
        element,
        structure.frac_coords.copy(),
        structure.occupancies.copy(),
        SCATTERING_TABLE,
        displacement_parameters() if thermal is None else thermal,
        q_min,
        q_max,
    )


def shell(wavelength: float, two_theta_range: tuple[float, float]) -> tuple[float, float]:
    """Smallest and largest Q (1/Å^2) of a range of 2θ.

    Raises:
        InputError: the range is empty, not finite or outside [0, 180].
    """
    low, high = (float(x) for x in two_theta_range)
    if not 0 <= low < high <= 180:
        raise InputError(f"2θ range {low:g} to {high:g}: give two angles, 0 <= low < high <= 180 degrees")
    q_min, q_max = (float(q) for q in q_from_two_theta([low, high], wavelength))
    return q_min, q_max


def displacement_parameters(b_iso: Mapping[str, float] | None = None, b_overall: float = 0.0) -> NDArray[np.float64]:
    """(n_elements,) isotropic B in Å^2 of every element of the table.

    Raises:
        InputError: an unknown element, or a B that is negative or no number.
    """
    values = np.full(len(ELEMENTS), float(b_overall))
    for symbol, value in (b_iso or {}).items():
        if symbol not in ELEMENT_INDEX:
            raise InputError(f"B of unknown element {symbol}: use symbols H to Cf")
        values[ELEMENT_INDEX[symbol]] += float(value)
    if not (np.isfinite(values).all() and (values >= 0).all()):
        raise InputError("an isotropic displacement parameter B is a number of Å^2, zero or more")
    return values


def lorentz_polarisation(
    q: NDArray[np.floating], wavelength: float, monochromator: float | None = None
) -> NDArray[np.float64]:
    """(1 + A cos^2 2θ) / (sin^2 θ cos θ) at Q (1/Å^2), where A is cos^2 of the monochromator's 2θ, 1 without one."""
    positions = np.ascontiguousarray(q, dtype=np.float64)
    return polarise(positions, np.ones(positions.shape), wavelength, polarisation_of(monochromator))


def polarisation_of(monochromator: float | None) -> float:
    """cos^2 of a monochromator's 2θ (degrees), 1 without one.

    Raises:
        InputError: the angle is not between 0 and 180 degrees.
    """
    if monochromator is None:
        return 1.0
    if not 0 <= monochromator <= 180:
        raise InputError(f"monochromator at 2θ = {monochromator:g}: give its 2θ in degrees, 0 to 180")
    return math.cos(math.radians(monochromator)) ** 2


def no_line(structure: Structure, wavelength: float, two_theta_range: tuple[float, float]) -> Exception:
    """The error of a structure without a line in the range: the wavelength's fault, or the range's."""
    low, high = two_theta_range
    longest = math.sqrt(1.0 / _smallest_q(structure.lattice.copy()))
    if wavelength >= 2.0 * longest:
        return WavelengthError(
            f"{structure.formula}: {wavelength:g} Å is too long for any line of this cell, whose longest d is "
            f"{longest:.4g} Å: use a wavelength under {2 * longest:.4g} Å"
        )
    return StructureError(
        f"{structure.formula}: no reflection between {low:g} and {high:g}° at {wavelength:g} Å; "
        "use a shorter wavelength or a wider range"
    )


def _smallest_q(lattice: NDArray[np.float64]) -> float:
    """Q of the longest spacing of a cell, 1/Å^2."""
    # The shortest of the three reciprocal axes bounds it; what lies within that is listed.
    bound = float(kernel.reciprocal_metric(lattice).diagonal().min()) * (1 + 1e-9)
    nothing = np.empty(0)
    element = np.empty(0, np.int16)
    q, _, _ = kernel.half_sphere(
        lattice, element, np.empty((0, 3)), nothing, SCATTERING_TABLE, displacement_parameters(), 0.0, bound
    )
    return float(q.min())
