"""A local HTTP service that answers as the Materials Project's summary endpoint does.

Shape of the answers: ``GET /heartbeat`` gives the versions; ``GET /materials/summary/`` with ``_page``,
``_per_page``, ``_fields`` and ``crystal_system`` gives ``{"data": [...], "meta": {"total_doc": n}}``; the key
goes in the header ``X-API-KEY``. Failures are queued with `fail_next`.
"""

from __future__ import annotations

import json
import threading
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlparse

KEY = "0123456789abcdef0123456789abcdef"


def perovskite(identifier: str, a: float) -> dict:
    """Summary document of a cubic perovskite SrTiO3 with cell length a, Å."""
    sites = [
        ("Sr", (0, 0, 0)),
        ("Ti", (0.5, 0.5, 0.5)),
        ("O", (0.5, 0.5, 0)),
        ("O", (0.5, 0, 0.5)),
        ("O", (0, 0.5, 0.5)),
    ]
    return _document(identifier, "SrTiO3", [[a, 0, 0], [0, a, 0], [0, 0, a]], sites)


def rutile(identifier: str, a: float) -> dict:
    """Summary document of tetragonal rutile TiO2 with cell length a, Å."""
    x = 0.3053
    sites = [
        ("Ti", (0, 0, 0)),
        ("Ti", (0.5, 0.5, 0.5)),
        ("O", (x, x, 0)),
        ("O", (-x, -x, 0)),
        ("O", (0.5 - x, 0.5 + x, 0.5)),
        ("O", (0.5 + x, 0.5 - x, 0.5)),
    ]
    return _document(identifier, "TiO2", [[a, 0, 0], [0, a, 0], [0, 0, 0.644 * a]], sites)


def _document(identifier: str, formula: str, matrix: list, sites: list) -> dict:
    return {
        "material_id": identifier,
        "formula_pretty": formula,
        "symmetry": {},
        "structure": {
            "@module": "pymatgen.core.structure",
            "@class": "Structure",
            "lattice": {"matrix": matrix},
            "sites": [
                {"species": [{"element": element, "occu": 1}], "abc": list(abc), "label": element}
                for element, abc in sites
            ],
        },
    }


class MaterialsProjectStub:
    """The service: documents by crystal system, a queue of failures, a log of the pages asked for."""

    def __init__(self) -> None:
        self.documents: dict[str, list[dict]] = {
            "Cubic": [perovskite(f"mp-{100 + i}", 3.90 + 0.01 * i) for i in range(10)],
            "Tetragonal": [rutile(f"mp-{200 + i}", 4.59 + 0.01 * i) for i in range(3)],
        }
        self.pages: list[tuple[str, int]] = []  # those answered in full
        self.attempts = 0  # at summaries, failures included
        self._failures: deque = deque()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/"

    def fail_next(self, *failures: object) -> None:
        """Queue what requests meet: a status, (status, headers), "drop", "garbage", or None: no failure."""
        self._failures.extend(failures)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(stub) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                url = urlparse(self.path)
                if url.path == "/heartbeat":
                    self._answer(
                        200,
                        {
                            "status": "OK",
                            "version": "0.87.3",
                            "db_version": "2025.09.25",
                            "access_controlled_batch_ids": ["gnome_r2scan_statics"],
                        },
                    )
                elif url.path == "/materials/summary/":
                    stub.attempts += 1
                    failure = stub._failures.popleft() if stub._failures else None
                    self._summaries(parse_qs(url.query), failure)
                else:
                    self._answer(404, {"detail": "Not Found"})

            def _summaries(self, query: dict[str, list[str]], failure: object) -> None:
                if self.headers.get("X-API-KEY") != KEY:
                    self._answer(401, {"message": "Invalid authentication credentials"})
                elif isinstance(failure, int):
                    self._answer(failure, {"detail": "failed"})
                elif isinstance(failure, tuple):
                    self._answer(failure[0], {"detail": "failed"}, failure[1])
                elif failure == "garbage":
                    self._send(200, b'{"data": [{"material_id": "mp-1", ')
                else:
                    self._page(query, drop=failure == "drop")

            def _page(self, query: dict[str, list[str]], drop: bool) -> None:
                system, page = query["crystal_system"][0], int(query["_page"][0])
                size = int(query["_per_page"][0])
                documents = stub.documents.get(system, [])
                body = {
                    "data": documents[(page - 1) * size : page * size],
                    "meta": {"total_doc": len(documents)},
                }
                if drop:  # half of the body, then the connection is gone
                    content = json.dumps(body).encode()
                    self.send_response(200)
                    self.send_header("Content-Length", str(len(content)))
                    self.end_headers()
                    self.wfile.write(content[: len(content) // 2])
                    self.wfile.flush()
                    self.connection.close()
                    return
                stub.pages.append((system.lower(), page))
                self._answer(200, body)

            def _answer(self, status: int, body: object, headers: dict[str, str] | None = None) -> None:
                self._send(status, json.dumps(body).encode(), headers)

            def _send(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                for name, value in (headers or {}).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

        return Handler
