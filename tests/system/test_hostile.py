"""Files that would have the command open addresses or other files, and sizes that no memory holds."""

from __future__ import annotations

import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import threading
import zlib
from pathlib import Path

import clips
import pytest

ROOT = Path(__file__).resolve().parents[2]

M3U8 = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{url}\n#EXT-X-ENDLIST\n"
MPD = (
    '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT1S">'
    '<Period><AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="1"><BaseURL>{url}</BaseURL>'
    "</Representation></AdaptationSet></Period></MPD>"
)
SVG = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:x="http://www.w3.org/1999/xlink"><image x:href="{url}"/></svg>'
SDP = (
    "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video {port} RTP/AVP 96\na=rtpmap:96 H264/90000\n"
)
SMIL = '<smil><body><video src="{url}"/></body></smil>'
TEXTS = {
    "hls.m3u8": M3U8, "hls.mp4": M3U8, "hls.ts": M3U8, "concat.txt": "ffconcat version 1.0\nfile {url}\n",
    "concat.mkv": "ffconcat version 1.0\nfile {url}\n", "dash.mpd": MPD, "dash.mp4": MPD, "drawing.svg": SVG,
    "drawing.png": SVG, "rtp.sdp": SDP, "rtp.mp4": SDP, "smil.mov": SMIL, "rtsp.mov": "RTSPtext\nrtsp://{host}/x\n",
    "index.idx": "# VobSub index file, v7\nid: en, index: 0\n", "script.avs": 'AviSource("{url}")\n',
}  # fmt: skip


@pytest.fixture
def listener():
    """(port, hits): a server that notes every connection to it."""
    hits: list[bytes] = []
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(1)
                try:
                    hits.append(connection.recv(200))
                except OSError:
                    hits.append(b"")

    threading.Thread(target=serve, daemon=True).start()
    yield server.getsockname()[1], hits
    server.close()


@pytest.mark.parametrize("name", TEXTS)
def test_texts_that_name_addresses_or_files_open_nothing(command, tmp_path, listener, name):
    port, hits = listener
    secret = clips.make_clip(tmp_path / "secret.ts", frames=3)
    for url in (
        f"http://127.0.0.1:{port}/x.ts",
        f"tcp://127.0.0.1:{port}",
        str(secret),
        f"file://{secret}",
        secret.name,
    ):
        text = TEXTS[name].replace("{url}", url).replace("{port}", str(port)).replace("{host}", f"127.0.0.1:{port}")
        (tmp_path / name).write_text(text)
        refused = command(f"input={name}", "multi=2", "model=hold", "output=out.mkv")
        assert refused.code == 3 and "\n  Try: " in refused.err, refused.err
    assert hits == []
    assert sorted(os.listdir(tmp_path)) == sorted([name, "secret.ts"])


def external_reference(film: Path, target: Path) -> None:
    """``film`` with a data reference that says: the pictures are in another file."""
    data = bytearray(film.read_bytes())
    at = data.index(b"url ", data.index(b"dref"))
    data[at + 4 : at + 8] = bytes(4)  # the flag 'in this very file' taken away
    target.write_bytes(data)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("strace") is None, reason="no strace to see what is opened")
def test_a_run_opens_no_file_of_others_and_no_connection(tmp_path, listener):
    """Every file that the command and its ffmpegs open by name in the user's folders, seen by the system itself."""
    port, hits = listener
    home = tmp_path / "home"
    home.mkdir()
    clips.make_clip(home / "film.mp4", frames=4, audio=("eng",))
    external_reference(home / "film.mp4", tmp_path / "film.mp4")
    (home / "film.mp4").rename(tmp_path / "canary.mp4")
    # Names that a reference might lead to, beside the film: subtitles, indexes, drawings that look like addresses.
    for name in ("film.srt", "film.idx", "film.sub", "film.mp4.m3u8", "film.ass"):
        (tmp_path / name).write_text(f"http://127.0.0.1:{port}/{name}\n")
    words = ["strace", "-f", "-qq", "-e", "trace=open,openat,connect", "-o", str(tmp_path / "trace"), sys.executable]
    words += [str(ROOT / "interpolate.py"), "input=film.mp4", "multi=2", "model=hold", "output=out/"]
    run = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    if "ptrace" in run.stderr.lower():
        pytest.skip("strace may not trace here")
    assert run.returncode == 0, run.stderr
    trace = (tmp_path / "trace").read_text(errors="replace").splitlines()
    opened = {line.split('"')[1] for line in trace if "open" in line and line.count('"') >= 2}
    ours = {Path(name).name for name in opened if name.startswith(str(tmp_path)) and "vfi-work" not in name}
    assert ours <= {"film.mp4", "out", tmp_path.name, "film_50fps.mp4"}, ours
    assert not [line for line in trace if "connect(" in line and "AF_INET" in line]
    assert hits == []


