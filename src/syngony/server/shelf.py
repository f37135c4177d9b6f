"""Answers kept for downloads, in memory, packed and bounded: the oldest go first."""

from __future__ import annotations

import json
import zlib
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from markupsafe import Markup

from syngony.determination import Determination
from syngony.report.answers import Shown

MOST = 2000
"""Answers; each takes some 40 kB with its drawing packed, and ten times as much unpacked."""


@dataclass(frozen=True)
class _Packed:
    """An answer whose long parts are packed."""

    bare: Shown
    html: bytes
    drawing: bytes

    @classmethod
    def of(cls, answer: Shown) -> _Packed:
        drawing = json.dumps(answer.drawing).encode()
        html = str(answer.html).encode("utf-8", "surrogatepass")
        bare = replace(answer, html=Markup(""), drawing=None)
        return cls(bare, zlib.compress(html, 1), zlib.compress(drawing, 1))

    def whole(self) -> Shown:
        html = zlib.decompress(self.html).decode("utf-8", "surrogatepass")
        return replace(self.bare, html=Markup(html), drawing=json.loads(zlib.decompress(self.drawing)))


class Shelf:
    """Answers by their keys.

    Args:
        most: answers to keep.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._answers: OrderedDict[str, _Packed] = OrderedDict()

    def __len__(self) -> int:
        return len(self._answers)

    def put(self, answers: Iterable[Shown]) -> None:
        """Keep answers, and let the oldest go."""
        for answer in answers:
            self._answers[answer.key] = _Packed.of(answer)
        while len(self._answers) > self._most:
            self._answers.popitem(last=False)

    def get(self, keys: Iterable[str]) -> Iterator[Shown] | None:
        """Answers in the order of the keys, unpacked one after another; None where one is gone or never was."""
        found = self._found(keys)
        return None if found is None else (answer.whole() for answer in found)

    def results(self, keys: Iterable[str]) -> list[Determination] | None:
        """What `get` gives, without its pictures: nothing is unpacked."""
        found = self._found(keys)
        return None if found is None else [answer.bare.result for answer in found]

    def _found(self, keys: Iterable[str]) -> list[_Packed] | None:
        found = [self._answers.get(key) for key in keys]
        kept = [answer for answer in found if answer is not None]
        return kept if len(kept) == len(found) else None
