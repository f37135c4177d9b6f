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
    """Print lines, each with its style (rich) where that is a terminal."""
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    safe = [(_showable(one_line(text)), style) for text, style in lines]
    if not console.is_terminal:  # ten times as fast, which a batch of thousands feels
        print("\n".join(text for text, _ in safe))
        return
    for text, style in safe:
        console.print(text, style=style, markup=False)


def _showable(text: str) -> str:
    return text if printable(text) else text.replace("█", "#").encode("ascii", "replace").decode()
