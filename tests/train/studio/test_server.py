"""What the page asks the server for, and who may not ask."""

import asyncio
import contextlib
import io
import json
import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from _train.frame_interpolation.studio.session import Session
from _train.frame_interpolation.studio.worker import Worker
from _util import image
from _util.errors import InputError
from tests.train.studio.drawings import SIMPLE, key, until, write_keys

starlette = pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
pytest.importorskip("httpx2")

from starlette.testclient import TestClient  # noqa: E402

from _train.frame_interpolation.studio import server  # noqa: E402
from _train.frame_interpolation.studio.events import Events  # noqa: E402

HOST = "127.0.0.1:8000"


@contextlib.contextmanager
def served(tmp_path: Path, **defaults: Any) -> Iterator[TestClient]:
    events = Events()
    session = Session(write_keys(tmp_path / "keys"), {"between": "1", **defaults}, events.tell)
    worker = Worker(session, tmp_path / "out", **SIMPLE)
    application = server.Studio(session, worker, events, "token").application((HOST,))
    worker.start()
    with TestClient(application, base_url=f"http://{HOST}/token/") as client:
        client.session = session
        yield client
    worker.stop()
    worker.join()


@pytest.fixture
def client(tmp_path) -> Iterator[TestClient]:
    with served(tmp_path) as client:
        yield client


def state(client: TestClient) -> dict:
    return client.get("api/state").json()


def edit(client: TestClient, **said) -> "tuple[int, dict]":
    body = json.dumps({"version": state(client)["version"], **said})  # in ASCII, as browsers write what is not Unicode
    answer = client.post("api/edit", content=body, headers={"Content-Type": "application/json"})
    return answer.status_code, answer.json()


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


def test_the_page_and_all_its_files_are_served(client):
    page = client.get("")
    assert page.status_code == 200
    assert "main.js" in page.text
    for path in (Path(server.__file__).parent / "static").iterdir():
        answer = client.get(path.name)
        assert answer.content == path.read_bytes()
        assert answer.headers["x-content-type-options"] == "nosniff"
        if path.suffix == ".js":
            assert "javascript" in answer.headers["content-type"]


def test_the_page_takes_nothing_from_elsewhere():
    for path in (Path(server.__file__).parent / "static").iterdir():
        text = path.read_text().replace("http://www.w3.org/", "")
        assert "http://" not in text
        assert "https://" not in text
        assert "//cdn" not in text


@pytest.mark.parametrize(
    ("path", "headers", "code"),
    [
        ("/", {}, 404),
        ("/api/state", {}, 404),
        ("/wrong/api/state", {}, 404),
        ("/token/api/state", {"Host": "studio.example:8000"}, 403),
        ("/token/api/state", {"Host": "127.0.0.1:9000"}, 403),
        ("/token/api/state", {"Origin": "http://studio.example"}, 403),
        ("/token/api/state", {"Origin": "null"}, 403),
        ("/token/api/state", {"Sec-Fetch-Site": "cross-site"}, 403),
        ("/token/api/state", {"Origin": f"http://{HOST}", "Sec-Fetch-Site": "same-origin"}, 200),
        ("/token/../pyproject.toml", {}, 404),
        ("/token/%2e%2e/%2e%2e/server.py", {}, 404),
    ],
)
def test_who_may_ask(client, path, headers, code):
    assert client.get(f"http://{HOST}{path}", headers=headers).status_code == code


