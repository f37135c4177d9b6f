"""Whole-pattern fit of a known lattice: the integrated intensity of every line it allows.

A Pawley fit (G. S. Pawley, J. Appl. Cryst. 14, 357, 1981): intensities are free, positions follow the
cell, and what one line takes from its neighbour is kept, as the normal matrix of the fit. Intensities are
not negative (non-negative least squares) and the background is part of the same linear problem, so that
lines that hide under others, or in the background, come out as unknown and not as zero.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from syngony.diffraction.line_shape import thompson_cox_hastings
from syngony.lattice.cell import UnitCell
from syngony.lattice.lattice_lines import LatticeLines, LineAreas, lattice_lines
from syngony.lattice.pawley_kernels import hat_functions, line_columns, model_of, nonnegative, normal_matrix, slopes
from syngony.lattice.scan_noise import ScanNoise, scan_noise, without_spikes
from syngony.pattern import Pattern, q_from_two_theta, two_theta_from_q
from syngony.wavelengths import TUBE_LINES

MAX_LINES = 260
"""Lines beyond these, at high angles, overlap too much to be worth their time."""

_KNOT_SPACING = 3.0  # degrees between knots of the background
_WIDEST_SHIFT = 0.18  # degrees: zero error and displacement of a bad instrument together
_MOST_SHIFTS = 10  # on either side
_SHIFT_LINES = 60
_MARGIN = 0.3  # degrees: lines just outside the scan still show their tails


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
    scan = _Scan.of(grid[kept], counts[kept])
    return _fit(scan, lines, pattern.wavelength, zero_shift, width or _first_width(scan))


class _Scan:
    """A scan with its noise and the background's functions."""

    def __init__(self, grid: NDArray[np.float64], counts: NDArray[np.float64], noise: ScanNoise) -> None:
        self.grid, self.counts, self.noise = grid, counts, noise
        knots = np.linspace(grid[0], grid[-1], max(3, round((grid[-1] - grid[0]) / _KNOT_SPACING) + 1))
        self.knot, self.fraction = hat_functions(grid, knots)
        bend = np.diff(np.eye(len(knots)), 2, axis=0)
        stiffness = 0.3 * float(np.median(counts)) + 2.0 * math.sqrt(noise.floor + noise.gain)
        self.penalty = bend.T @ bend / stiffness**2

    @classmethod
    def of(cls, grid: NDArray[np.float64], counts: NDArray[np.float64]) -> _Scan:
        return cls(np.ascontiguousarray(grid), np.ascontiguousarray(counts), scan_noise(counts))

    def until(self, angle: float) -> _Scan:
        kept = max(50, int(np.searchsorted(self.grid, angle)))
        return _Scan(self.grid[:kept], self.counts[:kept], self.noise)


@dataclass
class _State:
    """One profile, with the intensities that go best with it."""

    profile: Profile
    columns: tuple
    intensity: NDArray[np.float64]
    background: NDArray[np.float64]
    normal: NDArray[np.float64]
    rhs: NDArray[np.float64]
    curve: NDArray[np.float64]  # background included
    signal: NDArray[np.float64]
    cost: float