# ----------------------------------------------------------------------------------------------------------- bombs


def png(width: int, height: int) -> bytes:
    """A PNG of that size whose pictures are a few bytes."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


def gif(width: int, height: int) -> bytes:
    """A GIF whose screen has that size and whose one frame has one pixel."""
    screen = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(6)
    return screen + b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\x00;"


@pytest.mark.parametrize(
    ("name", "data"), [("a.png", png(60_000, 60_000)), ("a.gif", gif(65_535, 65_535)), ("b.gif", gif(40_000, 30_000))]
)
def test_a_picture_of_a_size_that_no_memory_holds_is_refused_by_its_header(command, tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    refused = command(f"input={name}", "multi=2", "model=hold", "output=out.mkv")
    assert refused.code == 3 and "max_pixels=" in refused.err, refused.err
    assert os.listdir(tmp_path) == [name]


def test_a_film_whose_header_lies_about_its_size(command, tmp_path):
    """Header and stream say different sizes: what the stream holds counts, and the limit counts for both."""
    film = clips.make_clip(tmp_path / "a.mp4", frames=3, codec=["-c:v", "libx264", "-preset", "ultrafast"])
    data = film.read_bytes()
    at = data.index(b"tkhd") + 80  # width and height in 16.16
    width, height = struct.unpack(">II", data[at : at + 8])
    assert (width >> 16, height >> 16) == clips.SIZE
    film.write_bytes(data[:at] + struct.pack(">II", 65535 << 16, 65535 << 16) + data[at + 8 :])
    result = command("input=a.mp4", "multi=2", "model=hold", "output=out.mkv")
    assert result.code in (0, 3) and "Traceback" not in result.err
    small = command("input=a.mp4", "multi=2", "model=hold", "output=out2.mkv", "max_pixels=1000")
    assert small.code == 3 and "max_pixels=" in small.err


# --------------------------------------------------------------------------------------------- lists of the user's


@pytest.mark.parametrize(
    "content",
    [
        {"_target_": "os.system", "_args_": ["touch pwned"]},
        {"cuts": [{"_target_": "os.system", "_args_": ["touch pwned"]}]},
        {"cuts": [{"frame": {"_target_": "os.system"}}]},
        {"cuts": ["${oc.env:HOME}"]},
        [{"frame": 1, "time": {"__class__": "os"}}, "!!python/object/apply:os.system [touch pwned]"],
    ],
    ids=range(5),
)
def test_a_cut_list_builds_nothing(command, tmp_path, content):
    clips.make_clip(tmp_path / "a.mkv", frames=4)
    (tmp_path / "cuts.json").write_text(json.dumps(content))
    refused = command("input=a.mkv", "multi=2", "cuts=cuts.json")
    assert refused.code == 3 and "cuts.json" in refused.err
    assert sorted(os.listdir(tmp_path)) == ["a.mkv", "cuts.json"]


def test_settings_on_the_command_line_name_no_classes(command, tmp_path):
    clips.make_clip(tmp_path / "a.mkv", frames=4)
    for word in ("model._target_=os.system", "model.solver._target_=os.system", "model.guide_span=${oc.env:HOME}"):
        refused = command("input=a.mkv", "multi=2", "model=fit", word)
        assert refused.code == 2, refused.err
