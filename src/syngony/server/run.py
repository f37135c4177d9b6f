"""Run the page until the user ends it."""

from __future__ import annotations

import socket
import sys

import uvicorn

from syngony.determination import Witnesses
from syngony.errors import InputError
from syngony.server.app import create_app
from syngony.server.guard import LOOPBACK


def run(asked: Witnesses, host: str, port: int, workers: int | None) -> None:
    """Serve on an address; returns when the user ends it.

    Args:
        asked: network, libraries, budget, kinds of evidence.
        host: name or address to listen on.
        port: 0 for any that is free.
        workers: processes that determine.

    Raises:
        InputError: the address cannot be used.
        ModelError, LibraryError: see `Determiner`.
    """
    listener = _listen(host, port)
    local = host in LOOPBACK
    app = create_app(asked, workers, LOOPBACK if local else ())
    shown = f"[{host}]" if ":" in host else host
    print(f"Syngony is at http://{shown}:{listener.getsockname()[1]}/ (Ctrl-C ends)", flush=True)
    if not local:
        print("syngony: every machine that reaches this address can use the page", file=sys.stderr)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", server_header=False, timeout_graceful_shutdown=2))
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
