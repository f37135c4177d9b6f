"""The web application: the page, and the interface behind it (``/openapi.json``)."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager, suppress
from importlib.resources import files
from pathlib import PurePath
from typing import Annotated, Any, Literal

from fastapi import FastAPI, File, Form, Request, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from plotly.offline import get_plotlyjs
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.middleware.body_limit import RequestBodyLimitMiddleware

import syngony
from syngony.determination import Preparation, Witnesses
from syngony.determination.preparation import NARROWEST, WIDEST
from syngony.errors import InputError, OutputError, WavelengthError
from syngony.report.answers import Report
from syngony.report.rendering import made_by, static
from syngony.report.table import csv_text
from syngony.server.admission import Admission
from syngony.server.guard import LOOPBACK, Guard, too_large
from syngony.server.metrics import KIND, Metrics, resident_bytes
from syngony.server.shelf import Gone, Shelf
from syngony.server.work import Refusal, Upload, Workers, default_workers
from syngony.wavelengths import TUBE_LINES, parse_wavelength

LARGEST_UPLOAD = 40_000_000
"""Bytes of one request: ten times the longest scan that an instrument writes."""

WAITING = 32
"""Files that may wait for a worker; each takes a file on disk of up to `LARGEST_UPLOAD`, and no memory."""

_LONGEST_NAME = 200  # characters of a file's name that are kept

# FastAPI sends traces and figures of requests to a collector when the environment names one. Nothing leaves here.
_NO_TELEMETRY: Any = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "operation_spans": False,
    "auto_configure": False,
}


class Problem(BaseModel):
    """Why a request was refused."""

    reason: str
    needs_wavelength: bool = Field(False, description="the file states no wavelength: send it again with one")


class Scan(BaseModel):
    """One determined scan."""

    id: str = Field(description="for `/api/export`")
    determination: dict[str, Any] = Field(description="as `syngony determine --json` prints it")
    html: str = Field(description="the answer as the report shows it; all texts in it are escaped")
    drawing: dict[str, Any] | None = Field(description="what a picture of it holds")
    thumbnail: str = Field(description="SVG")
    summary: dict[str, Any] = Field(description="cells of its row in a table of many scans")


class Answers(BaseModel):
    """All scans of one file."""

    scans: list[Scan]


class Status(BaseModel):
    """What the page runs on."""

    version: str
    ready: bool = Field(description="False while workers load and compile")
    workers: int
    made: str
    wavelengths: dict[str, float] = Field(description="names of tube lines, Å")
    largest_upload: int = Field(description="bytes")


class Chosen(BaseModel):
    """Answers to download."""

    ids: list[str] = Field(min_length=1, max_length=5000)


def create_app(
    asked: Witnesses,
    workers: int | None = None,
    hosts: Collection[str] = LOOPBACK,
    token: str | None = None,
    waiting: int = WAITING,
) -> FastAPI:
    """The application; network and libraries are loaded here, so that a wrong name is an error at once.

    Args:
        asked: network, libraries, budget, kinds of evidence.
        workers: processes; `default_workers` when None.
        hosts: names under which it may be asked for; empty for any.
        token: what clients must show; None where none is needed.
        waiting: files that may wait for a worker; more are refused with 503.

    Raises:
        ModelError, LibraryError, InputError: see `Determiner`.
    """
    determiner = asked.determiner()
    made = made_by(determiner.network, determiner.libraries or [])
    count = workers or default_workers()
    shelf, metrics = Shelf(), Metrics()
    plotly = get_plotlyjs()
    texts = {
        "plotly.js": (plotly, "text/javascript"),
        "report.js": (static("report.js"), "text/javascript"),
        "report.css": (static("report.css"), "text/css"),
        "page.js": (_own("page.js"), "text/javascript"),
        "page.css": (_own("page.css"), "text/css"),
    }

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.workers = Workers(asked, count)
        warming = asyncio.create_task(app.state.workers.warm_up())
        yield
        warming.cancel()
        app.state.workers.close()

    app = FastAPI(
        title="Syngony",
        version=syngony.__version__,
        description="Crystal system, extinction group, space group and unit cell of powder diffraction scans.",
        docs_url=None,  # its page would load scripts from another host
        redoc_url=None,
        lifespan=lifespan,
        telemetry=_NO_TELEMETRY,
    )
    app.add_middleware(RequestBodyLimitMiddleware, max_body_size=LARGEST_UPLOAD)
    app.add_middleware(Admission, most=count + waiting)
    app.add_middleware(Guard, hosts=hosts, largest=LARGEST_UPLOAD, token=token, metrics=metrics)
    statuses = (401, 403, 404, 408, 410, 413, 422, 503)
    refused: dict[int | str, dict[str, Any]] = {status: {"model": Problem} for status in statuses}

    @app.exception_handler(RequestValidationError)
    async def _invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        said = "; ".join(f"{'.'.join(str(part) for part in e['loc'][1:])}: {e['msg']}" for e in error.errors())
        return _problem(422, said)

    @app.exception_handler(HTTPException)
    async def _refused(_: Request, error: HTTPException) -> JSONResponse:
        if error.status_code == 413:
            return _problem(413, too_large(LARGEST_UPLOAD))
        return _problem(error.status_code, str(error.detail))

    @app.get("/", response_class=HTMLResponse, include_in_schema=False)
    async def page() -> str:
        return _own("index.html")

    @app.get("/static/{name}", include_in_schema=False)
    async def part(name: str) -> Response:
        if name not in texts:
            raise HTTPException(404, "no such file")
        text, kind = texts[name]
        return Response(text, media_type=f"{kind}; charset=utf-8", headers={"Cache-Control": "no-cache"})

    _add_figures(app, metrics, shelf)

    @app.get("/api/status")
    async def status() -> Status:
        """Whether workers are ready, and what they run on."""
        return Status(
            version=syngony.__version__,
            ready=app.state.workers.ready,
            workers=count,
            made=made,
            wavelengths=TUBE_LINES,
            largest_upload=LARGEST_UPLOAD,
        )

    @app.post("/api/determine", response_model=Answers, responses=refused)
    async def determine(
        file: Annotated[UploadFile, File(description="an instrument's file, or columns of text")],
        wavelength: Annotated[str | None, Form(description="Å or a tube line, where the file states none")] = None,
        low: Annotated[float | None, Form(ge=0, le=180, description="degrees of 2θ")] = None,
        high: Annotated[float | None, Form(ge=0, le=180, description="degrees of 2θ")] = None,
        background: Annotated[
            float | None, Form(ge=NARROWEST, le=WIDEST, description="degrees: take off a background of humps wider")
        ] = None,
    ) -> Answers | JSONResponse:
        """Determine every scan of a file."""
        wavelength = (wavelength or "").strip() or None
        if wavelength is not None:
            try:
                parse_wavelength(wavelength)
            except WavelengthError as error:
                raise HTTPException(422, str(error)) from None
        name = PurePath((file.filename or "scan").replace("\\", "/")).name[:_LONGEST_NAME] or "scan"
        try:
            preparation = Preparation(low, high, background)
        except InputError as error:
            raise HTTPException(422, str(error)) from None
        began = time.monotonic()
        async with app.state.workers.turn():  # until then the file stays on disk
            done = await app.state.workers.determine(Upload(name, await file.read(), wavelength, preparation))
        metrics.determined(time.monotonic() - began)
        if isinstance(done, Refusal):
            return _problem(422, done.reason, done.needs_wavelength)
        with suppress(OutputError):  # a full disk: the answer is given, and a download of it is refused
            shelf.put(done)
        return Answers(scans=[_scan(answer) for answer in done])

    @app.post("/api/export/{kind}", responses=refused, response_class=Response)
    async def export(kind: Literal["json", "csv", "html"], chosen: Chosen) -> Response:
        """Answers as one file: the list of `--json`, the table of `--csv`, or the report of `--report`."""
        try:
            if kind == "json":
                return JSONResponse([result.as_dict() for result in shelf.results(chosen.ids)])
            if kind == "csv":
                return Response(csv_text(shelf.results(chosen.ids)), media_type="text/csv; charset=utf-8")

            def report() -> str:
                written = Report(made)
                for answer in shelf.get(chosen.ids):
                    written.add_shown(answer)
                return written.html()

            return HTMLResponse(await asyncio.to_thread(report))
        except Gone:
            raise HTTPException(410, "some answers are no longer kept: determine their files again") from None

    return app


def _add_figures(app: FastAPI, metrics: Metrics, shelf: Shelf) -> None:
    """What tells whoever watches over the server how it is."""

    @app.get("/health")
    async def health() -> JSONResponse:
        """200 when files are determined at once, 503 while workers load and compile; needs no token."""
        ready = app.state.workers.ready
        answer = JSONResponse({"ready": ready}, 200 if ready else 503)
        if not ready:
            answer.headers["Retry-After"] = "5"
        return answer

    @app.get("/metrics", response_class=Response)
    async def figures() -> Response:
        """Figures of the running server, in the text format of Prometheus."""
        running: Workers = app.state.workers
        text = metrics.text(
            waiting=running.waiting,
            workers=len(running.pids()),
            worker_late_total=running.ends["late"],
            worker_dead_total=running.ends["dead"],
            answers_kept=len(shelf),
            server_resident_bytes=resident_bytes([os.getpid()]),
            workers_resident_bytes=resident_bytes(running.pids()),
        )
        return Response(text, media_type=KIND)


def _scan(answer: Any) -> Scan:
    row = dict(answer.row)
    return Scan(
        id=answer.key,
        determination=answer.result.as_dict(),
        html=answer.html,
        drawing=answer.drawing,
        thumbnail=row.pop("thumbnail"),
        summary=row,
    )


def _problem(status: int, reason: str, needs_wavelength: bool = False) -> JSONResponse:
    return JSONResponse(Problem(reason=reason, needs_wavelength=needs_wavelength).model_dump(), status)


def _own(name: str) -> str:
    return files("syngony.server").joinpath("static", name).read_text(encoding="utf-8")
