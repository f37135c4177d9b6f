"""The laboratory: ranges of instruments and samples, and a draw from them.

`Laboratory` states the ranges and why; `Laboratory.draw` takes one instrument and one sample as
`Conditions`; `measure` records a phase under them. Same generator state, same scan.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

import numpy as np

from syngony.diffraction.conditions import Conditions, tube
from syngony.diffraction.measure import Scan, measure
from syngony.diffraction.phase import Phase
from syngony.errors import InputError
from syngony.pattern import q_from_two_theta, two_theta_from_q
from syngony.wavelengths import TUBE_LINES

__all__ = ["Conditions", "Laboratory", "Phase", "Scan", "measure", "tube"]

Range = tuple[float, float]

_COPPER = TUBE_LINES["CuKa"]
_SCHERRER = 0.9
_WIDEST = 140.0  # degrees: the arm of few goniometers goes further
_MOST_POINTS = 8_500
_ONE_LINE = 0.02  # of a wavelength: both lines of a Kα doublet, not the Kβ beside it
_UNCALCULATED = (
    "zero_shift", "displacement", "transparency", "grain_spread", "overflow", "background", "air_scatter", "hump",
    "fluorescence", "full_scale", "impurity",
)  # fmt: skip


@dataclass(frozen=True)
class Laboratory:
    """Ranges from which instruments and samples are drawn.

    Each effect is off with its range at (0, 0), or its share at 0; `anisotropy` and `march` at (1, 1).
    Ranges that span decades are drawn evenly in the logarithm (*log*). ``benchmarks/realism.py`` shows
    the result beside measured scans.

    Attributes:
        start, stop: degrees, as for CuKa; another wavelength covers the same spacings, up to 140 degrees.
            Beam stop and air scatter keep scans from starting below 3; few start after 20.
        full_range_share: of scans from 5 to 90 degrees, the usual survey of an unknown.
        steps: degrees. A fifth to a tenth of a line's width, as textbooks ask: 0.01 to 0.03. Beamlines
            take ten times finer ones; the step grows where a scan would exceed 8,500 points.
        tubes: (anode, share). Copper is in nearly all laboratories; Co and Fe avoid the fluorescence of iron,
            Mo and Ag go through capillaries, Cr is for stress.
        synchrotron_share, synchrotron: of scans, and Å (*log*). Powder beamlines work at 8 to 40 keV.
        monochromatic_share: of tubes that show Kα1 alone: a germanium monochromator, or Kα2 stripped. Half
            of their users still state the mean wavelength.
        kb_share, kb: scans in which Kβ leaks, and how much of it, of Kα1 (*log*): a nickel filter of 15-20 μm
            leaves about 1 %, a worn one more, a monochromator none.
        monochromator_share: of tubes with graphite after the sample, which polarises.
        zero_shift: an aligned goniometer is within a few hundredths of a degree.
        displacement: -2s/R in degrees: a surface 0.1 mm off at R = 150 to 240 mm gives 0.05 to 0.08.
        transparency: 1/(2 μ R) in degrees: minerals 0.01, organic solids (μ = 1/mm) 0.15.
        gauss_fwhm: slits of 0.1 to 0.3 mm, focus and Soller slits, in Bragg-Brentano geometry (*log*);
            `synchrotron_fwhm`: 0.004 with analyser crystals, 0.03 with an area detector.
        broadened_share: of samples that show the size of their grains, and likewise strain. All do: the range
            of each reaches to where nothing is seen of it.
        crystallite_size: nm (*log*). Samples are ground to 1 to 10 μm, as textbooks ask; above 1 μm nothing
            broadens in a laboratory; below 25 nm is for nanomaterials, whose lines merge. Scherrer with K = 0.9.
        microstrain: (*log*) 5e-5 in annealed powders, 1.5e-3 in ground ones and solid solutions.
        anisotropy: of size and strain, along an axis relative to across (*log*), in `anisotropic_share`
            of samples: plates and needles of aspect up to two and a half.
        texture_share, march: of pressed powders that show it, and r (*log*): 0.5 in plates (micas go to 0.3),
            1.5 in needles; back-loaded and spun samples stay near 1. Axis: one of the three planes of
            largest spacing, `axes`.
        grain_spread: few crystallites in the beam: 10 to 40 μm grains scatter intensities by 10 to 60 %,
            5 μm grains by 1 % (Smith, Powder Diffr. 16, 104, 2001); ours span those.
        debye_waller: B in Å^2, metals 0.3, oxides 0.5, organic and soft salts 3.
        scale_strain: of all axes alike. DFT (PBE) cells are up to 2 % long, some 1 % short; temperature and
            solid solution add a half. `lattice_strain`: standard deviation of each tensor component,
            for axes that differ in it.
        overflow_share, overflow: fixed slits light more than a small sample below this angle (degrees);
            a fifth of these scans are by automatic slits, at all angles.
        counts: at the strongest point (*log*): a few milligrams by a point detector, a second a step of 0.01
            degrees, 50; an overnight scan or a strip detector 200,000. Instrument files span 140 to 390,000.
        background: polynomial level relative to the strongest point (*log*): silicon holders 0.002,
            glass holders and disordered samples 0.1.
        air_scatter: exponentially distributed with this mean, in units of the background's level.
        hump_share, hump: glass slide, glue or amorphous part, relative to the strongest point (*log*);
            its spacing 3 to 5 Å (silica 4.1, polymers 4.5, oxide glasses 3.2).
        fluorescence_share, fluorescence: samples with Fe, Co, Mn under copper radiation, level (*log*).
        subtracted_share: of scans whose background was taken off before anyone else sees them, as
            mineral databases publish them, with `subtraction_error` (relative) and `subtraction_depth`: the
            curve runs between the mean and the lower edge of the noise, 0 to 3 standard deviations below.
        normalised_share: of subtracted scans, written as integers up to 1,000 or 10,000.
        impurity_share, impurity: of samples with a second phase; its strongest line (*log*). Under 1 % it is noise;
            above 15 % the sample is a mixture and no longer has one crystal system.
        spike_share, spikes: of scans with 1 to so many points hit by cosmic rays or electronics, each up to
            `spike_height` of the strongest.
    """

    start: Range = (3.0, 20.0)
    stop: Range = (60.0, 90.0)
    full_range_share: float = 0.7
    steps: tuple[float, ...] = (0.01, 0.01, 0.02, 0.02, 0.03)
    tubes: tuple[tuple[str, float], ...] = (
        ("Cu", 0.85), ("Co", 0.06), ("Mo", 0.05), ("Fe", 0.02), ("Cr", 0.01), ("Ag", 0.01),
    )  # fmt: skip
    synchrotron_share: float = 0.05
    synchrotron: Range = (0.3, 1.6)
    synchrotron_fwhm: Range = (0.004, 0.03)
    monochromatic_share: float = 0.12
    kb_share: float = 0.3
    kb: Range = (0.002, 0.02)
    monochromator_share: float = 0.4
    zero_shift: Range = (-0.05, 0.05)
    displacement: Range = (-0.09, 0.09)
    transparency: Range = (0.0, 0.05)
    gauss_fwhm: Range = (0.05, 0.12)
    broadened_share: float = 1.0
    crystallite_size: Range = (25.0, 10_000.0)
    microstrain: Range = (5e-5, 1.5e-3)
    anisotropic_share: float = 0.3
    anisotropy: Range = (0.4, 2.5)
    texture_share: float = 0.6
    march: Range = (0.5, 1.5)
    axes: int = 3
    grain_spread: Range = (0.0, 0.5)
    debye_waller: Range = (0.2, 3.0)
    scale_strain: Range = (-0.03, 0.02)
    lattice_strain: float = 0.004
    overflow_share: float = 0.3
    overflow: Range = (8.0, 25.0)
    counts: Range = (50.0, 200_000.0)
    background: Range = (0.002, 0.1)
    air_scatter: float = 1.0
    hump_share: float = 0.3
    hump: Range = (0.005, 0.1)
    fluorescence_share: float = 0.15
    fluorescence: Range = (0.03, 0.4)
    subtracted_share: float = 0.4
    subtraction_error: Range = (-0.1, 0.1)
    subtraction_depth: Range = (0.0, 3.0)
    normalised_share: float = 0.6
    impurity_share: float = 0.3
    impurity: Range = (0.01, 0.15)
    spike_share: float = 0.1
    spikes: int = 4
    spike_height: Range = (0.02, 0.5)

    def draw(self, rng: np.random.Generator) -> Conditions:
        """One instrument and one sample."""
        radiation, wavelength, narrow = self._radiation(rng)
        return Conditions(
            **self._range(rng, wavelength, narrow),
            wavelength=wavelength,
            radiation=radiation,
            **self._optics(rng, narrow),
            **self._grains(rng, wavelength),
            **self._background(rng, wavelength),
            counts=_even_in_log(rng, self.counts),
            impurity=_even_in_log(rng, self.impurity) if rng.random() < self.impurity_share else 0.0,
            **self._processing(rng),
        )

    def draw_calculated(self, rng: np.random.Generator) -> Conditions:
        """As `draw`, but what a program calculates: the lines of the crystal in some width and range, nothing else."""
        drawn = self.draw(rng)
        own = tuple(part for part in drawn.radiation if abs(part[0] / drawn.wavelength - 1.0) < _ONE_LINE)
        nothing: dict[str, Any] = dict.fromkeys(_UNCALCULATED, 0.0)
        whole: dict[str, Any] = {"noise": False, "spikes": 0, "subtracted": False, "march": 1.0, "anisotropy": 1.0}
        return replace(drawn, radiation=own, **whole, **nothing)

    def _radiation(self, rng: np.random.Generator) -> tuple[tuple[tuple[float, float], ...], float, bool]:
        """What falls on the sample, the wavelength that is stated for it, and whether a synchrotron made it."""
        if rng.random() < self.synchrotron_share:
            wavelength = _even_in_log(rng, self.synchrotron)
            return ((wavelength, 1.0),), wavelength, True
        position = rng.random() * sum(share for _, share in self.tubes)
        edges = accumulate(share for _, share in self.tubes)
        anode = next(name for (name, _), edge in zip(self.tubes, edges, strict=True) if position < edge)
        leak = _even_in_log(rng, self.kb) if rng.random() < self.kb_share else 0.0
        if rng.random() < self.monochromatic_share:
            stated = TUBE_LINES[f"{anode}Ka"] if rng.random() < 0.5 else TUBE_LINES[f"{anode}Ka1"]
            return tube(anode, ka2=0.0), stated, False
        return tube(anode, kb=leak), TUBE_LINES[f"{anode}Ka"], False

    def _range(self, rng: np.random.Generator, wavelength: float, narrow: bool) -> dict[str, Any]:
        """Range and step; other wavelengths cover the spacings that copper would."""
        whole = rng.random() < self.full_range_share
        start = 5.0 if whole else _even(rng, self.start)
        stop = 90.0 if whole else _even(rng, self.stop)
        step = float(self.steps[int(rng.random() * len(self.steps))])
        if wavelength != _COPPER:
            reach = (2.0 * math.sin(math.radians(_WIDEST / 2.0)) / wavelength) ** 2
            q = np.minimum(q_from_two_theta([start, stop], _COPPER), reach)
            start, stop = (round(float(x), 3) for x in two_theta_from_q(q, wavelength))
        if narrow:
            step /= 10.0
        return {"start": start, "stop": stop, "step": max(step, math.ceil((stop - start) / _MOST_POINTS * 1e4) / 1e4)}

    def _optics(self, rng: np.random.Generator, narrow: bool) -> dict[str, Any]:
        """Widths, shifts, polarisation and slits; a beamline has no sample off the axis of a flat plate."""
        if narrow:
            return {
                "polarisation": 0.05,
                "zero_shift": 0.1 * _even(rng, self.zero_shift),
                "gauss_fwhm": _even_in_log(rng, self.synchrotron_fwhm),
            }
        overflow = 0.0
        if rng.random() < self.overflow_share:
            overflow = 180.0 if rng.random() < 0.2 else _even(rng, self.overflow)
        return {
            "polarisation": 0.8 if rng.random() < self.monochromator_share else 1.0,
            "zero_shift": _even(rng, self.zero_shift),
            "displacement": _even(rng, self.displacement),
            "transparency": _even(rng, self.transparency),
            "gauss_fwhm": _even_in_log(rng, self.gauss_fwhm),
            "overflow": overflow,
        }

    def _grains(self, rng: np.random.Generator, wavelength: float) -> dict[str, Any]:
        """Broadening, texture, thermal motion and the strain of the cell."""
        size = _even_in_log(rng, self.crystallite_size) if rng.random() < self.broadened_share else 0.0
        microstrain = _even_in_log(rng, self.microstrain) if rng.random() < self.broadened_share else 0.0
        isotropic = _even(rng, self.scale_strain)
        tensor = self.lattice_strain * rng.standard_normal(6)
        tensor[:3] += isotropic
        return {
            "size": math.degrees(_SCHERRER * 0.1 * wavelength / size) if size > 0 else 0.0,
            "strain": math.degrees(4.0 * microstrain),
            "anisotropy": _even_in_log(rng, self.anisotropy) if rng.random() < self.anisotropic_share else 1.0,
            "texture_axis": int(rng.random() * self.axes),
            "march": _even_in_log(rng, self.march) if rng.random() < self.texture_share else 1.0,
            "grain_spread": _even(rng, self.grain_spread),
            "debye_waller": _even(rng, self.debye_waller),
            "lattice_strain": tuple(tensor.tolist()),
        }

    def _background(self, rng: np.random.Generator, wavelength: float) -> dict[str, Any]:
        level = _even_in_log(rng, self.background)
        glows = rng.random() < self.fluorescence_share and wavelength > 1.0
        return {
            "background": level,
            "slope": _even(rng, (-0.5, 0.5)),
            "curvature": _even(rng, (-0.5, 0.5)),
            "air_scatter": level * self.air_scatter * float(rng.standard_exponential()),
            "hump": _even_in_log(rng, self.hump) if rng.random() < self.hump_share else 0.0,
            "hump_d": _even(rng, (3.0, 5.0)),
            "hump_width": _even(rng, (0.03, 0.07)),
            "fluorescence": _even_in_log(rng, self.fluorescence) if glows else 0.0,
        }

    def _processing(self, rng: np.random.Generator) -> dict[str, Any]:
        """What the detector and the owner of the scan add to it and take from it."""
        subtracted = rng.random() < self.subtracted_share
        normalised = subtracted and rng.random() < self.normalised_share
        spiked = rng.random() < self.spike_share
        return {
            "subtracted": subtracted,
            "subtraction_error": _even(rng, self.subtraction_error),
            "subtraction_depth": _even(rng, self.subtraction_depth),
            "full_scale": (1_000.0, 10_000.0)[int(2 * rng.random())] if normalised else 0.0,
            "spikes": 1 + int(rng.random() * self.spikes) if spiked and self.spikes else 0,
            "spike_height": _even_in_log(rng, self.spike_height),
        }


def _even(rng: np.random.Generator, span: Range) -> float:
    """A number of a range, evenly. (``rng.uniform`` is ten times slower for one number.)"""
    return span[0] + (span[1] - span[0]) * rng.random()


def _even_in_log(rng: np.random.Generator, span: Range) -> float:
    """A number of a range of positive ends, evenly in the logarithm; (0, 0) gives 0.

    Raises:
        InputError: one end only is zero, or an end is negative.
    """
    low, high = span
    if low == high == 0:
        return 0.0
    if not 0 < low <= high:
        raise InputError(f"the range {low:g} to {high:g} is drawn evenly in the logarithm: give 0 < low <= high")
    return low * (high / low) ** rng.random()
