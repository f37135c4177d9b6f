"""Patterns whose answer is known: measured ones from a table, or scans simulated from structures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from syngony.diffraction.laboratory import Laboratory, Phase, Scan, measure
from syngony.diffraction.profile import PaperGrid, paper_pattern
from syngony.diffraction.reflections import reflections
from syngony.errors import InputError, PatternError, StructureError, TableError
from syngony.learning.split import sides_of
from syngony.pattern import Pattern
from syngony.structure import reduced_formula
from syngony.structure_table import StructureRecord, read_table
from syngony.wavelengths import TUBE_LINES

Conditions = Literal["ideal", "lab"]

_WAVELENGTH = "CuKa"


@dataclass(frozen=True, eq=False)
class LabelledPattern:
    """A pattern whose space group is known.

    Attributes:
        pattern: the scan.
        space_groups: numbers that count as right.
        kin: a name shared by patterns of one compound, or empty.
        sites: of the structure's cell; 0 where there is none.
        unknown: True to leave every entry of its compound out of the libraries.
    """

    pattern: Pattern
    space_groups: tuple[int, ...]
    kin: str = ""
    sites: int = 0
    unknown: bool = False


class SimulatedPatterns:
    """Scans of the structures of a table, each a function of the table, the seed and its place alone.

    Args:
        table: Parquet structure table.
        conditions: ``ideal``, the paper's pattern; ``lab``, a drawn instrument and sample for each, whose impurity
            is the structure before it.
        limit: a random sample of this many rows.
        seed: of the sample and the laboratory.
        known: True to leave its compound in the libraries; they are searched as if it were not there.
        grid: of ideal patterns; the paper's when omitted.
        side: of the split by reduced formula that is sampled, ``train``, ``validation`` or ``test``; None for all.

    Raises:
        TableError: the table cannot be read, or holds no such structure.
        InputError: other conditions.
    """

    def __init__(
        self,
        table: Path | str,
        conditions: Conditions,
        limit: int | None = None,
        seed: int = 0,
        known: bool = False,
        grid: PaperGrid | None = None,
        side: str | None = None,
    ) -> None:
        if conditions not in ("ideal", "lab"):
            raise InputError(f"conditions are ideal or lab, not {conditions!r}")
        source = read_table(table)
        if source.num_rows == 0:
            raise TableError(f"{table}: no structures in it")
        rows = np.arange(source.num_rows)
        if side is not None:
            rows = np.flatnonzero(sides_of(source["formula"].to_pylist()) == side)
            if len(rows) == 0:
                raise TableError(f"{table}: no structure on the {side} side of the split: give a larger table")
        if limit is not None and limit < len(rows):
            rows = rows[np.sort(np.random.default_rng(seed).choice(len(rows), limit, replace=False))]
        self._rows = source.take(rows)
        self.conditions, self.seed, self.known = conditions, seed, known
        self._grid, self._laboratory = grid or PaperGrid(), Laboratory()

    def __len__(self) -> int:
        return self._rows.num_rows

    def record(self, place: int) -> StructureRecord:
        """The structure at a place.

        Raises:
            StructureError: it is impossible.
        """
        return StructureRecord.from_row(self._rows.slice(place, 1).to_pylist()[0])

    def __getitem__(self, place: int) -> LabelledPattern:
        """One scan.

        Raises:
            StructureError, PatternError: the structure cannot be simulated; the message names it.
        """
        try:
            record = self.record(place)
            if self.conditions == "ideal":
                lines = reflections(record.structure, _WAVELENGTH, self._grid.two_theta_range)
                scan = Scan(self._grid.two_theta, paper_pattern(lines, self._grid), TUBE_LINES[_WAVELENGTH])
            else:
                rng = np.random.default_rng((self.seed, place))
                phase = Phase.from_structure(record.structure)
                scan = measure(phase, self._laboratory.draw(rng), rng, impurity=self._impurity(place))
            pattern = Pattern(*scan, name=record.material_id)
        except (StructureError, PatternError) as error:
            name = self._rows["material_id"][place].as_py()
            raise type(error)(f"{name}: {error}") from None
        kin = reduced_formula(self._rows["formula"][place].as_py())
        sites = len(record.structure.species)
        return LabelledPattern(pattern, (record.space_group_number,), kin, sites, not self.known)

    def _impurity(self, place: int) -> Phase | None:
        try:
            return Phase.from_structure(self.record((place or len(self)) - 1).structure)
        except StructureError:
            return None


def read_labelled_patterns(path: Path | str, limit: int | None = None) -> list[LabelledPattern]:
    """The patterns of a Parquet table; ``space_group`` is a number or ``n|m`` where powder cannot tell.

    Args:
        path: a Parquet file, or a folder of them (what ``syngony simulate`` writes).
        limit: only the first so many.

    Raises:
        TableError: missing file, no Parquet, or no such columns.
    """
    import pyarrow as pa
    import pyarrow.dataset as ds

    needed = ["two_theta", "intensity", "wavelength", "space_group"]
    patterns: list[LabelledPattern] = []
    try:
        dataset = ds.dataset(path, format="parquet")
        names = dataset.schema.names
        missing = [name for name in needed if name not in names]
        if missing:
            raise TableError(f"{path}: no column {', '.join(missing)}; patterns have {', '.join(needed)}")
        extra = [name for name in ("pattern_id", "material", "material_id", "formula") if name in names]
        for batch in dataset.to_batches(
            columns=needed + extra, batch_size=256, batch_readahead=2, fragment_readahead=1
        ):
            scans = [batch[name] for name in ("two_theta", "intensity")]
            for index, row in enumerate(batch.select(needed[2:] + extra).to_pylist()):
                if limit is not None and len(patterns) == limit:
                    return patterns
                two_theta, intensity = (getattr(scan[index], "values", None) for scan in scans)
                patterns.append(_labelled(path, row, two_theta, intensity, len(patterns)))
    except (pa.ArrowException, OSError, EOFError, UnicodeDecodeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise TableError(f"{path}: not a readable Parquet file ({reason})") from None
    return patterns


def _labelled(path: Path | str, row: dict[str, Any], two_theta: Any, intensity: Any, number: int) -> LabelledPattern:
    """One row of a pattern table; the scan as Arrow arrays."""
    name = str(row.get("pattern_id") or row.get("material_id") or number)
    stated = str(row["space_group"])
    parts = stated.split("|")
    if not all(part.isdecimal() and len(part) < 4 and 1 <= int(part) <= 230 for part in parts):
        raise TableError(f"{path}: pattern {name[:40]!a}: space_group {stated[:40]!a} is no number or n|m of 1 to 230")
    try:
        pattern = Pattern(
            two_theta.to_numpy(zero_copy_only=False), intensity.to_numpy(zero_copy_only=False), row["wavelength"], name
        )
        formula = row.get("formula")
        kin = row.get("material") or (reduced_formula(formula) if formula else "")
    except (PatternError, AttributeError, TypeError, KeyError) as error:
        raise TableError(f"{path}: pattern {name[:40]!a}: {error}") from None
    return LabelledPattern(pattern, tuple(int(part) for part in parts), str(kin))
