"""The check of `Structure` for sites on one place, for many packed structures in one compiled loop."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from syngony.diffraction.kernel import reciprocal_metric
from syngony.structure import MAX_SHARED_OCCUPANCY, SAME_PLACE


@njit(cache=True, nogil=True, error_model="numpy")
def crowded_sites(lattice, offsets, frac_coords, occupancy, wanted):
    """(n,) whether a place of each structure is occupied more than once.

    Args:
        lattice: (n, 3, 3) Å; offsets (n + 1,); frac_coords (m, 3); occupancy (m,).
        wanted: (n,) the structures to look at; others give False.
    """
    crowded = np.zeros(lattice.shape[0], np.bool_)
    for i in range(lattice.shape[0]):
        if not wanted[i]:
            continue
        stars = np.sqrt(np.diag(reciprocal_metric(lattice[i])))
        axis = np.argmin(stars)
        begin, end = offsets[i], offsets[i + 1]
        along = frac_coords[begin:end, axis] - np.floor(frac_coords[begin:end, axis])
        crowded[i] = _crowded(lattice[i], frac_coords[begin:end], occupancy[begin:end], along, SAME_PLACE * stars[axis])
    return crowded


@njit(cache=True, nogil=True, error_model="numpy")
def _crowded(lattice, frac_coords, occupancy, along, reach):
    """One structure; `along` are coordinates in [0, 1) along one axis, which alone rule most pairs out."""
    order = np.argsort(along)
    n = along.shape[0]
    together = occupancy.copy()
    for a in range(n):
        i = order[a]
        for step in range(1, n):
            j = order[(a + step) % n]
            gap = along[j] - along[i]
            if gap < 0.0:
                gap += 1.0
            if gap > reach or (a + step) % n == a:
                break
            square = 0.0
            for x in range(3):
                component = 0.0
                for f in range(3):
                    offset = frac_coords[i, f] - frac_coords[j, f]
                    component += (offset - np.rint(offset)) * lattice[f, x]
                square += component * component
            if math.sqrt(square) < SAME_PLACE:
                together[i] += occupancy[j]
                together[j] += occupancy[i]
    return together.max() > MAX_SHARED_OCCUPANCY
