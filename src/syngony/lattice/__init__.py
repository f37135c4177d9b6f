"""Lines of a pattern, and the unit cells that explain them."""

from syngony.lattice.cell import UnitCell
from syngony.lattice.indexing import IndexedCell, Indexing, index_lines, index_pattern, search_lattices
from syngony.lattice.lines import Lines, find_lines

__all__ = [
    "IndexedCell",
    "Indexing",
    "Lines",
    "UnitCell",
    "find_lines",
    "index_lines",
    "index_pattern",
    "search_lattices",
]
