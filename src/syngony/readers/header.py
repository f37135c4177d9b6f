"""What the text around a scan says: the axis, the number of points, the wavelength."""

from __future__ import annotations

import re

from syngony.errors import PatternError, WavelengthError
from syngony.readers.columns import COMMENT
from syngony.wavelengths import TUBE_LINES, parse_wavelength, tenth_of_tube_line

# --- the axis -----------------------------------------------------------------------------------

_RECIPROCAL = re.compile(
    r"(?:^|[\s,;#\"(])q\s*[\[(/]|(?:^|[\s,;#\"])q_(?:nm|a)|Å\s*\^?\s*[({]?\s*(?:-1|⁻¹)|"
    r"\b(?:A|nm|ang\w*)(?:\s*\^\s*[({]?\s*-1|⁻¹)|[\[(](?:A|nm|ang\w*)\s*-1[\])]|1\s*/\s*(?:Å|nm)|[\[(]1\s*/\s*A|"
    r"inverse\s+(?:ang|nano)|momentum transfer|scattering vector",
    re.IGNORECASE,
)
_TWO_THETA = re.compile(r"2[\s_-]*(?:th|θ)|two[\s_-]*theta", re.IGNORECASE)
_RADIANS = re.compile(r"2th\w{0,20}_rad\b|\bradians?\b|[\[(]rad[\])]", re.IGNORECASE)
_NOT_TWO_THETA_SCAN = re.compile(
    r"scan(?:ning)?[\s_-]*(?:axis|mode|type)[\s:=,;\"']+"
    r"(alpha|beta|chi|phi|psi|omega|rocking[\s_-]*curve|pole[\s_-]*figure|theta)\b(?!.*2[\s_-]*th|.*two[\s_-]*th|\s*[-/:]\s*theta)",
    re.IGNORECASE,
)
_INTENSITY_NAME = re.compile(r"\b(?:int\w*|counts?|cps|i|y|y_?obs|signal|data|g)\b|i_?obs|intens", re.IGNORECASE)
_AXES = {
    "q": "Q, without its unit: name it q [1/A] or q [1/nm]",
    "s": "s, not 2θ in degrees: convert it first",
    "d": "d, not 2θ in degrees: convert it first",
    "dspacing": "d, not 2θ in degrees: convert it first",
    "r": "r (a pair distribution function?), not 2θ",
    "tof": "time of flight, not 2θ in degrees",
    "time": "time, not 2θ in degrees",
    "energy": "energy, not 2θ in degrees",
    "e": "energy, not 2θ in degrees",
    "kev": "energy, not 2θ in degrees",
    "theta": "θ, not 2θ: double it",
    "th": "θ, not 2θ: double it",
    "x": "a coordinate of a map, not 2θ",
    **{name: f"{name}, not 2θ" for name in ("alpha", "beta", "chi", "phi", "psi", "omega", "channel", "pixel")},
}


def unit_of_q(header: list[str]) -> float | None:
    """1/Å in the unit of Q that the header names (1 or 0.1); None where it does not name Q.

    Raises:
        PatternError: Q without a unit, or Q and 2θ both.
    """
    line = next((line for line in header if _RECIPROCAL.search(line)), None)
    if line is None:
        return None
    if any(_TWO_THETA.search(text) for text in header):
        raise PatternError("the header speaks of 2θ and of an axis in inverse length: say which the first column is")
    nanometres, angstroms = re.search(r"nm|nano", line, re.IGNORECASE), re.search(r"Å|A\b|q_A|ang", line)
    if bool(nanometres) == bool(angstroms):
        raise PatternError(
            f"the header says that the axis is Q, but not in which unit ({line[:40]!a}): name 1/Å or 1/nm"
        )
    return 0.1 if nanometres else 1.0


def refuse_other_axis(header: list[str]) -> None:
    """Refuse a scan whose header names an axis that is neither 2θ in degrees nor Q with its unit.

    Raises:
        PatternError: Q without a unit, d, energy, time of flight, θ, radians, or a scan of another circle.
    """
    text = "\n".join(header)
    if _RADIANS.search(text):
        raise PatternError("the header says that the axis is in radians: convert it to degrees")
    for line in header:
        other = _NOT_TWO_THETA_SCAN.search(line)
        if other:
            raise PatternError(f"the header says that {other.group(1)} was scanned, not 2θ: no powder scan")
    if header and unit_of_q(header) is None:
        _check_first_name(header[-1].strip(COMMENT + " \t"))


def _check_first_name(names: str) -> None:
    """The first column's name, when `names` is a line of column names."""
    separator = next((mark for mark in ("\t", ";", ",") if mark in names), None)
    cells = [cell.strip(' "') for cell in (names.split(separator) if separator else names.split())]
    if not 2 <= len(cells) <= 12 or not _INTENSITY_NAME.search(" ".join(cells[1:])):
        return
    first = cells[0].lower().replace("θ", "theta")
    first = re.split(r"[\[(/]", first, maxsplit=1)[0] if "2" not in first else first
    first = re.sub(r"[\s_-]|(?:deg\w*|angstrom)$", "", first)
    if first == "x" and not {"y", "z"} <= {cell.lower() for cell in cells}:
        return
    if first in _AXES:
        raise PatternError(f"the header says that the first column is {_AXES[first]}")


# --- the number of points -----------------------------------------------------------------------

_POINTS = re.compile(
    r"\b(?:no\.?|num(?:ber)?)\s*(?:of\s*)?(?:data\s*)?points\s*[\s:=,;]\s*\"?(\d{1,9})\b", re.IGNORECASE
)


