"""Unit cells that explain the lines of a pattern."""

from syngony.lattice.indexing import IndexedCell, Indexing, index_lines, index_pattern, search_lattices

__all__ = ["IndexedCell", "Indexing", "index_lines", "index_pattern", "search_lattices"]
