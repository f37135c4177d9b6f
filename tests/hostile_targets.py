"""What takes files of strangers, each with whole files to start from and a way to make them wrong.

`tests/test_fuzzing.py` tries a few hundred of each, `benchmarks/fuzz.py` as many as it is told.
"""

from __future__ import annotations

import io
import json
import math
import os
import random
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import instrument_files as files
import numpy as np
from conftest import TEXTBOOK
from instrument_files import Written
from mutation import Mutation, mutated, mutated_archive, mutated_json, mutated_value

from syngony.errors import SyngonyError, WavelengthError
from syngony.pattern import Pattern
from syngony.readers import read_patterns

_LINES = (5, 9, 20)  # places of lines in the scans
_GROUPS = {"rutile": 136, "halite": 225, "caesium_chloride": 221, "wurtzite": 186, "triclinic": 2}


@dataclass(frozen=True)
class Target:
    """One kind of file.

    Attributes:
        name: of the kind.
        seeds: whole files of it.
        read: takes a file's bytes and does what a user's command would; raises `SyngonyError` to refuse it.
        mutate: makes a file wrong.
    """

    name: str
    seeds: Callable[[], Sequence[bytes]]
    read: Callable[[bytes], None]
    mutate: Mutation = mutated

    def file(self, number: int) -> bytes:
        """The mutated file of a number: the same each time."""
        return self.mutate(random.Random(f"{self.name} {number}"), self.seeds())


def refused(target: Target, content: bytes) -> bool:
    """Whether a file is refused (True) or read; any other error than `SyngonyError` passes through."""
    try:
        target.read(content)
    except SyngonyError:
        return True
    return False


# --- scans --------------------------------------------------------------------------------------


def _written(points: int, shift: float = 0.0) -> Written:
    place = np.arange(points)
    counts = 50 + 10 * (place % 7) + sum(900 * np.exp(-(((place - points * at / 25) / 2.0) ** 2)) for at in _LINES)
    return Written(10.0 + shift, 0.25, tuple(counts.round().astype(int).tolist()))


ONE, OTHER = _written(40), _written(60, 30.0)


def _scans(name: str) -> Callable[[], Sequence[bytes]]:
    @cache
    def seeds() -> Sequence[bytes]:
        write = files.WRITERS[name]
        return [write([ONE]), write([OTHER])] + ([] if name in files.OF_ONE_SCAN else [write([ONE, OTHER])])

    return seeds


def read_scan_file(content: bytes) -> None:
    """What `syngony determine FILE` does first, and once more with a wavelength where that is missing."""
    with _file(content) as path:
        try:
            patterns = read_patterns(path)
        except WavelengthError:
            patterns = read_patterns(path, "CuKa")
    for pattern in patterns:
        assert isinstance(pattern, Pattern) and np.isfinite(pattern.intensity).all()
        assert 0 < pattern.two_theta[0] < pattern.two_theta[-1] <= 180 and len(pattern) >= 20


@cache
def _columns_of_text() -> Sequence[bytes]:
    rows = list(zip(ONE.angles, ONE.counts, strict=True))
    q = 4 * np.pi * np.sin(np.radians(ONE.angles / 2)) / 1.5406
    texts = (
        "# wavelength = 1.5406 A\n" + "".join(f"{a:.2f} {c}\n" for a, c in rows),
        "".join(f"{a:.2f}\t{c}\t{math.sqrt(c):.3f}\n" for a, c in rows),
        '"2theta","counts"\r\n' + "".join(f"{a:.2f},{c}.0\r\n" for a, c in rows),
        "2theta;counts;Wellenlänge 1,5406 Å\n" + "".join(f"{a:.2f};{c}\n".replace(".", ",") for a, c in rows),
        "sample\nq [1/A]  intensity\n\n40\n" + "".join(f"{a:.5f} {c}.0\n" for a, c in zip(q, ONE.counts, strict=True)),
        "CuKa1, no. of points: 40\n" + "".join(f"{a:.5E} {c:.5E}\n" for a, c in rows),
    )
    return [text.encode() for text in texts] + [texts[0].encode("utf-16"), texts[1].encode("utf-16-le")]


# --- structures ---------------------------------------------------------------------------------


@cache
def _cifs() -> Sequence[bytes]:
    cell = "_cell_length_a {}\n_cell_length_b {}\n_cell_length_c {}\n_cell_angle_alpha {}\n_cell_angle_beta {}\n"
    cell += "_cell_angle_gamma {}\n"
    site = (
        "loop_\n_atom_site_label\n_atom_site_type_symbol\n_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\n"
    )
    rutile = "Ti1 Ti 0 0 0{0}\nO1 O 0.305(2) 0.305(2) 0{0}\n"
    tetragonal, cubic = cell.format(4.594, 4.594, 2.959, 90, 90, 90), cell.format(*[5.64] * 3, *[90] * 3)
    listed = "loop_\n_space_group_symop_operation_xyz\n'x,y,z'\n'-x,-y,-z'\n"
    texts = (
        f"data_a\n_chemical_name_mineral Rutile\n{tetragonal}_space_group_name_H-M_alt 'P 42/m n m'\n{site}"
        + rutile.format(""),
        f"data_b\n_chemical_formula_sum 'Na Cl'\n{cubic}_space_group_IT_number 225\n{site}"
        "Na1 Na 0 0 0\nCl1 Cl 0.5 0.5 0.5\n",
        f"data_c\n{cell.format(4.1, 5.3, 11.7, 68, 101, 57)}{listed}{site}_atom_site_occupancy\n"
        + rutile.format(" 0.5") + "Fe1 Fe 0 0 0 0.5\n",
        f"data_d\n{tetragonal}_symmetry_space_group_name_Hall '-P 4n 2n'\n{site}" + rutile.format(""),
    )  # fmt: skip
    return [text.encode() for text in texts] + ["\n".join(texts).encode()]


