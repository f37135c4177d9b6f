"""The door to geddes, which decodes formats that it reads right: angles and intensities, nothing else."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from syngony.errors import PatternError
from syngony.readers.scan import printable


def decode(content: bytes, extension: str, index: int = 0) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Angles and intensities of one scan of a file.

    Args:
        content: the whole file.
        extension: of the format (``"raw"``); geddes looks at the content first.
        index: which scan, from 0.

    Returns:
        (n,) degrees of 2θ and (n,) intensities.

    Raises:
        PatternError: geddes refuses the file; its reason is kept.
    """
    import geddes

    try:
        read = geddes.read_bytes(content, f"scan.{extension}", index=index)
    except (ValueError, OSError, OverflowError) as error:
        reason = printable(str(error)).removeprefix("Parse error: ").strip()
        raise PatternError(f"{reason[:200] or 'damaged'}: copy it again from the instrument, or export it") from None
    except BaseException as error:  # a panic of Rust is no Exception
        if type(error).__name__ != "PanicException":
            raise
        raise PatternError("damaged: it cannot be decoded") from None
    return np.asarray(read.x, dtype=np.float64), np.asarray(read.y, dtype=np.float64)
