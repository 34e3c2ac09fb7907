"""The page in Debian's chromium: the whole way from dropping a film to watching the result, and what a stranger tries.

Films are tiny and cross-faded. Nothing here measures time; ``PATIENCE`` only bounds how long a failure takes.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from base64 import b64encode
from pathlib import Path

import pytest
from clips import cut_clip, make_clip, make_pictures

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
MISSING = [name for name in ("gradio", "playwright") if importlib.util.find_spec(name) is None]
MISSING += [] if CHROMIUM else ["chromium"]
if MISSING:
    pytest.skip(
        f"the page is not tested in a browser: no {', '.join(MISSING)} (.ci/run gets them)", allow_module_level=True
    )

from playwright.sync_api import expect, sync_playwright  # noqa: E402  # only where it is installed

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parent.parent.parent
PATIENCE = int(os.environ.get("PATIENCE_MS", 120_000))
ARGUMENTS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()
HOSTILE = ("<img src=x onerror=document.title='owned'>.mp4", "$(touch x).mp4", "-i.mp4", "line\nbreak.mp4")


class Server:
    """The page as a process of its own."""

    def __init__(self, root: Path, *words: str, **environment: str) -> None:
        self.root = root
        self.process = subprocess.Popen(
            [sys.executable, "-m", "vfi_pipeline.page", "--root", str(root), "--port", "0", *words],
            cwd=ROOT, text=True, stdout=subprocess.PIPE, env={**os.environ, **environment},
        )  # fmt: skip
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        found = re.search(r"http://\S+", line)
        assert found, f"the page did not start: {line}"
        self.address = found[0]

    def end(self, how: int = signal.SIGTERM) -> int:
        self.process.send_signal(how)
        return self.process.wait(60)


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=ARGUMENTS)
        yield running
        running.close()


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    root = tmp_path_factory.mktemp("films")
    make_clip(root / "a.mkv", frames=12, rate=12, size=(64, 48), audio=["eng"], subtitles=["eng"])
    make_clip(root / "long.mp4", frames=48, rate=12, size=(160, 90))
    cut_clip(root / "cuts.mp4")
    hostile = root / "hostile"
    hostile.mkdir()
    for name in HOSTILE:
        make_clip(hostile / "x.mp4", frames=6, rate=12, size=(64, 48)).rename(hostile / name)
    make_pictures(root / "pictures", frames=2)
    return root


@pytest.fixture(scope="module")
def server(films):
    running = Server(films)
    yield running
    running.end()


@pytest.fixture
def outward():
    """What was asked of other machines, and what the page's scripts complained of."""
    return []


@pytest.fixture
def opened(browser, outward):
    contexts = []

    def show(address: str, width: int = 1280, **more):
        context = browser.new_context(viewport={"width": width, "height": 800}, **more)
        context.set_default_timeout(PATIENCE)
        contexts.append(context)
        page = context.new_page()
        watched(page, address, outward)
        page.goto(address)
        ready(page)
        return page

    yield show
    for context in contexts:
        context.close()
    assert outward == []


def watched(page, address, outward):
    home = address.split("//")[1].rstrip("/")

    def asked(request):
        parts = urllib.parse.urlsplit(request.url)
        if parts.scheme not in ("data", "blob") and parts.netloc != home:
            outward.append(request.url)

    def complained(error):
        # Gradio's own scripts stumble where a slow machine redraws what they are at. What a name slips in has no file.
        if "/assets/" not in (error.stack or ""):
            outward.append(f"script: {error}")

    page.on("request", asked)
    page.on("pageerror", complained)
    page.on("dialog", lambda dialog: (outward.append(f"dialog: {dialog.message}"), dialog.dismiss()))


def ready(page):
    """Waits until the page can be used."""
    expect(page.get_by_role("heading", name="Queue")).to_be_visible(timeout=PATIENCE)
    expect(box(page, "Folder")).not_to_have_value("", timeout=PATIENCE)


def box(page, label):
    """A list to choose from, on the tab that is shown."""
    return page.get_by_role("combobox", name=label, exact=True)


def choose(page, name, label="Film"):
    box(page, label).click()
    page.get_by_role("option", name=name, exact=True).click()


def planned(page, name):
    """Waits for the plan and the preview of a film."""
    expect(page.locator(".vfi-film")).to_have_text(name, timeout=PATIENCE)
    expect(page.locator("#vfi-preview img").first).to_be_visible(timeout=PATIENCE)