@pytest.mark.parametrize("body", ["[" * 5000 + "]" * 5000, "{", "[]"])
def test_a_body_that_is_no_json_object_is_a_sentence(client, body):
    answer = client.post("api/edit", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert "JSON" in answer.json()["error"]


def test_a_form_of_another_page_does_nothing(client):
    assert client.post("api/edit", data={"action": "loop"}).status_code == 400
    assert client.post("api/undo", content=b"{}", headers={"Content-Type": "text/plain"}).status_code == 400
    assert state(client)["loop"] is False


def test_keys_and_thumbnails(client):
    row = state(client)["rows"][0]
    answer = client.get(f"pictures/full/{row['id']}.png")
    np.testing.assert_array_equal(pixels(answer.content), key(0))
    again = client.get(f"pictures/full/{row['id']}.png", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert client.get(f"pictures/thumbnail/{'0' * 32}.png").status_code == 404
    assert client.get(f"pictures/huge/{row['id']}.png").status_code == 404


def test_a_key_that_is_saved_and_undone_at_once_keeps_its_picture(client, monkeypatch):
    path, (row, *_) = client.session.folder / "k1.png", state(client)["rows"]
    before = path.read_bytes()
    with monkeypatch.context() as unseen:
        unseen.setattr(Session, "check_disk", lambda session: None)
        image.write(path, key(20))
        answer = client.get(f"pictures/full/{row['id']}.png")
        assert answer.status_code == 404
        assert "cache-control" not in answer.headers
        path.write_bytes(before)
    np.testing.assert_array_equal(pixels(client.get(f"pictures/full/{row['id']}.png").content), key(0))


def test_a_changed_key_is_listed_anew_when_it_is_asked_for(client, monkeypatch):
    monkeypatch.setattr(server, "_WATCH_EVERY", 3600)
    path, (row, *_) = client.session.folder / "k1.png", state(client)["rows"]
    image.write(path, key(20))
    assert client.get(f"pictures/full/{row['id']}.png").status_code == 404
    changed, *_ = state(client)["rows"]
    np.testing.assert_array_equal(pixels(client.get(f"pictures/full/{changed['id']}.png").content), key(20))


def test_a_key_whose_name_is_not_utf8_has_its_gap(client):
    folder = client.session.folder
    try:
        shutil.copy(folder / "k1.png", os.fsencode(folder) + b"/k\x8c\xb4\xffz1.png")
    except OSError:
        pytest.skip("this file system has names in UTF-8 alone")
    until(lambda: len(state(client)["rows"]) == 4)
    (name,) = {row["key"] for row in state(client)["rows"]} - {"k1", "k2", "k3"}
    assert edit(client, action="on", key=name, value=2)[0] == 200
    assert b'"k\x8c\xb4\xffz1"' in (folder / "studio.json").read_bytes()


def test_thumbnails_are_small_and_keep_colours_at_clear_edges(client):
    large = np.zeros((540, 960, 4), np.uint8)
    large[100:303, 101:502] = (200, 60, 40, 255)
    image.write(client.session.folder / "k4.png", large)
    until(lambda: len(state(client)["rows"]) == 4)
    small = pixels(client.get(f"pictures/thumbnail/{state(client)['rows'][3]['id']}.png").content)
    assert small.shape == (108, 192, 4)
    seen = small[small[:, :, 3] > 16]
    assert np.abs(seen[:, :3].astype(int) - (200, 60, 40)).max() <= 8


def test_an_edit_is_drawn_and_undone(client):
    code, said = edit(client, action="timing", key="k1", value={"ticks": ["1/4"], "on": 2})
    assert code == 200
    assert said["rows"][0]["drawings"][0]["tick"] == "1/4"
    until(lambda: state(client)["rows"][0]["drawings"][0]["drawn"])
    (one,) = state(client)["rows"][0]["drawings"]
    assert pixels(client.get(f"pictures/view/{one['id']}.png").content).shape == key(0).shape
    client.post("api/undo", json={})
    assert state(client)["rows"][0]["drawings"][0]["tick"] == "1/2"
    client.post("api/redo", json={})
    assert state(client)["rows"][0]["on"] == 2


def test_the_page_goes_on_while_the_keys_do_not_fit_the_chart(tmp_path, monkeypatch):
    monkeypatch.setattr(server, "_WATCH_EVERY", 0.02)
    chart = tmp_path / "chart.csv"
    chart.write_text("key,between\nk2,2\n")
    with served(tmp_path, chart=chart) as client:
        key = client.session.folder / "k2.png"
        key.rename(key.with_name("x2.png"))
        until(lambda: "there is no key 'k2'" in state(client)["problem"])
        key.with_name("x2.png").rename(key)
        until(lambda: not state(client)["problem"])
        until(lambda: [one["drawn"] for one in state(client)["rows"][1]["drawings"]] == [True, True])


def test_the_folder_is_watched_after_an_unexpected_failure(tmp_path, monkeypatch):
    told, check = [], Session.check_disk
    failures = iter([RuntimeError("one that nobody expected")])

    def fail_once(session):
        for failure in failures:
            raise failure
        check(session)

    monkeypatch.setattr(server, "_WATCH_EVERY", 0.02)
    monkeypatch.setattr(Session, "check_disk", fail_once)
    monkeypatch.setattr(Events, "tell", lambda self, *event: told.append(event))
    with served(tmp_path) as client:
        image.write(client.session.folder / "k4.png", key(24))
        until(lambda: len(state(client)["rows"]) == 4)
    notices = [value for name, value in told if name == "notice"]
    assert "RuntimeError: one that nobody expected" in notices[0]


def test_an_edit_in_a_second_tab_is_reported_in_the_first(client):
    version = state(client)["version"]
    assert edit(client, action="loop", value=True)[0] == 200
    answer = client.post("api/edit", json={"version": version, "action": "loop", "value": False})
    assert answer.status_code == 409
    assert "repeat the last edit" in answer.json()["error"]
    assert state(client)["loop"] is True


@pytest.mark.parametrize(
    ("path", "body", "match"),
    [
        ("edit", {"action": "loop", "value": True}, "version"),
        ("edit", {"version": 1}, "no action"),
        ("edit", [], "object"),
        ("look", {"key": 3}, "no key"),
        ("redraw", {"key": "k9"}, "no key k9"),
        ("export", {"format": "gif"}, "no format"),
    ],
)
def test_requests_that_cannot_be_used_are_sentences(client, path, body, match):
    until(lambda: state(client)["method"])
    answer = client.post(f"api/{path}", json=body)
    assert answer.status_code == 400
    assert match in answer.json()["error"]


def test_an_export_is_written(client, tmp_path):
    until(lambda: state(client)["method"])
    assert client.post("api/export", json={"format": "png"}).status_code == 200
    until(lambda: (state(client)["export"] or {}).get("phase") == "done")
    assert len(list((tmp_path / "out" / "keys").glob("*.png"))) == 5


def test_events_reach_all_that_listen():
    async def hear() -> list[str]:
        async def state() -> dict:
            return {"a": 1}

        events = Events()
        first, second = events.stream(state), events.stream(state)
        heard = [await anext(first), await anext(first), await anext(second), await anext(first)]
        await asyncio.get_running_loop().run_in_executor(None, events.tell, "drawn", "id")
        heard += [await anext(second), await anext(second), await anext(first)]
        events.close()
        assert [one async for one in first] == [one async for one in second] == []
        return heard

    said = [line.split(": ", 1)[1] for one in asyncio.run(hear()) for line in one.strip().splitlines()]
    told = [(name, json.loads(value)) for name, value in zip(said[::2], said[1::2], strict=True)]
    begin, drawn = ("state", {"a": 1}), ("drawn", "id")
    assert told == [begin, ("tabs", 1), begin, ("tabs", 2), ("tabs", 2), drawn, drawn]


def test_a_port_in_use_is_a_sentence(tmp_path):
    with socket.socket() as other:
        other.bind((server.HOST, 0))
        other.listen()
        port = other.getsockname()[1]
        for number, why in ((port, "is in use"), (70000, "is not available")):
            with (
                pytest.raises(InputError, match=f"The port {number} {why}; choose another --port"),
                server.serving(tmp_path, {}, tmp_path, number),
            ):
                pass


def test_a_port_in_use_is_not_taken_on_windows(monkeypatch):
    """Where SO_REUSEADDR, unlike elsewhere, allows that."""
    options = []

    class Listening(socket.socket):
        def setsockopt(self, *option):
            options.append(option)

    monkeypatch.setattr(server.sys, "platform", "win32")
    monkeypatch.setattr(server.socket, "SO_EXCLUSIVEADDRUSE", -5, raising=False)
    monkeypatch.setattr(server.socket, "socket", Listening)
    server._listen(0).close()
    assert options == [(socket.SOL_SOCKET, -5, 1)]
