"""The block of numbers in a text: delimiters, decimal commas, headers and footers."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from syngony.errors import PatternError

COMMENT = "#!/'*;%"
_MAX_HEADER_ROWS = 3  # lines of numbers ("start step stop") that may stand before the scan
_NUMBER = re.compile(r"[-+]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:[eEdD][-+]?\d+)?", re.ASCII)
_QUOTED = re.compile(r'"([^"]*)"|([^",;\s]+)')
_REMARK = re.compile(r"\s+[#!](?![A-Z]+[/!?])")  # but no spreadsheet's error
_COMMA_AND_BLANK = re.compile(r",\s|\s,")
_NOT_A_NUMBER = re.compile(
    r"[-+]?(?:nan(?:q|s|\(.*\))?|inf(?:inity)?|1\.#\w+|#n/?a|#[a-z]+[!?]|#div/0!|n/?a)", re.IGNORECASE
)
_FORTRAN = str.maketrans("dD,", "ee.")
_PLAIN = r"[-+]?+(?:\d++(?:\.\d*+)?+|\.\d++)(?:[eE][-+]?+\d++)?+"  # of `_NUMBER`, what needs no translation
_PLAIN_ROW = re.compile(rf"[ \t]*+{_PLAIN}(?:[ \t]++{_PLAIN})++[ \t]*+", re.ASCII)
_FIRST_RUN, _LONGEST_RUN = 64, 65_536  # lines that are read at once
_MOST_COLUMNS = 8  # of lines that are read at once


@dataclass(frozen=True, eq=False)
class Columns:
    """A block of numbers and the text around it.

    Attributes:
        values: (n, k) rows, k >= 2; NaN where a field from the third on is empty.
        header: lines before the block, stripped, none of them blank.
        footer: lines after it or comments within it.
        warnings: what the user should know.
    """

    values: NDArray[np.float64]
    header: list[str]
    footer: list[str]
    warnings: list[str]


@dataclass
class _Block:
    """Consecutive rows of one width and delimiter; `first` and `last` are numbers of lines."""

    first: int
    width: int
    delimiter: str
    last: int = 0
    rows: int = 0
    pieces: list[NDArray[np.float64]] = field(default_factory=list)
    single: list[list[float]] = field(default_factory=list)  # rows since the last piece
    points: int = 0  # line number of the first decimal point, 0 for none
    commas: int = 0

    def add(self, number: int, row: list[float]) -> None:
        """A row."""
        self.single.append(row)
        self.rows, self.last = self.rows + 1, number

    def add_run(self, number: int, rows: NDArray[np.float64], text: str) -> None:
        """Rows of the text that begins in a line."""
        self._close()
        self.pieces.append(rows)
        self.rows, self.last = self.rows + len(rows), number + len(rows) - 1
        if not self.points and "." in text:
            self.points = number + text.count("\n", 0, text.index("."))

    def values(self) -> NDArray[np.float64]:
        """All rows."""
        self._close()
        return np.concatenate(self.pieces)

    def _close(self) -> None:
        if self.single:
            self.pieces.append(np.array(self.single, dtype=float))
            self.single = []


def read_columns(lines: list[str]) -> Columns:
    """The longest block of rows of equally many numbers.

    Raises:
        PatternError: no such block, NaN, decimal points mixed with commas, or something else than a
            header of a few lines before it and text after it.
    """
    blocks, texts = _blocks(lines)
    if not blocks or max(block.rows for block in blocks) <= _MAX_HEADER_ROWS:
        raise PatternError(_nothing_found(texts))
    main = max(blocks, key=lambda block: block.rows)
    place = blocks.index(main)
    if sum(block.rows for block in blocks[:place]) > _MAX_HEADER_ROWS:
        raise PatternError(_broken(blocks[place - 1], main, texts))
    warnings = []
    later = blocks[place + 1 :]
    if later:
        fewer = later[0].width < main.width or later[0].delimiter != main.delimiter
        cut_short = fewer and len(later) == 1 and later[0].rows == 1
        last_row = max(i for i, line in enumerate(lines, 1) if line.strip("\x1a\x00 \t"))
        if not (cut_short and later[0].first == last_row):
            raise PatternError(_broken(main, later[0], texts))
        warnings.append(f"the last line ({later[0].first}) is cut short and was left out")
    if main.points and main.commas:
        raise PatternError(
            f"line {main.commas} holds a comma within a number, line {main.points} a decimal point: "
            "write all numbers with one decimal sign and no thousands separators"
        )
    header = [lines[i].strip() for i in range(main.first - 1) if lines[i].strip()]
    footer = [text for number, text in texts if number > main.first]
    return Columns(main.values(), header, footer, warnings)


def _blocks(lines: list[str]) -> tuple[list[_Block], list[tuple[int, str]]]:
    """Blocks of rows, and the numbered lines between and around them; a comment breaks no block."""
    blocks: list[_Block] = []
    texts: list[tuple[int, str]] = []
    block: _Block | None = None
    number, runs_from, window = 0, 0, _FIRST_RUN
    while number < len(lines):
        line = lines[number]
        number += 1
        if number > runs_from and _PLAIN_ROW.fullmatch(line):
            run = _run(lines, number - 1, window)
            if run is not None:
                rows, content = run
                block = _block_of(blocks, block, number, rows.shape[1], " ")
                block.add_run(number, rows, content)
                number += len(rows) - 1
                window = min(2 * window, _LONGEST_RUN)
                continue
            runs_from, window = number + _FIRST_RUN, _FIRST_RUN
        text = line.strip("\ufeff\x1a\x00 \t\v\f\r\n\xa0")
        if not text:
            continue
        if text[0] in COMMENT:
            texts.append((number, text))
            continue
        fields, delimiter = _fields(text)
        values = _numbers(fields, number, text)
        if values is None or len(values) < 2:
            texts.append((number, text))
            block = None
            continue
        block = _block_of(blocks, block, number, len(values), delimiter)
        block.add(number, values)
        if not block.points and any("." in item for item in fields):
            block.points = number
        if not block.commas and any("," in item for item in fields):
            block.commas = number
    return blocks, texts


def _block_of(blocks: list[_Block], current: _Block | None, number: int, width: int, delimiter: str) -> _Block:
    """The current block, or a new one where the row of a line is of another width or delimiter."""
    if current is None or (current.width, current.delimiter) != (width, delimiter):
        current = _Block(number, width, delimiter)
        blocks.append(current)
    return current


def _run(lines: list[str], start: int, window: int) -> tuple[NDArray[np.float64], str] | None:
    """Rows of plain numbers from a line on, as many as are alike among the next `window` lines, and their text.

    None for fewer than half of the shortest run: they are read one by one.
    """
    width = len(lines[start].split())
    if width > _MOST_COLUMNS:
        return None
    text = "\n".join(lines[start : start + window]) + "\n"
    alike = _rows_of(width).match(text)
    count = text.count("\n", 0, alike.end()) if alike else 0
    if alike is None or count < _FIRST_RUN // 2:
        return None
    found = alike.group()
    return np.fromstring(found, sep=" ").reshape(count, width), found


@lru_cache(maxsize=_MOST_COLUMNS)
def _rows_of(width: int) -> re.Pattern[str]:
    row = r"[ \t]++".join([_PLAIN] * width)
    return re.compile(rf"(?:[ \t]*+{row}[ \t]*+\n)++", re.ASCII)


def _fields(text: str) -> tuple[list[str], str]:
    """Fields of a line and the delimiter: a semicolon, else a comma with a blank, else blanks, else commas."""
    if '"' in text:
        return [(quoted or bare).strip() for quoted, bare in _QUOTED.findall(text)], '"'
    text = _REMARK.split(text, maxsplit=1)[0]
    if ";" in text:
        return [item.strip() for item in text.split(";")], ";"
    if not _COMMA_AND_BLANK.search(text):
        blank_separated = text.split()
        if len(blank_separated) > 1:
            return blank_separated, " "
    return [item.strip() for item in text.split(",")], ","


def _numbers(fields: list[str], number: int, text: str) -> list[float] | None:
    """Values of a row, or None for a line of something else. Fields from the third on may be empty."""
    values: list[float] = []
    for i, item in enumerate(fields):
        if _NUMBER.fullmatch(item):
            values.append(_float(item))
        elif not item and i >= 2:
            values.append(np.nan)
        elif values and _NOT_A_NUMBER.fullmatch(item):
            raise PatternError(f"line {number} holds NaN or infinity ({_shown(text)}): remove that point")
        else:
            return None
    return values


def _float(item: str) -> float:
    try:
        return float(item)
    except ValueError:
        return float(item.translate(_FORTRAN))


def _nothing_found(texts: list[tuple[int, str]]) -> str:
    single = sum(1 for _, text in texts if _NUMBER.fullmatch(text))
    if single > 10:
        return f"{single} lines of a single number: counts without angles; give two columns, 2θ and intensity"
    found = f" (line {texts[0][0]} holds {_shown(texts[0][1])})" if texts else ""
    return f"no two columns of numbers in this text{found}: give 2θ in degrees and intensity, one point a line"


def _broken(before: _Block, after: _Block, texts: list[tuple[int, str]]) -> str:
    inside = range(before.last, after.first)
    between = next(((n, text) for n, text in texts if n in inside and text[0] not in COMMENT), None)
    if between is not None:
        return (
            f"line {between[0]} is not a row of numbers ({_shown(between[1])}) in the middle of the scan: "
            "mend or remove it, or give one range a file"
        )
    if before.width == after.width:
        return f"line {after.first} separates its numbers otherwise than the lines before it: use one delimiter"
    return (
        f"line {after.first} holds {after.width} numbers, the lines before it {before.width}: "
        "give 2θ and intensity, one point a line"
    )


def _shown(text: str) -> str:
    return ascii(text[:40]) if not text[:40].isprintable() else f"'{text[:40]}'"
