"""How a cell may be strained without losing its symmetry, from its metric alone. Compiled."""

from __future__ import annotations

import numpy as np
from numba import njit

_SYSTEM_MODES = np.array([6, 4, 3, 2, 2, 2, 1])
"""Free cell parameters of the systems, triclinic to cubic."""

_LAST_SPACE_GROUP = np.array([2, 15, 74, 142, 167, 194, 230])

_TOLERANCES = np.array([1e-3, 4e-3, 1.2e-2, 3e-2])
"""Of squared lengths: from rounding to cells whose label (0.1 Å) calls equal what is not quite."""


@njit(cache=True, nogil=True, error_model="numpy")
def free_parameters(space_group):
    """Number of free cell parameters of a space group's system: 6, 4, 3, 2 or 1."""
    system = 0
    while space_group > _LAST_SPACE_GROUP[system]:
        system += 1
    return _SYSTEM_MODES[system]


@njit(cache=True, nogil=True, error_model="numpy")
def reciprocal_basis(metric):
    """(3, 3) rows a*, b*, c* in Cartesian axes of a metric as `Library.metric` holds it."""
    full = np.empty((3, 3))
    full[0, 0], full[1, 1], full[2, 2] = metric[0], metric[1], metric[2]
    full[1, 2] = full[2, 1] = metric[3]
    full[0, 2] = full[2, 0] = metric[4]
    full[0, 1] = full[1, 0] = metric[5]
    basis = np.zeros((3, 3))
    for i in range(3):
        for j in range(i + 1):
            left = full[i, j]
            for k in range(j):
                left -= basis[i, k] * basis[j, k]
            basis[i, j] = np.sqrt(max(left, 1e-12)) if i == j else left / basis[j, j]
    return basis


@njit(cache=True, nogil=True, error_model="numpy")
def strain_modes(basis, space_group):
    """Strains that keep the symmetry of the lattice, orthonormal; the first is the same along all axes.

    The lattice's own symmetry is found at the smallest tolerance at which it leaves no more freedom than the
    crystal system has: a tetragonal cell gives 2 modes, a triclinic one 6.

    Args:
        basis: (3, 3) reciprocal vectors, rows, Cartesian.
        space_group: 1..230.

    Returns:
        (k, 6) modes in the order 11, 22, 33, 23, 13, 12, the last three times the root of 2.
    """
    wanted = free_parameters(space_group)
    if wanted == 6:
        return _invariant(np.eye(6))
    reduced = _reduced(basis)
    modes = np.empty((0, 6))
    for tolerance in _TOLERANCES:
        modes = _invariant(_mean_turn(reduced, tolerance))
        if modes.shape[0] <= wanted:
            break
    return modes


@njit(cache=True, nogil=True, error_model="numpy")
def _reduced(basis):
    """Three shortest vectors of the lattice, near enough: sums and differences are tried until none is shorter."""
    vectors = basis.copy()
    for _ in range(60):
        better = False
        for i in range(3):
            j, k = (i + 1) % 3, (i + 2) % 3
            best, p, q = _dot(vectors[i], vectors[i]) * (1 - 1e-9), 0, 0
            for a in range(-1, 2):
                for b in range(-1, 2):
                    size = 0.0
                    for x in range(3):
                        value = vectors[i, x] + a * vectors[j, x] + b * vectors[k, x]
                        size += value * value
                    if size < best:
                        best, p, q = size, a, b
            if p != 0 or q != 0:
                for x in range(3):
                    vectors[i, x] += p * vectors[j, x] + q * vectors[k, x]
                better = True
        if not better:
            break
    return vectors


@njit(cache=True, nogil=True, error_model="numpy")
def _mean_turn(vectors, tolerance):
    """(6, 6) mean over the lattice's symmetry of how it turns a symmetric tensor."""
    aa, bb, cc = _dot(vectors[0], vectors[0]), _dot(vectors[1], vectors[1]), _dot(vectors[2], vectors[2])
    ab, ac, bc = _dot(vectors[0], vectors[1]), _dot(vectors[0], vectors[2]), _dot(vectors[1], vectors[2])
    images = np.empty((3, 26, 3))
    counts = np.zeros(3, np.int64)
    v = np.empty(3)
    for a in range(-1, 2):
        for b in range(-1, 2):
            for c in range(-1, 2):
                if a == 0 and b == 0 and c == 0:
                    continue
                for x in range(3):
                    v[x] = a * vectors[0, x] + b * vectors[1, x] + c * vectors[2, x]
                size = _dot(v, v)
                for i in range(3):
                    own = aa if i == 0 else (bb if i == 1 else cc)
                    if abs(size - own) < tolerance * own:
                        for x in range(3):
                            images[i, counts[i], x] = v[x]
                        counts[i] += 1
    inverse = np.linalg.inv(vectors)
    mean, found = np.zeros((6, 6)), 0
    turn = np.empty((3, 3))
    off_ab, off_ac, off_bc = (tolerance * np.sqrt(aa * bb), tolerance * np.sqrt(aa * cc), tolerance * np.sqrt(bb * cc))
    for i in range(counts[0]):
        for j in range(counts[1]):
            if abs(_dot(images[0, i], images[1, j]) - ab) > off_ab:
                continue
            for k in range(counts[2]):
                if (
                    abs(_dot(images[0, i], images[2, k]) - ac) > off_ac
                    or abs(_dot(images[1, j], images[2, k]) - bc) > off_bc
                ):
                    continue
                for x in range(3):
                    for y in range(3):
                        turn[x, y] = (
                            inverse[x, 0] * images[0, i, y]
                            + inverse[x, 1] * images[1, j, y]
                            + inverse[x, 2] * images[2, k, y]
                        )
                _add_tensor_turn(turn, mean)
                found += 1
    return mean / found


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _dot(u, v):
    return u[0] * v[0] + u[1] * v[1] + u[2] * v[2]


@njit(cache=True, nogil=True, error_model="numpy")
def _add_tensor_turn(rotation, out):
    """Add what a rotation does to a symmetric tensor in the notation of `strain_modes` to (6, 6)."""
    first, second = (0, 1, 2, 1, 0, 0), (0, 1, 2, 2, 2, 1)
    root = np.sqrt(2.0)
    for m in range(6):
        for n in range(6):
            a, b, i, j = first[m], second[m], first[n], second[n]
            value = rotation[i, a] * rotation[j, b]
            if n >= 3:
                value = (value + rotation[j, a] * rotation[i, b]) / root
            if m >= 3:
                value *= root
            out[m, n] += value


@njit(cache=True, nogil=True, error_model="numpy")
def _invariant(mean):
    """(k, 6) orthonormal basis of what a projector (6, 6) keeps, the isotropic part first."""
    modes, found = np.zeros((6, 6)), 1
    modes[0, :3] = 1.0 / np.sqrt(3.0)
    rest = np.empty(6)
    for m in range(6):
        for x in range(6):
            rest[x] = mean[x, m]
        for k in range(found):
            product = 0.0
            for x in range(6):
                product += rest[x] * modes[k, x]
            for x in range(6):
                rest[x] -= product * modes[k, x]
        size = (rest * rest).sum()
        if size > 0.02 and found < 6:
            modes[found] = rest / np.sqrt(size)
            found += 1
    return modes[:found].copy()
