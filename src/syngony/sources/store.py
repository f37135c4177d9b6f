"""A harvest as a table, whole or not at all; what was interrupted goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from syngony.errors import InputError, OutputError, SourceError
from syngony.journal import Journal
from syngony.parallel.installation import installation
from syngony.sources.harvest import Harvest, Outcome, Refusal, Tally
from syngony.structure_table import StructureRecord, write_rows


def store(
    harvest: Harvest,
    path: Path | str,
    ordered_only: bool = False,
    on_outcome: Callable[[Outcome], None] = lambda _: None,
) -> Tally:
    """Write a harvest as a structure table, whole or not at all.

    Entries are kept in ``PATH.journal`` until the table is written: after an interruption, the same call goes on.

    Args:
        harvest: the entries.
        path: the Parquet file.
        ordered_only: refuse structures with partly occupied or mixed sites.
        on_outcome: called with each outcome, e.g. to move a progress bar.

    Raises:
        SourceError: the source failed, or no structure came out of it.
        OutputError: the file cannot be written.
        InputError: another process is writing there.
    """
    path = Path(path)
    if path.is_dir():
        raise SourceError(f"{path} is a folder: give -o the name of a Parquet file")
    try:
        journal = _journal(path, harvest)
    except OutputError as error:
        raise SourceError(f"{path} cannot be written ({error}): choose another -o") from None
    tally = Tally()
    done = False
    try:
        for entry in _entries(harvest, journal):
            for outcome in entry:
                shown = _wanted(outcome, ordered_only)
                on_outcome(shown)
                if isinstance(shown, Refusal):
                    tally.refusals.append(shown)
                else:
                    tally.written += 1
                    tally.disordered += not shown.structure.is_ordered
        if not tally.written:  # no empty table takes the place of an older good one
            done = True
            raise SourceError(f"no structure to write to {path}: {_why_none(tally)}")
        write_rows(path, _rows(journal, ordered_only), harvest.info)
        done = True
    finally:
        # Entries of a source without an identity are of no use the next time.
        journal.close(remove=done or len(journal) == 0 or harvest.identity is None)
    harvest.finish()
    return tally


def _journal(path: Path, harvest: Harvest) -> Journal:
    """Entries of the very same harvest, or none: those of another are of no use."""
    place = path.with_name(f"{path.name}.journal")
    identity = {"journal": "syngony data fetch", "source": harvest.identity, "installation": installation()}
    if harvest.identity is not None:
        try:
            return Journal(place, identity, "harvest")
        except InputError as error:
            if "another harvest" not in str(error):
                raise
    place.unlink(missing_ok=True)
    return Journal(place, identity, "harvest")


def _entries(harvest: Harvest, journal: Journal) -> Iterator[list[Outcome]]:
    """All entries: first those that the journal holds, then those of the source, which it takes up."""
    structures = 0
    for kept in journal:
        outcomes = [_outcome(row) for row in kept["outcomes"]]
        structures += sum(isinstance(outcome, StructureRecord) for outcome in outcomes)
        yield outcomes
    for outcomes in harvest.entries(len(journal), structures):
        journal.add({"outcomes": [_as_json(outcome) for outcome in outcomes]})
        yield outcomes


def _rows(journal: Journal, ordered_only: bool) -> Iterator[dict[str, Any]]:
    """Rows of the table as the records made them: to and from a structure, cells would change in the last digit."""
    for entry in journal:
        for row in entry["outcomes"]:
            if "refused" not in row and not (ordered_only and row["occupancies"] is not None):
                yield row


def _wanted(outcome: Outcome, ordered_only: bool) -> Outcome:
    if ordered_only and isinstance(outcome, StructureRecord) and not outcome.structure.is_ordered:
        return Refusal(outcome.material_id, "disordered: left out by --ordered-only")
    return outcome


def _as_json(outcome: Outcome) -> dict[str, Any]:
    if isinstance(outcome, Refusal):
        return {"refused": outcome.identifier, "reason": outcome.reason}
    return {key: value.tolist() if hasattr(value, "tolist") else value for key, value in outcome.row().items()}


def _outcome(row: dict[str, Any]) -> Outcome:
    return Refusal(row["refused"], row["reason"]) if "refused" in row else StructureRecord.from_row(row)


def _why_none(tally: Tally) -> str:
    if not tally.refusals:
        return "the source is empty"
    if len(tally.refusals) == 1:
        return f"{tally.refusals[0].identifier}: {tally.refusals[0].reason}"
    return f"all {len(tally.refusals)} entries were refused ({tally.kinds()[0][0]}, mostly)"
