"""``mp_all_20181018``: the Materials Project of October 2018 as matminer distributes it (83,989 structures).

The main set of the paper. matminer downloads the file once and keeps it in the folder that MATMINER_DATA
names (else inside its own package).
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Iterator
from contextlib import redirect_stdout
from functools import partial
from itertools import islice
from typing import Any

from syngony.errors import MissingExtraError, SourceError
from syngony.parallel import in_order
from syngony.sources.harvest import Harvest, Outcome, useful_workers
from syngony.sources.pymatgen_dicts import read_document
from syngony.structure_table import TableInfo
from syngony.symmetry import LABEL_TOLERANCE

DATA_SET = "mp_all_20181018"
SOURCE = (
    "The Materials Project of 2018-10-18 (Jain et al., APL Materials 1, 011002, 2013), "
    f"as the data set {DATA_SET} of matminer (Ward et al., Comput. Mater. Sci. 152, 60-69, 2018)"
)
LICENCE = "CC BY 4.0"

_ID, _STRUCTURE = "mpid", "structure"


def harvest(tolerance: float = LABEL_TOLERANCE, limit: int | None = None, workers: int = 1) -> Harvest:
    """All structures of the data set, in its order.

    Args:
        tolerance: symprec of the labels, Å.
        limit: take only the first structures.
        workers: processes that label.

    Raises:
        MissingExtraError: matminer is not installed.
        SourceError: the data set cannot be downloaded or read, or its columns are not the documented ones.
    """
    frame = _load()
    absent = [column for column in (_ID, _STRUCTURE) if column not in frame]
    if absent:
        raise SourceError(
            f"matminer's {DATA_SET} has no column {', '.join(absent)} (it has {', '.join(map(str, frame))}): "
            "install another version of matminer"
        )
    total = len(frame[_ID]) if limit is None else min(len(frame[_ID]), limit)

    def entries(first: int, _: int) -> Iterator[list[Outcome]]:
        read = partial(read_document, tolerance=tolerance)
        for outcome in in_order(read, islice(_documents(frame), first, limit), useful_workers(workers, total - first)):
            yield [outcome]

    return Harvest(
        info=TableInfo(SOURCE, LICENCE, tolerance),
        entries=entries,
        identity={"matminer": DATA_SET, "entries": len(frame[_ID]), "tolerance": tolerance, "limit": limit},
        total=total,
    )


def _load() -> Any:
    try:
        from matminer.datasets import load_dataset
    except ImportError:
        raise MissingExtraError("The matminer source", "sources") from None
    try:
        with redirect_stdout(sys.stderr):  # matminer prints its progress
            return load_dataset(DATA_SET)
    # A failed download is an OSError (requests), a wrong hash a UserWarning, a damaged file the rest.
    except (OSError, EOFError, ValueError, UserWarning, zlib.error) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise SourceError(
            f"matminer's {DATA_SET} cannot be loaded ({reason}): check the network; "
            f"if {DATA_SET}.json.gz is in the folder of MATMINER_DATA, delete it and try again"
        ) from None


def _documents(frame: Any) -> Iterator[tuple[str, Any]]:
    for identifier, structure in zip(frame[_ID], frame[_STRUCTURE], strict=True):
        yield str(identifier), structure.as_dict() if hasattr(structure, "as_dict") else structure
