"""What a reader hands on: one scan of a file, its wavelength as stated, and what is said around it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from syngony.errors import PatternError, WavelengthError
from syngony.pattern import Measurement, q_from_two_theta, two_theta_from_q
from syngony.wavelengths import parse_wavelength

MOST_SCANS = 4096
"""Of one file; of an archive, which is opened for each anew, `MOST_PACKED_SCANS`."""
MOST_PACKED_SCANS = 500

TWO_THETA, Q = "2θ", "Q"
_SAME_TILT = 0.5  # degrees of chi; goniometers wander less


@dataclass(frozen=True, eq=False)
class Scan:
    """One scan of a file, before a wavelength is chosen and `Pattern` checks it.

    Attributes:
        positions: (n,) degrees of 2θ, or Q = 4π sin θ / λ in 1/Å where `axis` says so.
        intensity: (n,) counts or arbitrary units.
        wavelength: Å, when the file states one.
        measurement: what else it says.
        warnings: what the user should know.
        axis: `TWO_THETA` or `Q`.
        chi: tilt of the specimen out of the plane of diffraction in degrees, when stated.
    """

    positions: NDArray[np.float64]
    intensity: NDArray[np.float64]
    wavelength: float | None = None
    measurement: Measurement = field(default_factory=Measurement)
    warnings: tuple[str, ...] = ()
    axis: str = TWO_THETA
    chi: float | None = None

    def two_theta(self, wavelength: float) -> NDArray[np.float64]:
        """(n,) degrees of 2θ at a wavelength (Å).

        Raises:
            PatternError: the axis is Q and reaches further than the wavelength can.
        """
        if self.axis == TWO_THETA:
            return self.positions
        with np.errstate(over="ignore"):  # a number of a damaged file: infinity, which is refused below
            q = (self.positions / (2 * np.pi)) ** 2
        angles = two_theta_from_q(q, wavelength) * np.sign(self.positions)
        if not np.isfinite(angles).all():
            most = 2 * np.pi * float(np.sqrt(q_from_two_theta(180.0, wavelength)))
            raise PatternError(
                f"Q up to {np.abs(self.positions).max():g} 1/Å, but {wavelength:g} Å reaches {most:.4g}: "
                "pass the wavelength of the measurement"
            )
        return angles

    def warned(self, *warnings: str) -> Scan:
        """The same scan with more warnings."""
        return replace(self, warnings=(*self.warnings, *warnings))


def refuse_many(scans: int, name: str, most: int = MOST_SCANS) -> None:
    """Refuse a file of more scans than are read in bounded time.

    Raises:
        PatternError: how many it holds, or claims to.
    """
    if scans > most:
        raise PatternError(f"{name}: {scans} scans in one file, at most {most} are read: export them in parts")


def printable(text: str) -> str:
    """The text with "?" for what no terminal should see."""
    return "".join(c if c.isprintable() else "?" for c in text)


def stepped(start: float, step: float, n: int) -> NDArray[np.float64]:
    """(n,) angles from `start` on."""
    return np.asarray(start + step * np.arange(n), dtype=np.float64)


def check_length(value: float | str | None, what: str) -> tuple[float | None, list[str]]:
    """A wavelength of a header, Å, and a warning when it is written there but absurd; 0 stands for nothing."""
    try:
        number = float(value) if value not in (None, "") else 0.0
    except ValueError:
        return None, [f"the file's wavelength of {what}, {str(value)[:20]!a}, is no number and not used"]
    if number == 0.0:
        return None, []
    try:
        return parse_wavelength(number), []
    except WavelengthError:
        return None, [f"the file's wavelength of {what}, {number:g} Å, is absurd and not used"]


def refuse_tilted(scans: Iterable[Scan]) -> None:
    """Refuse scans at several tilts of one specimen: they measure stress or texture.

    Raises:
        PatternError: from which chi to which.
    """
    tilts = [scan.chi for scan in scans if scan.chi is not None]
    if tilts and max(tilts) - min(tilts) > _SAME_TILT:
        raise PatternError(
            f"scans of a specimen tilted by chi from {min(tilts):g} to {max(tilts):g} degrees: "
            "a measurement of stress or texture, no powder scan"
        )


def refuse_axis(axis: str) -> None:
    """Refuse a scan of something else than 2θ, by the name that the instrument gives it.

    ``2Theta``, ``TwoThetaOmega``, ``2theta/theta``, ``Omega-2Theta``, ``Gonio``, ``COUPLED`` and the like pass.

    Raises:
        PatternError: what was scanned.
    """
    plain = re.sub(r"[\s_/\-]", "", axis.lower())
    if "2th" in plain or "twotheta" in plain or plain in ("", "gonio", "coupled", "lockedcoupled", "unlockedcoupled"):
        return
    known = {
        "theta": "a rocking curve", "omega": "a rocking curve", "rockingcurve": "a rocking curve",
        "phi": "a pole figure or phi scan", "beta": "a pole figure", "alpha": "a pole figure",
    }.get(plain, "no scan of 2θ")  # fmt: skip
    raise PatternError(f"the axis scanned is {axis.strip()[:40]!r}: {known}, no powder scan")
