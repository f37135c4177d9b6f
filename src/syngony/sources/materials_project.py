"""The Materials Project, through its own client mp-api, one page of summaries at a time.

Pages are asked for singly, and not by one long search, so that each can be kept as soon as it is there:
a download that breaks off is taken up where it stopped.
"""

from __future__ import annotations

import os
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any

from syngony.errors import InputError, MissingExtraError, SourceError
from syngony.sources.downloads import PageStore, TemporaryFailure, persist
from syngony.sources.harvest import Harvest, Outcome, Refusal
from syngony.sources.pymatgen_dicts import read_document
from syngony.structure_table import StructureRecord, TableInfo, iter_structures, read_info, read_table
from syngony.symmetry import CRYSTAL_SYSTEMS, LABEL_TOLERANCE, crystal_system

SOURCE = "The Materials Project (Jain et al., APL Materials 1, 011002, 2013)"
LICENCE = "CC BY 4.0"
ENDPOINT = "https://api.materialsproject.org/"

PAPER_SYSTEMS = ("cubic", "hexagonal", "trigonal", "tetragonal")
"""The systems that the paper topped up."""

_FIELDS = ["material_id", "formula_pretty", "structure", "symmetry"]
_TIMEOUT = 20  # s, as mp-api's own
_KEY_LENGTH = 32
_KEY_PAGE = "https://next-gen.materialsproject.org/api"
_RESUME = "the finished pages are kept, run the same command again to go on"


@dataclass(frozen=True)
class Order:
    """What to fetch.

    Attributes:
        systems: crystal systems, in the order they are fetched.
        count: structures wanted of each, those of ``top_up`` included; None: all there are.
        top_up: a structure table whose rows come first and are not fetched again.
        page_size: structures a request.
    """

    systems: Sequence[str] = PAPER_SYSTEMS
    count: int | None = None
    top_up: Path | None = None
    page_size: int = 500

    def __post_init__(self) -> None:
        unknown = [system for system in self.systems if system not in CRYSTAL_SYSTEMS]
        if unknown or not self.systems:
            named = ", ".join(unknown) or "(none)"
            raise InputError(f"unknown crystal system {named}: choose from {', '.join(CRYSTAL_SYSTEMS)}")


@dataclass
class Client:
    """A connection to the service that tries again when it should.

    Attributes:
        key: the user's API key.
        endpoint: address of the service, with a slash at the end.
        tries: tries a request.
        sleep: waits between tries; replaced in tests.
    """

    key: str
    endpoint: str
    tries: int = 6
    sleep: Callable[[float], None] = time.sleep
    _summaries: Any = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        import requests

        # mp-api's own session retries three times within a second and only some failures; this one
        # leaves every failure to `persist`.
        self._session = requests.Session()
        self._session.headers["x-api-key"] = self.key
        self._session.hooks["response"].append(_check_status)

    def database_version(self) -> str:
        """Release of the database, e.g. ``2025.09.25``."""
        answer = self._ask(lambda: self._session.get(f"{self.endpoint}heartbeat", timeout=_TIMEOUT).json())
        return str(answer.get("db_version", "")) if isinstance(answer, dict) else ""

    def page(self, system: str, number: int, size: int) -> list[dict[str, Any]]:
        """Summaries of one crystal system; pages count from 1 and are sorted by id.

        Raises:
            SourceError: the key is refused, or the service cannot be reached or understood.
        """
        if self._summaries is None:
            self._summaries = self._ask(self._connect)
        return self._ask(
            lambda: self._summaries.search(
                crystal_system=system.capitalize(),
                deprecated=False,
                include_gnome=False,  # another licence (CC BY-NC)
                fields=_FIELDS,
                num_chunks=1,
                chunk_size=size,
                _page=number,
                _sort_fields="material_id",
            )
        )

    def _connect(self) -> Any:
        from mp_api.client import MPRester

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about versions and other keys; nothing the user can act on
            rester = MPRester(
                self.key,
                endpoint=self.endpoint,
                session=self._session,
                use_document_model=False,
                mute_progress_bars=True,
            )
        return rester.materials.summary

    def _ask(self, request: Callable[[], Any]) -> Any:
        return persist(lambda: _translated(request), _RESUME, self.tries, self.sleep)


def harvest(
    output: Path | str,
    order: Order | None = None,
    tolerance: float = LABEL_TOLERANCE,
    key: str | None = None,
    endpoint: str | None = None,
    tries: int = 6,
    sleep: Callable[[float], None] = time.sleep,
) -> Harvest:
    """Structures of chosen crystal systems, topped up to a count.

    Args:
        output: the table to be written; pages are kept beside it until it is.
        order: what to fetch.
        tolerance: symprec of the labels, Å.
        key: API key; from MP_API_KEY when omitted.
        endpoint: address of the service; from MP_API_ENDPOINT, else the public one.
        tries: tries a request.
        sleep: waits between tries; replaced in tests.

    Raises:
        MissingExtraError: mp-api is not installed.
        SourceError: no key, a refused key, the service cannot be reached.
        InputError: the table to top up was labelled at another tolerance.
    """
    if find_spec("mp_api") is None:
        raise MissingExtraError("The Materials Project source", "sources")
    order = order or Order()
    base = _Base.read(order.top_up, tolerance)
    address = (endpoint or os.environ.get("MP_API_ENDPOINT") or ENDPOINT).rstrip("/") + "/"
    client = Client(_key(key), address, tries, sleep)
    version = client.database_version()
    query = {"endpoint": address, "database": version, "fields": _FIELDS, "page_size": order.page_size}
    pages = PageStore(Path(output), query)
    remarks: list[str] = []
    total = None
    if order.count is not None:
        total = base.size + sum(max(order.count - base.counts[system], 0) for system in order.systems)
    return Harvest(
        info=TableInfo(base.source(), LICENCE, tolerance, {"database_version": version}),
        entries=lambda *_: ([outcome] for outcome in _outcomes(client, pages, order, base, tolerance, remarks)),
        total=total,
        finish=pages.remove,
        remarks=remarks,
    )