def quickly(page):
    """A cross-fade: the motion does not matter here."""
    choose(page, "Cross-fade (fast)", "Motion")
    expect(page.locator("#vfi-facts")).to_contain_text("Result", timeout=PATIENCE)


QUEUED = re.compile(r"^Job \d+ is in the queue")


def add(page, press=lambda page: page.locator("#vfi-add").click()):
    """Adds what was chosen to the queue; returns the job's number."""
    note = page.get_by_text(QUEUED)
    before = note.first.inner_text() if note.count() else ""
    press(page)
    expect(note.first).to_be_visible(timeout=PATIENCE)
    expect(note.first).not_to_have_text(before, timeout=PATIENCE)
    return int(re.findall(r"\d+", note.first.inner_text())[0])


def add_long(page, rate):
    """Adds long.mp4 at so many frames a second, a job of some seconds; returns its number."""
    choose(page, "long.mp4")
    planned(page, "long.mp4")
    page.get_by_label("Amount").fill(rate)
    page.get_by_label("Amount").press("Enter")
    expect(page.locator(".vfi-facts")).to_contain_text(f"long_{rate}fps.mp4", timeout=PATIENCE)
    quickly(page)
    return add(page)


def row(page, number):
    return page.locator(".vfi-job-box", has=page.locator(".vfi-number", has_text=re.compile(f"^{number}$")))


def done(page, number):
    expect(row(page, number).locator(".vfi-state")).to_contain_text("done", timeout=PATIENCE)


def plays(page):
    """Plays the video that is shown; returns (seconds, width)."""
    video = page.locator("video.vfi-player")
    expect(video).to_be_visible(timeout=PATIENCE)
    page.wait_for_function("document.querySelector('video.vfi-player').readyState >= 3", timeout=PATIENCE)
    video.evaluate("v => { v.muted = true; return v.play(); }")
    page.wait_for_function("document.querySelector('video.vfi-player').currentTime > 0.2", timeout=PATIENCE)
    return video.evaluate("v => [v.duration, v.videoWidth]")


def words(server, number):
    document = json.loads((server.root / ".vfi-queue" / "jobs" / f"{number:04d}.json").read_text())
    return dict(word.partition("=")[::2] for word in document["words"])


def test_from_dropping_films_to_watching_the_result(server, opened, tmp_path):
    page = opened(server.address)
    dropped = [make_clip(tmp_path / name, frames=12, rate=12, size=(64, 48)) for name in ("one.mp4", "two.mp4")]
    page.locator("input[type=file]").first.set_input_files([str(path) for path in dropped])
    planned(page, "one.mp4")
    expect(page.locator(".vfi-facts")).to_contain_text("64 x 48, 12 frames per second")
    assert (server.root / "uploads" / "two.mp4").read_bytes() == dropped[1].read_bytes()
    quickly(page)
    page.get_by_text("2x frames").click()
    expect(page.locator(".vfi-facts")).to_contain_text("24 in all, 11 of them made", timeout=PATIENCE)
    number = add(page)
    done(page, number)

    result = server.root / "uploads" / "one_24fps.mp4"
    assert words(server, number)["model"] == "blend" and result.is_file()
    row(page, number).get_by_role("button", name="Watch").click()
    duration, width = plays(page)
    assert abs(duration - 1) < 0.1 and width == 64
    with page.expect_download() as download:
        row(page, number).get_by_role("link", name="Download").click()
    assert Path(download.value.path()).read_bytes() == result.read_bytes()
    row(page, number).get_by_role("button", name="Log").click()
    expect(page.locator(".vfi-log").first).to_contain_text("verified")


def test_a_real_drop_is_taken(server, opened, tmp_path):
    page = opened(server.address)
    data = b64encode(make_clip(tmp_path / "x.mp4", frames=6, size=(64, 48)).read_bytes()).decode()
    transfer = page.evaluate_handle(
        """data => { const t = new DataTransfer(), bytes = Uint8Array.from(atob(data), c => c.charCodeAt(0));
        t.items.add(new File([bytes], 'dropped.mp4', {type: 'video/mp4'})); return t; }""", data,
    )  # fmt: skip
    zone = page.get_by_role("button", name=re.compile("Drop File|upload", re.IGNORECASE)).first
    zone.dispatch_event("drop", {"dataTransfer": transfer})
    planned(page, "dropped.mp4")