def _read_cif(content: bytes) -> None:
    from syngony.errors import SourceError
    from syngony.sources import Refusal
    from syngony.sources.cif import read_file

    with _file(content, ".cif") as path:
        outcomes = read_file(path)
    if all(isinstance(outcome, Refusal) for outcome in outcomes):
        raise SourceError(str(outcomes[0]))


# --- tables -------------------------------------------------------------------------------------


@cache
def _structure_rows() -> Sequence[dict[str, Any]]:
    from syngony.structure_table import StructureRecord

    return [StructureRecord(f"t-{n}", _GROUPS[n], make(), n).row() for n, make in TEXTBOOK.items()]


@cache
def _pattern_rows() -> Sequence[dict[str, Any]]:
    row = {"two_theta": ONE.angles.tolist(), "intensity": [float(c) for c in ONE.counts], "wavelength": 1.5406}
    return [{**row, "space_group": text, "material": "a", "formula": "Ti O2"} for text in ("136", "2|3")]


@cache
def _structure_table() -> bytes:
    import pyarrow as pa

    from syngony.structure_table import TableInfo, schema

    return parquet(pa.Table.from_pylist(list(_structure_rows()), schema=schema(TableInfo("a test", "free"))))


@cache
def _pattern_table() -> bytes:
    import pyarrow as pa

    return parquet(pa.Table.from_pylist(list(_pattern_rows())))


def parquet(table: Any) -> bytes:
    """An Arrow table as a Parquet file."""
    import pyarrow.parquet as pq

    stream = io.BytesIO()
    pq.write_table(table, stream)
    return stream.getvalue()


@cache
def _strange_columns() -> Sequence[Any]:
    """Columns of two rows of most types that Parquet knows."""
    import pyarrow as pa

    values: tuple[tuple[list[Any], Any], ...] = (
        ([None, None], pa.null()), ([1, None], pa.int64()), ([-1, 99], pa.int8()), ([0.5, math.nan], pa.float64()),
        (["a", "\x00"], pa.string()), (["136", ""], pa.large_string()), ([b"\xff", b""], pa.binary()),
        ([True, False], pa.bool_()), ([0, 1], pa.timestamp("ns")), ([[], None], pa.list_(pa.float64())),
        ([[1.0] * 6, [math.inf] * 6], pa.list_(pa.float64(), 6)), ([[[1.0]], [[]]], pa.list_(pa.list_(pa.float64()))),
        ([["Ti", None], ["Xx"]], pa.list_(pa.string())), ([[1, 2], [3]], pa.list_(pa.int64())),
        ([[0.0] * 300, [1e308] * 300], pa.list_(pa.float32())), ([{"a": 1}, None], pa.struct([("a", pa.int64())])),
        ([[("a", 1)], []], pa.map_(pa.string(), pa.int64())), (["a", "a"], pa.dictionary(pa.int32(), pa.string())),
        ([1, 2], pa.decimal128(9, 2)), (["x" * 100_000, "<b>"], pa.string()), ([2**63, 0], pa.uint64()),
    )  # fmt: skip
    return [pa.array(items, kind) for items, kind in values]


