"""A scan as background and lines of given places and shapes, whose areas are a linear problem."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from syngony.absences.lattice_lines import LatticeLines
from syngony.absences.pawley_kernels import hat_functions, line_columns, model_of, nonnegative, normal_matrix
from syngony.absences.scan_noise import ScanNoise, scan_noise
from syngony.diffraction.line_shape import thompson_cox_hastings

_KNOT_SPACING = 3.0  # degrees between knots of the background

Columns: TypeAlias = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]
"""Lines as curves of unit area: see `line_columns`."""


@dataclass(frozen=True)
class Profile:
    """What turns the lattice's lines into a curve; angles in degrees of 2θ.

    Attributes:
        zero, displacement: the shift of a line is zero + displacement cos θ.
        metric: (p,) independent elements of the reciprocal metric, 1/Å^2.
        gauss: Gaussian FWHM; `size`, `strain`: Lorentzian FWHM size / cos θ + strain tan θ.
        radiation: ((Å, share), ...).
    """

    zero: float
    displacement: float
    metric: NDArray[np.float64]
    gauss: float
    size: float
    strain: float
    radiation: tuple[tuple[float, float], ...]

    def vector(self) -> NDArray[np.float64]:
        """(5 + p,) refined parameters: zero, displacement, gauss, size, strain, metric."""
        return np.concatenate([[self.zero, self.displacement, self.gauss, self.size, self.strain], self.metric])

    def moved(self, vector: NDArray[np.float64]) -> Profile:
        """This profile with other parameters, widths kept possible."""
        zero, displacement, gauss, size, strain = (float(x) for x in vector[:5])
        return replace(
            self,
            zero=zero,
            displacement=displacement,
            gauss=max(abs(gauss), 0.004),
            size=max(size, 0.0),
            strain=max(strain, 0.0),
            metric=np.array(vector[5:]),
        )


class Scan:
    """A scan with its noise and the background's functions."""

    def __init__(self, grid: NDArray[np.float64], counts: NDArray[np.float64], noise: ScanNoise) -> None:
        self.grid, self.counts, self.noise = grid, counts, noise
        knots = np.linspace(grid[0], grid[-1], max(3, round((grid[-1] - grid[0]) / _KNOT_SPACING) + 1))
        self.knot, self.fraction = hat_functions(grid, knots)
        bend = np.diff(np.eye(len(knots)), 2, axis=0)
        stiffness = 0.3 * float(np.median(counts)) + 2.0 * math.sqrt(noise.floor + noise.gain)
        self.penalty = bend.T @ bend / stiffness**2

    @classmethod
    def of(cls, grid: NDArray[np.float64], counts: NDArray[np.float64]) -> Scan:
        return cls(np.ascontiguousarray(grid), np.ascontiguousarray(counts), scan_noise(counts))

    def until(self, angle: float) -> Scan:
        kept = max(50, int(np.searchsorted(self.grid, angle)))
        return Scan(self.grid[:kept], self.counts[:kept], self.noise)


@dataclass
class State:
    """One profile, with the intensities that go best with it."""

    profile: Profile
    columns: Columns
    intensity: NDArray[np.float64]
    background: NDArray[np.float64]
    normal: NDArray[np.float64]
    rhs: NDArray[np.float64]
    curve: NDArray[np.float64]  # background included
    signal: NDArray[np.float64]
    cost: float


def geometry(
    lines: LatticeLines, profile: Profile
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Positions (n, radiations), FWHM (n,) and Lorentzian shares (n,)."""
    root = np.sqrt(np.maximum(lines.form @ profile.metric, 1e-9))
    lengths = np.array([length for length, _ in profile.radiation])
    sine = np.minimum(0.5 * np.outer(root, lengths), 0.9999)
    theta = np.arcsin(sine)
    positions = np.degrees(2.0 * theta) + profile.zero + profile.displacement * np.cos(theta)
    cosine, tangent = np.cos(theta[:, 0]), np.tan(theta[:, 0])
    fwhm, share = thompson_cox_hastings(
        np.full(len(root), profile.gauss), profile.size / cosine + profile.strain * tangent
    )
    return positions, fwhm, share


def solve(
    scan: Scan,
    lines: LatticeLines,
    profile: Profile,
    weights: NDArray[np.float64],
    start: NDArray[np.float64] | None = None,
    sweeps: int = 200,
) -> State:
    """Intensities and background of a profile: non-negative least squares, background eliminated first."""
    positions, fwhm, share = geometry(lines, profile)
    shares = np.array([part for _, part in profile.radiation])
    columns: Columns = line_columns(scan.grid, positions, shares, fwhm, share)
    aa, ab, bb, a, b = normal_matrix(*columns, weights, scan.counts, scan.knot, scan.fraction, len(scan.penalty))
    bb = bb + scan.penalty
    bb[np.diag_indices(len(bb))] += 1e-9 * np.trace(bb) / len(bb)
    back = np.linalg.solve(bb, np.column_stack([ab.T, b]))
    normal, rhs = aa - ab @ back[:, :-1], a - ab @ back[:, -1]
    intensity = nonnegative(normal, rhs, np.zeros(len(rhs)) if start is None else start.copy(), sweeps)
    background = back[:, -1] - back[:, :-1] @ intensity
    signal, curve = model_of(*columns, intensity, background, scan.knot, scan.fraction)
    residual = scan.counts - curve
    cost = float(weights @ residual**2 + background @ scan.penalty @ background)
    return State(profile, columns, intensity, background, normal, rhs, curve, signal, cost)
