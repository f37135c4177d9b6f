"""The local page's interface: answers, refusals, bounds, and what keeps strangers out."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
import re
import signal
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from conftest import EXAMPLES
from httpx2 import Response
from instrument_files import Written, uxd
from starlette.testclient import TestClient
from test_report import Elements, answer
from typer.testing import CliRunner

from syngony.cli import app
from syngony.determination import Determination, Determiner, Witnesses
from syngony.errors import InputError, ModelError, OutputError
from syngony.readers import read_pattern
from syngony.report.answers import Shown, shown
from syngony.server.app import LARGEST_UPLOAD, create_app
from syngony.server.run import run
from syngony.server.shelf import Gone, Shelf
from syngony.server.work import Refusal, Upload, Workers

ASKED = Witnesses("mobilenetv2", (), 1.0, ("network",))
COMMAND_LINE = ("--model", "mobilenetv2", "--library", "none", "--evidence", "network")
RUTILE = (EXAMPLES / "rutile.xy").read_bytes()
BARE = b"".join(line for line in RUTILE.splitlines(keepends=True) if not line.startswith(b"#"))
HERE = "http://127.0.0.1"
HOSTILE = "<img src=x onerror=alert(1)>.xy"


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with TestClient(create_app(ASKED, workers=1), base_url=HERE) as client:
        yield client


def determine(client: TestClient, data: bytes = RUTILE, name: str = "rutile.xy", **form: str) -> Response:
    return client.post("/api/determine", files={"file": (name, data)}, data=form)


def test_an_answer_is_that_of_the_library(client: TestClient) -> None:
    response = determine(client)
    assert response.status_code == 200
    (scan,) = response.json()["scans"]
    known = Determiner("mobilenetv2", (), 1.0, ("network",))(read_pattern(EXAMPLES / "rutile.xy")).as_dict()
    told = scan["determination"]
    assert told == {**json.loads(json.dumps(known)), "file": "rutile.xy"}
    assert told["crystal_system"] == "tetragonal" and told["wavelength"] == 1.54184
    assert "tetragonal" in Elements(scan["html"]).text and scan["thumbnail"].startswith("<svg")
    assert len(scan["drawing"]["two_theta"]) == 4001 and scan["summary"]["system"] == "tetragonal"


def test_a_wavelength_is_asked_for_and_not_guessed(client: TestClient) -> None:
    response = determine(client, BARE)
    assert response.status_code == 422
    problem = response.json()
    assert problem["needs_wavelength"] and "no wavelength in the file" in problem["reason"]
    assert "--wavelength" not in problem["reason"]
    (scan,) = determine(client, BARE, wavelength="CoKa").json()["scans"]
    assert scan["determination"]["wavelength"] == 1.79026


@pytest.mark.parametrize(
    ("data", "form", "reason"),
    [
        (b"nothing", {}, "no two columns"),
        (b"", {}, "empty"),
        (b"RAW1.01\x00\x00" + bytes(100), {}, "Bruker RAW"),
        (RUTILE, {"wavelength": "banana"}, "'banana' is no wavelength"),
        (RUTILE, {"low": "x"}, "low"),
        (RUTILE, {"high": "200"}, "high"),
        (RUTILE, {"low": "nan"}, "low"),
    ],
)
def test_what_cannot_be_determined_is_refused_with_its_reason(
    client: TestClient, data: bytes, form: dict[str, str], reason: str
) -> None:
    response = determine(client, data, **form)
    assert response.status_code == 422 and not response.json()["needs_wavelength"]
    assert reason in response.json()["reason"]


def test_a_request_without_a_file_is_refused(client: TestClient) -> None:
    response = client.post("/api/determine", data={"wavelength": "CuKa"})
    assert response.status_code == 422 and "file" in response.json()["reason"]


def test_uploads_are_bounded(client: TestClient) -> None:
    response = determine(client, bytes(LARGEST_UPLOAD + 1))
    assert response.status_code == 413 and "40 MB" in response.json()["reason"]

    def pieces() -> Iterator[bytes]:  # no length is announced
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        for _ in range(LARGEST_UPLOAD // 1_000_000 + 1):
            yield bytes(1_000_000)

    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    assert client.post("/api/determine", content=pieces(), headers=kind).status_code == 413


def test_a_range_is_looked_at_alone(client: TestClient) -> None:
    (scan,) = determine(client, low="20", high="60.5").json()["scans"]
    assert (scan["drawing"]["two_theta"][0], scan["drawing"]["two_theta"][-1]) == (20.0, 60.5)
    assert "20 to 60.5°" in Elements(scan["html"]).text
    (scan,) = determine(client, low="89").json()["scans"]
    assert scan["determination"]["error"] and scan["drawing"] is None
    assert "no range" in determine(client, low="60", high="20").json()["reason"]


def test_a_background_is_taken_off_before_anybody_looks(client: TestClient) -> None:
    plain = determine(client).json()["scans"][0]
    (scan,) = determine(client, background="4").json()["scans"]
    assert scan["drawing"]["intensity"] == plain["drawing"]["intensity"]  # drawn as it was measured
    assert scan["drawing"]["background"] != plain["drawing"]["background"]
    assert "wider than 4° was taken off" in Elements(scan["html"]).text
    told = CliRunner().invoke(
        app, ["determine", str(EXAMPLES / "rutile.xy"), "--background", "4", "--json", *COMMAND_LINE]
    )
    assert scan["determination"] == {**json.loads(told.stdout)[0], "file": "rutile.xy"}
    assert determine(client, background="0.1").status_code == 422


def test_names_of_users_are_texts_and_never_paths(client: TestClient) -> None:
    (scan,) = determine(client, name=HOSTILE).json()["scans"]
    assert scan["determination"]["file"] == HOSTILE
    assert Elements(scan["html"]).count("img") == 0 and HOSTILE in Elements(scan["html"]).text
    (scan,) = determine(client, name="../../etc/x\\y.xy").json()["scans"]
    assert scan["determination"]["file"] == "y.xy"


def test_every_scan_of_a_file_is_determined(client: TestClient) -> None:
    angles = np.arange(10.0, 80.0, 0.05)
    ranges = [
        Written(10.0, 0.05, tuple((100 + 900 * np.exp(-(((angles - centre) / 0.1) ** 2))).astype(int).tolist()))
        for centre in (30.0, 40.0)
    ]
    data = uxd(ranges)
    names = [scan["determination"]["file"] for scan in determine(client, data, "two.uxd").json()["scans"]]
    assert names == ["two.uxd", "two.uxd [2 of 2]"]


def test_exports_are_those_of_the_command_line(client: TestClient) -> None:
    scans = [determine(client, name=name).json()["scans"][0] for name in ("a.xy", "b.xy")]
    ids = [scan["id"] for scan in scans]
    listed = client.post("/api/export/json", json={"ids": ids}).json()
    assert listed == [scan["determination"] for scan in scans]
    table = list(csv.DictReader(io.StringIO(client.post("/api/export/csv", json={"ids": ids}).text)))
    assert [row["file"] for row in table] == ["a.xy", "b.xy"] and table[0]["crystal_system"] == "tetragonal"
    report = client.post("/api/export/html", json={"ids": ids[:1]}).text
    assert report.startswith("<!doctype html>") and f'id="drawing-{ids[0]}"' in report and "Plotly" in report


def test_exports_of_what_is_not_there_are_refused(client: TestClient) -> None:
    assert client.post("/api/export/json", json={"ids": ["x"]}).status_code == 410
    assert client.post("/api/export/json", json={"ids": []}).status_code == 422
    assert client.post("/api/export/exe", json={"ids": ["x"]}).status_code == 422
    assert client.get("/nothing").json()["reason"] and client.get("/static/../app.py").status_code == 404


def written(one: Shown) -> Shown:
    """The answer as it comes back from JSON, in which tuples are lists."""
    return replace(one, result=Determination.from_dict(json.loads(json.dumps(one.result.as_dict()))))


def test_the_shelf_is_bounded_and_the_oldest_go_first() -> None:
    shelf = Shelf(most=2)
    answers = [shown(answer(), None, (), key, whole=False) for key in "abc"]
    shelf.put(answers)
    for ask in (lambda: list(shelf.get(["a"])), lambda: shelf.results(["b", "a"])):
        with pytest.raises(Gone):
            ask()
    assert len(shelf) == 2
    expected = [written(answers[2]), written(answers[1])]
    assert list(shelf.get(["c", "b"])) == expected
    assert shelf.results(["c", "b"]) == [one.result for one in expected]


def test_the_shelf_gives_back_what_it_packed() -> None:
    kept = replace(shown(answer(), None, (), "a"), drawing={"two_theta": [10.0, 0.1 + 0.2], "phases": None})
    shelf = Shelf()
    shelf.put([kept])
    assert list(shelf.get(["a"])) == [written(kept)] and len(str(kept.html)) > 100


def test_a_full_disk_costs_the_download_and_not_the_answer(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OutputError("no space left")

    monkeypatch.setattr(Shelf, "put", full)
    scan = determine(client).json()["scans"][0]
    assert scan["determination"]["crystal_system"] == "tetragonal"
    assert client.post("/api/export/json", json={"ids": [scan["id"]]}).status_code == 410


def test_the_page_loads_nothing_from_elsewhere(client: TestClient) -> None:
    page = client.get("/")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "script-src 'self';" in policy and "http" not in policy
    assert page.headers["x-content-type-options"] == "nosniff" and page.headers["cache-control"] == "no-store"
    assert not re.search(r"\son\w+=", page.text) and "<script>" not in page.text
    parts = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert {part.split("/")[1] for part in parts if not part.startswith("data:")} == {"static"}
    for part in parts:
        if not part.startswith("data:"):
            assert client.get(part).status_code == 200
    assert client.get("/docs").status_code == 404  # its page would come from another host


def test_strangers_are_turned_away(client: TestClient) -> None:
    assert client.get("/", headers={"Host": "evil.example"}).status_code == 403
    assert client.get("/", headers={"Host": "localhost:8000"}).status_code == 200
    assert client.get("/", headers={"Host": "[::1]:8000"}).status_code == 200
    assert client.get("/", headers={"Host": "[::1"}).status_code == 403
    for origin in ("http://evil.example", "null", "http://127.0.0.1:1"):
        response = client.post("/api/export/json", json={"ids": ["x"]}, headers={"Origin": origin})
        assert response.status_code == 403 and "another site" in response.json()["reason"]
        assert response.headers["x-frame-options"] == "DENY"
    assert client.post("/api/export/json", json={"ids": ["x"]}, headers={"Origin": HERE}).status_code == 410


def test_the_interface_is_described(client: TestClient) -> None:
    schema = client.get("/openapi.json").json()
    assert set(schema["paths"]) == {"/api/status", "/api/determine", "/api/export/{kind}", "/health", "/metrics"}
    assert "413" in schema["paths"]["/api/determine"]["post"]["responses"]
    status = client.get("/api/status").json()
    assert status["workers"] == 1 and status["wavelengths"]["CuKa"] == 1.54184 and "mobilenetv2" in status["made"]


def test_no_telemetry_whatever_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTAPI_OTEL_AUTO_CONFIGURE", "true")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    with TestClient(create_app(ASKED, workers=1), base_url=HERE) as client:  # an exporter would be an error here
        assert client.get("/").status_code == 200


def test_a_worker_that_dies_ends_one_file_alone() -> None:
    async def story() -> tuple[object, object]:
        workers = Workers(ASKED, 1)
        try:
            os.kill(*workers.pids(), signal.SIGKILL)
            first = await workers.determine(Upload("a.xy", RUTILE))
            return first, await workers.determine(Upload("a.xy", RUTILE))
        finally:
            workers.close()

    first, second = asyncio.run(story())
    assert isinstance(first, Refusal) and "too much for this machine" in first.reason
    assert isinstance(second, list) and second[0].result.crystal_system == "tetragonal"


def test_wrong_options_are_errors_before_anything_is_served() -> None:
    with pytest.raises(ModelError, match="no model"):
        create_app(Witnesses("nonsense", (), 1.0, None))
    with pytest.raises(InputError, match="cannot listen"):
        run(ASKED, "192.0.2.1", 0, 1)
