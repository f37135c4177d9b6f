"""Figures of a running server, in the text format of Prometheus."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

KIND = "text/plain; version=0.0.4; charset=utf-8"
"""Media type of the format."""

_BOUNDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 180.0)  # seconds
_PATHS = frozenset({"/", "/health", "/metrics", "/api/status", "/api/determine"})


class Metrics:
    """Counts of requests, and how long determinations took."""

    def __init__(self) -> None:
        self._requests: Counter[tuple[str, int]] = Counter()
        self._seconds: list[int] = [0] * (len(_BOUNDS) + 1)
        self._total = 0.0

    def count(self, path: str, status: int) -> None:
        """Count an answered request."""
        kind = path if path in _PATHS else "/api/export" if path.startswith("/api/export/") else "other"
        self._requests[kind, status] += 1

    def determined(self, seconds: float) -> None:
        """Count a determined or refused file, and how long it took, waiting included."""
        self._seconds[sum(seconds > bound for bound in _BOUNDS)] += 1
        self._total += seconds

    def text(self, **gauges: float) -> str:
        """All of it, with further figures of the moment by their names."""
        return "".join(f"{line}\n" for line in self._lines(gauges))

    def _lines(self, gauges: dict[str, float]) -> Iterator[str]:
        yield "# TYPE syngony_requests_total counter"
        for (path, status), count in sorted(self._requests.items()):
            yield f'syngony_requests_total{{path="{path}",status="{status}"}} {count}'
        yield "# TYPE syngony_determination_seconds histogram"
        below = 0
        for bound, count in zip((*_BOUNDS, "+Inf"), self._seconds, strict=True):
            below += count
            yield f'syngony_determination_seconds_bucket{{le="{bound}"}} {below}'
        yield f"syngony_determination_seconds_sum {self._total:.6g}"
        yield f"syngony_determination_seconds_count {below}"
        for name, value in gauges.items():
            yield f"# TYPE syngony_{name} {'counter' if name.endswith('_total') else 'gauge'}"
            yield f"syngony_{name} {value:.12g}"


def resident_bytes(processes: Iterable[int]) -> int:
    """Memory that processes hold, bytes; 0 where the system does not say (it does on Linux)."""
    pages = 0
    for process in processes:
        try:
            pages += int(Path(f"/proc/{process}/statm").read_text().split()[1])
        except (OSError, IndexError, ValueError):
            continue
    return pages * (os.sysconf("SC_PAGE_SIZE") if pages else 0)
