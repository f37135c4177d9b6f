"""Where answers of ``syngony determine`` go: the terminal as they come, a journal, and files that are written whole."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from syngony.cli.answer_text import print_answer
from syngony.cli.console import complain, printable

if TYPE_CHECKING:
    from syngony.determination import Determination, Request, ScanFile
    from syngony.journal import Journal
    from syngony.report.answers import Report


@dataclass(frozen=True)
class Wanted:
    """What the user wants to see.

    Attributes:
        json: JSON on stdout, not text.
        streamed: JSON as it comes, one object a line.
        csv, report: files to write.
    """

    json: bool
    streamed: bool
    csv: Path | None
    report: Path | None

    @property
    def paths(self) -> set[Path]:
        """Files that are written, in full."""
        return {path.resolve() for path in (self.csv, self.report) if path is not None}


class Outputs:
    """Answers, kept in a journal until they are written: of any number there is one in memory at a time."""

    def __init__(self, request: Request, wanted: Wanted, journal: Journal) -> None:
        from syngony.determination import ScanFile

        self.failed = False
        self._request, self._wanted, self._journal = request, wanted, journal
        self._printed = False
        self._report: Report | None = None
        self._reported = 0
        # The entry of each file that was determined; a later one counts, as of a file that was changed.
        self._entries: dict[str, tuple[int, ScanFile]] = {}
        for number, entry in enumerate(journal):
            mark = tuple(entry["mark"]) if entry["mark"] else None
            # What failed is tried again: a full memory or a network drive may be well by now.
            if all(answer["error"] is None for answer in entry["answers"]):
                self._entries[entry["file"]] = number, ScanFile(entry["file"], entry["place"], mark)
        self._order: list[int] = []

    def kept(self, file: ScanFile) -> bool:
        """Whether the answers for this very file are there already."""
        return file.name in self._entries and self._entries[file.name][1] == file

    def add(self, file: ScanFile, answers: list[Determination]) -> None:
        """Show the answers for a file, and keep them."""
        for result in answers:
            self._show(result)
        listed = [result.as_dict() for result in answers]
        entry = {"file": file.name, "place": file.place, "mark": file.mark, "answers": listed}
        self._entries[file.name] = self._journal.add(entry), file
        self._order.append(self._entries[file.name][0])

    def put_in_order(self, files: Iterable[ScanFile]) -> None:
        """From now on the answers for these files are what is written, in this order."""
        self._order = [self._entries[file.name][0] for file in files]

    def write(self) -> None:
        """Write the files as they stand.

        Raises:
            OutputError: one cannot be written.
        """
        from syngony.report.table import write_csv
        from syngony.whole_files import whole_file

        if self._wanted.csv is not None:
            with (
                whole_file(self._wanted.csv) as partial,
                partial.open("w", encoding="utf-8", errors="backslashreplace", newline="") as stream,
            ):
                write_csv(stream, self._results())
        if self._wanted.report is not None and self._order:
            self._write_report(self._wanted.report)

    def finish(self) -> None:
        """Print the list, if that was asked for, write the files, and let the journal go."""
        if self._wanted.json and not self._wanted.streamed:
            self._print_list()
        self.write()
        self._journal.close(remove=True)

    def _show(self, result: Determination) -> None:
        if result.error is not None:
            self.failed = True
            complain(f"{result.file}: {result.error}")
        if self._wanted.json and self._wanted.streamed:
            text = json.dumps(result.as_dict(), ensure_ascii=False)
            print(text if printable(text) else json.dumps(result.as_dict()), flush=True)
        elif not self._wanted.json and result.error is None:
            print_answer(result, first=not self._printed)
            self._printed = True

    def _results(self) -> Iterator[Determination]:
        from syngony.determination import Determination

        for number in self._order:
            for answer in self._journal[number]["answers"]:
                yield Determination.from_dict(answer)

    def _print_list(self) -> None:
        """One JSON list, an answer at a time; in plain ASCII where stdout can show no more."""
        before = "[\n"
        for result in self._results():
            text = json.dumps(result.as_dict(), indent=1, ensure_ascii=False)
            text = text if printable(text) else json.dumps(result.as_dict(), indent=1)
            print(before + textwrap.indent(text, " "), end="")
            before = ",\n"
        print("[]" if before == "[\n" else "\n]", flush=True)

    def _write_report(self, path: Path) -> None:
        """Write the report, with the answers that are new since it was written last."""
        from syngony.determination import Determination, ScanFile, looked_at

        if self._report is None:
            self._report = _new_report(self._request)
        for number in self._order[self._reported :]:
            entry = self._journal[number]
            scans = looked_at(ScanFile(entry["file"], entry["place"], None), self._request)
            for place, answer in enumerate(entry["answers"]):
                pattern, prepared = scans[place] if place < len(scans) else (None, None)
                taken_off = None
                if prepared is not None and answer["error"] is None:
                    pattern, taken_off = prepared.pattern, prepared.taken_off
                self._report.add(Determination.from_dict(answer), pattern, taken_off)
        self._reported = len(self._order)
        self._report.write(path)


def _new_report(request: Request) -> Report:
    from syngony.report.answers import Report
    from syngony.report.rendering import made_by

    determiner = request.witnesses.loaded()
    libraries = determiner.libraries or []
    return Report(made_by(determiner.network, libraries), libraries, determiner.network)
