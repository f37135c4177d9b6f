"""Atoms into a cell, one orbit after another, none closer to another than its size allows."""

from __future__ import annotations

import numpy as np
from numba import njit

# The 27 cells around one. In a reduced cell the nearest image is among them.
_STEPS = np.array([(i, j, k) for i in (-1, 0, 1) for j in (-1, 0, 1) for k in (-1, 0, 1)], dtype=np.float64)


@njit(cache=True, nogil=True)
def place_orbits(rng, maps, starts, free, kind, shortest, lattice, restarts, tries, coords):
    """Fill ``coords`` with the atoms of all orbits; False when they find no room.

    Args:
        rng: numpy's generator.
        maps: (m, 3, 4) from free coordinates to the atoms, as in `WyckoffPosition`, all orbits one after another.
        starts: (n + 1,) orbit i has maps starts[i]:starts[i + 1].
        free: (n,) number of free coordinates.
        kind: (n,) element of each orbit, a row of ``shortest``.
        shortest: (k, k) distances in Å that two atoms keep at least.
        lattice: (3, 3) reduced cell vectors, rows, Å.
        restarts: how often the cell is filled from empty.
        tries: how often an orbit with free coordinates is drawn each time.
        coords: (m, 3) fractional coordinates, the result.
    """
    for _ in range(restarts):
        filled = 0
        while filled < len(free) and _place(rng, maps, starts, free, kind, shortest, lattice, tries, coords, filled):
            filled += 1
        if filled == len(free):
            return True
        if free[filled] == 0:
            return False  # what is in its way has no free coordinates either, and will be there again
    return False


@njit(cache=True, nogil=True)
def _place(rng, maps, starts, free, kind, shortest, lattice, tries, coords, orbit):
    """Put one orbit where its first atom has room.

    The atoms already there have the symmetry of the space group, so the first atom stands for all of its orbit.
    """
    for _ in range(tries if free[orbit] else 1):
        x, y, z = rng.random(), rng.random(), rng.random()
        for atom in range(starts[orbit], starts[orbit + 1]):
            for i in range(3):
                value = maps[atom, i, 0] * x + maps[atom, i, 1] * y + maps[atom, i, 2] * z + maps[atom, i, 3]
                coords[atom, i] = value - np.floor(value)
        if _has_room(starts, kind, shortest, lattice, coords, orbit):
            return True
    return False


@njit(cache=True, nogil=True)
def _has_room(starts, kind, shortest, lattice, coords, orbit):
    first = starts[orbit]
    for other in range(orbit + 1):
        limit = shortest[kind[orbit], kind[other]] ** 2
        for atom in range(starts[other], starts[other + 1]):
            u = coords[atom, 0] - coords[first, 0]
            v = coords[atom, 1] - coords[first, 1]
            w = coords[atom, 2] - coords[first, 2]
            u, v, w = u - np.rint(u), v - np.rint(v), w - np.rint(w)
            for step in range(27):
                if atom == first and step == 13:
                    continue  # the atom itself
                i, j, k = u + _STEPS[step, 0], v + _STEPS[step, 1], w + _STEPS[step, 2]
                squared = 0.0
                for axis in range(3):
                    part = i * lattice[0, axis] + j * lattice[1, axis] + k * lattice[2, axis]
                    squared += part * part
                if squared < limit:
                    return False
    return True
