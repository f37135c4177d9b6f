"""Mutations of files: bytes, numbers, lines, pieces of other files, members of archives, values of JSON."""

from __future__ import annotations

import io
import json
import random
import re
import struct
import zipfile
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

Mutation = Callable[[random.Random, Sequence[bytes]], bytes]
"""From a source of chance and the whole files of a format to a file of it that is wrong somewhere."""

_LONGEST = 300_000  # bytes of a mutated file: beyond, files only take longer
_NUMBER = re.compile(rb"[-+]?\d+\.?\d*(?:[eE][-+]?\d+)?")
_NUMBERS = (
    b"0", b"-0", b"-1", b"1", b"2", b"255", b"65535", b"65536", b"2147483648", b"4294967296", b"99999999999999999999",
    b"1e308", b"-1e308", b"1e400", b"1e-320", b"0.0000001", b"nan", b"inf", b"-inf", b"", b"-", b".", b"1.2.3", b"1,5",
    b"1e", b"0x10", b"1_000", b"\xc2\xb2", b"\xd9\xa3", b"1" * 400, b"9" * 5000, b"?", b"'", b'"', b"(3)", b"1(2)",
)  # fmt: skip
_PACKED = tuple(
    struct.pack(kind, value)
    for kind, values in (
        ("<H", (0, 1, 0x7FFF, 0xFFFF)),
        ("<I", (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x10000)),
        ("<Q", (0, 1 << 31, 1 << 63, (1 << 64) - 1)),
        ("<f", (0.0, -1.0, 1e38, float("nan"), float("inf"), 1e-45)),
        ("<d", (0.0, -1.0, 1e308, float("nan"), float("inf"), 5e-324)),
    )
    for value in values
)
_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 7, 2**31, 2**63, 2**70, 1e308, -1e308, 1e-320, float("nan"), float("inf"), 0.5, "",
    "a", "1.5406", "\x00", "\ud800", "\u202e", "<b>", "../x", "9" * 400, [], {}, [[]], [None], [1, "a"], {"a": {}},
    [0.0, 0.0], [1e400, 2], ["profile"], {"kind": "profile"},
)  # fmt: skip


def mutated(rng: random.Random, seeds: Sequence[bytes]) -> bytes:
    """One of the seeds, wrong in one to eight places."""
    content = bytearray(rng.choice(seeds))
    for _ in range(1 << rng.randrange(4)):
        content = bytearray(rng.choice(_STEPS)(rng, content, seeds))[:_LONGEST]
    return bytes(content)


def mutated_archive(rng: random.Random, seeds: Sequence[bytes]) -> bytes:
    """A zip archive that is damaged, or whole with a damaged, lacking or superfluous member."""
    if rng.random() < 0.3:
        return mutated(rng, seeds)
    members = dict(_members(rng.choice(seeds)))
    others = list(members.values())
    for _ in range(1 + rng.randrange(2)):
        name = rng.choice(sorted(members) or ["a"])
        what = rng.randrange(12)
        if what == 0:
            members.pop(name, None)
        elif what == 1:
            members[mutated(rng, [name.encode()])[:1000].decode("latin-1")] = members.get(name, b"")
        else:
            members[name] = mutated(rng, [members.get(name, b"<a/>"), *(others if what == 2 else ())])
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return stream.getvalue()


def mutated_json(rng: random.Random, seeds: Sequence[bytes]) -> bytes:
    """JSON with some values exchanged for others of any kind, lacking or doubled; sometimes no JSON at all."""
    if rng.random() < 0.3:
        return mutated(rng, seeds)
    content = json.loads(rng.choice(seeds))
    for _ in range(1 + rng.randrange(3)):
        content = mutated_value(rng, content)
    return json.dumps(content).encode()


