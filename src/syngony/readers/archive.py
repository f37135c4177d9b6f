"""Zip archives of instruments (BRML, RASX), read within limits of size and of ratio."""

from __future__ import annotations

import struct
import zipfile
import zlib
from io import BytesIO

from syngony.errors import PatternError

_MAX_MEMBERS = 10_000
_MAX_MEMBER = 100_000_000  # bytes
_MAX_UNPACKED = 300_000_000
_MAX_RATIO = 300  # unpacked to packed; instruments' XML reaches 15, zeros 1,000
_SMALL = 1_000_000  # bytes that may be packed as tight as they like


class Archive:
    """A zip archive in memory.

    Args:
        content: the whole file.

    Raises:
        PatternError: damaged, two members of one name, or unpacked far larger than a measurement.
    """

    def __init__(self, content: bytes) -> None:
        self._budget = _MAX_UNPACKED
        try:
            self._zip = zipfile.ZipFile(BytesIO(content))
            self.names = [info.filename.replace("\\", "/") for info in self._zip.infolist()]
        except (zipfile.BadZipFile, NotImplementedError, OSError, ValueError, struct.error) as error:
            raise PatternError(
                "a damaged zip archive (Bruker BRML, Rigaku RASX, Excel ...): copy it again from the instrument"
            ) from error
        if len(set(self.names)) != len(self.names) or len(self.names) > _MAX_MEMBERS:
            raise PatternError("a zip archive with members of one name, or too many: no measurement")

    def read(self, name: str) -> bytes:
        """Content of a member.

        Raises:
            PatternError: missing, damaged, encrypted, or too large.
        """
        if name not in self.names:
            raise PatternError(f"the archive lacks its member {name!a}: copy it again from the instrument")
        info = self._zip.infolist()[self.names.index(name)]
        most = min(_MAX_MEMBER, self._budget, max(_SMALL, _MAX_RATIO * info.compress_size))
        try:
            with self._zip.open(info) as stream:  # what the directory says of sizes may be a lie
                content = stream.read(most + 1)
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError, ValueError, EOFError, zlib.error):
            raise PatternError(f"member {name!a} of the archive is damaged or encrypted: copy it again") from None
        if len(content) > most:
            raise PatternError(f"member {name!a} unpacks to far more than a measurement holds: it is not read")
        self._budget -= len(content)
        return content
