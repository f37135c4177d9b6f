"""One instrument and one sample, as plain numbers."""

from __future__ import annotations

from dataclasses import dataclass

from syngony.errors import InputError
from syngony.wavelengths import TUBE_LINES

MAX_POINTS = 200_000

_NOT_NEGATIVE = (
    "polarisation", "gauss_fwhm", "size", "strain", "grain_spread", "debye_waller", "overflow",
    "background", "air_scatter", "hump", "fluorescence", "impurity", "spikes", "spike_height", "full_scale",
)  # fmt: skip
_POSITIVE = ("step", "wavelength", "anisotropy", "march", "counts", "hump_d", "hump_width")


@dataclass(frozen=True)
class Conditions:
    """One instrument and one sample. The defaults are a noisy but otherwise ideal instrument.

    Angles are degrees of 2θ. "Relative" is to the strongest point of the pattern without background.

    Attributes:
        start, stop, step: of the scan.
        wavelength: Å, as the user of the scan would state it; for a Kα doublet its weighted mean.
        radiation: ((Å, share of the intensity), ...), what really falls on the sample: see `tube`.
        polarisation: K of the Lorentz-polarisation factor (1 + K cos^2 2θ) / (sin^2 θ cos θ): 1 without
            monochromator, cos^2 of its 2θ with one (0.80 for graphite and CuKa), near 0 at a synchrotron.
        zero_shift: added to every angle.
        displacement: of the sample; the shift is this times cos θ (-2s/R radians for a height s).
        transparency: the shift is minus this times sin 2θ (1/(2 μ R) radians).
        gauss_fwhm: Gaussian width of the instrument.
        size: Lorentzian width at θ = 0 by crystallite size; over cos θ (Scherrer).
        strain: Lorentzian width by microstrain; times tan θ (four times the strain, in degrees).
        anisotropy: widths by size and strain along `texture_axis` relative to those across: an
            ellipsoid, averaged over the Laue group.
        texture_axis: hkl, or the rank of a plane by d spacing: see `texture.preferred_axis`.
        march: the r of March and Dollase about that axis; 1 without texture.
        grain_spread: spread of ln(intensity) from line to line: too few grains in the beam.
        debye_waller: overall isotropic B, Å^2; intensities times exp(-B / (2 d^2)).
        lattice_strain: e11, e22, e33, e23, e13, e12: see `texture.strained_q`.
        overflow: below this angle the beam is longer than the sample and intensities fall as sin θ;
            180 for automatic slits, 0 for none.
        counts: expected at the strongest point, background left out.
        noise: False for the expected counts themselves.
        background: polynomial level at mid-range, relative; `slope` and `curvature` relative to it.
        air_scatter: at 2θ = 0, relative, falling with 1/d as exp(-14 Å / d).
        hump, hump_d, hump_width: amorphous halo: relative height, spacing (Å), width in 1/d (1/Å).
        fluorescence: constant level, relative.
        subtracted: True when the scan's owner took the background off and set what fell below zero to it.
        subtraction_error: relative error of that background, a slow wave over the range.
        subtraction_depth: how far below the true background its curve was laid, in standard deviations.
        full_scale: the strongest point of the written scan, values rounded; 0 leaves counts.
        impurity: strongest line of a second phase, relative to the strongest line of the first.
        spikes, spike_height: single points hit by something else: their number, and largest height, relative.

    Raises:
        InputError: a negative width, level or step, an empty or endless range, no radiation.
    """

    start: float = 5.0
    stop: float = 90.0
    step: float = 0.02
    wavelength: float = TUBE_LINES["CuKa"]
    radiation: tuple[tuple[float, float], ...] = ((TUBE_LINES["CuKa"], 1.0),)
    polarisation: float = 1.0
    zero_shift: float = 0.0
    displacement: float = 0.0
    transparency: float = 0.0
    gauss_fwhm: float = 0.08
    size: float = 0.0
    strain: float = 0.0
    anisotropy: float = 1.0
    texture_axis: int | tuple[int, int, int] = 0
    march: float = 1.0
    grain_spread: float = 0.0
    debye_waller: float = 0.0
    lattice_strain: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    overflow: float = 0.0
    counts: float = 10_000.0
    noise: bool = True
    background: float = 0.0
    slope: float = 0.0
    curvature: float = 0.0
    air_scatter: float = 0.0
    hump: float = 0.0
    hump_d: float = 4.0
    hump_width: float = 0.05
    fluorescence: float = 0.0
    subtracted: bool = False
    subtraction_error: float = 0.0
    subtraction_depth: float = 0.0
    full_scale: float = 0.0
    impurity: float = 0.0
    spikes: int = 0
    spike_height: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.start < self.stop < 180:
            raise InputError(f"a scan from {self.start:g} to {self.stop:g}: give 0 < start < stop < 180 degrees")
        for name in _POSITIVE:
            if not getattr(self, name) > 0:
                raise InputError(f"{name} is {getattr(self, name):g}: it must be above zero")
        for name in _NOT_NEGATIVE:
            if not getattr(self, name) >= 0:
                raise InputError(f"{name} is {getattr(self, name):g}: it cannot be negative")
        if not self.gauss_fwhm + self.size > 0:
            raise InputError("lines of no width at all: give gauss_fwhm or size")
        if (self.stop - self.start) / self.step > MAX_POINTS:
            raise InputError(f"steps of {self.step:g} degrees make more than {MAX_POINTS:,} points")
        # Lists become tuples, so that what JSON gives back is what was written.
        object.__setattr__(self, "radiation", tuple((float(length), float(share)) for length, share in self.radiation))
        object.__setattr__(self, "lattice_strain", tuple(self.lattice_strain))
        if not isinstance(self.texture_axis, int):
            object.__setattr__(self, "texture_axis", tuple(self.texture_axis))
        if not self.radiation or any(length <= 0 or share < 0 for length, share in self.radiation):
            raise InputError(f"radiation {self.radiation}: give pairs of a wavelength in Å and a share")

    @property
    def points(self) -> int:
        """Number of points, both ends included where the step allows."""
        return int((self.stop - self.start) / self.step + 1e-6) + 1


def tube(anode: str, ka2: float = 0.5, kb: float = 0.0) -> tuple[tuple[float, float], ...]:
    """`Conditions.radiation` of an X-ray tube.

    Args:
        anode: ``Cu``, ``Co``, ``Fe``, ``Cr``, ``Mo`` or ``Ag``.
        ka2: intensity of Kα2 relative to Kα1; one half by nature, 0 behind a monochromator that takes
            Kα1 alone or after stripping.
        kb: intensity of Kβ relative to Kα1, what a filter lets through; tubes whose Kβ is not in
            `TUBE_LINES` have none.

    Raises:
        InputError: no such anode.
    """
    if f"{anode}Ka1" not in TUBE_LINES:
        raise InputError(f"no tube {anode!r}: choose Cu, Co, Fe, Cr, Mo or Ag")
    lines = [(TUBE_LINES[f"{anode}Ka1"], 1.0), (TUBE_LINES[f"{anode}Ka2"], ka2)]
    if f"{anode}Kb" in TUBE_LINES:
        lines.append((TUBE_LINES[f"{anode}Kb"], kb))
    total = sum(share for _, share in lines)
    return tuple((length, share / total) for length, share in lines if share > 0)
