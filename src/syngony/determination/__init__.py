"""The main job: a pattern in, a determination out."""

from syngony.determination.determiner import DEFAULT_BUDGET, Determiner, Witnesses, determine, load_network
from syngony.determination.preparation import Preparation, Prepared
from syngony.determination.result import Determination, SpaceGroup

__all__ = [
    "DEFAULT_BUDGET",
    "Determination",
    "Determiner",
    "Preparation",
    "Prepared",
    "SpaceGroup",
    "Witnesses",
    "determine",
    "load_network",
]