def refuse_incomplete(header: list[str], points: int) -> None:
    """Refuse a file that holds another number of points than its header declares.

    A Fit2D header is a title, two labels (one may be blank) and the number of points.

    Raises:
        PatternError: the numbers differ.
    """
    declared = {int(match.group(1)) for line in header for match in [_POINTS.search(line)] if match}
    if len(header) in (3, 4) and header[-1].isascii() and header[-1].isdigit() and len(header[-1]) < 10:
        declared.add(int(header[-1]))
    if len(declared) == 1 and points not in declared:
        raise PatternError(f"the header declares {declared.pop()} points, the file holds {points}: export it again")


# --- the wavelength -----------------------------------------------------------------------------

_AGREE = 3e-3  # relative: the lines of a doublet and their mean
_LINE = re.compile(
    r"(?<![a-z0-9])(?:(Cu|Co|Fe|Cr|Mo|Ag)[\s_-]*)?K[\s_-]*(alpha|a|α|beta|b|β)[\s_-]*([12])?"
    r"((?:\s*[,+/&]\s*(?:K?[\s_-]*(?:alpha|a|α)[\s_-]*)?)?2)?(?![a-z0-9]|\.\d)",
    re.IGNORECASE,
)
_OTHER_QUANTITY = re.compile(r"ratio|monochromator|\brange\b|dispersion|resolution", re.IGNORECASE)
_STATED = re.compile(
    r"(?:wave[\s_-]*lengths?|lambda(?=[\d\s_]*[=:,;\t(\[])|^\W*lambda(?=\s+\d*\.)|λ)"
    r"(?:[\s_-]*(?P<index>[12])(?=\s*[=:,;\t)\]]))?"
    r"(?P<between>(?:[\s_:=,;\"'()\[\]<>]|Å|angstroms?\b|ang\b|A\b|nm\b|pm\b|m\b|in\b|is\b|used\b|value\b|doublet\b|"
    r"Cu\b|Co\b|Fe\b|Cr\b|Mo\b|Ag\b|Ka1?\b)*)"
    r"(?P<value>\d*[.,]\d+(?:e[-+]?\d+)?|\d+(?:e-\d+)?)(?![\d.])\s*(?P<unit>Å|angstroms?\b|A\b|nm\b|pm\b|m\b|k?eV\b|kV\b|mA\b)?",
    re.IGNORECASE,
)


def stated_wavelength(lines: list[str]) -> tuple[float | None, list[str]]:
    """The wavelength that the text around a scan states, Å, and warnings about what was not used.

    A number counts, and the name of a tube line (``CuKa``). Of a doublet written as two numbers it is
    the first, Kα1. Lines about Kα2 or Kβ alone, ratios and monochromators say nothing. Statements that
    contradict each other, numbers without a unit that could be nm, and absurd ones give None.
    """
    numbers: list[float] = []
    warnings: list[str] = []
    tubes: dict[str, set[str]] = {}
    for line in lines:
        names = list(_LINE.finditer(line))
        if _OTHER_QUANTITY.search(line) or (names and all(_is_minor(name) for name in names)):
            continue
        for name in names:
            if name.group(1) and name.group(2).lower() in ("alpha", "a", "α"):
                which = "" if name.group(4) or not name.group(3) else name.group(3)
                tubes.setdefault(name.group(1).capitalize(), set()).add(which)
        number = _number_in(_LINE.sub(" ", line), warnings)
        if number is not None:
            numbers.append(number)
    named = [TUBE_LINES[f"{anode}Ka{found.copy().pop() if len(found) == 1 else ''}"] for anode, found in tubes.items()]
    stated = numbers + named
    if not stated:
        return None, warnings
    if max(stated) / min(stated) - 1 > _AGREE:
        listed = ", ".join(f"{value:g}" for value in dict.fromkeys(stated))
        return None, [*warnings, f"the header states several wavelengths ({listed} Å); none of them is used"]
    return stated[0], warnings


def speaks_of_neutrons(lines: list[str]) -> bool:
    """True when the text around a scan names neutrons."""
    return any(re.search(r"\bneutrons?\b", line, re.IGNORECASE) for line in lines)


def _is_minor(name: re.Match[str]) -> bool:
    """Kα2 alone, or Kβ."""
    return name.group(2).lower() in ("beta", "b", "β") or (name.group(3) == "2" and not name.group(4))


def _number_in(line: str, warnings: list[str]) -> float | None:
    match = _STATED.search(line)
    if match is None or match.group("index") == "2":
        return None
    text, unit = match.group("value"), (match.group("unit") or "").lower()
    if unit in ("kv", "ma", "ev", "kev") or not (unit or re.search(r"[.,e]", text)):
        return None
    inside = re.search(r"(?<![a-z])(?:nm|pm|m|A|angstroms?)\b|Å", match.group("between"), re.IGNORECASE)
    unit = unit or (inside.group().lower() if inside else "")
    value = float(text.replace(",", "."))
    if not unit and value < 1e-8:
        unit = "m"
    line_in_nm = None if unit else tenth_of_tube_line(value)
    if line_in_nm is not None:
        warnings.append(f"the header's wavelength {value:g} is {line_in_nm} if in nm, and is not used: pass it")
        return None
    try:
        return parse_wavelength(f"{value!r} {unit}")
    except WavelengthError:
        warnings.append(f"the header's wavelength {value:g} is absurd and not used")
        return None
