"""Structure to diffraction lines: positions, intensities, multiplicities and indices."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from syngony.diffraction import kernel
from syngony.elements import ATOMIC_NUMBER, ELEMENT_INDEX, SCATTERING_A, SCATTERING_B
from syngony.errors import InputError, StructureError
from syngony.pattern import q_from_two_theta, two_theta_from_q
from syngony.structure import Structure
from syngony.wavelengths import parse_wavelength

MERGE_TOLERANCE = 1e-5
"""Reflections closer than this in 2θ (degrees) are one line, as in pymatgen."""

INTENSITY_CUT = 1e-3
"""Lines weaker than this, on a scale where the strongest is 100, are left out, as in pymatgen."""

MAX_REFLECTIONS = 20_000_000


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
) -> Reflections:
    """Diffraction lines of a structure: kinematic, X-ray, Lorentz-polarisation without monochromator.

    Neutral-atom scattering factors, no thermal factors and no anomalous terms, as pymatgen's
    ``XRDCalculator``, with which positions and intensities agree.

    Args:
        structure: the crystal.
        wavelength: Å, or a tube line (``"CuKa"``).
        two_theta_range: degrees, within [0, 180].

    Raises:
        WavelengthError: the wavelength is absurd, or too long for any line.
        InputError: the range is empty.
        StructureError: no line in the range, or too many to list.
    """
    wavelength = parse_wavelength(wavelength)
    low, high = (float(x) for x in two_theta_range)
    if not 0 <= low < high <= 180:
        raise InputError(f"2θ range {low:g} to {high:g}: give two angles, 0 <= low < high <= 180 degrees")
    q_min, q_max = q_from_two_theta([low, high], wavelength)
    q, squared_factor, hkl = half_sphere(structure, q_max, q_min)
    if len(q) == 0:
        raise StructureError(
            f"{structure.formula}: no reflection between {low:g} and {high:g}° at {wavelength:g} Å; "
            "use a shorter wavelength or a wider range"
        )
    intensity = 2.0 * squared_factor * lorentz_polarisation(q, wavelength)
    two_theta = two_theta_from_q(np.minimum(q, 4.0 / wavelength**2), wavelength)
    key = np.round(two_theta / MERGE_TOLERANCE).astype(np.int64)
    order = np.argsort(q, kind="stable")
    out = (np.empty_like(q), np.empty_like(q), np.empty(len(q), np.int64), np.empty((len(q), 3), np.int64))
    n = kernel.merge_lines(order, q, intensity, hkl, key, *out)
    q, multiplicity, hkl = out[0][:n], out[2][:n], out[3][:n]
    intensity = out[1][:n] * (100.0 / out[1][:n].max())
    kept = intensity > INTENSITY_CUT
    q = q[kept]
    return Reflections(
        two_theta=two_theta_from_q(np.minimum(q, 4.0 / wavelength**2), wavelength),
        intensity=intensity[kept],
        d_spacing=1.0 / np.sqrt(q),
        hkl=hkl[kept],
        multiplicity=multiplicity[kept],
        wavelength=wavelength,
    )


def half_sphere(
    structure: Structure, q_max: float, q_min: float = 0.0
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Every reflection with h >= 0 (one of each Friedel pair) and q_min <= Q <= q_max.

    Returns:
        Q = 1/d^2 (m,) in 1/Å^2, |F|^2 (m,) and hkl (m, 3), not sorted.

    Raises:
        StructureError: the cell is so large that the list would not fit in memory.
    """
    lengths = np.linalg.norm(structure.lattice, axis=1)
    axes = np.argsort(lengths, kind="stable")  # the longest last: the innermost loop runs along it
    lattice = structure.lattice[axes]
    metric = np.linalg.inv(lattice @ lattice.T)
    # The rounding allowance of a line that sits exactly on the limit.
    q_max = q_max * (1 + 1e-12)
    bounds = np.floor(np.sqrt(q_max) * lengths[axes] + 1e-9).astype(np.int64)
    expected = 2.1 * structure.volume * q_max**1.5
    if expected > MAX_REFLECTIONS:
        raise StructureError(
            f"{structure.formula}: about {expected:.2g} reflections (cell of {structure.volume:.0f} Å^3): "
            "use a longer wavelength or a smaller range"
        )
    index = np.array([ELEMENT_INDEX[symbol] for symbol in structure.species])
    by_element = np.argsort(index, kind="stable")
    elements, counts = np.unique(index, return_counts=True)
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    m = kernel.count_half_sphere(metric, bounds, q_max)
    q, squared_factor, hkl = np.empty(m), np.empty(m), np.empty((m, 3), np.int64)
    kernel.half_sphere(
        metric,
        bounds,
        q_max,
        np.ascontiguousarray(structure.frac_coords[by_element][:, axes]),
        structure.occupancies[by_element],
        starts,
        ATOMIC_NUMBER[elements],
        SCATTERING_A[elements],
        SCATTERING_B[elements],
        q,
        squared_factor,
        hkl,
    )
    original = np.empty_like(hkl)
    original[:, axes] = hkl
    if q_min > 0:
        inside = q >= q_min
        q, squared_factor, original = q[inside], squared_factor[inside], original[inside]
    return q, squared_factor, original


def lorentz_polarisation(q: NDArray[np.float64], wavelength: float) -> NDArray[np.float64]:
    """(1 + cos^2 2θ) / (sin^2 θ cos θ) at Q (1/Å^2), no monochromator."""
    sin2 = 0.25 * wavelength**2 * q
    cos_two_theta = 1.0 - 2.0 * sin2
    with np.errstate(divide="ignore"):
        return (1.0 + cos_two_theta**2) / (sin2 * np.sqrt(np.maximum(1.0 - sin2, 1e-12)))
