"""The report of determinations: one HTML file that needs nothing else, for one scan or many."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from syngony.inference import Network
from syngony.library.file import Library
from syngony.pattern import Pattern
from syngony.report.attribution import attribution_html
from syngony.report.drawing import drawing_of
from syngony.report.rendering import answer_html, environment, row_of, static
from syngony.whole_files import write_text

if TYPE_CHECKING:
    from syngony.determination import Determination

MOST_WHOLE = 60
"""Answers of a batch that are shown whole; each takes some 150 kB. Of all there is a row in the table."""


@dataclass(frozen=True)
class Shown:
    """One determination, ready to be shown.

    Attributes:
        key: tells it from others on one page.
        result: what was said.
        row: for the table of many scans (`row_of`).
        html: the whole of it; empty where only the row is wanted.
        drawing: for the picture (`drawing_of`); None with an error.
    """

    key: str
    result: Determination
    row: dict[str, Any]
    html: Markup
    drawing: dict[str, Any] | None

    @property
    def data(self) -> Markup:
        """The drawing as JSON that is safe inside a script element."""
        return script_json(self.drawing) if self.drawing is not None else Markup("")


def shown(
    result: Determination,
    pattern: Pattern | None,
    libraries: Sequence[Library],
    key: str,
    whole: bool = True,
    taken_off: NDArray[np.float64] | None = None,
    network: Network | None = None,
) -> Shown:
    """Make a determination ready to be shown.

    Args:
        result: what was said.
        pattern: the scan; None where it could not be read.
        libraries: those that were searched, to draw phases.
        key: tells it from others on one page; letters, digits, "-" and "_".
        whole: False for its row in a table alone.
        taken_off: (n,) a background that was taken off the scan before.
        network: to show what it looks at, which takes some tenths of a second; None to leave that out.
    """
    row = row_of(result, pattern, f"scan-{key}" if whole else None)
    if not whole:
        return Shown(key, result, row, Markup(""), None)
    if pattern is None or result.error is not None:
        return Shown(key, result, row, answer_html(result, pattern, key), None)
    attention = attribution_html(pattern, network) if network is not None else None
    drawing = drawing_of(pattern, result, libraries, taken_off)
    return Shown(key, result, row, answer_html(result, pattern, key, attention), drawing)


class Report:
    """Determinations one after another; of those beyond `MOST_WHOLE` only a row of 2 kB is kept.

    Args:
        made: versions, models and libraries (`made_by`).
        libraries: those that were searched, to draw phases.
        network: that was asked, to show what it looks at.
    """

    def __init__(self, made: str, libraries: Sequence[Library] = (), network: Network | None = None) -> None:
        self._made = made
        self._network = network
        self._libraries = libraries
        self._rows: list[dict[str, Any]] = []
        self._answers: list[Shown] = []
        self._counts: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, result: Determination, pattern: Pattern | None, taken_off: NDArray[np.float64] | None = None) -> None:
        """Add a determination and its scan; None where it could not be read."""
        number = len(self) + 1
        whole = number <= MOST_WHOLE
        self.add_shown(shown(result, pattern, self._libraries, str(number), whole, taken_off, self._network))

    def add_shown(self, answer: Shown) -> None:
        """Add one that is ready."""
        whole = bool(answer.html) and len(self._answers) < MOST_WHOLE
        self._rows.append(answer.row if whole else {**answer.row, "link": None})
        result = answer.result
        self._counts["no answer" if result.error else "not sure" if result.abstained else "named"] += 1
        if whole:
            self._answers.append(answer)

    def html(self) -> str:
        """The file's text."""
        from plotly.offline import get_plotlyjs

        title = self._rows[0]["file"] if len(self._rows) == 1 else f"{len(self._rows)} scans"
        counts = ", ".join(f"{self._counts[kind]} {kind}" for kind in ("named", "not sure", "no answer"))
        return environment().get_template("report.html").render(
            title=f"{title} – Syngony",
            folder=(folder := common_folder([row["file"] for row in self._rows])),
            rows=[{**row, "label": row["file"][len(folder) :]} for row in self._rows],
            answers=self._answers,
            left_out=len(self._rows) > len(self._answers),
            summary=counts,
            made=self._made,
            style=Markup(static("report.css")),
            script=Markup(static("report.js")),
            plotly=Markup(_inline(get_plotlyjs())),
        )  # fmt: skip

    def write(self, path: Path) -> None:
        """Write the file, whole or not at all.

        Raises:
            OutputError: it cannot be written.
        """
        write_text(path, self.html(), errors="backslashreplace")


def common_folder(files: Sequence[str]) -> str:
    """The folder that the names of several files begin with, its last slash included; empty where there is none."""
    folders = [file[: file.rfind("/") + 1] for file in files]
    shared = os.path.commonprefix(folders) if len(files) > 1 else ""  # noqa: RUF071  letters may differ: cut at a slash
    return shared[: shared.rfind("/") + 1]


def script_json(value: Any) -> Markup:
    """JSON that no text in it can end a script element with."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=True)
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))


def _inline(script: str) -> str:
    """JavaScript that may stand in a script element: plotly's holds the end tag in texts."""
    return script.replace("</script", "<\\/script").replace("<!--", "<\\!--")
