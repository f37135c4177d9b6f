"""Diffraction lines of a pattern: found and fitted, or given by a user."""

from syngony.lines.lines import LineError, Lines, find_lines

__all__ = ["LineError", "Lines", "find_lines"]