def test_a_reload_in_the_middle_loses_nothing(server, opened):
    page = opened(server.address)
    choose(page, "long.mp4")
    planned(page, "long.mp4")
    quickly(page)
    page.get_by_text("Slow motion 4x").click()
    expect(page.locator(".vfi-facts")).to_contain_text("192 in all", timeout=PATIENCE)
    number = add(page)
    expect(row(page, number)).to_be_visible(timeout=PATIENCE)
    page.reload()
    ready(page)

    planned(page, "long.mp4")
    expect(page.get_by_label("Slow motion 4x")).to_be_checked()
    expect(page.locator(".vfi-facts")).to_contain_text("192 in all", timeout=PATIENCE)
    assert words(server, number)["slowmo"] == "4"
    done(page, number)


def test_two_tabs_show_one_queue(server, opened):
    first, second = opened(server.address), opened(server.address)
    number = add_long(first, "400")
    row(second, number).get_by_role("button", name="Stop").click()
    expect(row(first, number).locator(".vfi-state")).to_contain_text("stopped", timeout=PATIENCE)
    row(first, number).get_by_role("button", name="Go on").click()
    expect(row(second, number).get_by_role("button", name="Stop")).to_be_visible(timeout=PATIENCE)
    done(second, number)
    row(second, number).get_by_role("button", name="Remove").click()
    expect(row(first, number)).to_have_count(0, timeout=PATIENCE)
    assert (server.root / "long_400fps.mp4").is_file()


def test_hostile_names_are_text_and_nothing_else(server, opened):
    page = opened(server.address)
    box(page, "Folder").click()
    page.get_by_role("option", name="hostile/").click()
    for name in HOSTILE:
        shown = name.replace("\n", "\\n")
        choose(page, shown)
        planned(page, shown)
        quickly(page)
        number = add(page)
        done(page, number)
        expect(row(page, number).locator(".vfi-title")).to_contain_text(shown)
        row(page, number).get_by_role("button", name="Log").click()
        expect(page.locator(".vfi-log").first).to_contain_text("verified")
        row(page, number).get_by_role("button", name="Watch").click()
        plays(page)

    assert page.title() == "vfi" and page.locator("img[onerror]").count() == 0
    assert not list(server.root.rglob("x")) and not (ROOT / "x").exists()


@pytest.mark.parametrize("path", ["/etc/passwd", "../../../etc/passwd", "/proc/self/environ"])
def test_a_file_outside_of_the_root_is_refused(server, opened, path):
    page = opened(server.address)
    box(page, "Film").fill(path)
    box(page, "Film").press("Enter")

    error = page.locator(".vfi-error").first
    expect(error).to_contain_text("not below the folders that this page may use", timeout=PATIENCE)
    expect(error.locator(".vfi-remedy")).to_contain_text("Try: a file below")


def status(address, **headers):
    request = urllib.request.Request(address, headers={name.replace("_", "-"): text for name, text in headers.items()})
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_gradio_hands_out_nothing_of_the_disk(server, films):
    queue = films / ".vfi-queue" / "jobs"
    paths = ["/etc/passwd", str(films / "a.mkv"), str(queue), str(ROOT / "interpolate.py"), "../../../../etc/passwd"]
    for path in paths:
        for route in (
            "gradio_api/file=",
            "file=",
            "gradio_api/file/",
            "gradio_api/stream/",
            "result/../../",
            "static/",
        ):
            code, body = status(f"{server.address}{route}{path}")
            assert code in (403, 404) and b"root:" not in body, (route, path, code)
    assert status(server.address, Host="evil.example")[0] == 403


def joined(server, dependency, data):
    """Calls a handler of the page without the page; returns what came back."""
    body = json.dumps({"data": data, "fn_index": dependency, "session_hash": "stranger"}).encode()
    request = urllib.request.Request(
        f"{server.address}gradio_api/queue/join", body, {"Content-Type": "application/json"}
    )
    urllib.request.urlopen(request).read()
    with urllib.request.urlopen(f"{server.address}gradio_api/queue/data?session_hash=stranger", timeout=60) as events:
        for line in events:
            if b"process_completed" in line:
                return json.loads(line.decode().removeprefix("data: "))["output"]
    raise AssertionError("no answer")


