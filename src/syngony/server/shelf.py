"""Answers kept for downloads, in memory and bounded: the oldest go first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from syngony.report.answers import Shown

MOST = 2000
"""Answers; each takes some 300 kB with its drawing, so that all take 600 MB at most."""


class Shelf:
    """Answers by their keys.

    Args:
        most: answers to keep.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._answers: OrderedDict[str, Shown] = OrderedDict()

    def put(self, answers: Iterable[Shown]) -> None:
        """Keep answers, and let the oldest go."""
        for answer in answers:
            self._answers[answer.key] = answer
        while len(self._answers) > self._most:
            self._answers.popitem(last=False)

    def get(self, keys: Iterable[str]) -> list[Shown] | None:
        """Answers in the order of the keys; None where one is gone or never was."""
        found = [self._answers.get(key) for key in keys]
        kept = [answer for answer in found if answer is not None]
        return kept if len(kept) == len(found) else None
