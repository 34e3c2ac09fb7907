"""The door to ffmpeg: names are plain names, playlists stay shut, failures speak, children do not outlive us."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time

import clips
import pytest

from vfi_pipeline.errors import ENVIRONMENT, UserError
from vfi_pipeline.media import ffmpeg


def test_it_knows_what_it_can_encode():
    assert {"ffv1", "libx264", "aac"} <= ffmpeg.encoders()
    assert {"bwdif", "scale", "minterpolate"} <= ffmpeg.filters()
    assert "yuv420p10le" in ffmpeg.encoder_pixel_formats("libx264")
    assert ffmpeg.encoder_works("libx264") and not ffmpeg.encoder_works("no_such_encoder")
    assert ffmpeg.version()[0].isdigit() or ffmpeg.version().startswith("N-")


NAMES = ["-y.mkv", "a%d.mkv", "a%%b.mkv", "file:a.mkv", "concat:a|b.mkv", "q'uo\"te.mkv", "new\nline.mkv", "ü näme 视频.mkv", "a;b$(c)`d`&.mkv", "pipe:0.mkv", "http:x.mkv", "[a]*?.mkv"]  # fmt: skip  # noqa: E501


@pytest.mark.parametrize("name", NAMES)
def test_any_file_name_is_just_a_name(tmp_path, monkeypatch, name):
    plain = clips.make_clip(tmp_path / "plain.mkv", frames=3)
    (tmp_path / name).write_bytes(plain.read_bytes())
    monkeypatch.chdir(tmp_path)  # names are relative to where the user stands

    ffmpeg.run(ffmpeg.media_input(name).output(ffmpeg.file_url("out " + name), c="copy"), doing="copying")

    assert clips.describe(tmp_path / ("out " + name))["md5"] == clips.describe(plain)["md5"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{secret}\n#EXT-X-ENDLIST\n"),
        ("list.mp4", "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://{secret}\n#EXT-X-ENDLIST\n"),
        ("list.ffconcat", "ffconcat version 1.0\nfile secret.mkv\n"),
        ("list.mp4", "ffconcat version 1.0\nfile secret.mkv\n"),
        ("net.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:9/x.ts\n#EXT-X-ENDLIST\n"),
        ("x.sdp", "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n"),
        ("dash.mpd", "<?xml version='1.0'?><MPD xmlns='urn:mpeg:dash:schema:mpd:2011'><BaseURL>{secret}</BaseURL>"),
    ],
)
def test_a_playlist_opens_nothing(tmp_path, name, text):
    secret = clips.make_clip(tmp_path / "secret.mkv", frames=2)
    (tmp_path / name).write_text(text.format(secret=secret))

    with pytest.raises(UserError, match="ffmpeg failed"):
        ffmpeg.run(ffmpeg.media_input(tmp_path / name).output("pipe:1", f="framemd5"), doing="reading")


def test_a_failure_says_what_ffmpeg_said(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"nothing like a film" * 10)
    with pytest.raises(UserError, match=r"moov atom not found.*\(copying a\.mp4\)") as caught:
        ffmpeg.run(ffmpeg.media_input(tmp_path / "a.mp4").output("pipe:1", f="md5"), doing="copying a.mp4")
    assert caught.value.code == ENVIRONMENT and "\n" not in caught.value.args[0]


def test_a_pipe_that_breaks_ends_in_ffmpegs_own_words(tmp_path):
    spec = ffmpeg.raw_input("gray", 64, 48, 25).output(ffmpeg.file_url(tmp_path / "no" / "such.mkv"))
    with (
        pytest.raises(UserError, match="No such file or directory"),
        ffmpeg.open_process(spec, doing="writing", pipe_stdin=True) as process,
    ):
        try:
            for _ in range(10000):
                process.stdin.write(bytes(64 * 48))
        except BrokenPipeError:
            process.finish()


def test_leaving_by_an_exception_kills_it(tmp_path):
    spec = ffmpeg.raw_input("gray", 64, 48, 25).output(ffmpeg.file_url(tmp_path / "a.mkv"))
    with pytest.raises(KeyError), ffmpeg.open_process(spec, doing="writing", pipe_stdin=True) as process:
        raise KeyError
    assert process.poll() == -signal.SIGKILL


def test_it_may_not_take_longer_than_told():
    endless = ["-re", "-f", "lavfi", "-i", "color=gray:size=16x16", "-f", "null", "-"]
    with pytest.raises(UserError, match="more than 0.3 s"):
        ffmpeg.run(endless, doing="waiting", timeout_s=0.3)


def test_it_outlives_the_thread_that_started_it(tmp_path):
    # Linux would kill a child when the thread that forked it ends, were it not for the spawner thread.
    spec = ffmpeg.raw_input("gray", 16, 16, 25).output("pipe:1", f="md5")
    started: list[ffmpeg.Process] = []
    starter = threading.Thread(
        target=lambda: started.append(ffmpeg.open_process(spec, doing="hashing", pipe_stdin=True, pipe_stdout=True))
    )
    starter.start()
    starter.join()
    time.sleep(0.2)
    with started[0] as process:
        assert process.poll() is None
        assert process.communicate(bytes(256), 20).startswith(b"MD5=")
        process.finish()


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")
def test_it_dies_with_us_even_by_sigkill(tmp_path, root):
    code = (
        "import sys, time\nfrom vfi_pipeline.media import ffmpeg\n"
        "p = ffmpeg.open_process(['-f', 'lavfi', '-re', '-i', 'color=gray:size=16x16', '-f', 'null', '-'], doing='x')\n"
        "print(p.pid, flush=True)\ntime.sleep(60)\n"
    )
    ours = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=root)
    child = int(ours.stdout.readline())
    os.kill(child, 0)
    ours.kill()
    ours.wait()
    for _ in range(100):
        try:
            if open(f"/proc/{child}/stat").read().split()[2] == "Z":
                return
        except FileNotFoundError:
            return
        time.sleep(0.05)
    pytest.fail("ffmpeg outlived its parent")


def test_a_chosen_ffmpeg_that_does_not_start_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("VFI_FFMPEG", str(tmp_path / "ffmpeg"))
    ffmpeg.ffmpeg_path.cache_clear()
    try:
        with pytest.raises(UserError, match="VFI_FFMPEG"):
            ffmpeg.ffmpeg_path()
    finally:
        ffmpeg.ffmpeg_path.cache_clear()


def test_raw_pictures_keep_their_size():
    # One frame of 24 x 10 is one frame out; read as 2 x 4 it would be thirty.
    spec = ffmpeg.raw_input("gray", 24, 10, 25).output("pipe:1", f="framecrc", vcodec="rawvideo")
    lines = ffmpeg.run(spec, doing="counting", stdin=bytes(240)).stdout.decode().splitlines()
    assert [line.split(",")[4].strip() for line in lines if not line.startswith("#")] == ["240"]


@pytest.mark.parametrize(
    ("said", "taken"),
    [
        ("ffmpeg version 4.4.2-0ubuntu0.22.04.1 Copyright", False),
        ("ffmpeg version 5.1.9-0+deb12u1 Copyright", False),
        ("ffmpeg version n5.1.4 Copyright", False),
        ("ffmpeg version 6.0 Copyright", True),
        ("ffmpeg version n7.1-g1234 Copyright", True),
        ("ffmpeg version 10.0.1 Copyright", True),
        ("ffmpeg version N-12345-gabcdef Copyright", True),
        ("ffmpeg version git-2020-01-01 Copyright", True),
        ("something else", False),
    ],
)
def test_an_old_ffmpeg_on_path_is_passed_over_with_a_reason(monkeypatch, tmp_path, caplog, said, taken):
    fake = tmp_path / "ffmpeg"
    fake.write_text(f"#!/bin/sh\necho '{said}'\n")
    fake.chmod(0o755)
    monkeypatch.delenv("VFI_FFMPEG", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    ffmpeg.ffmpeg_path.cache_clear()
    try:
        assert (ffmpeg.ffmpeg_path() == str(fake)) is taken
        assert len(caplog.records) == (0 if taken else 1)
        assert taken or str(fake) in caplog.text

        monkeypatch.setenv("VFI_FFMPEG", str(fake))
        ffmpeg.ffmpeg_path.cache_clear()
        if taken:
            assert ffmpeg.ffmpeg_path() == str(fake)
        else:
            with pytest.raises(UserError, match="VFI_FFMPEG"):
                ffmpeg.ffmpeg_path()
    finally:
        ffmpeg.ffmpeg_path.cache_clear()


def test_a_command_counts_inputs_that_give_no_stream_and_repeats_options():
    inputs = [ffmpeg.raw_input("gray", 4, 2, 25), ffmpeg.metadata_input("/a b.txt"), ffmpeg.silence_input("1")]
    options = {"map": ["0:v:0", "2:a:0"], "map_chapters": "1", "metadata": ["a=1", "b="], "copyts": None, "f": "nut"}
    words = ffmpeg.arguments(ffmpeg.Command(inputs, "-", options))

    assert [words[k + 1] for k, word in enumerate(words) if word == "-i"] == [
        "pipe:0", "file:/a b.txt", "anullsrc=channel_layout=stereo:sample_rate=48000",
    ]  # fmt: skip
    output = words[words.index(inputs_end := "anullsrc=channel_layout=stereo:sample_rate=48000") + 1 :]
    assert inputs_end in words and output[-2:] == ["-", "-y"]
    assert [output[k + 1] for k, word in enumerate(output) if word == "-map"] == ["0:v:0", "2:a:0"]
    assert [output[k + 1] for k, word in enumerate(output) if word == "-metadata"] == ["a=1", "b="]
    assert output[output.index("-map_chapters") + 1] == "1" and "-copyts" in output


def test_no_command_line_is_written_by_hand(root):
    by_hand = [
        path.name
        for path in sorted((root / "vfi_pipeline").rglob("*.py"))
        if re.search(r"""["']-(i|map|c:v|vf|f|y)["']""", path.read_text("utf-8")) and path.name != "command.py"
    ]

    assert by_hand == ["ffmpeg.py"]  # which gives every command its "-y"
