"""What every source hands over: labelled structures and refusals, in the order of the source."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from syngony.structure_table import StructureRecord, TableInfo


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
        entries: called with a number of entries and of structures that are there already; the records and refusals of
            each further entry, in the order of the source. An entry is what is read together, as a file is.
        identity: all that decides the outcomes, as plain values; None where the source may be another the next time,
            or keeps its own pages.
        total: number of entries to come, when it is known.
        finish: called when the table is on disk, e.g. to drop downloaded pages.
        remarks: what the user should know at the end; complete when the entries are exhausted.
    """

    info: TableInfo
    entries: Callable[[int, int], Iterator[list[Outcome]]]
    identity: dict[str, Any] | None = None
    total: int | None = None
    finish: Callable[[], None] = field(default=lambda: None)
    remarks: list[str] = field(default_factory=list)

    @property
    def outcomes(self) -> Iterator[Outcome]:
        """One record or refusal after another, from the beginning."""
        return chain.from_iterable(self.entries(0, 0))


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


def useful_workers(workers: int, entries: int) -> int:
    """As many of the workers as are worth starting: starting one takes as long as a few hundred entries."""
    return max(1, min(workers, entries // 200))