def test_handlers_do_not_believe_what_they_are_handed(server):
    config = json.loads(status(f"{server.address}config")[1])
    components = {component["id"]: component for component in config["components"]}

    def labels(dependency, side):
        return [components[number]["props"].get("label") for number in dependency[side]]

    uploads = [dep for dep in config["dependencies"] if labels(dep, "inputs") == ["Films"]]
    assert len(uploads) == 1
    for path in ("/etc/passwd", str(server.root / "a.mkv"), "http://127.0.0.1/"):
        stolen = {"path": path, "orig_name": "passwd.mp4", "meta": {"_type": "gradio.FileData"}}
        with pytest.raises(urllib.error.HTTPError, match="403"):
            joined(server, uploads[0]["id"], [[stolen]])
    assert (server.root / "a.mkv").is_file() and not list(server.root.rglob("passwd*"))
    folders = [
        dep for dep in config["dependencies"] if labels(dep, "inputs")[:1] == ["Folder"] and len(dep["inputs"]) < 3
    ]
    for dependency in folders:
        answer = json.dumps(joined(server, dependency["id"], ["/etc", None][: len(dependency["inputs"])]))
        assert "not below the folders" in answer and "passwd" not in answer


def tab_to(page, locator, most=80):
    """Presses Tab until an element has the focus."""
    for _ in range(most):
        if locator.count() and locator.first.evaluate("e => e === document.activeElement"):
            return
        page.keyboard.press("Tab")
    raise AssertionError("the keyboard does not get there")


def test_the_keyboard_is_enough(server, opened):
    page = opened(server.address)
    tab_to(page, box(page, "Film"))
    page.keyboard.type("a.mkv")
    expect(page.get_by_role("option", name="a.mkv", exact=True)).to_be_visible()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    planned(page, "a.mkv")
    tab_to(page, page.get_by_label("2x frames"))  # each of Gradio's radio buttons is a stop of its own
    page.keyboard.press("Space")
    expect(page.locator(".vfi-facts")).to_contain_text("24 in all", timeout=PATIENCE)
    tab_to(page, box(page, "Motion"))
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    tab_to(page, page.locator("#vfi-add"))
    number = add(page, lambda page: page.keyboard.press("Enter"))
    done(page, number)
    tab_to(page, row(page, number).get_by_role("button", name="Watch"), 200)
    page.keyboard.press("Enter")
    plays(page)


def test_400_pixels_are_wide_enough(server, opened):
    page = opened(server.address, width=400)
    choose(page, "a.mkv")
    planned(page, "a.mkv")
    quickly(page)
    page.get_by_role("button", name="More options").click()
    page.get_by_role("button", name="The made frame enlarged").click()
    expect(page.locator("#vfi-detail img")).to_be_visible(timeout=PATIENCE)
    number = add(page)
    done(page, number)
    row(page, number).get_by_role("button", name="Watch").click()
    plays(page)
    beyond = """() => [...document.querySelectorAll('button, input, a, video, img, table, .vfi-job')].filter(e => {
        const r = e.getBoundingClientRect(); return r.width && (r.right > 401 || r.left < -1);
        }).map(e => e.outerHTML)"""
    for tab in ("Film", "Pictures"):
        page.get_by_role("tab", name=tab).click()
        assert page.evaluate("document.documentElement.scrollWidth") <= 400
        assert page.evaluate(beyond) == []


def test_cuts_can_be_switched_off(server, opened):
    page = opened(server.address)
    choose(page, "cuts.mp4")
    planned(page, "cuts.mp4")
    quickly(page)
    page.get_by_role("button", name=re.compile("^Cuts")).click()
    page.get_by_role("button", name="Find cuts").click()
    expect(page.get_by_text("2 cuts in 24 frames.")).to_be_visible(timeout=PATIENCE)
    expect(page.locator(".vfi-cut img")).to_have_count(4)
    mark = page.get_by_label("0:00.33 (frame 8)")
    expect(mark).to_be_checked()
    mark.uncheck()
    time.sleep(1)  # no sign of the page tells that the server knows
    number = add(page)
    done(page, number)

    assert json.loads(Path(words(server, number)["cuts"]).read_text()) == {"cuts": [{"frame": 16}]}
    report = json.loads(Path(words(server, number)["report"]).read_text())
    assert report["films"][0]["cuts"] == [16]


def test_a_preview_of_another_moment(server, opened):
    page = opened(server.address)
    choose(page, "long.mp4")
    planned(page, "long.mp4")
    quickly(page)
    moment = page.get_by_label(re.compile("number input for Moment"))
    for asked, told in (("2.02", "At 2.0"), ("3.3", "At 3.3")):
        moment.fill(asked)
        moment.press("Enter")
        page.get_by_role("button", name="Preview", exact=True).click()
        expect(page.get_by_text(re.compile(f"^{re.escape(told)}.*the frame made for that moment"))).to_be_visible(
            timeout=PATIENCE
        )


