from __future__ import annotations

import asyncio
import base64
import json
import shutil
from types import SimpleNamespace

import pytest

from vfi_pipeline.errors import UserError
from vfi_pipeline.page.queue import DONE, Queue
from vfi_pipeline.page.roots import Roots
from vfi_pipeline.page.server import LOCAL, OVERHEAD, Guard, is_local, results


async def everything(scope, receive, send):
    """An application that takes what comes and answers yes."""
    body, more = b"", scope["method"] not in ("GET", "HEAD")
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            await send({"type": "http.response.start", "status": 499, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            return
        body += message.get("body", b"")
        more = message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-frame-options", b"ALLOW")]})
    await send({"type": "http.response.body", "body": b"yes"})


@pytest.fixture
def guard(tmp_path):
    (tmp_path / "temporary").mkdir()

    def made(**more):
        settings = {"password": None, "hosts": LOCAL, "temporary": tmp_path / "temporary", "max_upload": 10_000_000}
        return Guard(everything, wrong_s=0, **{**settings, **more})

    return made


def ask(guard, path="/", method="GET", body=(b"",), **headers):
    """(status, headers) of a request."""
    sent = []
    given = {"host": "127.0.0.1:7860", **{name.replace("_", "-"): value for name, value in headers.items()}}
    scope = {
        "type": "http", "method": method, "path": path,
        "headers": [(name.encode(), value.encode()) for name, value in given.items()],
    }  # fmt: skip
    parts = list(body)

    async def receive():
        part = parts.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(parts)}

    async def send(message):
        sent.append(message)

    asyncio.run(guard(scope, receive, send))
    return sent[0]["status"], dict(sent[0]["headers"])


def basic(password, user="anyone"):
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def test_nothing_is_answered_without_the_password(guard):
    asked = guard(password="a short sentence", hosts=None)
    paths = ("/", "/config", "/gradio_api/info", "/gradio_api/upload", "/result/1/file", "/theme.css", "/assets/x.js")
    for path in paths:
        status, headers = ask(asked, path)
        assert status == 401 and headers[b"www-authenticate"].startswith(b"Basic")
        assert ask(asked, path, authorization=basic("a short sentence"))[0] == 200


@pytest.mark.parametrize(
    "authorization",
    ["", "Basic", "Basic !!!", "Bearer a", "Basic " + base64.b64encode(b"nocolon").decode(), basic(""),
     basic("A short sentence"),
     basic("a short sentence "), basic("a short sentence\0"), "Basic \u00e9"],
)  # fmt: skip
def test_wrong_passwords_are_wrong(guard, authorization):
    assert ask(guard(password="a short sentence", hosts=None), authorization=authorization)[0] == 401


def test_a_password_may_hold_any_letters(guard):
    assert ask(guard(password="pärt: ö", hosts=None), authorization=basic("pärt: ö"))[0] == 200


def test_websockets_are_refused(guard):
    sent = []

    async def go():
        async def receive():
            return {"type": "websocket.connect"}

        async def send(message):
            sent.append(message)

        await guard()({"type": "websocket", "path": "/", "headers": []}, receive, send)

    asyncio.run(go())
    assert sent[0]["type"] == "websocket.close"


@pytest.mark.parametrize("host", ["127.0.0.1:7860", "localhost:7860", "LOCALHOST", "[::1]:7860", "127.0.0.1"])
def test_the_page_of_this_machine_is_served_under_its_names(guard, host):
    assert ask(guard(), host=host)[0] == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:7860", "", "[::2]"])
def test_a_strangers_name_that_points_here_gets_nothing(guard, host):
    assert ask(guard(), host=host)[0] == 403


@pytest.mark.parametrize(
    "headers",
    [{"origin": "http://evil.example"}, {"origin": "null"}, {"origin": "http://127.0.0.1:9999"},
     {"sec_fetch_site": "cross-site"}, {"sec_fetch_site": "same-site"}],
)  # fmt: skip
def test_another_sites_script_changes_nothing(guard, headers):
    assert ask(guard(), "/gradio_api/queue/join", "POST", **headers)[0] == 403


def test_the_page_itself_may(guard):
    own = {"origin": "http://127.0.0.1:7860", "sec_fetch_site": "same-origin"}
    assert ask(guard(), "/gradio_api/queue/join", "POST", **own)[0] == 200
    assert ask(guard(), "/gradio_api/queue/join", "POST")[0] == 200  # not a browser


@pytest.mark.parametrize("length", ["99999999999", "-1", "x", "1e3", "²"])
def test_bodies_beyond_the_limit_are_refused_before_they_are_read(guard, length):
    sent = []

    async def go():
        async def receive():
            raise AssertionError("read")

        async def send(message):
            sent.append(message)

        headers = [(b"host", b"localhost"), (b"content-length", length.encode())]
        scope = {"type": "http", "method": "POST", "path": "/gradio_api/upload", "headers": headers}
        await guard(max_upload=1000)(scope, receive, send)

    asyncio.run(go())
    assert sent[0]["status"] == 413


def test_bodies_of_no_told_length_are_counted(guard):
    parts = [b"x" * 500_000] * 4
    assert ask(guard(max_upload=1000), "/gradio_api/upload", "POST", parts)[0] == 499
    assert ask(guard(max_upload=1000), "/gradio_api/upload", "POST", [b"x" * (OVERHEAD - 1)])[0] == 200


def test_an_upload_that_the_disk_has_no_room_for_is_refused(guard, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(total=10**12, used=10**12 - 10**8, free=10**8))
    assert ask(guard(), "/gradio_api/upload", "POST", content_length="1000")[0] == 507


@pytest.mark.parametrize("mark", ["/gradio_api/file=", "/file=", "/gradio_api//file=", "/x/gradio_api/file="])
def test_files_are_handed_out_of_the_temporary_folder_only(guard, tmp_path, mark):
    inside = tmp_path / "temporary" / "a.jpg"
    inside.touch()
    (tmp_path / "temporary" / "out").symlink_to("/etc")
    (tmp_path / "secret").touch()

    assert ask(guard(), f"{mark}{inside}")[0] == 200
    for wrong in (
        "/etc/passwd", "etc/passwd", "file:///etc/passwd", "http://evil.example/", f"{tmp_path}/secret",
        f"{tmp_path}/temporary/../secret", f"{tmp_path}/temporary/out/passwd", f"{tmp_path}/temporary", "",
        f"{inside}\0", "%2Fetc%2Fpasswd", "//etc/passwd",
    ):  # fmt: skip
        assert ask(guard(), mark + wrong)[0] == 403, wrong


def stated(path, deep=False):
    """A request that says a file was uploaded."""
    file = {"path": path, "orig_name": "a.mp4", "meta": {"_type": "gradio.FileData"}}
    return json.dumps({"data": [[file]] if not deep else {"a": [{"b": [file]}]}, "fn_index": 3}).encode()


def test_only_what_was_uploaded_here_is_taken_for_uploaded(guard, tmp_path):
    inside = tmp_path / "temporary" / "hash" / "a.mp4"
    inside.parent.mkdir()
    inside.touch()
    (tmp_path / "secret").touch()
    (inside.parent / "link").symlink_to(tmp_path / "secret")

    for deep in (False, True):
        assert ask(guard(), "/gradio_api/queue/join", "POST", [stated(str(inside), deep)])[0] == 200
        for wrong in (
            "/etc/passwd", f"{tmp_path}/secret", f"{inside.parent}/link", f"{inside}/../../../secret", "passwd", "",
            "http://evil.example/a.mp4", "https://127.0.0.1/", "file:///etc/passwd", ["/etc/passwd"], 3,
        ):  # fmt: skip
            for path in ("/gradio_api/queue/join", "/gradio_api/run/x", "/gradio_api/call/x", "/run/predict", "/x"):
                assert ask(guard(), path, "POST", [stated(wrong, deep)])[0] == 403, wrong


def test_requests_come_through_as_they_are(guard):
    echoed = []

    async def echo(scope, receive, send):
        message = await receive()
        echoed.append((message["body"], message["more_body"]))
        await everything({"method": "GET"}, receive, send)

    asked = guard()
    asked.app = echo
    ask(asked, "/gradio_api/queue/join", "POST", [b'{"data": [1,', b' "path"]}'])

    assert echoed == [(b'{"data": [1, "path"]}', False)]


@pytest.mark.parametrize(
    "body", [b"{", b"\xff\xfe", b"[" * 100_000, b"path=/etc/passwd", b'{"a": 1}' + b" " * 11_000_000]
)
def test_what_is_no_json_of_a_page_is_refused(guard, body):
    assert ask(guard(max_upload=10**9), "/gradio_api/queue/join", "POST", [body])[0] == 403


@pytest.mark.parametrize("path", ["/gradio_api/proxy=http://evil.example/", "/proxy=https://x", "/gradio_api/file/etc"])
def test_nothing_is_fetched_for_anyone(guard, path):
    assert ask(guard(), path)[0] == 403


def test_every_answer_forbids_what_comes_from_elsewhere(guard):
    for status, headers in (ask(guard()), ask(guard(), host="evil.example")):
        policy = headers[b"content-security-policy"].decode()
        assert status in (200, 403)
        assert "default-src 'self'" in policy and "frame-ancestors 'none'" in policy and "http" not in policy
        assert headers[b"x-content-type-options"] == b"nosniff" and headers[b"x-frame-options"] == b"DENY"


@pytest.mark.parametrize(
    ("host", "local"),
    [("127.0.0.1", True), ("127.1.2.3", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False),
     ("192.168.1.5", False), ("films.example", False), ("", False)],
)  # fmt: skip
def test_who_can_reach_an_address(host, local):
    assert is_local(host) is local


# ------------------------------------------------------------------------------------------------------- results


@pytest.fixture
def job(tmp_path):
    root = tmp_path / "films"
    root.mkdir()
    roots = Roots([root])
    queue = Queue(roots.state)
    made = root / "a <b>.mkv"
    made.write_bytes(b"film")
    queue.add("a", lambda number: (), str(made))
    queue.ended(1, DONE)

    def report(path):
        document = {"films": [{"state": "done", "output": str(path)}]}
        queue.file(1, "report.json").write_text(json.dumps(document))

    report(made)
    return roots, queue, made, report


def test_a_finished_film_is_handed_out_and_its_preview_where_there_is_one(job):
    roots, queue, made, _ = job
    find = results(queue, roots)

    assert find(1, "file") == (made.resolve(), made.name) and find(1, "watch") == (made.resolve(), None)
    queue.file(1, "watch.mp4").touch()
    assert find(1, "watch") == (queue.file(1, "watch.mp4"), None)
    assert find(1, "log") == (queue.file(1, "log"), None)


def test_a_name_that_is_no_unicode_can_be_downloaded(job):
    import os

    roots, queue, made, report = job
    try:
        odd = made.rename(made.with_name(os.fsdecode(b"caf\xe9.mkv")))
    except OSError:
        pytest.skip("this file system takes Unicode only")
    report(odd)

    assert results(queue, roots)(1, "file")[1].encode() == b"caf\\udce9.mkv"


def test_a_report_that_names_another_file_is_not_believed(job, tmp_path):
    roots, queue, _, report = job
    (tmp_path / "secret").touch()
    for path in ("/etc/passwd", tmp_path / "secret", queue.file(1, "json")):
        report(path)
        with pytest.raises(UserError):
            results(queue, roots)(1, "file")


def test_only_finished_jobs_have_results(job):
    roots, queue, _, _ = job
    queue.change(1, state="working")
    for what in ("file", "watch", "json", "../0001.json", "report.json"):
        with pytest.raises(UserError):
            results(queue, roots)(1, what)
    with pytest.raises(UserError):
        results(queue, roots)(2, "log")
