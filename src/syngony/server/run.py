"""Run the page until the user ends it."""

from __future__ import annotations

import secrets
import socket
import sys

import uvicorn

from syngony.determination import Witnesses
from syngony.errors import InputError
from syngony.server.app import WAITING, create_app
from syngony.server.guard import LOOPBACK, SHORTEST_TOKEN

MOST_CONNECTIONS = 512
"""Beyond, uvicorn refuses with 503: each takes memory before anything is known of it."""


def run(
    asked: Witnesses,
    host: str,
    port: int,
    workers: int | None,
    token: str | None = None,
    waiting: int = WAITING,
) -> None:
    """Serve on an address; returns when the user ends it.

    Args:
        asked: network, libraries, budget, kinds of evidence.
        host: name or address to listen on.
        port: 0 for any that is free.
        workers: processes that determine.
        token: what clients must show. For an address of other machines one is made where none is given.
        waiting: files that may wait for a worker.

    Raises:
        InputError: the address cannot be used, or the token is too short.
        ModelError, LibraryError: see `Determiner`.
    """
    local = host in LOOPBACK
    if token is not None and (len(token) < SHORTEST_TOKEN or not token.isascii() or not token.isprintable()):
        raise InputError(
            f"a token has at least {SHORTEST_TOKEN} letters and digits, and no others: choose a longer one"
        )
    made = token is None and not local
    token = secrets.token_urlsafe(24) if made else token
    listener = _listen(host, port)
    app = create_app(asked, workers, LOOPBACK if local else (), token, waiting)
    shown = f"[{host}]" if ":" in host else host
    shown_token = f"?token={token}" if made else ""
    print(f"Syngony is at http://{shown}:{listener.getsockname()[1]}/{shown_token} (Ctrl-C ends)", flush=True)
    if not local:
        print(
            "syngony: every machine that reaches this address and shows the token can use the page; "
            "what is sent is not encrypted",
            file=sys.stderr,
        )
    settings = uvicorn.Config(
        app,
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=2,
        limit_concurrency=MOST_CONNECTIONS,
    )
    server = uvicorn.Server(settings)
    try:
        server.run(sockets=[listener])
    except KeyboardInterrupt:  # uvicorn raises the signal again when it has ended in order
        pass
    finally:
        listener.close()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen()  # whoever follows the printed address at once waits, and is not refused
    except OSError as error:
        listener.close()
        raise InputError(f"{host}:{port}: cannot listen there ({error.strerror}): choose another --port") from None
    return listener
