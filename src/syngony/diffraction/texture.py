"""Directions in a crystal: preferred orientation, and what else hangs on the angle to an axis.

All averages are over the axes that the Laue group makes equivalent, which is the average over the
equivalent reflections of a powder line.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from syngony.diffraction.phase import Phase
from syngony.errors import InputError


def preferred_axis(phase: Phase, axis: int | tuple[int, int, int]) -> NDArray[np.int64]:
    """Indices (3,) of the plane normal that a texture or a habit is about.

    Args:
        phase: lines in order of Q.
        axis: indices hkl in the structure's own cell, or a rank: 0 is the direction of the line with the
            largest d spacing, 1 the next that is not parallel to it, and so on (the last when there are
            fewer). Crystals grow and cleave along planes of large spacing: the law of Bravais, Friedel,
            Donnay and Harker (Am. Mineral. 22, 446, 1937), systematic absences counted.

    Raises:
        InputError: the axis is (0, 0, 0).
    """
    if not isinstance(axis, int):
        chosen = np.asarray(axis, dtype=np.int64)
        if not chosen.any():
            raise InputError("texture axis (0, 0, 0) is no direction: give indices hkl or a rank")
        return chosen
    found: list[tuple[int, ...]] = []
    for h, k, l in phase.hkl[:60].tolist():  # noqa: E741
        divisor = math.gcd(h, k, l)
        direction = (h // divisor, k // divisor, l // divisor)
        if direction not in found:
            found.append(direction)
            if len(found) > axis:
                break
    return np.array(found[-1], dtype=np.int64)


def axis_cosines_squared(phase: Phase, axis: NDArray[np.integer]) -> NDArray[np.float64]:
    """cos^2 of the angles (n, k) between each line's hkl and the k equivalents of an axis hkl."""
    equivalents = (axis @ phase.rotations.astype(np.float64)) @ phase.reciprocal
    equivalents /= np.sqrt((equivalents * equivalents).sum(1))[:, None]
    return _cosines_squared(phase.hkl, phase.reciprocal, equivalents)


@njit(cache=True, fastmath=True, error_model="numpy")
def _cosines_squared(hkl, reciprocal, equivalents):
    n, k = hkl.shape[0], equivalents.shape[0]
    found = np.empty((n, k))
    for i in range(n):
        x, y, z = _cartesian(hkl[i], reciprocal)
        scale = 1.0 / (x * x + y * y + z * z)
        for j in range(k):
            product = x * equivalents[j, 0] + y * equivalents[j, 1] + z * equivalents[j, 2]
            found[i, j] = min(product * product * scale, 1.0)
    return found


@njit(cache=True, fastmath=True, error_model="numpy", inline="always")
def _cartesian(index, basis):
    h, k, l = float(index[0]), float(index[1]), float(index[2])  # noqa: E741
    return (
        h * basis[0, 0] + k * basis[1, 0] + l * basis[2, 0],
        h * basis[0, 1] + k * basis[1, 1] + l * basis[2, 1],
        h * basis[0, 2] + k * basis[1, 2] + l * basis[2, 2],
    )


@njit(cache=True, fastmath=True, error_model="numpy")
def march_dollase(cosines_squared, ratio):
    """Factors (n,) of preferred orientation, mean over equivalents.

    P(α) = (r^2 cos^2 α + sin^2 α / r)^(-3/2), whose mean over the sphere is 1: W. A. Dollase,
    J. Appl. Cryst. 19, 267 (1986), equation 5.

    Args:
        cosines_squared: (n, k) from `axis_cosines_squared`.
        ratio: r, 1 without texture; below 1 for plates lying flat, above for needles lying flat.
    """
    n, k = cosines_squared.shape
    factors = np.empty(n)
    across, along = 1.0 / ratio, ratio * ratio
    for i in range(n):
        total = 0.0
        for j in range(k):
            c2 = cosines_squared[i, j]
            x = along * c2 + across * (1.0 - c2)
            total += 1.0 / (x * math.sqrt(x))
        factors[i] = total / k
    return factors