@dataclass(frozen=True)
class _Base:
    """The table that is topped up, or nothing."""

    path: Path | None
    size: int
    counts: Counter[str]
    origin: str = ""

    @classmethod
    def read(cls, path: Path | None, tolerance: float) -> _Base:
        if path is None:
            return cls(None, 0, Counter())
        numbers = read_table(path, ["space_group_number"])["space_group_number"].to_pylist()
        info = read_info(path)
        stated = info.label_tolerance
        if stated is not None and stated != tolerance:
            raise InputError(f"{path} was labelled at {stated:g} Å: pass --tolerance {stated:g}")
        return cls(path, len(numbers), Counter(crystal_system(n) for n in numbers), info.source)

    def source(self) -> str:
        return f"{self.origin or self.path}; topped up from {SOURCE}" if self.path else SOURCE

    def records(self) -> Iterator[StructureRecord]:
        if self.path:
            yield from iter_structures(read_table(self.path))


def _outcomes(
    client: Client, pages: PageStore, order: Order, base: _Base, tolerance: float, remarks: list[str]
) -> Iterator[Outcome]:
    seen: set[str] = set()
    for record in base.records():
        seen.add(record.material_id)
        yield record
    for system in order.systems:
        have, wanted = base.counts[system], order.count
        documents = _documents(client, pages, system, order.page_size)
        while wanted is None or have < wanted:
            document = next(documents, None)
            if document is None:
                break
            identifier = str(document.get("material_id"))
            if identifier in seen:
                continue
            seen.add(identifier)
            outcome = _read(identifier, document, system, tolerance)
            have += isinstance(outcome, StructureRecord)
            yield outcome
        if wanted is not None and have < wanted:
            remarks.append(f"{system}: {have} structures, not {wanted}: there are no more")


def _documents(client: Client, pages: PageStore, system: str, size: int) -> Iterator[dict[str, Any]]:
    """Summaries of one system; a page is asked for only when its first summary is wanted."""
    for number in count(1):
        name = f"{system}-{number:05d}"
        documents = pages.page(name)
        if documents is None:
            documents = client.page(system, number, size)
            pages.keep(name, documents)
        yield from documents
        if len(documents) < size:
            return


def _read(identifier: str, document: dict[str, Any], system: str, tolerance: float) -> Outcome:
    outcome = read_document((identifier, document.get("structure")), tolerance)
    if isinstance(outcome, StructureRecord):
        found = crystal_system(outcome.space_group_number)
        if found != system:
            return Refusal(identifier, f"of another system at this tolerance: {found}, not {system}")
    return outcome


def _translated(request: Callable[[], Any]) -> Any:
    """The answer to a request, or a failure told as temporary or final."""
    import requests

    try:
        return request()
    except (SourceError, TemporaryFailure):
        raise
    except requests.RequestException as error:
        raise TemporaryFailure(_unreachable(error)) from None
    except (ValueError, KeyError, TypeError) as error:  # no JSON, or JSON of another shape
        what = f"{type(error).__name__}: {error}".splitlines()[0]
        raise TemporaryFailure(f"the Materials Project's answer is not understood ({what})") from None
    except Exception as error:
        # mp-api's MPRestError: a network failure it wrapped, or a request the service does not take.
        if type(error).__name__ != "MPRestError":
            raise
        if isinstance(error.__context__, requests.RequestException):
            raise TemporaryFailure(_unreachable(error.__context__)) from None
        text = " ".join(str(error).split())[:300]
        raise SourceError(f"the Materials Project refused the request ({text}): update mp-api") from None


def _check_status(response: Any, *_: Any, **__: Any) -> None:
    """Session hook: turn a status that mp-api would bury in a message into an error of ours."""
    status = response.status_code
    if status in (401, 403):
        raise SourceError(
            f"the Materials Project refused the key in MP_API_KEY (HTTP {status}): copy it again from {_KEY_PAGE}"
        )
    if status == 429 or status >= 500:
        wait = response.headers.get("Retry-After", "")
        reason = "too many requests" if status == 429 else "the service is in trouble"
        raise TemporaryFailure(
            f"the Materials Project answered HTTP {status} ({reason})",
            float(wait) if wait.isdigit() else None,
        )


def _unreachable(error: BaseException) -> str:
    return f"the Materials Project cannot be reached ({type(error).__name__})"


def _key(key: str | None) -> str:
    key = (key or os.environ.get("MP_API_KEY", "")).strip()
    if not key:
        raise SourceError(f"MP_API_KEY is not set: get a key from {_KEY_PAGE} and export MP_API_KEY=...")
    if len(key) != _KEY_LENGTH:
        raise SourceError(
            f"the key in MP_API_KEY has {len(key)} characters, not {_KEY_LENGTH}: copy it again from {_KEY_PAGE}"
        )
    return key
