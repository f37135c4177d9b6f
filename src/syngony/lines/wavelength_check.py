"""A wavelength that a scan contradicts."""

from __future__ import annotations

from syngony.lines.clean_scan import CleanScan
from syngony.lines.joint_fit import Profile
from syngony.lines.profile import is_surely_doublet
from syngony.lines.tube import KALPHA2_SHARE, kalpha_doublet
from syngony.pattern import Pattern
from syngony.wavelengths import TUBE_LINES

_COPPER = Profile(TUBE_LINES["CuKa2"] / TUBE_LINES["CuKa1"], KALPHA2_SHARE)


def is_of_a_tube(pattern: Pattern) -> bool:
    """Whether lines are pairs as Kα1 and Kα2 of a tube give them, though the stated wavelength is of no tube.

    A wrong wavelength scales the cell and leaves everything else as it was: no lattice, no phase of unknown volume
    betrays it. But it does not change the ratio of the two wavelengths, nearly the same for copper, cobalt and iron.

    Args:
        pattern: the scan, with the wavelength that is stated.

    Returns:
        False where the stated wavelength is of a tube, and where no pairs are seen: a monochromator, or broad lines.
    """
    if kalpha_doublet(pattern.wavelength) is not None:
        return False
    return is_surely_doublet(CleanScan.from_pattern(pattern), _COPPER)
