"""Structures as pymatgen's ``Structure.as_dict()`` writes them, read without pymatgen.

The Materials Project answers in this form, and matminer's data sets hold it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from syngony.errors import StructureError
from syngony.sources.expansion import label, merge_shared_positions
from syngony.sources.harvest import Outcome, Refusal
from syngony.structure import Structure
from syngony.structure_table import StructureRecord


def structure_from_dict(document: Mapping[str, Any]) -> Structure:
    """The structure in a dictionary with ``lattice.matrix`` and ``sites[].species`` and ``abc``.

    Oxidation states are dropped; mixed and partly occupied sites are kept.

    Raises:
        StructureError: parts are missing, or the structure is impossible.
    """
    species: list[str] = []
    positions: list[list[float]] = []
    occupancies: list[float] = []
    try:
        lattice = np.array(document["lattice"]["matrix"], dtype=float)
        for site in document["sites"]:
            for share in site["species"]:
                species.append(str(share["element"]))
                occupancies.append(float(share["occu"]))
                positions.append([float(x) for x in site["abc"]])
    except (KeyError, TypeError, ValueError) as error:
        raise StructureError(f"not a structure of pymatgen: {type(error).__name__} {error}") from None
    plain = Structure(lattice, species, np.array(positions).reshape(-1, 3), occupancies)  # checks everything
    return merge_shared_positions(plain.lattice, plain.species, plain.frac_coords, plain.occupancies)


def read_document(item: tuple[str, Any], tolerance: float) -> Outcome:
    """An id and a structure dictionary as a labelled record, or the reason why not."""
    identifier, document = item
    try:
        structure = structure_from_dict(document)
        return StructureRecord(identifier, label(structure, tolerance), structure)
    except StructureError as error:
        return Refusal(identifier, str(error))
