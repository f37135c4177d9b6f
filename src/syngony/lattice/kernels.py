"""Which compiled functions of this package are ready: a first call loads one, or compiles it on a new machine."""

from __future__ import annotations

import sys
from functools import cache
from typing import Any

from numba.core.dispatcher import Dispatcher


def ready() -> int:
    """How many there are, for any kinds of arguments: more than before where one was loaded or compiled since."""
    return sum(len(kernel.overloads) for kernel in _kernels())


def compiled() -> int:
    """How many of them had to be compiled in this process, or are being compiled."""
    return sum(sum(kernel.stats.cache_misses.values()) for kernel in _kernels())


@cache
def _kernels() -> tuple[Any, ...]:
    package = __name__.rpartition(".")[0]
    modules = [module for name, module in sorted(sys.modules.items()) if name.startswith(f"{package}.")]
    found = (thing for module in modules for thing in vars(module).values() if isinstance(thing, Dispatcher))
    return tuple({id(kernel): kernel for kernel in found}.values())
