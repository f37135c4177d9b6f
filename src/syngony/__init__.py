"""Syngony determines the crystal system of a material from its powder X-ray diffraction pattern.

>>> import syngony
>>> result = syngony.determine(syngony.read_pattern("scan.xy", wavelength="CuKa"))
>>> result.crystal_system, result.probability

Names are loaded when first used, so importing the package is quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from syngony.determination import Determination, determine
    from syngony.diffraction.reflections import Reflections, reflections
    from syngony.errors import SyngonyError
    from syngony.lattice.indexing import IndexedCell, Indexing, index_pattern, search_lattices
    from syngony.library.match import KnownPhase, match
    from syngony.lines.lines import Lines, find_lines
    from syngony.pattern import Pattern
    from syngony.readers import read_pattern
    from syngony.structure import Structure
    from syngony.unit_cell import UnitCell

_HOMES = {
    "Determination": "syngony.determination",
    "determine": "syngony.determination",
    "Reflections": "syngony.diffraction.reflections",
    "reflections": "syngony.diffraction.reflections",
    "KnownPhase": "syngony.library.match",
    "match": "syngony.library.match",
    "SyngonyError": "syngony.errors",
    "IndexedCell": "syngony.lattice.indexing",
    "Indexing": "syngony.lattice.indexing",
    "index_pattern": "syngony.lattice.indexing",
    "search_lattices": "syngony.lattice.indexing",
    "Lines": "syngony.lines.lines",
    "find_lines": "syngony.lines.lines",
    "UnitCell": "syngony.unit_cell",
    "Pattern": "syngony.pattern",
    "read_pattern": "syngony.readers",
    "Structure": "syngony.structure",
}

__all__ = [
    "Determination",
    "IndexedCell",
    "Indexing",
    "KnownPhase",
    "Lines",
    "Pattern",
    "Reflections",
    "Structure",
    "SyngonyError",
    "UnitCell",
    "__version__",
    "determine",
    "find_lines",
    "index_pattern",
    "match",
    "read_pattern",
    "reflections",
    "search_lattices",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(import_module(_HOMES[name]), name)
        globals()[name] = value  # a function wins over the submodule of the same name
        return value
    raise AttributeError(f"module 'syngony' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
