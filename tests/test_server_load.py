"""The page's server when too much is asked of it: bounds, refusals, tokens, figures; and processes that hang or die."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import instrument_files
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient
from starlette.types import Message, Receive, Scope, Send
from test_report import Elements
from test_server import ASKED, HERE, RUTILE, determine

from syngony.errors import InputError
from syngony.server import run as running
from syngony.server.admission import Admission
from syngony.server.app import create_app
from syngony.server.metrics import Metrics, resident_bytes
from syngony.server.work import LONGEST, Refusal, Upload, Workers

TOKEN = "a-token-of-some-length"


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with TestClient(create_app(ASKED, workers=1), base_url=HERE) as client:
        yield client


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


# --- processes ----------------------------------------------------------------------------------


def test_a_file_that_takes_too_long_ends_with_its_process() -> None:
    async def story() -> tuple[object, object, list[int], list[int], dict[str, int]]:
        workers = Workers(ASKED, 1)
        try:
            await workers.warm_up()
            before = workers.pids()
            workers._longest = 1e-4
            late = await workers.determine(Upload("a.xy", RUTILE))
            workers._longest = LONGEST
            return late, await workers.determine(Upload("a.xy", RUTILE)), before, workers.pids(), workers.ends
        finally:
            workers.close()

    late, then, before, after, ends = asyncio.run(story())
    assert isinstance(late, Refusal) and "not done after" in late.reason
    assert isinstance(then, list) and then[0].result.crystal_system == "tetragonal"
    assert ends == {"late": 1, "dead": 0} and set(before).isdisjoint(after)
    assert not any(alive(process) for process in before + after)


@pytest.mark.skipif(sys.platform != "linux", reason="memory is bounded on Linux alone")
def test_the_memory_of_a_process_is_bounded() -> None:
    code = (
        "from syngony.server import work\n"
        "work.MOST_MEMORY = 100_000_000\n"
        "work._bound_memory()\n"
        "held = bytearray(50_000_000)\n"
        "try:\n    bytearray(200_000_000)\nexcept MemoryError:\n    print('bounded')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "bounded"


# --- admission ----------------------------------------------------------------------------------


async def talk(app: Admission, method: str = "POST", body: asyncio.Queue[Message] | None = None) -> list[Message]:
    """What an application sends back for one request."""
    sent: list[Message] = []
    queue: asyncio.Queue[Message] = body or asyncio.Queue()
    if body is None:
        queue.put_nowait({"type": "http.request", "body": b"", "more_body": False})

    async def send(message: Message) -> None:
        sent.append(message)

    await app({"type": "http", "method": method, "path": "/", "headers": []}, queue.get, send)
    return sent


def test_beyond_its_number_requests_are_refused_with_a_reason_and_a_time() -> None:
    async def story() -> None:
        gate = asyncio.Event()

        async def slow(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["method"] == "POST":
                await gate.wait()
            await PlainTextResponse("done")(scope, receive, send)

        admission = Admission(slow, most=3)
        admitted = [asyncio.create_task(talk(admission)) for _ in range(3)]
        await asyncio.sleep(0.01)
        start, body = await talk(admission)
        headers = {name.decode(): value.decode() for name, value in start["headers"]}
        assert start["status"] == 503 and int(headers["retry-after"]) >= 1
        assert "busy: 3 files" in json.loads(body["body"])["reason"]
        assert (await talk(admission, "GET"))[0]["status"] == 200
        gate.set()
        assert [(await one)[0]["status"] for one in admitted] == [200] * 3
        assert (await talk(admission))[0]["status"] == 200
        assert (admission.inside, admission.refused) == (0, 1)

    asyncio.run(story())


def test_a_body_that_does_not_arrive_is_given_up() -> None:
    async def story() -> None:
        async def reads(scope: Scope, receive: Receive, send: Send) -> None:
            body = await Request(scope, receive).body()
            await PlainTextResponse(body)(scope, receive, send)

        admission = Admission(reads, most=1, slowest=0.05)
        begun: asyncio.Queue[Message] = asyncio.Queue()
        begun.put_nowait({"type": "http.request", "body": b"a", "more_body": True})
        start, body = await talk(admission, body=begun)
        assert start["status"] == 408 and "did not arrive" in json.loads(body["body"])["reason"]
        assert (await talk(admission))[0]["status"] == 200 and admission.inside == 0

    asyncio.run(story())


def test_the_server_refuses_what_it_has_no_room_for() -> None:
    full = TestClient(create_app(ASKED, workers=1, waiting=0), base_url=HERE)  # its workers never start
    assert full.get("/").status_code == 200
    layer = full.app.middleware_stack  # type: ignore[attr-defined]
    while not isinstance(layer, Admission):
        layer = getattr(layer, "app", None) or layer._app
    layer.inside = 1  # a request that never ends
    refused = determine(full)
    assert refused.status_code == 503 and "busy" in refused.json()["reason"] and refused.headers["retry-after"]
    assert refused.headers["x-frame-options"] == "DENY" and full.get("/").status_code == 200


# --- tokens -------------------------------------------------------------------------------------


@pytest.fixture
def guarded() -> TestClient:
    """A client that keeps its cookies; no worker is started."""
    return TestClient(create_app(ASKED, 1, (), TOKEN), base_url="http://192.0.2.7:8000", follow_redirects=False)


def test_nothing_is_shown_without_the_token(guarded: TestClient) -> None:
    for path in ("/", "/static/page.js", "/api/status", "/metrics", "/openapi.json", "/?token=wrong", "/?token="):
        answer = guarded.get(path)
        assert answer.status_code == 401 and "a token is needed" in answer.json()["reason"], path
        assert answer.headers["www-authenticate"] == "Bearer" and answer.headers["referrer-policy"] == "no-referrer"
    assert determine(guarded).status_code == 401
    for shown in ("Bearer wrong", "Basic " + TOKEN, TOKEN, "Bearer ", "Bearer ключ".encode()):
        assert guarded.get("/", headers={"Authorization": shown}).status_code == 401
    assert TOKEN not in guarded.get("/").text


def test_the_token_is_shown_in_a_header_or_once_in_the_address(guarded: TestClient) -> None:
    assert guarded.get("/", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
    assert guarded.get("/").status_code == 401
    opened = guarded.get(f"/?token={TOKEN}")
    assert opened.status_code == 303 and opened.headers["location"] == "/" and TOKEN not in opened.text
    assert (
        "httponly" in opened.headers["set-cookie"].lower() and "samesite=strict" in opened.headers["set-cookie"].lower()
    )
    assert guarded.get("/").status_code == guarded.get("/static/page.js").status_code == 200


@pytest.mark.parametrize(
    ("host", "token", "shown"), [("0.0.0.0", None, True), ("0.0.0.0", TOKEN, False), ("127.0.0.1", None, False)]
)
def test_other_machines_need_a_token(
    host: str, token: str | None, shown: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = []
    monkeypatch.setattr(running.uvicorn.Server, "run", lambda server, sockets: made.append((server.config, sockets)))
    running.run(ASKED, host, 0, 1, token)
    said = capsys.readouterr()
    assert bool(re.search(r"/\?token=[\w-]{32} ", said.out)) == shown and TOKEN not in said.out
    ((config, _),) = made
    client = TestClient(config.app, base_url="http://127.0.0.1", follow_redirects=False)
    assert client.get("/").status_code == (200 if host == "127.0.0.1" else 401)
    assert ("shows the token" in said.err) == (host != "127.0.0.1")


def test_a_token_that_can_be_guessed_is_refused() -> None:
    for token in ("short", "ü" * 20, "with\nbreak-and-more-letters"):
        with pytest.raises(InputError, match="a token has at least 16"):
            running.run(ASKED, "127.0.0.1", 0, 1, token)


# --- figures ------------------------------------------------------------------------------------


def test_health_and_figures(client: TestClient) -> None:
    before = client.get("/metrics").text
    assert determine(client).status_code == 200 and determine(client, b"nothing").status_code == 422
    assert client.get("/health").json() in ({"ready": True}, {"ready": False})
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")

    def figure(text: str, name: str) -> float:
        found = re.search(rf"^syngony_{re.escape(name)} (\S+)$", text, re.MULTILINE)
        return float(found.group(1)) if found else 0.0

    for name in (
        'requests_total{path="/api/determine",status="200"}',
        'requests_total{path="/api/determine",status="422"}',
    ):
        assert figure(answer.text, name) == figure(before, name) + 1
    assert figure(answer.text, "determination_seconds_count") == figure(before, "determination_seconds_count") + 2
    assert figure(answer.text, "workers") == 1 and figure(answer.text, "waiting") == 0
    if Path("/proc/self/statm").exists():
        assert figure(answer.text, "server_resident_bytes") > 1e7 and resident_bytes([os.getpid()]) > 1e7
    assert re.fullmatch(r"(?:# TYPE \w+ \w+\n|\w+(?:\{[^}]*\})? [-+.\de]+\n)+", answer.text)


def test_paths_of_strangers_do_not_fill_the_figures() -> None:
    metrics = Metrics()
    for number in range(50):
        metrics.count(f'/{number}"}}\n', 404)
    assert metrics.text().count('path="other"') == 1 and 'status="404"} 50' in metrics.text()


# --- what a user's file says --------------------------------------------------------------------


def test_texts_of_a_file_are_texts_on_the_page(client: TestClient) -> None:
    counts = tuple(100 + (5000 if i % 97 == 50 else i % 7) for i in range(900))
    scan = instrument_files.Written(10.0, 0.05, counts)
    hostile = "&lt;script&gt;alert(1)&lt;/script&gt;&lt;img src=x&gt;"
    data = instrument_files.xrdml([scan]).replace(b"rutile", hostile.encode())
    (answer,) = determine(client, data, "<b onclick=x>.xrdml").json()["scans"]
    page = Elements(answer["html"])
    assert page.count("script") == page.count("img") == 0 and "<b onclick=x>.xrdml" in page.text
    assert "<script>alert(1)" in page.text  # the sample's name, as the text that it is
    assert "<script" not in answer["thumbnail"]
    report = client.post("/api/export/html", json={"ids": [answer["id"]]}).text
    assert "<b onclick" not in report and "<script>alert" not in report


def test_a_name_is_cut(client: TestClient) -> None:
    (scan,) = determine(client, name="n" * 400 + ".xy").json()["scans"]
    assert scan["determination"]["file"] == "n" * 200
