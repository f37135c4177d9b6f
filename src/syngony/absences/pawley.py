"""Whole-pattern fit of a known lattice: the integrated intensity of every line it allows.

A Pawley fit (G. S. Pawley, J. Appl. Cryst. 14, 357, 1981): intensities are free, positions follow the
cell, and what one line takes from its neighbour is kept, as the normal matrix of the fit. Intensities are
not negative (non-negative least squares) and the background is part of the same linear problem, so that
lines that hide under others, or in the background, come out as unknown and not as zero.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from syngony.absences.lattice_lines import LatticeLines, LineAreas, lattice_lines
from syngony.absences.pawley_model import Profile, Scan, State, geometry, solve
from syngony.absences.pawley_refinement import refine
from syngony.absences.scan_noise import without_spikes
from syngony.pattern import Pattern, q_from_two_theta, two_theta_from_q
from syngony.unit_cell import UnitCell
from syngony.wavelengths import TUBE_LINES

MAX_LINES = 260
"""Lines beyond these, at high angles, overlap too much to be worth their time."""

_WIDEST_SHIFT = 0.18  # degrees: zero error and displacement of a bad instrument together
_MOST_SHIFTS = 10  # on either side
_SHIFT_LINES, _TRIAL_LINES = 60, 110  # enough to find the shift, and to tell a doublet from a line
_POINTS_PER_WIDTH = 8
_MARGIN = 0.3  # degrees: lines just outside the scan still show their tails


@dataclass(frozen=True)
class PawleyFit(LineAreas):
    """Areas of the lines (counts times degrees; background integrated out) and what they were fitted with.

    Attributes:
        two_theta: (n,) degrees, where the fit puts the lines.
        fwhm: (n,) degrees.
        profile: as refined.
        misfit: error of the profile relative to the height of the lines.
        chi_squared: reduced, by counting statistics alone.
    """

    two_theta: NDArray[np.float64]
    fwhm: NDArray[np.float64]
    profile: Profile
    misfit: float
    chi_squared: float


def pawley_fit(
    pattern: Pattern, cell: UnitCell, *, zero_shift: float = 0.0, width: float | None = None, max_lines: int = MAX_LINES
) -> PawleyFit:
    """Fit a scan with the lines of a lattice.

    Zero error, displacement, cell, widths and the presence of Kα2 are refined from what is given; the cell
    by a few tenths of a percent.

    Args:
        pattern: the scan.
        cell: refined, its centring known.
        zero_shift: degrees, added to calculated angles.
        width: FWHM of its lines in degrees, to begin with; from the scan when None.
        max_lines: the fit ends at this line.

    Raises:
        InputError: no line of the lattice lies within the scan.
    """
    grid, counts = pattern.two_theta, without_spikes(pattern.intensity)
    first, last = q_from_two_theta(
        np.array([max(grid[0] - _MARGIN, 0.1), min(grid[-1] + _MARGIN, 179.0)]), pattern.wavelength
    )
    lines = lattice_lines(cell, float(first), float(last), max_lines)
    # Past the last line come others that are not in the fit.
    end = two_theta_from_q(lines.q[-1], pattern.wavelength) if len(lines) == max_lines else grid[-1]
    kept = grid <= max(float(end), grid[min(len(grid), 50) - 1])
    grid, counts = grid[kept], counts[kept]
    width = width or _first_width(grid, counts)
    return _fit(Scan.of(*_binned(grid, counts, width)), lines, pattern.wavelength, zero_shift, width)


def _binned(
    grid: NDArray[np.float64], counts: NDArray[np.float64], width: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The scan with so many points averaged that a FWHM holds eight or more: finer steps only cost time."""
    size = int(width / _POINTS_PER_WIDTH / float(np.median(np.diff(grid))))
    if size < 2:
        return grid, counts
    whole = len(grid) // size * size
    return grid[:whole].reshape(-1, size).mean(1), counts[:whole].reshape(-1, size).mean(1)