def _fit(scan: _Scan, lines: LatticeLines, wavelength: float, zero_shift: float, width: float) -> PawleyFit:
    weights = 1.0 / scan.noise.variance(scan.counts)
    weights = 1.0 / (1.0 / weights + (0.1 * np.maximum(scan.counts - np.median(scan.counts), 0.0)) ** 2)
    head = lines.head(_SHIFT_LINES)
    front = scan.until(float(two_theta_from_q(head.q[-1], wavelength)) + 0.5)
    candidates = []
    step = min(0.03, 0.5 * width)
    reach = min(_MOST_SHIFTS, math.ceil(_WIDEST_SHIFT / step))
    for radiation in _radiations(wavelength):
        for shift in zero_shift + step * np.arange(-reach, reach + 1):
            profile = Profile(float(shift), 0.0, lines.metric, 0.8 * width, 0.3 * width, 0.0, radiation)
            candidates.append(_solve(front, head, profile, weights[: len(front.grid)], sweeps=15))
    candidates.sort(key=lambda state: state.cost)
    # The better radiation may win by a little at a wrong shift only: each is followed a few steps.
    chosen: dict[tuple, _State] = {}
    for state in candidates:
        chosen.setdefault(state.profile.radiation, state)
    tried = []
    for state in chosen.values():
        state = _solve(scan, lines, state.profile, weights)
        for _ in range(2):
            state = _refine(scan, lines, state, weights, zero_shift, 4)
            own, _, _ = _weights(scan, state)
            state = _refine(scan, lines, _solve(scan, lines, state.profile, own, state.intensity), own, zero_shift, 3)
        state = _solve(scan, lines, state.profile, weights, state.intensity)
        tried.append(state)
    state = min(tried, key=lambda found: _robust_cost(scan, found))
    for iterations in (4, 4, 0):
        weights, misfit, chi_squared = _weights(scan, state)
        state = _solve(scan, lines, state.profile, weights, state.intensity)
        state = _refine(scan, lines, state, weights, zero_shift, iterations)
    positions, fwhm, _ = _geometry(lines, state.profile)
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
            return [((first, 2.0 / 3.0), (second, 1.0 / 3.0)), *{((first, 1.0),), ((wavelength, 1.0),)}]
    return [((wavelength, 1.0),)]


def _first_width(scan: _Scan) -> float:
    """FWHM, degrees, of the strongest lines: median of up to six."""
    counts = scan.counts - np.median(scan.counts)
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
        widths.append(scan.grid[high] - scan.grid[low])
        free[max(0, 2 * low - top) : 2 * high - top + 1] = False
    step = float(np.median(np.diff(scan.grid)))
    return float(np.clip(np.median(widths) if widths else 0.1, 1.5 * step, 1.5))


