"""Every stream is copied, converted or lost, and each loss has its reason and remedy."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest
from outputs import video_spec

from vfi_pipeline.errors import UserError
from vfi_pipeline.media.containers import stream_plan
from vfi_pipeline.media.encoders import choose_encoding
from vfi_pipeline.media.info import SourceInfo, StreamInfo, VideoInfo

VIDEO = VideoInfo(0, "h264", 64, 48, "yuv420p", "yuv420p", Fraction(1, 1000), Fraction(25))


def source(*others: tuple[str, str], chapters: int = 0, dispositions: tuple[str, ...] = ()) -> SourceInfo:
    streams = tuple(
        StreamInfo(index, kind, codec, "eng", dispositions=dispositions)
        for index, (kind, codec) in enumerate(others, 1)
    )
    return SourceInfo(Path("a.mkv"), "matroska,webm", VIDEO, streams, chapters=chapters)


def plan(info: SourceInfo, target: str, **options: object):
    path = Path(target)
    return stream_plan(info, path, choose_encoding(video_spec(), path), **options)


@pytest.mark.parametrize(
    ("target", "codec", "action", "to"),
    [
        ("o.mkv", "subrip", "copy", "subrip"), ("o.mkv", "ass", "copy", "ass"),
        ("o.mkv", "hdmv_pgs_subtitle", "copy", "hdmv_pgs_subtitle"), ("o.mkv", "mov_text", "convert", "subrip"),
        ("o.mp4", "subrip", "convert", "mov_text"), ("o.mp4", "ass", "convert", "mov_text"),
        ("o.mp4", "mov_text", "copy", "mov_text"), ("o.mp4", "hdmv_pgs_subtitle", "lost", ""),
        ("o.webm", "subrip", "convert", "webvtt"), ("o.webm", "dvd_subtitle", "lost", ""),
        ("o.ts", "subrip", "lost", ""), ("o.ts", "dvb_subtitle", "copy", "dvb_subtitle"),
    ],
)  # fmt: skip
def test_subtitles(target: str, codec: str, action: str, to: str) -> None:
    (fate,) = plan(source(("subtitle", codec)), target).fates

    assert (fate.action, fate.codec) == (action, to)
    assert (action != "lost") or (fate.why and ".mkv" in fate.remedy)


@pytest.mark.parametrize(
    ("target", "codec", "action", "to"),
    [
        ("o.mkv", "aac", "copy", "aac"), ("o.mkv", "pcm_s16le", "copy", "pcm_s16le"), ("o.mkv", "ac3", "copy", "ac3"),
        ("o.mp4", "aac", "copy", "aac"), ("o.mp4", "opus", "copy", "opus"), ("o.mp4", "pcm_s16le", "convert", "flac"),
        ("o.mp4", "wmav2", "convert", "aac"), ("o.mov", "pcm_s16le", "copy", "pcm_s16le"),
        ("o.mov", "flac", "convert", "alac"), ("o.webm", "aac", "convert", "opus"), ("o.webm", "opus", "copy", "opus"),
        ("o.ts", "flac", "convert", "aac"),
    ],
)  # fmt: skip
def test_audio(target: str, codec: str, action: str, to: str) -> None:
    (fate,) = plan(source(("audio", codec)), target).fates

    assert (fate.action, fate.codec) == (action, to)
    assert bool(fate.encoder) == (action == "convert")


def test_attachments_covers_and_data() -> None:
    info = source(("attachment", "ttf"), ("video", "mjpeg"), ("data", "bin_data"), dispositions=("attached_pic",))

    assert [fate.action for fate in plan(info, "o.mkv").fates] == ["copy", "copy", "lost"]
    assert [fate.action for fate in plan(info, "o.mp4").fates] == ["lost", "copy", "lost"]
    assert [fate.action for fate in plan(info, "o.webm").fates] == ["lost", "lost", "lost"]


def test_a_second_film_names_the_option_that_chooses_it() -> None:
    (fate,) = plan(source(("video", "h264")), "o.mkv").lost

    assert fate.remedy == "stream=1 works on this one"


def test_dropping_is_named_but_not_a_fault() -> None:
    info = source(("audio", "aac"), ("subtitle", "subrip"))
    made = plan(info, "o.mkv", audio="drop", subtitles="drop")

    assert [fate.why for fate in made.lost] == ["as asked", "as asked"]
    assert made.kept == ()


def test_slow_motion_needs_a_word_about_sound() -> None:
    info = source(("audio", "aac"), ("audio", "ac3"), ("subtitle", "ass"))
    with pytest.raises(UserError, match="4 times as long"):
        plan(info, "o.mkv", stretch=Fraction(4))
    stretched = plan(info, "o.mkv", stretch=Fraction(4), audio="stretch")
    silent = plan(info, "o.mkv", stretch=Fraction(4), audio="silence")

    assert [fate.action for fate in stretched.fates] == ["convert", "convert", "copy"]
    assert "karaoke" in stretched.fates[2].why
    assert [(fate.index, fate.action) for fate in silent.fates] == [(-1, "convert"), (2, "lost"), (3, "copy")]


def test_images_and_chapters_are_named_when_lost() -> None:
    info = source(("audio", "aac"), chapters=2)

    assert any("2 chapters: LOST" in line for line in plan(info, "frames/%04d.png").lines())
    assert plan(info, "frames/%04d.png").lost[0].remedy
    assert any("2 chapters: LOST" in line for line in plan(info, "o.ts").lines())
    assert plan(info, "o.mkv").chapters == 2


def test_losses_are_those_lines_that_take_something_away() -> None:
    info = source(("audio", "aac"), ("subtitle", "ass"), ("attachment", "ttf"), chapters=2)

    assert plan(info, "o.mkv").losses() == []
    styled, font = plan(info, "o.mp4").losses()
    assert "subtitle" in styled and "styling is simplified" in styled and ".mkv" in styled
    assert "attachment" in font and "LOST" in font
    assert any("2 chapters: LOST" in line for line in plan(info, "o.ts").losses())


def test_lines_read_like_sentences() -> None:
    info = source(("audio", "aac"), ("subtitle", "dvb_subtitle"))

    assert plan(info, "o.mp4").lines() == [
        "audio 1 (aac, eng): copied",
        "subtitle 1 (dvb_subtitle, eng): LOST (.mp4 cannot hold dvb_subtitle). Try: an output that ends in .mkv",
    ]


def test_unknown_options_are_refused() -> None:
    for options in ({"audio": "loud"}, {"subtitles": "some"}):
        with pytest.raises(UserError, match="is not known"):
            plan(source(), "o.mkv", **options)
