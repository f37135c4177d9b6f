"""Whether a network, card or library that came with Syngony is still what was shipped."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files
from pathlib import Path


def is_as_shipped(path: Path) -> bool:
    """Whether the sha256 of a file in ``models/`` or ``libraries/`` is that of the list ``tables/shipped.sha256``.

    A card states the hash of its network, but nothing else vouches for the card; this list does, for those shipped.
    ``scripts/pin`` writes it.
    """
    return _shipped().get(f"{path.parent.name}/{path.name}") == hashlib.sha256(path.read_bytes()).hexdigest()


@cache
def _shipped() -> dict[str, str]:
    """Hashes by name, from the lines that ``sha256sum`` writes."""
    text = files("syngony").joinpath("tables/shipped.sha256").read_text(encoding="utf-8")
    return {name: digest for digest, name in (line.split() for line in text.splitlines())}
