"""GSAS powder data: A. C. Larson and R. B. Von Dreele, GSAS manual, LAUR 86-748, "Powder data files".

A title, remarks (#), and banks: ``BANK n points records type start step ... STD|ESD|FXYE``. ``CONS`` and
``CONST`` step in hundredths of a degree; other types are times of flight. geddes decodes them but for STD
with repeat counts: ten fields of (I2, F6.0) a record, a count of how often a channel was measured and its
counts, which are the mean already.
"""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from syngony.errors import PatternError
from syngony.pattern import Measurement
from syngony.readers.decoding import decode
from syngony.readers.header import speaks_of_neutrons, stated_wavelength
from syngony.readers.scan import Scan, stepped

NAME = "GSAS"
_BANK = re.compile(r"^[ \t]*BANK\s+\d+\s+(\d{1,9})\s+\d+\s+([A-Z_]+)(.*)$", re.MULTILINE | re.IGNORECASE)
_FIELD = re.compile(r"([ \d]{2})( *\d+\.?\d*)")
_MOST_BANKS = 200
_NEUTRONS = "the header speaks of neutrons: intensities are taken for those of X-rays"


def read_gsas(text: str) -> list[Scan]:
    """Every bank of the file.

    Raises:
        PatternError: cut short, time of flight, or records of a type that is not read (ALT, RALF).
    """
    banks = list(_BANK.finditer(text))
    if not banks or len(banks) > _MOST_BANKS:
        raise PatternError(f"{NAME}: {len(banks)} whole BANK lines: copy it again")
    head = text[: banks[0].start()].splitlines()
    title = head[0].strip() if head else ""
    wavelength, warnings = stated_wavelength(head)
    if speaks_of_neutrons(head):
        warnings.append(_NEUTRONS)
    scans: list[Scan] = []
    for index, bank in enumerate(banks):
        kind = bank.group(2).upper()
        if kind not in ("CONS", "CONST"):
            raise PatternError(f"{NAME}: bank of type {kind[:20]}: time of flight, no scan of 2θ")
        end = banks[index + 1].start() if index + 1 < len(banks) else len(text)
        angles, counts = _repeated(bank, text[bank.end() : end]) or _decoded(text, index)
        source = "file: the header" if wavelength else ""
        described = Measurement(format=NAME, sample=title[:80], wavelength_source=source)
        scans.append(Scan(angles, counts, wavelength, described, tuple(warnings)))
    return scans


def _decoded(text: str, index: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    try:
        return decode(text.encode(), "gsas", index)
    except PatternError as error:
        raise PatternError(f"{NAME}: {str(error).removeprefix('GSAS: ')}") from None


def _repeated(bank: re.Match[str], body: str) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Angles and counts of STD records in which a field begins with a repeat count; None for other records."""
    words = bank.group(3).split()
    if any(word.upper() in ("ESD", "FXYE", "FXY", "ALT") for word in words):
        return None
    records = [line.rstrip() for line in body.split("\n") if line.strip() and not line.startswith("#")]
    fields = [_FIELD.fullmatch(line[i : i + 8]) for line in records for i in range(0, len(line), 8)]
    points = int(bank.group(1))
    found = [field for field in fields if field is not None]
    if len(found) < len(fields) or not any(field.group(1).strip(" 0") for field in found):
        return None
    try:
        start, step = float(words[0]) / 100, float(words[1]) / 100
    except (ValueError, IndexError):
        return None
    values = [float(field.group(2)) for field in found]
    if len(values) < points or any(values[points:]):
        raise PatternError(f"{NAME}: {points} channels declared, the file holds {len(values)}: copy it again")
    return stepped(start, step, points), np.array(values[:points], dtype=np.float64)
