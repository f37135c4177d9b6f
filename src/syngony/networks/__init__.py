"""Networks, one file each; a network is called as its file is. To add one, add a file: ``docs/extending.md``.

A file ``NAME.py`` of this folder, or of a folder named in the environment variable ``SYNGONY_NETWORKS``, holds

- ``build(shape, outputs, **options)``: a new `torch.nn.Module` that maps a batch of inputs of `shape` to logits;
- ``recipe(name)``: what it changes of `syngony.learning.settings.TrainingSettings`, its view at least, in the
  recipes ``paper`` (as its publication trains it) and ``robust`` (to survive real scans);
- ``HEADS``, if its publication trains a network for each of several labels: their names, the first for the system;
- ``PUBLISHED``, if it was published: its figures and their conditions, for ``benchmarks/comparison.py``.
"""

from __future__ import annotations

import inspect
import os
import pkgutil
from collections.abc import Iterable
from importlib import import_module
from types import ModuleType
from typing import Any

from syngony.errors import InputError

FOLDER_VARIABLE = "SYNGONY_NETWORKS"

if _folder := os.environ.get(FOLDER_VARIABLE):
    __path__.append(_folder)


def names() -> tuple[str, ...]:
    """Names of the networks; nothing of them is loaded."""
    return tuple(sorted(found.name for found in pkgutil.iter_modules(__path__) if not found.name.startswith("_")))


def network(name: str) -> ModuleType:
    """The module of a network.

    Raises:
        InputError: no network has this name.
    """
    if name not in names():
        raise InputError(f"no network {name!r}: choose one of {', '.join(names())}")
    return import_module(f"{__name__}.{name}")


def require_options(name: str, options: Iterable[str]) -> None:
    """Raise `InputError` unless a network's ``build`` takes all of these options."""
    taken = list(inspect.signature(network(name).build).parameters)[2:]
    for option in options:
        if option not in taken:
            raise InputError(f"{name} has no option {option!r}: it takes {', '.join(taken) or 'none'}")


def build(name: str, shape: tuple[int, ...], outputs: int, **options: Any) -> Any:
    """A new network.

    Args:
        name: one of `names`.
        shape: of one input, without the batch axis.
        outputs: logits.
        options: of the network's own ``build``.

    Raises:
        InputError: no network has this name.
    """
    return network(name).build(shape, outputs, **options)
