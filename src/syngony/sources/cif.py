"""A folder of CIF files: every data block with atoms becomes a structure."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from syngony.errors import SourceError, StructureError
from syngony.parallel import in_order
from syngony.sources.expansion import Operations, Site, expand, label, parse_operations
from syngony.sources.harvest import Harvest, Outcome, Refusal, useful_workers
from syngony.sources.site_labels import element_of_label, formula_elements
from syngony.structure_table import StructureRecord, TableInfo
from syngony.symmetry import LABEL_TOLERANCE

if TYPE_CHECKING:
    import gemmi

MOST_BYTES = 10_000_000
"""Of one file, unpacked; those of proteins have a few. gemmi takes thirty times as much memory at worst."""
MOST_BLOCKS = 20_000
"""Data blocks of one file: gemmi compares the name of each with all others."""
MOST_SITES = 2_000
"""Listed in one block. The largest structure of the Materials Project has 444 atoms, all of them counted."""

_SUFFIXES = (".cif", ".cif.gz")
_CELL_TAGS = tuple(
    f"_cell_{name}" for name in ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
)
_NAME_TAGS = ("_chemical_name_mineral", "_chemical_name_common", "_chemical_name_systematic")


def harvest(
    folder: Path | str, tolerance: float = LABEL_TOLERANCE, limit: int | None = None, workers: int = 1
) -> Harvest:
    """Structures of all CIFs below a folder, in the order of their paths.

    Args:
        folder: searched with its sub-folders for ``*.cif`` and ``*.cif.gz``.
        tolerance: symprec of the labels, Å.
        limit: read only the first files.
        workers: processes that read and label.

    Raises:
        SourceError: no such folder, or no CIF in it.
    """
    folder = Path(folder)
    paths = list(islice(_find(folder), limit))
    read = partial(read_file, folder=folder, tolerance=tolerance)
    return Harvest(
        info=TableInfo(f"CIF files of the folder {folder.resolve().name}", "as the files state", tolerance),
        entries=lambda first, _: in_order(read, paths[first:], useful_workers(workers, len(paths) - first)),
        identity={"cif": _listing(paths), "tolerance": tolerance},
        total=len(paths),
    )


def _listing(paths: list[Path]) -> str:
    """A hash of names, sizes and times of files."""
    digest = hashlib.sha256()
    for path in paths:
        status = path.stat()
        digest.update(f"{path.resolve()}\0{status.st_size}\0{status.st_mtime_ns}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def read_file(path: Path, folder: Path | None = None, tolerance: float = LABEL_TOLERANCE) -> list[Outcome]:
    """Labelled structures of one CIF, and a refusal for each block that gave none.

    Args:
        path: the file, plain or gzipped.
        folder: ids are relative to it; the file's name alone when omitted.
        tolerance: symprec of the labels, Å.
    """
    import gemmi

    try:
        blocks = list(gemmi.cif.read_string(_content(path)))
    except (RuntimeError, ValueError, OSError, EOFError, zlib.error) as error:
        return [Refusal(str(path), f"not a readable CIF: {_one_line(error, path)}")]
    if not blocks:
        return [Refusal(str(path), "no data block: the file is empty")]
    # Blocks without a single crystallographic tag (data_global: authors, journal) are no structures.
    crystals = [block for block in blocks if _has_atoms(block) or block.find_value(_CELL_TAGS[0])]
    if not crystals:
        return [Refusal(str(path), "no atoms: the file lists no _atom_site_fract_x")]
    stem = path.relative_to(folder) if folder else Path(path.name)
    identifier = stem.as_posix().removesuffix(".gz")[: -len(".cif")]
    outcomes: list[Outcome] = []
    for block in crystals:
        where = f"{path} (data_{block.name})" if len(crystals) > 1 else str(path)
        try:
            outcomes.append(
                _read_block(block, tolerance, f"{identifier}:{block.name}" if len(crystals) > 1 else identifier)
            )
        except StructureError as error:
            outcomes.append(Refusal(where, str(error)))
        except (RuntimeError, ValueError) as error:  # gemmi's own, e.g. text that is not UTF-8
            outcomes.append(Refusal(where, f"not a readable CIF: {_one_line(error, path)}"))
    return outcomes


def _content(path: Path) -> bytes:
    """Bytes of a file, unpacked; at most `MOST_BYTES`, whatever a packed file says of itself."""
    with gzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb") as stream:
        content = stream.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise ValueError(f"more than {MOST_BYTES // 1_000_000} MB; split the file")
    if content.lower().count(b"data_") > MOST_BLOCKS:
        raise ValueError(f"more than {MOST_BLOCKS} data blocks; split the file")
    return content


def _read_block(block: gemmi.cif.Block, tolerance: float, identifier: str) -> StructureRecord:
    import gemmi

    absent = [tag for tag in _CELL_TAGS if block.find_value(tag) is None]
    if absent:
        raise StructureError(f"no unit cell: {absent[0]} is missing")
    if not _has_atoms(block):
        raise StructureError("no atoms: the block lists no _atom_site_fract_x")
    sites = len(block.find_values("_atom_site_fract_x"))
    if sites > MOST_SITES:
        raise StructureError(f"too many atoms: {sites} sites are listed, at most {MOST_SITES} are read")
    cell = [gemmi.cif.as_number(block.find_value(tag)) for tag in _CELL_TAGS]
    small = gemmi.make_small_structure_from_block(block)
    operations = _operations(small, cell)
    structure = expand(cell, _sites(block, small), operations)
    number = label(structure, tolerance, operations.point_group_order)
    return StructureRecord(identifier, number, structure, _name(block))


def _operations(small: gemmi.SmallStructure, cell: list[float]) -> Operations:
    """The operations listed, else those of the Hall symbol, the Hermann-Mauguin symbol or the number."""
    import gemmi

    if small.symops:
        return parse_operations(tuple(small.symops))
    if small.spacegroup_hall:
        try:
            group = gemmi.symops_from_hall(small.spacegroup_hall)
        except (RuntimeError, ValueError):
            raise StructureError(f"Hall symbol not understood: {small.spacegroup_hall!r}") from None
        return _expanded(group)
    setting = None
    if small.spacegroup_hm:
        setting = gemmi.find_spacegroup_by_name(small.spacegroup_hm, alpha=cell[3], gamma=cell[5])
        if setting is None:
            raise StructureError(
                f"space group not understood: {small.spacegroup_hm!r}; list its operations in the file"
            )
    elif 1 <= small.spacegroup_number <= 230:
        setting = gemmi.get_spacegroup_reference_setting(small.spacegroup_number)
    if setting is None:
        raise StructureError(
            "no symmetry: the file gives neither operations nor a space group; "
            "add _space_group_symop_operation_xyz (x,y,z alone for P1)"
        )
    return _expanded(setting.operations())


def _expanded(group: gemmi.GroupOps) -> Operations:
    return parse_operations(tuple(operation.triplet() for operation in group))


def _sites(block: gemmi.cif.Block, small: gemmi.SmallStructure) -> Iterator[Site]:
    import gemmi

    has_types = bool(block.find_loop("_atom_site_type_symbol"))
    formula = block.find_value("_chemical_formula_sum")
    elements = set(formula_elements(gemmi.cif.as_string(formula))) if formula else set()
    for atom in small.sites:
        # Without type symbols gemmi reads the label, and takes water (Wat1) for tungsten.
        element = atom.element.name if has_types else element_of_label(atom.label, elements)
        if element == "X":
            raise StructureError(f"unknown element: {atom.type_symbol!r} at site {atom.label}; use H to Cf")
        if atom.occ == 0:
            continue  # a position listed as empty
        yield Site(element, (atom.fract.x, atom.fract.y, atom.fract.z), atom.occ, atom.label)


def _has_atoms(block: gemmi.cif.Block) -> bool:
    return bool(block.find_values("_atom_site_fract_x"))


def _name(block: gemmi.cif.Block) -> str:
    import gemmi

    for tag in _NAME_TAGS:
        value = block.find_value(tag)
        if value and not gemmi.cif.is_null(value):
            return " ".join(gemmi.cif.as_string(value).split())
    return ""


def _find(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise SourceError(f"{folder}: no such folder; give the folder that holds the CIF files")
    paths = sorted(p for p in folder.rglob("*") if p.name.lower().endswith(_SUFFIXES) and p.is_file())
    if not paths:
        raise SourceError(f"{folder} holds no .cif or .cif.gz file, nor do its sub-folders")
    return paths


def _one_line(error: Exception, path: Path) -> str:
    """The message without the path, which the refusal names already."""
    text = " ".join(str(error).split())
    return text.removeprefix(str(path)).lstrip(": ") or type(error).__name__
