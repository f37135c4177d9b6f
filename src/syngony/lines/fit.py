"""Least squares of overlapping powder lines, group by group, compiled.

A line is a pseudo-Voigt, with Kα2 a pair of them that share width and mixing. Its width is held near
the curve that all lines follow, as strongly as their scatter about the curve says, so that two lines
under one maximum do not pass for a broad one.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

_LN2 = math.log(2.0)
_GAUSS = math.sqrt(_LN2 / math.pi)
_REACH = 30.0  # half widths to which a Lorentzian is drawn
_CORE = 7.0  # half widths of a fit's window
_RADIAN = math.pi / 180.0
_STEEPEST = 0.6  # of the skewness: the steep side keeps four tenths of its width


@njit(cache=True, error_model="numpy")
def partner(two_theta, ratio):
    """2θ (degrees) of the same plane at a wavelength `ratio` times as long, and d(partner)/d(two_theta)."""
    sine = ratio * math.sin(0.5 * two_theta * _RADIAN)
    if sine >= 0.99999:
        return 1e6, 1.0
    angle = 2.0 * math.asin(sine) / _RADIAN
    return angle, ratio * math.cos(0.5 * two_theta * _RADIAN) / math.sqrt(1.0 - sine * sine)


@njit(cache=True, error_model="numpy")
def skewness(two_theta, skew):
    """Share by which half widths below a line are larger, and above it smaller: see `LineShape.asymmetry`."""
    angle = two_theta * _RADIAN
    return min(max(skew * math.cos(angle) / max(abs(math.sin(angle)), 1e-6), -_STEEPEST), _STEEPEST)


@njit(cache=True, error_model="numpy")
def add_line(x, position, area, fwhm, eta, ratio, share, skew, out):
    """Add one line (with its Kα2 where share > 0) to `out` (n,) at angles `x` (n,), intensity per degree."""
    half = 0.5 * fwhm
    for component in range(2 if share > 0.0 else 1):
        centre = position
        scale = area / half
        if component == 1:
            centre, _ = partner(position, ratio)
            scale *= share
        lorentz, gauss = scale * eta / math.pi, scale * (1.0 - eta) * _GAUSS
        lean = skewness(centre, skew)
        first = np.searchsorted(x, centre - _REACH * half)
        last = np.searchsorted(x, centre + _REACH * half)
        for i in range(first, last):
            u = (x[i] - centre) / half
            u /= 1.0 + lean if u < 0.0 else 1.0 - lean
            value = lorentz / (1.0 + u * u)
            if abs(u) < 4.5:
                value += gauss * math.exp(-_LN2 * u * u)
            out[i] += value


@njit(cache=True, error_model="numpy")
def _model(x, first, last, p, n, ratio, share, skew, model, jacobian):
    """Model of a group on x[first:last] and its derivatives; `p` as in `fit_group`."""
    eta = p[3 * n]
    span = 0.5 * (x[last - 1] - x[first])
    middle = 0.5 * (x[last - 1] + x[first])
    jacobian[: last - first] = 0.0
    for i in range(first, last):
        t = (x[i] - middle) / span
        model[i - first] = p[3 * n + 1] + p[3 * n + 2] * t
        jacobian[i - first, 3 * n + 1] = 1.0
        jacobian[i - first, 3 * n + 2] = t
    for j in range(n):
        half = 0.5 * math.exp(p[3 * j + 2])
        for component in range(2 if share > 0.0 else 1):
            centre, slope, part = p[3 * j], 1.0, 1.0 / half
            if component == 1:
                centre, slope = partner(p[3 * j], ratio)
                part *= share
            begin = max(first, np.searchsorted(x, centre - _REACH * half))
            end = min(last, np.searchsorted(x, centre + _REACH * half))
            lean = skewness(centre, skew)
            for i in range(begin, end):
                u = (x[i] - centre) / half
                side = 1.0 + lean if u < 0.0 else 1.0 - lean
                u /= side
                lorentz = part / math.pi / (1.0 + u * u)
                gauss = part * _GAUSS * math.exp(-_LN2 * u * u) if abs(u) < 4.5 else 0.0
                shape = eta * lorentz + (1.0 - eta) * gauss
                area = p[3 * j + 1]
                by_centre = area * 2.0 * u * (eta * lorentz / (1.0 + u * u) + (1.0 - eta) * gauss * _LN2)
                k = i - first
                model[k] += area * shape
                jacobian[k, 3 * j] += by_centre * slope / (half * side)
                jacobian[k, 3 * j + 1] += shape
                jacobian[k, 3 * j + 2] += u * by_centre - area * shape
                jacobian[k, 3 * n] += area * (lorentz - gauss)


@njit(cache=True, error_model="numpy")
def _factor(matrix, n):
    """Cholesky factor in place (lower triangle); False where the matrix is not positive."""
    for j in range(n):
        for k in range(j):
            for i in range(j, n):
                matrix[i, j] -= matrix[i, k] * matrix[j, k]
        if not matrix[j, j] > 0.0:
            return False
        root = math.sqrt(matrix[j, j])
        for i in range(j, n):
            matrix[i, j] /= root
    return True


@njit(cache=True, error_model="numpy")
def _solve(factor, vector, n):
    """Solve in place with a factor of `_factor`."""
    for i in range(n):
        for k in range(i):
            vector[i] -= factor[i, k] * vector[k]
        vector[i] /= factor[i, i]
    for i in range(n - 1, -1, -1):
        for k in range(i + 1, n):
            vector[i] -= factor[k, i] * vector[k]
        vector[i] /= factor[i, i]


@njit(cache=True, error_model="numpy")
def fit_group(x, target, variance, first, last, p, n, prior, strength, ratio, share, skew, rounds, error):
    """Fit n lines to x[first:last] by Levenberg and Marquardt; returns reduced chi-squared.

    Args:
        x, target, variance: (m,) angles, intensities without background and other lines, squared uncertainties.
        p: (3 n + 3,) position, area and ln FWHM of each line, then mixing, level and slope of what the
            background leaves; changed in place.
        prior, strength: (3 n + 3,) values that the parameters are held at, and 1 / squared uncertainty of
            these; strength 0 leaves a parameter free.
        ratio, share: Kα2 over Kα1, wavelength and intensity; share 0 for single lines.
        skew: of axial divergence, see `skewness`.
        rounds: largest number of steps.
        error: (3 n + 3,) standard uncertainties, written.
    """
    m, size = last - first, 3 * n + 3
    model, jacobian = np.empty(m), np.empty((m, size))
    trial_model, trial_jacobian = np.empty(m), np.empty((m, size))
    normal, gradient = np.empty((size, size)), np.empty(size)
    factor, step, trial = np.empty((size, size)), np.empty(size), np.empty(size)
    start = p.copy()
    _model(x, first, last, p, n, ratio, share, skew, model, jacobian)
    cost = _cost(target, variance, first, model, p, prior, strength)
    damping = 1e-3
    for _ in range(rounds):
        _normal_equations(target, variance, first, model, jacobian, p, prior, strength, normal, gradient)
        better = False
        for _ in range(5):
            factor[:] = normal
            for k in range(size):
                factor[k, k] *= 1.0 + damping
            if not _factor(factor, size):
                damping = max(10.0 * damping, 1e-2)
                continue
            step[:] = gradient
            _solve(factor, step, size)
            for j in range(n):
                width = math.exp(p[3 * j + 2])
                low, high = start[3 * j] - 0.8 * width, start[3 * j] + 0.8 * width
                trial[3 * j] = min(max(p[3 * j] + min(max(step[3 * j], -0.3 * width), 0.3 * width), low), high)
                trial[3 * j + 1] = max(p[3 * j + 1] + step[3 * j + 1], 0.05 * p[3 * j + 1])
                trial[3 * j + 2] = p[3 * j + 2] + min(max(step[3 * j + 2], -0.4), 0.4)
            trial[3 * n] = min(max(p[3 * n] + step[3 * n], 0.0), 1.0)
            trial[3 * n + 1 :] = p[3 * n + 1 :] + step[3 * n + 1 :]
            _model(x, first, last, trial, n, ratio, share, skew, trial_model, trial_jacobian)
            value = _cost(target, variance, first, trial_model, trial, prior, strength)
            if value < cost:
                better = True
                break
            damping = max(8.0 * damping, 1e-3)
        if not better:
            break
        gained = cost - value
        p[:] = trial
        cost = value
        model, trial_model = trial_model, model
        jacobian, trial_jacobian = trial_jacobian, jacobian
        damping *= 0.2
        if gained < 1e-3 * cost + 1e-3:
            break
    _normal_equations(target, variance, first, model, jacobian, p, prior, strength, normal, gradient)
    for k in range(size):
        normal[k, k] *= 1.0 + 1e-9
    chi2 = 0.0
    for i in range(m):
        chi2 += (target[first + i] - model[i]) ** 2 / variance[first + i]
    if _factor(normal, size):
        for k in range(size):
            step[:] = 0.0
            step[k] = 1.0
            _solve(normal, step, size)
            error[k] = math.sqrt(max(step[k], 0.0))
    else:
        error[:] = np.inf
    return chi2 / max(m - size, 1)


@njit(cache=True, error_model="numpy")
def _cost(target, variance, first, model, p, prior, strength):
    total = 0.0
    for i in range(model.shape[0]):
        total += (target[first + i] - model[i]) ** 2 / variance[first + i]
    for k in range(p.shape[0]):
        total += strength[k] * (p[k] - prior[k]) ** 2
    return total


@njit(cache=True, error_model="numpy")
def _normal_equations(target, variance, first, model, jacobian, p, prior, strength, normal, gradient):
    size = p.shape[0]
    normal[:] = 0.0
    gradient[:] = 0.0
    nonzero = np.empty(size, np.int64)
    for i in range(model.shape[0]):
        weight = 1.0 / variance[first + i]
        residual = weight * (target[first + i] - model[i])
        count = 0
        for k in range(size):
            if jacobian[i, k] != 0.0:
                nonzero[count] = k
                count += 1
        for a in range(count):
            k = nonzero[a]
            value = jacobian[i, k]
            gradient[k] += value * residual
            value *= weight
            for b in range(a + 1):
                normal[k, nonzero[b]] += value * jacobian[i, nonzero[b]]
    for k in range(size):
        normal[k, k] += strength[k]
        gradient[k] += strength[k] * (prior[k] - p[k])
        for other in range(k + 1, size):
            normal[k, other] = normal[other, k]


@njit(cache=True, error_model="numpy")
def fit_lines(x, net, variance, lines, errors, held, starts, level, ratio, share, skew, sweeps, rounds):
    """Fit all groups, each against what the others leave, some times over.

    Args:
        x, net, variance: (m,) degrees, intensity without background, squared uncertainty.
        lines: (n, 4) position, area, ln FWHM and mixing, in order of position; changed in place.
        errors: (n, 4) their standard uncertainties, written.
        held: (n, 4) ln FWHM and mixing to hold a line at, and the uncertainty of each.
        starts: (g + 1,) first line of each group, and n.
        level: (m,) uncertainty of the background.
        ratio, share, skew: as in `fit_group`.
        sweeps, rounds: times over all groups, and steps in each fit.

    Returns:
        model (m,) of all lines, and reduced chi-squared (g,).
    """
    model = np.zeros(x.shape[0])
    for j in range(lines.shape[0]):
        add_line(x, lines[j, 0], lines[j, 1], math.exp(lines[j, 2]), lines[j, 3], ratio, share, skew, model)
    groups = starts.shape[0] - 1
    chi2 = np.ones(groups)
    target = np.empty(x.shape[0])
    own = np.zeros(x.shape[0])
    for _ in range(sweeps):
        for g in range(groups):
            begin, end = starts[g], starts[g + 1]
            n = end - begin
            low = lines[begin, 0] - 0.5 * _CORE * math.exp(lines[begin, 2])
            high = lines[end - 1, 0]
            if share > 0.0:
                high, _ = partner(high, ratio)
            high += 0.5 * _CORE * math.exp(lines[end - 1, 2])
            first, last = np.searchsorted(x, low), np.searchsorted(x, high)
            if last - first < 5:
                errors[begin:end] = np.inf
                continue
            widest = math.exp(lines[begin:end, 2].max())
            far_low = np.searchsorted(x, low - _REACH * widest)
            far_high = np.searchsorted(x, high + _REACH * widest)
            for j in range(begin, end):
                add_line(x, lines[j, 0], lines[j, 1], math.exp(lines[j, 2]), lines[j, 3], ratio, share, skew, own)
            p, prior, strength = np.zeros(3 * n + 3), np.zeros(3 * n + 3), np.zeros(3 * n + 3)
            error = np.empty(3 * n + 3)
            mixing = 0.0
            for j in range(n):
                p[3 * j : 3 * j + 3] = lines[begin + j, :3]
                prior[3 * j + 2], strength[3 * j + 2] = held[begin + j, 0], 1.0 / held[begin + j, 2] ** 2
                mixing += held[begin + j, 1] / n
            p[3 * n] = prior[3 * n] = mixing
            strength[3 * n] = 1.0 / held[begin, 3] ** 2
            middle = (first + last) // 2
            strength[3 * n + 1] = strength[3 * n + 2] = 1.0 / level[middle] ** 2
            for i in range(first, last):
                target[i] = net[i] - model[i] + own[i]
            chi2[g] = fit_group(
                x, target, variance, first, last, p, n, prior, strength, ratio, share, skew, rounds, error
            )  # fmt: skip
            for i in range(far_low, far_high):
                model[i] -= own[i]
                own[i] = 0.0
            for j in range(n):
                lines[begin + j, :3] = p[3 * j : 3 * j + 3]
                lines[begin + j, 3] = p[3 * n]
                errors[begin + j, :3] = error[3 * j : 3 * j + 3]
                errors[begin + j, 3] = error[3 * n]
                width = math.exp(p[3 * j + 2])
                add_line(x, p[3 * j], p[3 * j + 1], width, p[3 * n], ratio, share, skew, model)
    return model, chi2


@njit(cache=True, error_model="numpy")
def strip_partner(x, values, ratio, share, width):
    """Take Kα2 off a smooth scan, from low to high angles: W. A. Rachinger, J. Sci. Instrum. 25, 254 (1948).

    Args:
        x, values: (n,) regular grid, degrees; any curve that is linear in the intensity.
        ratio, share: Kα2 over Kα1, wavelength and intensity.
        width: degrees to which the curve was smoothed.

    Returns:
        (n,) the curve of Kα1 alone, and (n,) the factor on its standard uncertainty.
    """
    n = x.shape[0]
    single, damp = values.copy(), np.ones(n)
    step = x[1] - x[0]
    for i in range(n):
        first, _ = partner(x[i], 1.0 / ratio)
        shift = x[i] - first
        place = (first - x[0]) / step
        j = math.floor(place)
        part = place - j
        if j < 0:
            single[i] = values[i] / (1.0 + share) if shift < width else values[i]
        elif j + 1 < i:
            single[i] = values[i] - share * ((1.0 - part) * single[j] + part * single[j + 1])
        elif j + 1 == i:
            single[i] = (values[i] - share * (1.0 - part) * single[j]) / (1.0 + share * part)
        else:
            single[i] = values[i] / (1.0 + share)
        low = 1.0 / (1.0 + share) ** 2
        damp[i] = math.sqrt(low + (1.0 / (1.0 - share * share) - low) * (1.0 - math.exp(-((shift / width) ** 2))))
    return single, damp
