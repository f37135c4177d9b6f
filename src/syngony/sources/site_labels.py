"""Site labels such as ``SiT1``, ``O-H3`` or ``Wat2``: which element sits there."""

from __future__ import annotations

import re
from collections.abc import Collection

from syngony.elements import ELEMENT_INDEX
from syngony.errors import StructureError

_HYDROGEN = ("H", "D")


def element_of_label(label: str, elements: Collection[str] = ()) -> str:
    """Element symbol behind a site label.

    Water (``Wat``, ``Ow``) and hydroxyl (``O-H``, ``OH``) sites are oxygen: their hydrogen was not located,
    and X-rays hardly see it. ``NH4`` is nitrogen likewise.

    Args:
        label: as published.
        elements: symbols in the compound's formula, to tell ``Co1`` from carbon ``Co``. Empty: unknown.

    Raises:
        StructureError: no element of the compound fits, or two do.
    """
    letters = re.match(r"[A-Za-z]*", label.strip())[0]  # type: ignore[index]
    if letters[:3].lower() == "wat":
        return "O"
    # Co1 is cobalt before carbon unless the formula says otherwise; CO1 is whatever the formula says.
    candidates = [letters[:2]] if letters[1:2].islower() else []
    candidates += [letters[:1].upper(), letters[:2].capitalize()]
    known = [c for c in candidates if c in ELEMENT_INDEX]
    allowed = {*elements, *_HYDROGEN} if set(_HYDROGEN) & set(elements) else set(elements)
    if not allowed and letters[1:2].isupper() and len(known) > 1:
        raise StructureError(f"site label ambiguous: {label!r}; add _atom_site_type_symbol or the formula")
    for candidate in known:
        if not allowed or candidate in allowed:
            return candidate
    if known:
        raise StructureError(f"site label names no element of the formula: {label!r}")
    raise StructureError(f"unknown element: site {label!r}; use symbols H to Cf")


def formula_elements(formula: str) -> dict[str, float]:
    """Atoms of each element in a formula, brackets without multipliers ignored.

    ``(Ca.5 Mg.5) C O3`` gives Ca 0.5, Mg 0.5, C 1, O 3.
    """
    amounts: dict[str, float] = {}
    for symbol, amount in re.findall(r"([A-Z][a-z]?)(\d*\.?\d*)", formula):
        if symbol in ELEMENT_INDEX:
            amounts[symbol] = amounts.get(symbol, 0.0) + (float(amount) if amount.strip(".") else 1.0)
    return amounts