def _mutated_table(rng: random.Random, seeds: Sequence[bytes]) -> bytes:
    """A Parquet file with damaged bytes, or a whole one whose columns are of other types, lack or are doubled."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if rng.random() < 0.5:
        return mutated(rng, seeds)
    table = pq.read_table(io.BytesIO(seeds[0])).slice(0, 2)
    for _ in range(1 + rng.randrange(2)):
        name = rng.choice(table.column_names)
        place = table.column_names.index(name)
        what = rng.randrange(10)
        if what == 0:
            table = table.remove_column(place) if table.num_columns > 1 else table
        elif what < 5:
            table = table.set_column(place, name, rng.choice(_strange_columns()))
        else:
            rows = [mutated_value(rng, value) for value in table[name].to_pylist()]
            kind = rng.choice((table.schema.field(place).type, None))
            kind = None if kind is not None and pa.types.is_map(kind) else kind  # a null in a map ends the process
            try:
                column = pa.array(rows, kind)
            except (pa.ArrowException, TypeError, ValueError, OverflowError):
                column = rng.choice(_strange_columns())
            table = table.set_column(place, name, column)
    try:
        return parquet(table)
    except (pa.ArrowException, TypeError):
        return mutated(rng, seeds)


def _read_structure_table(content: bytes) -> None:
    from syngony.diffraction.packed import pack_table
    from syngony.structure_table import iter_structures, read_info, read_table

    with _file(content, ".parquet") as path:
        table = read_table(path)
        read_info(path)
    packed = pack_table(table)
    assert np.isfinite(packed.lattice).all() and len(packed) + len(packed.failures) == table.num_rows
    for record in iter_structures(table):
        assert np.isfinite(record.structure.lattice).all() and 1 <= record.space_group_number <= 230


def _read_pattern_table(content: bytes) -> None:
    from syngony.evaluation.labelled import read_labelled_patterns

    with _file(content, ".parquet") as path:
        for labelled in read_labelled_patterns(path):
            assert labelled.space_groups and np.isfinite(labelled.pattern.intensity).all()


# --- networks and libraries ---------------------------------------------------------------------


@cache
def _cards() -> Sequence[bytes]:
    from syngony.views import ImageView, LineListView, ProfileView

    views = (ProfileView(points=64), ImageView(size=8), LineListView(lines=8))
    kept = {"format": 1, "name": "a", "network": "syngony", "parameters": 3, "sha256": "", "temperature": 1.1}
    kept |= {"evidence": ["network"], "figures": {"accuracy": 0.5}, "data": {"source": "a"}, "head": "space_group"}
    return [json.dumps({**kept, "view": view.as_dict()}).encode() for view in views]


@cache
def _pattern() -> Pattern:
    return Pattern(OTHER.angles, OTHER.counts, 1.5406)


def _read_card(content: bytes) -> None:
    from syngony.inference import Network, read_card, scores_from_logits

    with _file(content, ".json") as path:
        network = Network(path, read_card(path.with_suffix(".onnx")))
    seen = network.view(_pattern())
    assert seen.shape == network.view.shape
    assert np.isfinite(scores_from_logits(np.zeros((1, 7)), network.temperature).systems).all()


@cache
def _libraries() -> Sequence[bytes]:
    from syngony.library.build import build_library
    from syngony.structure_table import StructureRecord, TableInfo, write_structures

    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "t.parquet"
        records = [StructureRecord(f"t-{n}", _GROUPS[n], make(), n) for n, make in TEXTBOOK.items()]
        write_structures(table, records, TableInfo("a test", "free"))
        return [build_library(table, table.with_suffix(".lib"), workers=1).library.path.read_bytes()]


def _mutated_library(rng: random.Random, seeds: Sequence[bytes]) -> bytes:
    """A damaged library, or one that is wrong in its arrays or header and bears the right hash."""
    from syngony.library.file import MAGIC, sealed

    if rng.random() < 0.3:
        return mutated(rng, seeds)
    content = rng.choice(seeds)
    length = int.from_bytes(content[-len(MAGIC) - 8 : -len(MAGIC)], "little")
    end = len(content) - len(MAGIC) - 8 - length
    arrays, header = content[:end], json.loads(content[end : end + length])
    if rng.random() < 0.5:
        header = mutated_value(rng, header)
    else:
        arrays = arrays[:16] + mutated(rng, [arrays[16:]])
    return arrays + sealed(arrays, header if isinstance(header, dict) else {})


def _read_library(content: bytes) -> None:
    from syngony.library.file import Library
    from syngony.library.scan import Scan
    from syngony.library.search import search

    with _file(content, ".lib") as path:
        library = Library.load(path)
        assert len(library.ids()) == len(library)
        for number in range(len(library)):
            library.entry(number)
            library.take(number)
        found = search(library, Scan.from_pattern(_pattern()))
        assert np.isfinite(found.shift).all()


@contextmanager
def _file(content: bytes, suffix: str = "") -> Iterator[Path]:
    """A file of one name in a folder of this process; in memory where the system can."""
    path = _folder(os.getpid()) / f"scan{suffix}"
    path.write_bytes(content)
    yield path


@cache
def _folder(_: int) -> Path:
    memory = Path("/dev/shm")
    folder = tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None)
    _KEPT.append(folder)  # removed when the program ends
    return Path(folder.name)


_KEPT: list[tempfile.TemporaryDirectory] = []

TARGETS: dict[str, Target] = {
    target.name: target
    for target in (
        *(
            Target(name, _scans(name), read_scan_file, mutated_archive if name in ("brml", "rasx") else mutated)
            for name in files.WRITERS
            if name != "json_of_xrdpattern"
        ),
        Target("json_of_xrdpattern", _scans("json_of_xrdpattern"), read_scan_file, mutated_json),
        Target("columns", _columns_of_text, read_scan_file),
        Target("structure_cif", _cifs, _read_cif),
        Target("structure_table", lambda: [_structure_table()], _read_structure_table, _mutated_table),
        Target("pattern_table", lambda: [_pattern_table()], _read_pattern_table, _mutated_table),
        Target("card", _cards, _read_card, mutated_json),
        Target("library", _libraries, _read_library, _mutated_library),
    )
}
