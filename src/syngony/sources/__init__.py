"""Where structures come from, one file a source.

Each source gives a `Harvest`: labelled structures and refusals, in a fixed order, ready for `store`.
Nothing heavy is imported before a source is asked for something.
"""

from __future__ import annotations

from enum import StrEnum

from syngony.sources.harvest import Harvest, Outcome, Refusal, Tally
from syngony.sources.store import store


class Source(StrEnum):
    """Names of the sources, as ``syngony data fetch`` takes them; each is a module of this package."""

    AMCSD = "amcsd"
    CIF = "cif"
    MATERIALS_PROJECT = "materials-project"
    MATMINER = "matminer"
    SYNTHETIC = "synthetic"


__all__ = ["Harvest", "Outcome", "Refusal", "Source", "Tally", "store"]
