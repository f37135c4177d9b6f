"""A wavelength that a scan contradicts.

A wrong wavelength scales the cell and leaves everything else as it was: no lattice, no phase of unknown volume
betrays it. Two things do. The ratio of Kα1 and Kα2 does not scale; and what is measured at a wavelength of no tube is
measured at a beamline, whose lines are sharp.
"""

from __future__ import annotations

import numpy as np

from syngony.lines.clean_scan import CleanScan
from syngony.lines.joint_fit import Profile
from syngony.lines.lines import Lines
from syngony.lines.profile import is_surely_doublet
from syngony.lines.tube import KALPHA2_SHARE, kalpha_doublet
from syngony.pattern import Pattern
from syngony.wavelengths import TUBE_LINES

_SOFT, _HARD = ("Cu",), ("Mo", "Ag")
"""Anodes whose pairs are looked for: the ratio is nearly the same for copper, cobalt and iron."""

_SHORT, _LONG = 0.9, 1.2
"""Å: below the first a tube is of molybdenum or silver, above the second of another anode; between them of any."""

_RARE = 1.3
"""Å: powder beamlines work at shorter wavelengths, nearly all of them."""

_SHARP = 0.04
"""Degrees: an optical bench with a tube gives no narrower lines, a beamline does."""

_CLEAR = 8.0  # significance
_ROUNDED = 2e-4  # of a wavelength, by which people round it


def doubt_of_wavelength(pattern: Pattern, lines: Lines) -> str | None:
    """Why the stated wavelength can hardly be right, or None.

    Args:
        pattern: the scan, with the wavelength that is stated.
        lines: found in it.

    Returns:
        None where the stated wavelength is of a tube, or nothing speaks against it.
    """
    stated = pattern.wavelength
    if lines.calculated or len(lines) == 0 or _is_of_a_tube(stated):
        return None
    scan = CleanScan.from_pattern(pattern)
    anodes = (_HARD if stated < _LONG else ()) + (_SOFT if stated > _SHORT else ())
    pairs = [Profile(TUBE_LINES[f"{anode}Ka2"] / TUBE_LINES[f"{anode}Ka1"], KALPHA2_SHARE) for anode in anodes]
    if any(is_surely_doublet(scan, pair) for pair in pairs):
        return "lines come in pairs as those of a tube do, but the wavelength is of no tube: is it right?"
    clear = lines.fwhm[lines.significance > _CLEAR]
    if stated > _RARE and len(clear) and float(np.quantile(clear, 0.1)) > _SHARP:
        return f"no tube has {stated:.4f} Å, and no line is as sharp as those of a beamline: is the wavelength right?"
    return None


def _is_of_a_tube(wavelength: float) -> bool:
    near = (abs(wavelength / line - 1.0) < _ROUNDED for line in TUBE_LINES.values())
    return kalpha_doublet(wavelength) is not None or any(near)
