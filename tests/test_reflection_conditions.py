"""Reflection conditions: what is printed says exactly what the operations of the group forbid."""

from __future__ import annotations

import re
from itertools import product

import numpy as np
import pytest

from syngony.extinction_groups import ExtinctionGroup, absences, extinction_group_of, extinction_groups
from syngony.reflection_conditions import reflection_conditions

CYCLES = [lambda h, k, l: (h, k, l), lambda h, k, l: (k, l, h), lambda h, k, l: (l, h, k)]  # noqa: E741


def texts(space_group: int) -> str:
    return "; ".join(str(one) for one in reflection_conditions(extinction_group_of(space_group)))


@pytest.mark.parametrize(
    ("space_group", "told"),
    [  # International Tables A, table 3.1.4.1, but for what follows from the rest
        (2, ""),
        (14, "h0l: l = 2n; 0k0: k = 2n"),
        (15, "hkl: h + k = 2n; h0l: l = 2n"),
        (19, "h00: h = 2n; 0k0: k = 2n; 00l: l = 2n"),
        (61, "0kl: k = 2n; h0l: l = 2n; hk0: h = 2n"),
        (62, "0kl: k + l = 2n; hk0: h = 2n"),
        (136, "0kl: k + l = 2n"),
        (141, "hkl: h + k + l = 2n; hk0: h = 2n; hhl: 2h + l = 4n"),
        (152, "000l: l = 3n"),
        (167, "hkl: -h + k + l = 3n; h-h0l: l = 2n"),
        (194, "hh-2hl: l = 2n"),
        (205, "0kl: k = 2n"),
        (225, "hkl: h + k, h + l = 2n"),
        (227, "hkl: h + k, h + l = 2n; 0kl: k + l = 4n"),
        (230, "hkl: h + k + l = 2n; 0kl: k = 2n; hhl: 2h + l = 4n"),
    ],
)  # fmt: skip
def test_known_groups(space_group: int, told: str) -> None:
    assert texts(space_group) == told


def alike(system: str, h: int, k: int, l: int) -> set[tuple[int, int, int]]:  # noqa: E741
    """Reflections that the lattice makes alike, as the reader of a table takes it."""
    if system == "cubic":
        return {cycle(*signs) for cycle in CYCLES for signs in ((h, k, l), (-h, k, l), (h, -k, l), (h, k, -l))}
    if system == "tetragonal":
        return {(h, k, l), (k, h, l), (-h, k, l)}
    if system in ("hexagonal", "rhombohedral"):
        i = -h - k
        turned = {(h, k), (k, i), (i, h)}
        return {(a, b, l) for a, b in turned}
    return {(h, k, l)}


def belongs(name: str, h: int, k: int, l: int) -> bool:  # noqa: E741
    """Whether a reflection is of a class, by its name."""
    if name == "hkl":
        return True
    if name in ("h-h0l", "hh-2hl", "000l"):
        return {"h-h0l": h == -k, "hh-2hl": h == k, "000l": h == k == 0}[name]
    if name == "hhl":
        return h == k
    return all(index == 0 for letter, index in zip(name, (h, k, l), strict=True) if letter == "0")


def terms(total: str) -> list[list[int]]:
    """Factors of h, k and l in each printed sum: ``-h + k + l`` is (-1, 1, 1)."""
    factors = {"": 1, "-": -1, "2": 2}
    found = []
    for part in total.split(", "):
        said = {letter: factors[factor] for factor, letter in re.findall(r"(-|2|)([hkl])", part)}
        found.append([said.get(letter, 0) for letter in "hkl"])
    return found


def permitted(group: ExtinctionGroup, every: list[tuple[int, int, int]]) -> list[bool]:
    """What the printed conditions say of reflections."""
    known = []
    for text in (str(one) for one in reflection_conditions(group)):
        name, total, modulus = re.fullmatch(r"(\S+): (.+) = (\d)n", text).groups()  # type: ignore[union-attr]
        known.append((name, terms(total), int(modulus)))

    def fulfilled(h: int, k: int, l: int) -> bool:  # noqa: E741
        return all(
            (a * h + b * k + c * l) % modulus == 0
            for name, sums, modulus in known
            if belongs(name, h, k, l)
            for a, b, c in sums
        )

    return [all(fulfilled(*one) for one in alike(group.lattice_system, *hkl)) for hkl in every]


@pytest.mark.parametrize("group", extinction_groups(), ids=lambda g: f"{g.lattice_system} {g.symbol}")
def test_what_is_printed_is_what_the_operations_forbid(group: ExtinctionGroup) -> None:
    reach = range(-3, 7)
    every = [hkl for hkl in product(reach, repeat=3) if hkl != (0, 0, 0)]
    forbidden = absences(group.setting, np.array(every))
    assert [not one for one in permitted(group, every)] == forbidden.tolist()


def test_conditions_are_few_and_of_the_table_alone() -> None:
    assert max(len(reflection_conditions(group)) for group in extinction_groups()) == 4
    with pytest.raises(ValueError, match="no extinction group"):
        reflection_conditions(ExtinctionGroup("X", (1, 230)))