def test_a_preview_of_other_settings_is_marked(server, opened):
    page = opened(server.address)
    choose(page, "long.mp4")
    planned(page, "long.mp4")
    quickly(page)
    page.get_by_role("button", name="Preview", exact=True).click()
    stale = page.locator(".vfi-stale")
    expect(stale).to_have_count(0, timeout=PATIENCE)
    page.get_by_label("2x frames").check()
    expect(stale).to_contain_text("made for other settings (60 fps)", timeout=PATIENCE)
    page.get_by_label("60 fps").check()
    expect(stale).to_have_count(0, timeout=PATIENCE)
    page.get_by_label("Slow motion 4x").check()
    expect(stale).to_be_visible(timeout=PATIENCE)
    page.get_by_role("button", name="Preview", exact=True).click()
    expect(stale).to_have_count(0, timeout=PATIENCE)


def test_mistakes_are_told_where_they_are_made(server, opened):
    page = opened(server.address)
    page.locator("#vfi-add").click()
    expect(page.locator(".vfi-error")).to_contain_text("No film was chosen.")
    choose(page, "a.mkv")
    planned(page, "a.mkv")
    page.get_by_label("Amount").fill("fast")
    page.get_by_label("Amount").press("Enter")
    expect(page.locator(".vfi-error").first).to_contain_text("fps=fast is not a frame rate", timeout=PATIENCE)


def test_pictures_become_an_animation(server, opened):
    page = opened(server.address)
    page.get_by_role("tab", name="Pictures").click()
    pictures = [server.root / "pictures" / f"img{n}.png" for n in (2, 1)]
    page.locator("input[type=file]").last.set_input_files(pictures)
    expect(page.locator(".vfi-thumbs img")).to_have_count(2, timeout=PATIENCE)
    choose(page, "Cross-fade", "Motion")
    page.get_by_label("Seconds").fill("0.5")
    page.get_by_label("Seconds").press("Enter")
    number = add(page, lambda page: page.locator("#vfi-add-pictures").click())
    done(page, number)
    row(page, number).get_by_role("button", name="Watch").click()
    plays(page)


def test_a_job_goes_on_after_the_page_was_started_again(opened, tmp_path):
    root = tmp_path / "films"
    root.mkdir()
    make_clip(root / "long.mp4", frames=48, rate=12, size=(160, 90))
    server = Server(root)
    page = opened(server.address)
    number = add_long(page, "600")
    expect(row(page, number).get_by_role("button", name="Stop")).to_be_visible(timeout=PATIENCE)
    page.context.close()
    assert server.end() == 0
    assert not (root / ".vfi-queue" / "temporary").exists()
    state = json.loads((root / ".vfi-queue" / "jobs" / "0001.json").read_text())["state"]
    assert state in ("waiting", "done")

    again = Server(root)
    try:
        page = opened(again.address)
        done(page, number)
        assert (root / "long_600fps.mp4").is_file()
    finally:
        again.end()


def test_with_a_password_nothing_is_seen_without_it(browser, opened, tmp_path):
    password = "a short sentence"
    server = Server(tmp_path, "--host", "0.0.0.0", VFI_APP_PASSWORD=password)
    address = server.address.replace("0.0.0.0", "127.0.0.1")
    try:
        for path in ("", "config", "gradio_api/info", "result/1/file", "theme.css"):
            assert status(address + path)[0] == 401
        page = opened(address, http_credentials={"username": "me", "password": password})
        expect(page.get_by_text("The queue is empty")).to_be_visible(timeout=PATIENCE)
    finally:
        server.end()


def test_an_upload_beyond_the_limit_is_refused(opened, tmp_path):
    root = tmp_path / "films"
    root.mkdir()
    server = Server(root, "--max-upload", "1MB")
    try:
        page = opened(server.address)
        large = tmp_path / "large.mp4"
        large.write_bytes(bytes(5_000_000))
        page.locator("input[type=file]").first.set_input_files(str(large))
        expect(page.get_by_text(re.compile("limit|large|exceed|maximum", re.IGNORECASE)).first).to_be_visible(
            timeout=PATIENCE
        )
        assert not list(root.rglob("large*"))
    finally:
        server.end()
