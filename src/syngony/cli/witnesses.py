"""Options that say who is asked: libraries and kinds of evidence."""

from __future__ import annotations

from collections.abc import Sequence

DEFAULT_MODEL = "syngony"
DEFAULT_BUDGET = 1.0

LIBRARY_HELP = "Of known phases, a name or a .lib file; may be repeated; none for no library. Those shipped if omitted."
EVIDENCE_HELP = "network, lattice and library, joined by commas: whom to ask. All if omitted."


def libraries_of(given: Sequence[str] | None) -> tuple[str, ...] | None:
    """None for those shipped, empty for none."""
    if not given:
        return None
    return () if list(given) == ["none"] else tuple(given)


def evidence_of(given: str | None) -> tuple[str, ...] | None:
    """Kinds of evidence; None for all."""
    return None if given is None else tuple(part.strip() for part in given.split(",") if part.strip())
