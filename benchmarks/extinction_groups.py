"""Make the tables of extinction groups, and count space groups for the prior.

    python benchmarks/extinction_groups.py                          # src/syngony/tables/extinction_groups.json
    python benchmarks/extinction_groups.py --count TABLE.parquet    # src/syngony/tables/space_group_counts.json

Space groups of one lattice system whose operations forbid the same reflections are one extinction group;
orthorhombic ones also when a permutation of the axes makes them so. Only the symbols are written by hand
(`SYMBOLS`): which space groups share one follows from the operations.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import gemmi
import numpy as np
from numpy.typing import NDArray

from syngony.extinction_groups import AXIS_PERMUTATIONS, VOLUME_EDGES, absences
from syngony.symmetry import crystal_system

TABLES = Path(__file__).resolve().parents[1] / "src" / "syngony" / "tables"

# Extinction symbols of International Tables for Crystallography A (5th edition), table 3.1.4.1, each with the
# space group in whose standard setting it is written; a second symbol is the table's other name for the same absences.
SYMBOLS = {
    1: "P -",
    3: "P 1 - 1", 4: "P 1 21 1", 7: "P 1 c 1", 14: "P 1 21/c 1", 5: "C 1 - 1", 9: "C 1 c 1",
    16: "P - - -", 17: "P - - 21", 18: "P 21 21 -", 19: "P 21 21 21", 51: "P - - a", 59: "P - - n",
    49: "P c c -", 55: "P b a -", 57: "P b c -", 53: "P - n a", 62: "P n - a", 58: "P n n -",
    48: "P n n n", 50: "P b a n", 52: "P n n a", 54: "P c c a", 56: "P c c n", 60: "P b c n", 61: "P b c a",
    21: "C - - -", 20: "C - - 21", 67: "C - - (ab)", 63: "C - c -", 64: "C - c (ab)", 66: "C c c -",
    68: "C c c (ab)", 71: "I - - -", 74: "I - - (ab)", 72: "I b a -", 73: "I b c a",
    22: "F - - -", 43: "F d d -", 70: "F d d d",
    75: "P - - -", 90: "P - 21 -", 77: "P 42 - -", 94: "P 42 21 -", 76: "P 41 - -", 92: "P 41 21 -",
    105: "P - - c", 114: "P - 21 c", 100: "P - b -", 106: "P - b c", 101: "P - c -", 103: "P - c c",
    102: "P - n -", 104: "P - n c", 85: "P n - -", 86: "P 42/n - -", 137: "P n - c", 125: "P n b -",
    133: "P n b c", 138: "P n c -", 130: "P n c c", 134: "P n n -", 126: "P n n c",
    79: "I - - -", 80: "I 41 - -", 109: "I - - d", 108: "I - c -", 110: "I - c d", 88: "I 41/a - -",
    141: "I a - d", 142: "I a c d",
    146: "R - -", 161: "R - c",
    143: "P - - -", 144: "P 31 - - | P 62 - -", 159: "P - - c", 158: "P - c -", 173: "P 63 - -", 169: "P 61 - -",
    184: "P - c c",
    195: "P - - -", 198: "P 21 - - | P 42 - -", 212: "P 41 - -", 218: "P - - n", 205: "P a - -", 201: "P n - -",
    222: "P n - n", 197: "I - - -", 214: "I 41 - -", 220: "I - - d", 206: "I a - -", 230: "I a - d",
    196: "F - - -", 210: "F 41 - -", 219: "F - - c", 203: "F d - -", 228: "F d - c",
}  # fmt: skip

_BOX = np.stack(np.meshgrid(*[np.arange(-6, 7)] * 3, indexing="ij"), -1).reshape(-1, 3)
"""Conditions on reflections have periods of 2, 3, 4 and 6: nothing new lies beyond."""


def lattice_system(number: int) -> str:
    """Lattice system of a space group."""
    system = crystal_system(number)
    if system == "trigonal":
        return "rhombohedral" if gemmi.get_spacegroup_reference_setting(number).hm.startswith("R") else "hexagonal"
    return system


def fingerprint(number: int) -> bytes:
    """Absences in a box of indices, the same for settings that differ in the order of orthorhombic axes."""
    if crystal_system(number) != "orthorhombic":
        return absences(number, _BOX).tobytes()
    settings: list[NDArray[np.bool_]] = [absences(number, _BOX[:, list(order)]) for order in AXIS_PERMUTATIONS]
    return min(setting.tobytes() for setting in settings)


def classes() -> dict[tuple[str, bytes], list[int]]:
    """Space group numbers of each extinction group, by lattice system and absences."""
    found: dict[tuple[str, bytes], list[int]] = {}
    for number in range(1, 231):
        found.setdefault((lattice_system(number), fingerprint(number)), []).append(number)
    return found


def table() -> list[dict]:
    """Entries of ``extinction_groups.json``."""
    entries = []
    for (system, _), numbers in classes().items():
        (setting,) = (number for number in numbers if number in SYMBOLS)
        symbol, *others = SYMBOLS[setting].split(" | ")
        entries.append(
            {
                "symbol": symbol,
                "also": others,
                "lattice_system": system,
                "centring": symbol[0],
                "setting": setting,
                "space_groups": numbers,
            }
        )
    return entries


def counts(path: Path) -> list[list[int]]:
    """Structures of each space group on the training side of a structure table, by volume (`VOLUME_EDGES`).

    The cells of the table are taken as primitive, which they are but for a few in a hundred.
    """
    from syngony.learning.split import sides_of
    from syngony.structure import lattice_vectors
    from syngony.structure_table import read_table

    source = read_table(path, ["formula", "space_group_number", "lattice"])
    train = sides_of(source["formula"].to_pylist()) == "train"
    parameters = np.array(source["lattice"].to_pylist())[train]
    volumes = np.abs([np.linalg.det(lattice_vectors(row)) for row in parameters])
    table = np.zeros((230, len(VOLUME_EDGES) + 1), dtype=int)
    np.add.at(table, (source["space_group_number"].to_numpy()[train] - 1, np.searchsorted(VOLUME_EDGES, volumes)), 1)
    return table.tolist()


def write(name: str, header: dict[str, str], key: str, rows: list[str]) -> None:
    """One JSON file, a row a line, so that a change shows as one line."""
    lines = [f'"{k}": {json.dumps(v, ensure_ascii=False)},' for k, v in header.items()]
    body = ",\n ".join(rows)
    (TABLES / name).write_text("{" + "\n".join(lines) + f'\n"{key}": [\n {body}\n]}}\n')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--count", type=Path, metavar="TABLE", help="count space groups of a structure table instead")
    arguments = parser.parse_args()
    if arguments.count:
        numbers = counts(arguments.count)
        header = {
            "description": "Number of structures in each of the space groups 1 to 230, a row each, by the volume of "
            f"the primitive cell: edges of the columns at {', '.join(map(str, VOLUME_EDGES))} Å^3.",
            "source": "Materials Project (A. Jain et al., APL Materials 1, 011002, 2013; CC BY 4.0), release of "
            "February 2025; the training side of the split by reduced formula; spglib at symprec 0.1 Å.",
        }
        write("space_group_counts.json", header, "counts", [json.dumps(row) for row in numbers])
        print(f"{sum(map(sum, numbers)):,} structures counted")
        return
    entries = table()
    header = {
        "description": "Extinction groups: space groups of one lattice system with the same systematic absences. "
        "Symbols stand in the standard setting of the space group `setting`.",
        "source": "Grouping computed from the operations of the 230 space groups (gemmi) by "
        "benchmarks/extinction_groups.py; symbols of International Tables for Crystallography A (5th edition), table "
        "3.1.4.1, after A. Looijenga-Vos and M. J. Buerger.",
    }
    write("extinction_groups.json", header, "groups", [json.dumps(entry) for entry in entries])
    print(f"{len(entries)} extinction groups of {sum(len(entry['space_groups']) for entry in entries)} space groups")


if __name__ == "__main__":
    main()
