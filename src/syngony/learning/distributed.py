"""Training by several processes and machines (lightning's DDP over gloo).

A step of N processes is the step of one: each renders and learns from its share of the batch, every N-th pattern of
it, and the gradients are averaged. Patterns, order, number of steps and schedule are those of one process; weights
differ in the last digits of sums, and where a network draws (dropout) or counts (batch norm) within a share.
"""

from __future__ import annotations

from typing import Any

from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.utilities import rank_zero_only

from syngony.errors import InputError


def require_shares(batch_size: int, processes: int) -> None:
    """Raise `InputError` when a batch cannot be shared out evenly: gradients are averaged over processes."""
    if processes < 1 or batch_size % processes:
        raise InputError(
            f"a batch of {batch_size} patterns for {processes} processes: choose a --batch-size that they divide"
        )


def shared_out(processes: int, machines: int, frozen: bool) -> dict[str, Any]:
    """Arguments of a lightning trainer.

    Args:
        processes: on each machine.
        machines: each runs the same command, told apart by lightning's MASTER_ADDR, MASTER_PORT and NODE_RANK, by
            torchrun or by SLURM.
        frozen: whether there are weights without a gradient for a while, which DDP has to look for.
    """
    if processes * machines == 1:
        return {"devices": 1}
    strategy = DDPStrategy(process_group_backend="gloo", find_unused_parameters=frozen)
    return {"devices": processes, "num_nodes": machines, "strategy": strategy}


def is_first() -> bool:
    """Whether this process is the one that writes; for use after training."""
    return getattr(rank_zero_only, "rank", 0) == 0  # kept there by lightning
