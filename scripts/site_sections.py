"""A hook of MkDocs: a line that is nothing but a link to a section of the README becomes that section.

Figures then stand in one place. In a repository's browser such a line is an ordinary link.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

README = Path(__file__).resolve().parents[1] / "README.md"

_LINK = re.compile(r"^\[([^\]\n]+)\]\(\.\./README\.md#[^)\n]*\)$", re.MULTILINE)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Called by MkDocs for each page, with its text."""
    return _LINK.sub(lambda link: section(README.read_text(encoding="utf-8"), link[1]), markdown)


def section(text: str, title: str) -> str:
    """What stands under a heading of the README, its links as they are in the folder of the pages.

    Raises:
        KeyError: there is no such heading.
    """
    parts = dict(re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL))
    if title not in parts:
        raise KeyError(f"README.md has no section {title!r}")
    return re.sub(r"\]\(docs/", "](", parts[title]).strip()
