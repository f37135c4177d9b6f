"""Extinction groups: the table against the operations of the space groups, and against textbook conditions."""

from __future__ import annotations

import importlib.util
import json
from collections import Counter
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import spglib

from syngony.extinction_groups import (
    absences,
    extinction_group_of,
    extinction_groups,
    space_group_frequencies,
)

BOX = np.stack(np.meshgrid(*[np.arange(-6, 7)] * 3, indexing="ij"), -1).reshape(-1, 3)
GENERATOR = Path(__file__).resolve().parents[1] / "benchmarks" / "extinction_groups.py"


def generator():
    spec = importlib.util.spec_from_file_location("extinction_groups_generator", GENERATOR)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_space_group_is_in_one_class():
    members = Counter(number for group in extinction_groups() for number in group.space_groups)
    assert members == Counter(range(1, 231))
    assert len(extinction_groups()) == 97


def test_symbols_are_unique_within_a_lattice_system():
    names = Counter((group.lattice_system, group.symbol) for group in extinction_groups())
    assert max(names.values()) == 1
    assert all(group.symbol[0] == group.centring for group in extinction_groups())
    assert all(group.setting in group.space_groups for group in extinction_groups())


def test_the_table_is_what_the_operations_say():
    shipped = json.loads(files("syngony").joinpath("tables/extinction_groups.json").read_text())["groups"]
    assert generator().table() == shipped


@pytest.mark.parametrize("hall_number_of", [14, 19, 62, 88, 136, 142, 154, 167, 194, 205, 220, 227, 230])
def test_absences_agree_with_the_operations_of_spglib(hall_number_of):
    """Another table of operations and another rule: the sum of phase factors over the operations that keep hkl."""
    halls = [h for h in range(1, 531) if spglib.get_spacegroup_type(h).number == hall_number_of]
    hall = next(h for h in halls if spglib.get_spacegroup_type(h).choice in ("", "b1", "2", "H"))
    operations = spglib.get_symmetry_from_database(hall)
    forbidden = np.zeros(len(BOX), dtype=bool)
    for rotation, translation in zip(operations["rotations"], operations["translations"], strict=True):
        kept = (BOX @ rotation == BOX).all(1)
        phase = BOX @ translation
        forbidden |= kept & (np.abs(phase - np.rint(phase)) > 1e-3)
    assert (absences(hall_number_of, BOX) == forbidden).all()


def test_textbook_conditions():
    h, k, l = BOX.T  # noqa: E741
    # P2_1/c: h0l with l odd, 0k0 with k odd, and nothing else.
    expected = ((k == 0) & (l % 2 != 0)) | ((h == 0) & (l == 0) & (k % 2 != 0))
    assert (absences(14, BOX) == expected).all()
    # P4_2/mnm: 0kl and h0l with an odd sum; 00l follows.
    expected = ((h == 0) & ((k + l) % 2 != 0)) | ((k == 0) & ((h + l) % 2 != 0))
    assert (absences(136, BOX) == expected).all()
    # R-3c, hexagonal axes, obverse: -h+k+l = 3n, and h -h 0 l with l odd.
    expected = (-h + k + l) % 3 != 0
    expected |= ((h == 0) | (k == 0) | (h == -k)) & (l % 2 != 0)
    assert (absences(167, BOX) == expected).all()


@pytest.mark.parametrize(
    ("number", "symbol", "members"),
    [
        (14, "P 1 21/c 1", (14,)),
        (62, "P n - a", (33, 62)),
        (63, "C - c -", (36, 40, 63)),
        (86, "P 42/n - -", (86,)),
        (136, "P - n -", (102, 118, 136)),
        (167, "R - c", (161, 167)),
        (194, "P - - c", (159, 163, 186, 190, 194)),
        (225, "F - - -", (196, 202, 209, 216, 225)),
        (227, "F d - -", (203, 227)),
    ],
)
def test_groups_of_the_international_tables(number, symbol, members):
    group = extinction_group_of(number)
    assert (group.symbol, group.space_groups) == (symbol, members)


def test_a_group_may_hold_trigonal_and_hexagonal_space_groups():
    group = extinction_group_of(152)
    assert group is extinction_group_of(180)
    assert group.also == ("P 62 - -",)
    assert group.crystal_systems == ("trigonal", "hexagonal")
    assert extinction_group_of(225).crystal_systems == ("cubic",)


@pytest.mark.parametrize("number", [0, 231])
def test_no_such_space_group(number):
    with pytest.raises(ValueError, match="not in 1..230"):
        extinction_group_of(number)


def test_frequencies_follow_the_volume():
    small, large = space_group_frequencies(90.0), space_group_frequencies(500.0)
    assert small.shape == (230,)
    assert small.min() > 0
    assert small.sum() == pytest.approx(1.0)
    # P6/mmm has few atoms in a small cell, P6_3/m many in a large one.
    assert small[191 - 1] > small[176 - 1]
    assert large[191 - 1] < large[176 - 1]
    assert space_group_frequencies(1e6)[14 - 1] > 0.05
