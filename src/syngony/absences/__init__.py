"""Extinction groups of a scan whose unit cell is known."""

from syngony.absences.ranking import rank_extinction_groups, rank_from_lines

__all__ = ["rank_extinction_groups", "rank_from_lines"]
