"""One function over very many tasks: on the cores of this machine, or on a dask.distributed cluster."""

from syngony.parallel.anywhere import each
from syngony.parallel.processes import in_order

__all__ = ["each", "in_order"]
