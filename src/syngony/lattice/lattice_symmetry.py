"""The symmetry of a lattice, from the two-fold axes of its reduced cell.

A two-fold axis of a lattice is a row [u] of it that is nearly normal to a net (h): the angle between u and h* is the
obliquity. The axes below a tolerance, and how they stand to each other, name the lattice system and give its
conventional axes (Y. Le Page, J. Appl. Cryst. 15, 255, 1982). spglib gives the same with a hundred times the work.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from syngony.lattice.predicted import CUBIC, HEXAGONAL, MONOCLINIC, ORTHORHOMBIC, TETRAGONAL

_MOST_AXES = 24
_P, _C, _I, _F, _R = range(5)


def _rows() -> NDArray[np.int64]:
    """Directions with indices up to two, one of each pair of opposites."""
    every = [v for v in itertools.product(range(-2, 3), repeat=3) if v > (0, 0, 0) and math.gcd(*v) == 1]
    return np.array(every)


ROWS = _rows()


@njit(cache=True, error_model="numpy")
def twofold_axes(metric, reciprocal, rows, largest, axes, normals, obliquity):
    """Fill the two-fold axes of a reduced cell, the best first; return how many.

    Args:
        metric, reciprocal: (3, 3) Å^2 of the reduced cell, and its inverse.
        rows: `ROWS`.
        largest: radians, of the obliquity.
        axes, normals: (k, 3) integers to fill: the row and the normal of its net; obliquity: (k,) radians to fill.
    """
    n = 0
    size = rows.shape[0]
    smallest = math.cos(largest)
    lengths, heights = np.empty(size), np.empty(size)
    for i in range(size):
        lengths[i], heights[i] = 0.0, 0.0
        for x in range(3):
            for y in range(3):
                lengths[i] += rows[i, x] * metric[x, y] * rows[i, y]
                heights[i] += rows[i, x] * reciprocal[x, y] * rows[i, y]
        lengths[i], heights[i] = math.sqrt(lengths[i]), math.sqrt(heights[i])
    for i in range(size):
        nearest, best = -1, smallest
        for j in range(size):
            dot = rows[i, 0] * rows[j, 0] + rows[i, 1] * rows[j, 1] + rows[i, 2] * rows[j, 2]
            # The half turn 2 u h / (u.h) - 1 is of integers for these alone.
            if abs(dot) != 1 and abs(dot) != 2:
                continue
            cosine = abs(dot) / (lengths[i] * heights[j])
            if cosine >= best:
                nearest, best = j, cosine
        if nearest < 0 or n == axes.shape[0]:
            continue
        angle = math.acos(min(1.0, best))
        place = n
        while place > 0 and obliquity[place - 1] > angle:
            axes[place], normals[place] = axes[place - 1], normals[place - 1]
            obliquity[place] = obliquity[place - 1]
            place -= 1
        axes[place], normals[place], obliquity[place] = rows[i], rows[nearest], angle
        n += 1
    return n


@njit(cache=True, error_model="numpy")
def _length(metric, u):
    return math.sqrt(_dot(metric, u, u))


@njit(cache=True, error_model="numpy")
def _dot(metric, u, v):
    total = 0.0
    for x in range(3):
        for y in range(3):
            total += u[x] * metric[x, y] * v[y]
    return total


@njit(cache=True, error_model="numpy")
def _cross(u, v, w):
    """The integer direction normal to two, its common divisor taken out."""
    w[0] = u[1] * v[2] - u[2] * v[1]
    w[1] = u[2] * v[0] - u[0] * v[2]
    w[2] = u[0] * v[1] - u[1] * v[0]
    divisor = math.gcd(math.gcd(w[0], w[1]), w[2])
    if divisor > 1:
        for x in range(3):
            w[x] //= divisor


@njit(cache=True, error_model="numpy")
def _volume(basis):
    a, b, c = basis[0], basis[1], basis[2]
    return abs(
        a[0] * (b[1] * c[2] - b[2] * c[1]) - a[1] * (b[0] * c[2] - b[2] * c[0]) + a[2] * (b[0] * c[1] - b[1] * c[0])
    )


@njit(cache=True, error_model="numpy")
def _is_centred(basis, first, second, third):
    """Whether half of the sum of some (0 or 1) of the axes is a vector of the lattice."""
    odd = 0
    for x in range(3):
        odd += (first * basis[0, x] + second * basis[1, x] + third * basis[2, x]) % 2
    return odd == 0


@njit(cache=True, error_model="numpy")
def conventional_axes(metric, axes, normals, n, basis):
    """The lattice of exactly these two-fold axes: (symmetry, centring), with `basis` filled; (-1, 0) for none.

    Args:
        metric: (3, 3) Å^2 of the reduced cell.
        axes, normals, n: of `twofold_axes`.
        basis: (3, 3) integers to fill: conventional axes in rows, on the reduced cell.
    """
    if n == 1:
        return _monoclinic(metric, axes, normals, basis)
    if n not in (3, 5, 7, 9):
        return -1, 0
    main, mains = np.zeros(3, np.int64), 0
    across = np.zeros(n, np.int64)
    for i in range(n):
        for j in range(n):
            # A row lies in the net that another is normal to: a right angle, without any tolerance.
            if i != j and normals[i, 0] * axes[j, 0] + normals[i, 1] * axes[j, 1] + normals[i, 2] * axes[j, 2] == 0:
                across[i] += 1
    wanted = 2 if n == 3 else (4 if n == 9 else n - 1)
    for i in range(n):
        if across[i] == wanted:
            if mains == 3:
                return -1, 0
            main[mains] = i
            mains += 1
    if n in (3, 9) and mains == 3:
        for i in range(3):
            basis[i] = axes[main[i]]
        centring = _orthogonal_centring(basis)
        if centring < 0 or (n == 9 and centring == _C):
            return -1, 0
        return (ORTHORHOMBIC if n == 3 else CUBIC), centring
    if n == 3 and mains == 0:
        _cross(normals[0], normals[1], basis[2])
        basis[0], basis[1] = axes[0], axes[1]
        return _threefold(metric, basis)
    if n in (5, 7) and mains == 1:
        return _uniaxial(metric, axes, n, main[0], basis)
    return -1, 0


@njit(cache=True, error_model="numpy")
def _threefold(metric, basis):
    """Hexagonal axes from two at 60 or 120 degrees and the one across."""
    cosine = _dot(metric, basis[0], basis[1]) / (_length(metric, basis[0]) * _length(metric, basis[1]))
    if abs(abs(cosine) - 0.5) > 0.1:
        return -1, 0
    if cosine > 0:
        for x in range(3):
            basis[1, x] = -basis[1, x]
    volume = _volume(basis)
    if volume == 1:
        return HEXAGONAL, _P
    return (HEXAGONAL, _R) if volume == 3 else (-1, 0)


@njit(cache=True, error_model="numpy")
def _uniaxial(metric, axes, n, main, basis):
    """Tetragonal or hexagonal axes: the main one, and of the others the shortest with its equivalent."""
    first, second = -1, -1
    for i in range(n):
        if i != main and (first < 0 or _length(metric, axes[i]) < _length(metric, axes[first])):
            first = i
    cosine = 0.0 if n == 5 else 0.5
    for i in range(n):
        if i in (main, first):
            continue
        product = _length(metric, axes[i]) * _length(metric, axes[first])
        near = abs(abs(_dot(metric, axes[i], axes[first])) / product - cosine) < 0.1
        if near and (second < 0 or _length(metric, axes[i]) < _length(metric, axes[second])):
            second = i
    if second < 0:
        return -1, 0
    basis[0], basis[1], basis[2] = axes[first], axes[second], axes[main]
    if n == 7:
        symmetry, centring = _threefold(metric, basis)
        return (symmetry, centring) if centring == _P else (-1, 0)
    volume = _volume(basis)
    if volume == 1:
        return TETRAGONAL, _P
    return (TETRAGONAL, _I) if volume == 2 and _is_centred(basis, 1, 1, 1) else (-1, 0)


@njit(cache=True, error_model="numpy")
def _orthogonal_centring(basis):
    """Centring of three axes at right angles, put in the order of C where they are of A or B; -1 for none."""
    volume = _volume(basis)
    if volume == 1:
        return _P
    if volume == 4:
        return _F
    if volume != 2:
        return -1
    if _is_centred(basis, 1, 1, 1):
        return _I
    for _ in range(3):
        if not _is_centred(basis, 1, 1, 0):
            row = basis[0].copy()
            basis[0], basis[1], basis[2] = basis[1].copy(), basis[2].copy(), row
    return _C


@njit(cache=True, error_model="numpy")
def _monoclinic(metric, axes, normals, basis):
    """The axis as b, and the two shortest rows of the net across it, in the setting P or C."""
    u, h = axes[0], normals[0]
    first, second = np.zeros(3, np.int64), np.zeros(3, np.int64)
    shortest, next_ = math.inf, math.inf
    row = np.zeros(3, np.int64)
    for x in range(-3, 4):
        for y in range(-3, 4):
            for z in range(-3, 4):
                # one of each pair of opposites, and no multiples
                if (x, y, z) <= (0, 0, 0) or x * h[0] + y * h[1] + z * h[2] != 0:
                    continue
                row[0], row[1], row[2] = x, y, z
                if math.gcd(math.gcd(abs(x), abs(y)), abs(z)) != 1:
                    continue
                length = _length(metric, row)
                if length < shortest:
                    second[:], next_ = first, shortest
                    first[:], shortest = row, length
                elif length < next_:
                    second[:], next_ = row, length
    if next_ == math.inf:
        return -1, 0
    if _dot(metric, first, second) > 0:
        second[:] = -second
    basis[0], basis[1], basis[2] = first, u, second
    volume = _volume(basis)
    if volume == 1:
        return MONOCLINIC, _P
    if volume != 2:
        return -1, 0
    if _is_centred(basis, 1, 1, 1):
        basis[0] = first + second
    elif _is_centred(basis, 0, 1, 1):
        basis[0], basis[2] = second, first
    return (MONOCLINIC, _C) if _is_centred(basis, 1, 1, 0) else (-1, 0)


@njit(cache=True, error_model="numpy")
def _lattices(metric, reciprocal, rows, tolerances, found, bases):
    """Fill (symmetry, centring) and conventional axes of the lattice at each tolerance; return how many."""
    axes, normals = np.zeros((_MOST_AXES, 3), np.int64), np.zeros((_MOST_AXES, 3), np.int64)
    obliquity = np.zeros(_MOST_AXES)
    every = twofold_axes(metric, reciprocal, rows, tolerances[0], axes, normals, obliquity)
    count, last = 0, -1
    for tolerance in tolerances:
        n = every
        while n > 0 and obliquity[n - 1] > tolerance:
            n -= 1
        # Half of a set of axes may be below a tolerance: the largest whole set is taken.
        while n > 0:
            symmetry, centring = conventional_axes(metric, axes, normals, n, bases[count])
            if symmetry >= 0:
                break
            n -= 1
        if n == 0:
            break
        if n != last:
            found[count, 0], found[count, 1] = symmetry, centring
            last = n
            count += 1
    return count


def lattices_near(metric: NDArray[np.floating], tolerances: tuple[float, ...]) -> list[tuple[int, str, NDArray]]:
    """Lattices of higher symmetry than triclinic near a reduced cell: (symmetry, centring, axes), highest first.

    Args:
        metric: (3, 3) Å^2 of the Niggli-reduced cell.
        tolerances: radians of obliquity, falling.

    Returns:
        Metric symmetry of `predicted`, centring letter, and conventional axes on the reduced cell (3, 3 integers).
    """
    found, bases = np.zeros((len(tolerances), 2), np.int64), np.zeros((len(tolerances), 3, 3), np.int64)
    n = _lattices(metric, np.linalg.inv(metric), ROWS, np.array(tolerances), found, bases)
    return [(int(found[i, 0]), "PCIFR"[found[i, 1]], bases[i]) for i in range(n)]
