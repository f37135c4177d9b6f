"""A list of lines as a text file: what a user has who found the peaks elsewhere."""

from __future__ import annotations

from pathlib import Path

from syngony.errors import WavelengthError
from syngony.lines.lines import LineError, Lines

_LARGEST_FILE = 1_000_000  # bytes


def read_lines(path: Path | str, wavelength: str | float | None) -> Lines:
    """Lines from a text file: 2θ in degrees and, in a second column, intensity if known.

    Columns are parted by spaces, tabs, commas or semicolons; what follows # is a comment.

    Args:
        path: the file.
        wavelength: Å, or the name of a tube line; a list of lines states none.

    Raises:
        LineError: not such a file.
        WavelengthError: no wavelength, or an absurd one.
    """
    path = Path(path)
    if path.stat().st_size > _LARGEST_FILE:
        raise LineError(f"{path.stat().st_size:,} bytes are no list of lines: leave out --lines for a scan")
    if wavelength is None:
        raise WavelengthError("a list of lines states no wavelength: pass --wavelength (1.5406, CuKa1, ...)")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise LineError("not a text file: give 2θ and, if known, intensity, a line each") from None
    rows: list[list[float]] = []
    for number, line in enumerate(text.splitlines(), 1):
        fields = line.split("#")[0].replace(",", " ").replace(";", " ").split()
        if not fields:
            continue
        try:
            rows.append([float(field) for field in fields[:2]])
        except ValueError:
            raise LineError(f"row {number} holds no numbers: {line.strip()[:40]!r}; begin comments with #") from None
    widths = {len(row) for row in rows}
    if len(widths) > 1:
        raise LineError("some rows have an intensity and some have none: give one for each line, or none")
    if not rows:
        raise LineError("no lines in the file: give 2θ and, if known, intensity, a line each")
    return Lines.from_positions([row[0] for row in rows], wavelength, [row[1] for row in rows] if 2 in widths else None)