def mutated_value(rng: random.Random, value: Any) -> Any:
    """A value of JSON with something exchanged, deep in it or at its top."""
    if isinstance(value, dict) and value and rng.random() < 0.93:
        key = rng.choice(sorted(value))
        changed = {**value, key: mutated_value(rng, value[key])}
        if rng.random() < 0.1:
            del changed[key]
        return changed
    if isinstance(value, list) and value and rng.random() < 0.8:
        place = rng.randrange(len(value))
        item = [mutated_value(rng, value[place])] * rng.choice((0, 1, 1, 1, 1, 2, 50))
        return [*value[:place], *item, *value[place + 1 :]]
    if isinstance(value, str) and rng.random() < 0.5:
        return mutated(rng, [value.encode(errors="replace")])[:1000].decode(errors="replace")
    return rng.choice(_VALUES)


@lru_cache(maxsize=64)
def _members(archive: bytes) -> tuple[tuple[str, bytes], ...]:
    with zipfile.ZipFile(io.BytesIO(archive)) as whole:
        return tuple((name, whole.read(name)) for name in whole.namelist())


def _a_slice(rng: random.Random, content: bytes | bytearray, most: int = 2000) -> tuple[int, int]:
    begin = rng.randrange(len(content) + 1)
    return begin, min(len(content), begin + rng.randrange(1 << rng.randrange(1, most.bit_length())))


def _bit(rng: random.Random, content: bytearray, _: Sequence[bytes]) -> bytearray:
    if content:
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    return content


def _byte(rng: random.Random, content: bytearray, _: Sequence[bytes]) -> bytearray:
    if content:
        content[rng.randrange(len(content))] = rng.choice((0, 9, 10, 13, 32, 44, 255, rng.randrange(256)))
    return content


def _packed(rng: random.Random, content: bytearray, _: Sequence[bytes]) -> bytearray:
    value = rng.choice(_PACKED)
    # Numbers of headers stand at its begin and on even places: try there more often.
    place = rng.randrange(max(1, min(len(content), rng.choice((64, 1000, len(content) + 1))))) & ~rng.choice((0, 1, 3))
    content[place : place + len(value)] = value
    return content


def _number(rng: random.Random, content: bytearray, _: Sequence[bytes]) -> bytearray:
    begin = rng.randrange(max(1, min(len(content), rng.choice((400, len(content) + 1)))))
    match = _NUMBER.search(content, begin)
    if match:
        content[match.start() : match.end()] = rng.choice(_NUMBERS)
    return content


def _remove(rng: random.Random, content: bytearray, _: Sequence[bytes]) -> bytearray:
    begin, end = _a_slice(rng, content)
    del content[begin:end]
    return content


def _repeat(rng: random.Random, content: bytearray, _: Sequence[bytes]) -> bytearray:
    begin, end = _a_slice(rng, content, 200)
    content[begin:end] = bytes(content[begin:end]) * rng.choice((2, 3, 17, 200))
    return content


def _insert(rng: random.Random, content: bytearray, _: Sequence[bytes]) -> bytearray:
    place = rng.randrange(len(content) + 1)
    content[place:place] = rng.randbytes(rng.randrange(1, 20))
    return content


def _cut(rng: random.Random, content: bytearray, _: Sequence[bytes]) -> bytearray:
    return content[: rng.randrange(len(content) + 1)]


def _splice(rng: random.Random, content: bytearray, seeds: Sequence[bytes]) -> bytearray:
    other = rng.choice(seeds)
    begin, end = _a_slice(rng, other)
    place = rng.choice((begin, rng.randrange(len(content) + 1)))
    content[place : place + (end - begin) * rng.randrange(2)] = other[begin:end]
    return content


def _lines(rng: random.Random, content: bytearray, _: Sequence[bytes]) -> bytearray:
    lines = bytes(content).split(b"\n")
    first, second = rng.randrange(len(lines)), rng.randrange(len(lines))
    what = rng.randrange(3)
    if what == 0:
        del lines[first]
    elif what == 1:
        lines.insert(second, lines[first])
    else:
        lines[first], lines[second] = lines[second], lines[first]
    return bytearray(b"\n".join(lines))


_STEPS = (_bit, _byte, _packed, _number, _number, _number, _remove, _repeat, _insert, _cut, _splice, _lines)