def _geometry(
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


def _solve(
    scan: _Scan,
    lines: LatticeLines,
    profile: Profile,
    weights: NDArray[np.float64],
    start: NDArray[np.float64] | None = None,
    sweeps: int = 200,
) -> _State:
    """Intensities and background of a profile: non-negative least squares, background eliminated first."""
    positions, fwhm, share = _geometry(lines, profile)
    shares = np.array([part for _, part in profile.radiation])
    columns = line_columns(scan.grid, positions, shares, fwhm, share)
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
    return _State(profile, columns, intensity, background, normal, rhs, curve, signal, cost)


def _weights(scan: _Scan, state: _State) -> tuple[NDArray[np.float64], float, float]:
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


def _robust_cost(scan: _Scan, state: _State) -> float:
    """How badly a curve fits, foreign lines counting little: sum of ln(1 + residual^2 / (9 variance))."""
    variance = scan.noise.variance(state.curve) + (0.03 * state.signal) ** 2
    return float(np.log1p((scan.counts - state.curve) ** 2 / (9.0 * variance)).sum())


def _refine(
    scan: _Scan, lines: LatticeLines, state: _State, weights: NDArray[np.float64], zero_shift: float, iterations: int
) -> _State:
    """Levenberg-Marquardt on the profile with the linear parameters projected out.

    Variable projection (L. Kaufman, BIT 15, 49, 1975): a step of the profile takes into account that
    intensities and background follow it.
    """
    scales = lines.metric_scale
    expected = np.concatenate([[zero_shift, 0.0, 0.0, 0.0, 0.0], lines.metric])
    # How far an aligned instrument and a refined cell can be off; widths are free within reason.
    tightness = 1.0 / np.concatenate([[0.06, 0.06, 1.0, 0.3, 0.5], 0.0015 * scales]) ** 2
    damping = 1e-3
    cost = state.cost + float(tightness @ (state.profile.vector() - expected) ** 2)
    for _ in range(iterations):
        jacobian = _jacobian(scan, lines, state)
        active = state.intensity > 0
        residual = scan.counts - state.curve
        hessian, gradient = _projected(scan, state, weights, jacobian, residual, active)
        vector = state.profile.vector()
        gradient -= tightness * (vector - expected)
        improved = False
        for _ in range(4):
            matrix = hessian + np.diag(tightness + damping * np.diag(hessian))
            step = np.linalg.solve(matrix, gradient)
            step[2:5] = np.clip(step[2:5], -0.5 * state.profile.gauss, 0.5 * state.profile.gauss)
            trial = _solve(scan, lines, state.profile.moved(vector + step), weights, state.intensity, 60)
            trial_cost = trial.cost + float(tightness @ (trial.profile.vector() - expected) ** 2)
            if trial_cost < cost:
                improved, gain = True, cost - trial_cost
                state, cost, damping = trial, trial_cost, max(0.1 * damping, 1e-6)
                break
            damping *= 10.0
        if not improved or gain < 1e-4 * cost:
            break
    return state


def _jacobian(scan: _Scan, lines: LatticeLines, state: _State) -> NDArray[np.float64]:
    """(m, 5 + p) derivatives of the curve by the profile's parameters, intensities fixed."""
    profile = state.profile
    positions, fwhm, share = _geometry(lines, profile)
    vector = profile.vector()
    steps = np.concatenate([[1e-4] * 5, 1e-6 * lines.metric_scale])
    by_position = np.empty((*positions.shape, len(vector)))
    by_width, by_share = np.empty((len(fwhm), len(vector))), np.empty((len(fwhm), len(vector)))
    for column, step in enumerate(steps):
        moved = vector.copy()
        moved[column] += step
        there = _geometry(lines, profile.moved(moved))
        by_position[:, :, column] = (there[0] - positions) / step
        by_width[:, column], by_share[:, column] = (there[1] - fwhm) / step, (there[2] - share) / step
    shares = np.array([part for _, part in profile.radiation])
    return slopes(scan.grid, positions, shares, fwhm, share, state.intensity, by_position, by_width, by_share)


def _projected(
    scan: _Scan,
    state: _State,
    weights: NDArray[np.float64],
    jacobian: NDArray[np.float64],
    residual: NDArray[np.float64],
    active: NDArray[np.bool_],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Gauss-Newton matrix and gradient of the profile's parameters, linear ones projected out."""
    targets = np.column_stack([jacobian, residual])
    weighted = weights[:, None] * targets
    first, start, values = state.columns
    count = len(scan.penalty)
    on_background = np.zeros((count, targets.shape[1]))
    np.add.at(on_background, scan.knot, (1.0 - scan.fraction)[:, None] * weighted)
    np.add.at(on_background, scan.knot + 1, scan.fraction[:, None] * weighted)
    _, ab, bb, _, _ = normal_matrix(*state.columns, weights, scan.counts, scan.knot, scan.fraction, count)
    bb = bb + scan.penalty
    bb[np.diag_indices(count)] += 1e-9 * np.trace(bb) / count
    rows = np.flatnonzero(active)
    on_lines = np.array([values[start[k] : start[k + 1]] @ weighted[first[k] : first[k] + start[k + 1] - start[k]]
                         for k in rows]).reshape(len(rows), targets.shape[1])  # fmt: skip
    # The background goes first, then the lines that it left (their normal matrix already lacks it).
    back = np.linalg.solve(bb, on_background)
    on_lines = on_lines - ab[rows] @ back
    normal = state.normal[np.ix_(rows, rows)]
    normal = normal + np.diag(1e-9 * np.diag(normal) + 1e-300)
    products = weighted.T @ targets - on_background.T @ back
    if len(rows):
        products -= on_lines.T @ np.linalg.solve(normal, on_lines)
    return products[:-1, :-1], products[:-1, -1]