def _fit(scan: Scan, lines: LatticeLines, wavelength: float, zero_shift: float, width: float) -> PawleyFit:
    """Shift by trial, radiation by trial, then the profile with weights that follow it."""
    # Before there is a curve: a tenth of what stands above the background may be the profile's error.
    above = np.maximum(scan.counts - np.median(scan.counts), 0.0)
    weights = 1.0 / (scan.noise.variance(scan.counts) + (0.1 * above) ** 2)
    head = lines.head(_SHIFT_LINES)
    front = scan.until(float(two_theta_from_q(head.q[-1], wavelength)) + 0.5)
    candidates = []
    step = min(0.03, 0.5 * width)
    reach = min(_MOST_SHIFTS, math.ceil(_WIDEST_SHIFT / step))
    for radiation in _radiations(wavelength):
        for shift in zero_shift + step * np.arange(-reach, reach + 1):
            profile = Profile(float(shift), 0.0, lines.metric, 0.8 * width, 0.3 * width, 0.0, radiation)
            candidates.append(solve(front, head, profile, weights[: len(front.grid)], sweeps=15))
    candidates.sort(key=lambda state: state.cost)
    # The better radiation may win by a little at a wrong shift only: each is followed a few steps.
    chosen: dict[tuple, State] = {}
    for state in candidates:
        chosen.setdefault(state.profile.radiation, state)
    tried = []
    head = lines.head(_TRIAL_LINES)
    front = scan.until(float(two_theta_from_q(head.q[-1], wavelength)) + 0.5) if len(head) < len(lines) else scan
    first = weights[: len(front.grid)]
    for state in chosen.values():
        state = solve(front, head, state.profile, first)
        for _ in range(2):
            state = refine(front, head, state, first, zero_shift, 4)
            own, _, _ = _weights(front, state)
            state = refine(front, head, solve(front, head, state.profile, own, state.intensity), own, zero_shift, 3)
        tried.append(solve(front, head, state.profile, first, state.intensity))
    state = solve(scan, lines, min(tried, key=lambda found: _robust_cost(front, found)).profile, weights)
    for iterations in (4, 4, 0):
        weights, misfit, chi_squared = _weights(scan, state)
        state = solve(scan, lines, state.profile, weights, state.intensity)
        state = refine(scan, lines, state, weights, zero_shift, iterations)
    positions, fwhm, _ = geometry(lines, state.profile)
    return PawleyFit(
        lines, state.intensity, state.normal, state.rhs, positions[:, 0], fwhm, state.profile, misfit, chi_squared
    )


def _radiations(wavelength: float) -> list[tuple[tuple[float, float], ...]]:
    """What a stated wavelength may stand for: a doublet, its first line, or itself.

    Who strips Kα2 often still states the mean; his cell is then on either scale.
    """
    for anode in ("Cu", "Co", "Fe", "Cr", "Mo", "Ag"):
        first, second = TUBE_LINES[f"{anode}Ka1"], TUBE_LINES[f"{anode}Ka2"]
        if min(abs(wavelength / TUBE_LINES[f"{anode}{name}"] - 1.0) for name in ("Ka", "Ka1")) < 1.5e-4:
            return [((first, 2.0 / 3.0), (second, 1.0 / 3.0)), *dict.fromkeys([((first, 1.0),), ((wavelength, 1.0),)])]
    return [((wavelength, 1.0),)]


def _first_width(grid: NDArray[np.float64], counts: NDArray[np.float64]) -> float:
    """FWHM, degrees, of the strongest lines: median of up to six."""
    counts = counts - np.median(counts)
    free, widths = np.ones(len(counts), dtype=bool), []
    for _ in range(6):
        top = int(np.argmax(np.where(free, counts, -np.inf)))
        if counts[top] <= 0:
            break
        low, high = top, top
        while low > 0 and counts[low] > 0.5 * counts[top]:
            low -= 1
        while high < len(counts) - 1 and counts[high] > 0.5 * counts[top]:
            high += 1
        widths.append(grid[high] - grid[low])
        free[max(0, 2 * low - top) : 2 * high - top + 1] = False
    step = float(np.median(np.diff(grid)))
    return float(np.clip(np.median(widths) if widths else 0.1, 1.5 * step, 1.5))


def _weights(scan: Scan, state: State) -> tuple[NDArray[np.float64], float, float]:
    """Weights (m,) with the profile's own error in them, that error, and the reduced chi squared without it.

    A wrong profile is wrong in the same way over the width of a line, where counting errors differ from
    point to point: its variance counts as many times as a half width has points. What no line of the lattice
    explains (another phase) must not draw lines towards it: beyond three deviations it pays for itself.
    """
    counting = scan.noise.variance(state.curve)
    residual = scan.counts - state.curve
    high = state.signal > 5.0 * np.sqrt(counting)
    misfit = 0.02
    if high.sum() > 10:
        worst = residual[high] ** 2 / (counting[high] + (0.1 * state.signal[high]) ** 2)
        usual = np.flatnonzero(high)[worst <= np.quantile(worst, 0.9)]
        excess = np.sum(residual[usual] ** 2 - counting[usual]) / np.sum(state.signal[usual] ** 2)
        misfit = float(np.clip(math.sqrt(max(float(excess), 0.0)), 0.01, 0.2))
    points = max(1.0, 0.5 * (state.profile.gauss + state.profile.size) / float(np.median(np.diff(scan.grid))))
    chi_squared = float(np.mean(residual**2 / counting))
    variance = counting + points * (misfit * state.signal) ** 2
    foreign = np.maximum(np.abs(residual) - 3.0 * np.sqrt(variance), 0.0)
    return 1.0 / (variance + foreign**2), misfit, chi_squared


def _robust_cost(scan: Scan, state: State) -> float:
    """How badly a curve fits, foreign lines counting little: sum of ln(1 + residual^2 / (9 variance))."""
    variance = scan.noise.variance(state.curve) + (0.03 * state.signal) ** 2
    return float(np.log1p((scan.counts - state.curve) ** 2 / (9.0 * variance)).sum())
