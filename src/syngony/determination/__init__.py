"""The main job: a pattern in, a determination out."""

from syngony.determination.batch import Request, ScanFile, determine_files, looked_at
from syngony.determination.determiner import DEFAULT_BUDGET, Determiner, Witnesses, determine, load_network
from syngony.determination.preparation import Preparation, Prepared
from syngony.determination.result import Determination, SpaceGroup

__all__ = [
    "DEFAULT_BUDGET",
    "Determination",
    "Determiner",
    "Preparation",
    "Prepared",
    "Request",
    "ScanFile",
    "SpaceGroup",
    "Witnesses",
    "determine",
    "determine_files",
    "load_network",
    "looked_at",
]
