"""A determination in words and short texts, for every reader of it: terminal, report, page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from syngony.symmetry import space_group_symbol

if TYPE_CHECKING:
    from syngony.determination import Determination

_FREE = {
    "cubic": ("a",),
    "tetragonal": ("a", "c"),
    "hexagonal": ("a", "c"),
    "rhombohedral": ("a", "c"),
    "orthorhombic": ("a", "b", "c"),
    "monoclinic": ("a", "b", "c", "beta"),
}
_GREEK = {"alpha": "α", "beta": "β", "gamma": "γ"}

RESTS_ON = {
    "recognised": "a phase that somebody has solved before explains the scan",
    "proved": "a unit cell of this system explains the lines",
    "impression": "a network finds the scan similar to those of this system; nothing proves it",
}

WITNESSES = {
    "network": "what the scan looks like",
    "lattice": "which unit cells explain the lines",
    "library": "which known phases explain the scan",
}


def verdict_text(result: Determination) -> str:
    """``tetragonal``; "not sure: perhaps tetragonal" where it abstains; of a scan without lines "not sure" alone."""
    if not result.abstained:
        return str(result.crystal_system)
    if "lattice" in result.witnesses and not result.lines:
        return "not sure"
    return f"not sure: perhaps {result.crystal_system}"


def free_parameters(cell: dict[str, Any]) -> tuple[str, ...]:
    """Names of the cell parameters that symmetry leaves free."""
    return _FREE.get(cell["lattice_system"], ("a", "b", "c", "alpha", "beta", "gamma"))


def cell_text(cell: dict[str, Any]) -> str:
    """``a = 4.5937(4) Å, c = 2.9588(3) Å``: the free parameters with their standard uncertainties."""
    parts = []
    for name in free_parameters(cell):
        value, spread = cell[name], cell.get("uncertainties", {}).get(name, 0.0)
        unit = " Å" if len(name) == 1 else "°"
        parts.append(f"{_GREEK.get(name, name)} = {with_uncertainty(value, spread, 4 if len(name) == 1 else 3)}{unit}")
    return ", ".join(parts)


def with_uncertainty(value: float, spread: float, digits: int) -> str:
    """``4.5937(4)``: a value and its standard uncertainty in units of the last of `digits` decimals."""
    last = round(spread * 10**digits)
    return f"{value:.{digits}f}({last})" if last > 0 else f"{value:.{digits}f}"


def phase_text(phase: dict[str, Any]) -> str:
    """``Rutile (Ti2 O4), P4_2/mnm``."""
    name = f"{phase['name']} ({phase['formula']})" if phase["name"] else phase["formula"]
    return f"{name}, {space_group_symbol(phase['space_group'])}"


def hkl_text(hkl: list[int] | tuple[int, ...]) -> str:
    """``1 1 -2`` as people write it: ``11-2``, with spaces where an index has two digits."""
    return (" " if any(abs(index) > 9 for index in hkl) else "").join(str(index) for index in hkl)
