"""What a worker's answers depend on besides its task: this package and those it computes with."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PACKAGES = ("numpy", "scipy", "numba", "onnxruntime", "spglib", "gemmi")
_DECIDING = ("**/*.py", "tables/*", "models/*.json")  # cards hold the hashes of their networks


@cache
def installation() -> dict[str, str]:
    """Versions of this process; ``syngony`` is a hash of its code, tables and cards."""
    package = Path(__file__).parents[1]
    code = hashlib.sha256()
    for path in sorted(path for pattern in _DECIDING for path in package.glob(pattern)):
        code.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes())
    return {"syngony": code.hexdigest()[:16], **{name: _version(name) for name in _PACKAGES}}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"