def strained_q(phase: Phase, strain: tuple[float, ...]) -> NDArray[np.float64]:
    """Q (n,) of the lines in a cell that is deformed without loss of symmetry.

    The tensor is averaged over the Laue group, so a cubic cell stays cubic whatever is given, a
    tetragonal one changes a and c only, and no line splits.

    Args:
        phase: its q and geometry.
        strain: e11, e22, e33, e23, e13, e12 in Cartesian axes; e > 0 is a longer cell.

    Raises:
        InputError: not six numbers, or a strain that leaves no cell.
    """
    if len(strain) != 6:
        raise InputError(f"a lattice strain is six numbers (e11 e22 e33 e23 e13 e12), not {len(strain)}")
    if max(abs(e) for e in strain) > 0.2:
        raise InputError(f"a lattice strain of {max(strain, key=abs):g} is no small change: keep it under 0.2")
    e1, e2, e3, e4, e5, e6 = strain
    tensor = np.array([[e1, e6, e5], [e6, e2, e4], [e5, e4, e3]])
    return _deformed_q(phase.q, phase.hkl, phase.reciprocal, symmetric_strain(phase, tensor))


def symmetric_strain(phase: Phase, tensor: NDArray[np.float64]) -> NDArray[np.float64]:
    """The part (3, 3) of a strain tensor that keeps the Laue symmetry of a phase; Cartesian axes.

    Cell vectors v as rows become v + v @ strain.
    """
    inverse = np.linalg.inv(phase.reciprocal)
    return _averaged(tensor, inverse, phase.reciprocal, phase.rotations)


@njit(cache=True, fastmath=True, error_model="numpy")
def _averaged(tensor, inverse, reciprocal, rotations):
    """Mean of R tensor R^T over the rotations, which are given on the reciprocal basis (rows)."""
    mean, turn, half = np.zeros((3, 3)), np.zeros((3, 3)), np.zeros((3, 3))
    count = rotations.shape[0]
    for n in range(count):
        for i in range(3):
            for j in range(3):
                half[i, j] = 0.0
                for k in range(3):
                    half[i, j] += inverse[i, k] * rotations[n, k, j]
        for i in range(3):
            for j in range(3):
                turn[i, j] = (
                    half[i, 0] * reciprocal[0, j] + half[i, 1] * reciprocal[1, j] + half[i, 2] * reciprocal[2, j]
                )
        for i in range(3):
            for j in range(3):
                half[i, j] = turn[i, 0] * tensor[0, j] + turn[i, 1] * tensor[1, j] + turn[i, 2] * tensor[2, j]
        for i in range(3):
            for j in range(3):
                mean[i, j] += (half[i, 0] * turn[j, 0] + half[i, 1] * turn[j, 1] + half[i, 2] * turn[j, 2]) / count
    return mean


@njit(cache=True, fastmath=True, error_model="numpy")
def _deformed_q(q, hkl, reciprocal, strain):
    found = np.empty(q.shape[0])
    a, b, c = 1.0 + strain[0, 0], 1.0 + strain[1, 1], 1.0 + strain[2, 2]
    d, e, f = strain[1, 2], strain[0, 2], strain[0, 1]
    det = a * (b * c - d * d) - f * (f * c - d * e) + e * (f * d - b * e)
    deformation = np.empty((3, 3))  # the inverse of 1 + strain
    deformation[0, 0], deformation[1, 1], deformation[2, 2] = b * c - d * d, a * c - e * e, a * b - f * f
    deformation[0, 1] = deformation[1, 0] = d * e - f * c
    deformation[0, 2] = deformation[2, 0] = f * d - b * e
    deformation[1, 2] = deformation[2, 1] = e * f - a * d
    deformation /= det
    for i in range(q.shape[0]):
        x, y, z = _cartesian(hkl[i], reciprocal)
        before, after = x * x + y * y + z * z, 0.0
        for axis in range(3):
            component = x * deformation[0, axis] + y * deformation[1, axis] + z * deformation[2, axis]
            after += component * component
        found[i] = q[i] * (after / before)
    return found
