"""What every source hands over: labelled structures and refusals, in the order of the source."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from syngony.errors import SourceError
from syngony.structure_table import StructureRecord, TableInfo, write_structures


@dataclass(frozen=True)
class Refusal:
    """An entry of a source that gave no structure.

    Attributes:
        identifier: id in the source, or path of the file.
        reason: what was wrong; the words before the first colon name the kind of fault.
    """

    identifier: str
    reason: str

    @property
    def kind(self) -> str:
        """The reason without its particulars, to group by."""
        return self.reason.partition(":")[0]

    @property
    def particulars(self) -> str:
        """The reason without its kind; empty when there is no more to say."""
        return self.reason.partition(":")[2].strip()


Outcome = StructureRecord | Refusal


@dataclass(frozen=True)
class Harvest:
    """The entries of one source, on their way into a table.

    Attributes:
        info: source, licence and label tolerance, for the table's metadata.
        outcomes: one record or refusal an entry; read once.
        total: number of entries to come, when it is known.
        finish: called when the table is on disk, e.g. to drop downloaded pages.
        remarks: what the user should know at the end; complete when ``outcomes`` is exhausted.
    """

    info: TableInfo
    outcomes: Iterator[Outcome]
    total: int | None = None
    finish: Callable[[], None] = field(default=lambda: None)
    remarks: list[str] = field(default_factory=list)


@dataclass
class Tally:
    """What became of a harvest."""

    written: int = 0
    disordered: int = 0
    refusals: list[Refusal] = field(default_factory=list)

    @property
    def ordered(self) -> int:
        """Structures written whose sites are all fully occupied."""
        return self.written - self.disordered

    def kinds(self) -> list[tuple[str, int]]:
        """Kinds of refusal and how many of each, most frequent first."""
        return Counter(refusal.kind for refusal in self.refusals).most_common()


def store(
    harvest: Harvest,
    path: Path | str,
    ordered_only: bool = False,
    on_outcome: Callable[[Outcome], None] = lambda _: None,
) -> Tally:
    """Write a harvest as a structure table, whole or not at all.

    Args:
        harvest: the entries.
        path: the Parquet file.
        ordered_only: refuse structures with partly occupied or mixed sites.
        on_outcome: called with each outcome, e.g. to move a progress bar.

    Raises:
        SourceError: the source failed, no structure came out of it, or the file cannot be written.
    """
    tally = Tally()

    def records() -> Iterator[StructureRecord]:
        for outcome in harvest.outcomes:
            if ordered_only and isinstance(outcome, StructureRecord) and not outcome.structure.is_ordered:
                outcome = Refusal(outcome.material_id, "disordered: left out by --ordered-only")
            on_outcome(outcome)
            if isinstance(outcome, Refusal):
                tally.refusals.append(outcome)
                continue
            tally.written += 1
            tally.disordered += not outcome.structure.is_ordered
            yield outcome
        if not tally.written:
            # Raised inside the writer, so that no empty table takes the place of an older good one.
            raise SourceError(f"no structure to write to {path}: {_why_none(tally)}")

    path = Path(path)
    if path.is_dir():
        raise SourceError(f"{path} is a folder: give -o the name of a Parquet file")
    try:
        write_structures(path, records(), harvest.info)
    except OSError as error:
        raise SourceError(f"{path} cannot be written ({error.strerror or error}): choose another -o") from None
    harvest.finish()
    return tally


def useful_workers(workers: int, entries: int) -> int:
    """As many of the workers as are worth starting: starting one takes as long as a few hundred entries."""
    return max(1, min(workers, entries // 200))


def _why_none(tally: Tally) -> str:
    if not tally.refusals:
        return "the source is empty"
    if len(tally.refusals) == 1:
        return f"{tally.refusals[0].identifier}: {tally.refusals[0].reason}"
    return f"all {len(tally.refusals)} entries were refused ({tally.kinds()[0][0]}, mostly)"
