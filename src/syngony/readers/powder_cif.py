"""Powder CIF: B. H. Toby, R. B. Von Dreele and A. C. Larson, J. Appl. Cryst. 36, 1290 (2003), dictionary cif_pow.

gemmi parses it. Names of both dictionary languages are read (``_pd_meas_counts_total``, ``_pd_meas.counts_total``),
measured values before processed ones, a column of angles before a range. FullProf's missing blank between
a name and its "?" is mended.
"""

from __future__ import annotations

import re
from typing import Any

import gemmi
import numpy as np
from numpy.typing import NDArray

from syngony.errors import PatternError
from syngony.pattern import Measurement
from syngony.readers.scan import Scan, check_length, printable

NAME = "powder CIF"
_ANGLES = ("_pd_meas_2theta_scan", "_pd_proc_2theta_corrected")
_RANGES = ("_pd_meas_2theta_range", "_pd_proc_2theta_range")
_INTENSITIES = (
    "_pd_meas_counts_total", "_pd_meas_intensity_total", "_pd_meas_counts", "_pd_meas_intensity",
    "_pd_proc_intensity_total", "_pd_proc_intensity_net",
)  # fmt: skip
_WAVELENGTHS = (
    "_diffrn_radiation_wavelength", "_diffrn_radiation_wavelength_value", "_diffrn_radiation_wavelength_wavelength",
    "_instr_wavelength", "_pd_proc_wavelength",
)  # fmt: skip
_OTHER_AXES = {
    "_pd_meas_time_of_flight": "time of flight",
    "_pd_proc_d_spacing": "d",
    "_pd_proc_recip_len_q": "Q",
    "_pd_meas_position": "the position on a detector",
}
_MOST_BLOCKS = 20_000  # gemmi compares the name of each with all others
_GLUED = re.compile(r"^(_[^\s?'\"]+)\?([ \t]*)$", re.MULTILINE)
_FOREIGN = re.compile(r"[^\x00-\x7f]")  # CIF 1 is ASCII; people write their names in it
_UNCERTAINTY = re.compile(r"\(\d+\)$")
_NEUTRONS = "the file speaks of neutrons: intensities are taken for those of X-rays"


def read_powder_cif(text: str) -> list[Scan]:
    """The scan of every data block that holds one.

    Raises:
        PatternError: not CIF, cut short, no powder scan (a structure alone), or another axis than 2θ.
    """
    if text.lower().count("data_") > _MOST_BLOCKS:
        raise PatternError(f"{NAME}: more than {_MOST_BLOCKS} data blocks: give the measured pattern alone")
    try:
        plain = _FOREIGN.sub("_", _GLUED.sub(r"\1 ?\2", text))
        document = gemmi.cif.read_string(plain)
    except (ValueError, RuntimeError) as error:
        reason = printable(" ".join(str(error).split()))[:120]
        raise PatternError(f"{NAME}: damaged or cut short ({reason}): export it again") from None
    blocks = [_Tags(block) for block in document]
    stated = {tags.value(name) for tags in blocks for name in _WAVELENGTHS} - {""}
    scans: list[Scan] = []
    others: list[str] = []
    for tags in blocks:
        if len(stated) == 1 and not any(tags.value(name) for name in _WAVELENGTHS):
            tags.values[_WAVELENGTHS[0]] = next(iter(stated))  # instrument and scan may have blocks of their own
        scan = _scan(tags)
        if scan is not None:
            scans.append(scan)
        others += [axis for tag, axis in _OTHER_AXES.items() if tag in tags.columns]
    if not scans:
        if others:
            raise PatternError(f"{NAME}: the scan is against {others[0]}, not 2θ in degrees: no scan of 2θ")
        raise PatternError(f"{NAME}: no powder scan in it (a structure alone?): give the measured pattern")
    return scans


class _Tags:
    """Values of a block under plain names: in lower case, with "_" for "."."""

    def __init__(self, block: gemmi.cif.Block) -> None:
        self.name = block.name
        self.values: dict[str, str] = {}
        self.columns: dict[str, list[str]] = {}
        for item in block:
            pair: Any = item.pair
            loop: Any = item.loop
            if pair is not None:
                self.values[_plain(pair[0])] = gemmi.cif.as_string(pair[1]).strip()
            elif loop is not None:
                for tag in loop.tags:
                    self.columns[_plain(tag)] = list(block.find_loop(tag))

    def value(self, name: str) -> str:
        """Of a loop the first row; "" for what is unknown."""
        text = self.values.get(name) or next(iter(self.columns.get(name, [])), "")
        return "" if text in ("?", ".") else text


def _scan(tags: _Tags) -> Scan | None:
    intensity = next((name for name in _INTENSITIES if name in tags.columns), None)
    if intensity is None:
        return None
    counts = _floats(tags.columns[intensity], intensity)
    angles = _angles(tags, intensity, len(counts))
    if angles is None:
        return None
    declared = tags.value(
        "_pd_meas_number_of_points" if intensity.startswith("_pd_meas") else "_pd_proc_number_of_points"
    )
    if declared.isdecimal() and declared.lstrip("0") != str(len(counts)):
        raise PatternError(f"{NAME}: {declared[:20]} points declared, the file holds {len(counts)}: export it again")
    source = next((name for name in _WAVELENGTHS if tags.value(name)), "")
    known = np.isfinite(counts)
    if not known.all():
        angles, counts = angles[known], counts[known]
    wavelength, warnings = check_length(_UNCERTAINTY.sub("", tags.value(source)), "the radiation")
    if "neutron" in (tags.value("_diffrn_radiation_probe") + tags.value("_diffrn_radiation_type")).lower():
        warnings.append(_NEUTRONS)
    described = Measurement(
        format=NAME,
        sample=tags.value("_pd_phase_name") or tags.name,
        instrument=tags.value("_diffrn_measurement_device_type"),
        date=tags.value("_pd_meas_datetime_initiated"),
        wavelength_source=f"file: {source}" if wavelength else "",
    )
    return Scan(angles, counts, wavelength, described, tuple(warnings))


def _angles(tags: _Tags, intensity: str, n: int) -> NDArray[np.float64] | None:
    """(n,) degrees of 2θ for the column `intensity`, or None where the block has no 2θ."""
    for name in _ANGLES:
        if name in tags.columns and len(tags.columns[name]) == n:
            return _floats(tags.columns[name], name)
    ranges = _RANGES if intensity.startswith("_pd_meas") else _RANGES[::-1]
    for name in ranges:
        ends = [tags.value(f"{name}_{end}") for end in ("min", "max", "inc")]
        if all(ends):
            first, last, step = _floats(ends, name)
            if abs((last - first) / step + 1 - n) > 0.5 if step else True:
                raise PatternError(
                    f"{NAME}: from {first:g} to {last:g} in steps of {step:g}, but {n} points: export it again"
                )
            return np.linspace(first, last, n)
    return None


def _floats(words: list[str], name: str) -> NDArray[np.float64]:
    try:
        return np.array(["nan" if word in "?." else _UNCERTAINTY.sub("", word) for word in words], dtype=np.float64)
    except ValueError:
        raise PatternError(f"{NAME}: {name} holds something that is no number: export it again") from None


def _plain(tag: str) -> str:
    return tag.lower().replace(".", "_")
