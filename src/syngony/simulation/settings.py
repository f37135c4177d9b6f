"""What a simulation is a function of: the table, the settings, the seed and the versions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from syngony import __version__
from syngony.diffraction.laboratory import Laboratory
from syngony.diffraction.profile import PaperGrid
from syngony.errors import InputError
from syngony.wavelengths import TUBE_LINES, parse_wavelength

FORMAT = 1
"""Goes up when the same settings would give other bytes."""

LARGEST_SHARD = 20_000  # structures; 720 MB of ideal patterns in memory

_NOUNS = ("elements", "wavelengths", "structure", "pattern", "symmetry", "structure_table")
_DECIDING = (*(f"{noun}.py" for noun in _NOUNS), "diffraction/*.py", "simulation/*.py", "tables/*")

_SAME_TUBE = 3e-3  # relative: the two lines of a doublet and their mean are one tube

Conditions = Literal["ideal", "lab"]


@dataclass(frozen=True)
class Settings:
    """How patterns are made of structures.

    Args:
        wavelength: Å, or a tube line (``"CuKa"``). None is CuKa for ideal patterns and all the tubes and beamlines
            of the laboratory for others; one that is given restricts the laboratory to that tube, or to a
            beamline at that wavelength.
        conditions: ``ideal``, the paper's pattern; ``lab``, an instrument and a sample drawn for each structure.
        seed: of the laboratory. Row i of the table has a generator of its own, seeded with (seed, i).
        shard_size: structures in one file. Part of the result: a laboratory's impurity comes from the same shard.
        repeats: times that the table is gone through. Structure i of n is simulated as rows i, n + i, 2n + i ... of the
            result, each with a generator of its own; ideal patterns of one structure are alike.
        grid: of ideal patterns.

    Raises:
        WavelengthError: the wavelength is absurd or unknown.
        InputError: unknown conditions, a negative seed, a shard size outside 1..20,000, less than one repeat.
    """

    wavelength: float | str | None = None
    conditions: Conditions = "ideal"
    seed: int = 0
    shard_size: int = 2000
    repeats: int = 1
    grid: PaperGrid = field(default_factory=PaperGrid)

    def __post_init__(self) -> None:
        if self.wavelength is not None:
            object.__setattr__(self, "wavelength", parse_wavelength(self.wavelength))
        if self.conditions not in ("ideal", "lab"):
            raise InputError(f"conditions are ideal or lab, not {self.conditions!r}")
        if self.seed < 0:
            raise InputError(f"the seed is {self.seed}: give a number from 0 up")
        if not 1 <= self.shard_size <= LARGEST_SHARD:
            raise InputError(f"{self.shard_size} structures a shard: give 1 to {LARGEST_SHARD}")

        if self.repeats < 1:
            raise InputError(f"{self.repeats} repeats: the table is gone through once or more")

    @property
    def ideal_wavelength(self) -> float:
        """Of ideal patterns, Å."""
        return TUBE_LINES["CuKa"] if self.wavelength is None else parse_wavelength(self.wavelength)

    @property
    def laboratory(self) -> Laboratory:
        """From which scans are drawn, with the radiation that is wanted."""
        laboratory = Laboratory()
        if self.wavelength is None:
            return laboratory
        wanted = parse_wavelength(self.wavelength)
        for anode, _ in laboratory.tubes:
            if abs(wanted / TUBE_LINES[f"{anode}Ka"] - 1) < _SAME_TUBE:
                return replace(laboratory, tubes=((anode, 1.0),), synchrotron_share=0.0)
        return replace(laboratory, synchrotron_share=1.0, synchrotron=(wanted, wanted))

    def as_json(self) -> dict[str, Any]:
        """The settings that matter under these conditions, as JSON has them."""
        ideal = self.conditions == "ideal"
        said = {
            "conditions": self.conditions,
            "wavelength": self.ideal_wavelength if ideal else self.wavelength,
            "seed": self.seed,
            "shard_size": self.shard_size,
            "repeats": self.repeats,
            **({"grid": asdict(self.grid)} if ideal else {"laboratory": asdict(self.laboratory)}),
        }
        return json.loads(json.dumps(said))


@cache
def versions() -> dict[str, str]:
    """Versions of what the numbers and the bytes depend on, of this process; ``code`` is a hash of Syngony's own."""
    package = Path(__file__).parents[1]
    code = hashlib.sha256()
    for source in sorted(file for pattern in _DECIDING for file in package.glob(pattern)):
        code.update(source.read_bytes())
    packages = {name: version(name) for name in ("numpy", "scipy", "numba", "pyarrow")}
    return {"syngony": __version__, "code": code.hexdigest()[:16], **packages}


def identity(table_sha256: str, rows: int, settings: Settings) -> dict[str, Any]:
    """All that decides the bytes of the patterns, as JSON has it."""
    return {
        "format": FORMAT,
        "table": {"sha256": table_sha256, "rows": rows},
        "settings": settings.as_json(),
        "versions": versions(),
    }


def digest(whole: dict[str, Any]) -> str:
    """sha256 of an identity: what a shard carries to show which simulation it is of."""
    return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()


def file_sha256(path: Path) -> str:
    """sha256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def differences(there: dict[str, Any], here: dict[str, Any]) -> list[str]:
    """What differs between two identities, in words: ``settings.seed (0 there, 1 here)``."""
    old, new = dict(_flat(there)), dict(_flat(here))
    unlike = [key for key in {**old, **new} if old.get(key) != new.get(key)]
    return [f"{key} ({_short(old.get(key))} there, {_short(new.get(key))} here)" for key in unlike]


def _flat(tree: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _short(value: Any) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= 24 else f"{text[:16]}..."
