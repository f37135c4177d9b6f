"""What every command prints: errors on stderr in one line, JSON and text that the terminal can show."""

from __future__ import annotations

import json
import sys
from typing import Any


def complain(message: str) -> None:
    """One line on stderr, whatever characters a file name or a header brings."""
    print(f"syngony: {one_line(message)}", file=sys.stderr)


def one_line(text: str) -> str:
    """Text with every character that a terminal would obey written out."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def printable(text: str) -> bool:
    """Whether stdout's encoding has all characters of the text."""
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def as_json(listed: list[dict[str, Any]]) -> str:
    """JSON, in plain ASCII where stdout can show no more."""
    text = json.dumps(listed, indent=1, ensure_ascii=False)
    return text if printable(text) else json.dumps(listed, indent=1)


def print_lines(lines: list[tuple[str, str]]) -> None:
    """Print lines, each with its style (rich)."""
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    for text, style in lines:
        safe = one_line(text)
        if not printable(safe):
            safe = safe.replace("█", "#").encode("ascii", "replace").decode()
        console.print(safe, style=style, markup=False)
