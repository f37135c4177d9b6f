"""Checkpoints that are whole or not there, on a full disk as well."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from syngony.whole_files import whole_file


class WholeCheckpoints(TorchCheckpointIO):
    """Lightning's own way writes in the system's folder of temporary files, from which another disk is copied to."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Called by lightning in the first process of a run.

        Raises:
            OutputError: it cannot be written; the one before stays.
        """
        del storage_options
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        write_checkpoint(checkpoint, Path(path))


def write_checkpoint(content: dict[str, Any], path: Path) -> None:
    """Write a checkpoint, whole or not at all.

    Raises:
        OutputError: it cannot be written; the one before stays.
    """
    # Through memory: torch tells of a full disk by a RuntimeError without a reason.
    buffer = io.BytesIO()
    torch.save(content, buffer)
    with whole_file(path) as partial:
        partial.write_bytes(buffer.getbuffer())
