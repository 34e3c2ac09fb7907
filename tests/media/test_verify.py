"""The check at the end finds each kind of damage, and says which."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from clips import ALWAYS, full_clip, make_clip
from outputs import Output, make_output

from vfi_pipeline.errors import ENVIRONMENT, UserError
from vfi_pipeline.media import ffmpeg
from vfi_pipeline.media.frames import Colour
from vfi_pipeline.media.probe import probe
from vfi_pipeline.media.tracks import jumps_back, tracks
from vfi_pipeline.media.verify import ExpectedStream, verify


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Output:
    folder = tmp_path_factory.mktemp("verify")
    source = full_clip(
        folder / "a.mkv", colour={"colorspace": "bt709", "color_primaries": "bt709", "color_trc": "bt709"}
    )
    return make_output(source, folder / "o.mp4", (30, 1, 29), preset="ultrafast")


def test_a_good_film_passes(made: Output) -> None:
    found = verify(made.path, made.expectation)

    assert (found.frames, found.duration) == (60, 1)
    assert verify(made.path, made.expectation, quick=True) == found


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frames": 61}, "60 frames instead of 61"),
        ({"rate": Fraction(59)}, "ms off its time"),
        ({"width": 66}, "64x48 instead of 66x48"),
        ({"codec": "hevc"}, "h264 instead of hevc"),
        ({"pixel_format": "yuv444p"}, "yuv420p instead of yuv444p"),
        ({"sample_aspect": Fraction(4, 3)}, "sample aspect is 1 instead of 4/3"),
        ({"rotation": 90}, "turned by 0 degrees instead of 90"),
        ({"colour": Colour(matrix="bt2020nc")}, "colour matrix is bt709 instead of bt2020nc"),
        ({"chapters": 2}, "3 chapters instead of 2"),
        ({"streams": ()}, "2 audio streams beside the film instead of 0"),
    ],
)
def test_each_difference_is_named(made: Output, change: dict, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        verify(made.path, replace(made.expectation, **change))
    assert caught.value.code == ENVIRONMENT


def test_a_missing_language_codec_and_offset_are_named(made: Output) -> None:
    first, *rest = made.expectation.streams
    for wrong, message in (
        (replace(first, language="jpn"), "language tag jpn"),
        (replace(first, codec="opus"), "audio opus is missing"),
        (replace(first, after_video=Fraction(1)), "off its time against the pictures"),
    ):
        with pytest.raises(UserError, match=message):
            verify(made.path, replace(made.expectation, streams=(wrong, *rest)))
    assert isinstance(first, ExpectedStream)


def test_a_truncated_film_fails(made: Output, tmp_path: Path) -> None:
    short = tmp_path / "short.mp4"
    data = made.path.read_bytes()
    short.write_bytes(data[: len(data) * 3 // 4])

    with pytest.raises(UserError, match="short.mp4"):
        verify(short, made.expectation)


def test_a_flipped_byte_in_ffv1_is_found(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "a.mp4", frames=3)
    made = make_output(source, tmp_path / "o.mkv", (6,), codec="ffv1", content="noise")
    verify(made.path, made.expectation)
    data = bytearray(made.path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    made.path.write_bytes(data)

    with pytest.raises(UserError, match="o.mkv"):
        verify(made.path, made.expectation)


def test_garbage_is_no_film(tmp_path: Path, made: Output) -> None:
    (tmp_path / "o.mp4").write_bytes(b"garbage" * 100)
    with pytest.raises(UserError):
        verify(tmp_path / "o.mp4", made.expectation)


def test_images_are_counted_and_measured(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "a.mp4", frames=3)
    made = make_output(source, tmp_path / "x_%d.png", (2, 1))
    verify(made.path, made.expectation)
    next(made.path.iterdir()).unlink()

    with pytest.raises(UserError, match="2 images instead of 3"):
        verify(made.path, made.expectation)


def test_webp_that_is_cut_short_fails(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "a.mp4", frames=3)
    made = make_output(source, tmp_path / "o.webp", (2, 4), Fraction(25))
    verify(made.path, made.expectation)
    made.path.write_bytes(made.path.read_bytes()[:-100])

    with pytest.raises(UserError, match="not a complete WebP"):
        verify(made.path, made.expectation)


# ------------------------------------------------------------------------------------------------ sound and subtitles


def remuxed(made: Output, *options: str) -> Path:
    """The output with something done to its streams on the way into a new file of the same kind."""
    path = made.path.with_name(f"changed{made.path.suffix}")
    command = [*ALWAYS, "-i", ffmpeg.file_url(made.path), "-map", "0", "-c", "copy", *options, ffmpeg.file_url(path)]
    ffmpeg.run(command, "changing a test's film")
    return path


TRIMS = {
    "whole": {"parts": (120,)},
    "begun later": {"start": Fraction(7, 10), "parts": (78,)},
    "ended earlier": {"end": Fraction(13, 10), "parts": (78,)},
    "middle": {"start": Fraction(1, 2), "end": Fraction(3, 2), "parts": (60,)},
    "stretched": {"stretch": Fraction(5, 2), "audio": "stretch", "parts": (300,)},
    "middle, stretched": {
        "start": Fraction(1), "end": Fraction(3, 2), "stretch": Fraction(4), "audio": "stretch", "parts": (120,),
    },
    "silenced": {"stretch": Fraction(2), "audio": "silence", "parts": (240,)},
}  # fmt: skip


@pytest.mark.parametrize(
    ("source", "target", "trim"),
    [
        (".mp4", ".mp4", "whole"), (".mp4", ".mp4", "begun later"), (".mp4", ".mp4", "ended earlier"),
        (".mp4", ".mkv", "middle"), (".ts", ".mp4", "middle"), (".ts", ".mkv", "ended earlier"),
        (".mkv", ".mov", "begun later"), (".mkv", ".mp4", "whole"), (".avi", ".mp4", "middle"),
        (".webm", ".webm", "begun later"), (".mp4", ".mp4", "stretched"), (".webm", ".mkv", "middle, stretched"),
        (".mp4", ".mkv", "silenced"), (".ts", ".mp4", "middle, stretched"),
    ],
)  # fmt: skip
def test_sound_that_is_all_there_passes_and_what_is_lost_is_told(
    tmp_path: Path, source: str, target: str, trim: str
) -> None:
    clip = make_clip(tmp_path / f"a{source}", frames=50, audio=("eng",), audio_delay=0.1 if source == ".mp4" else 0)
    begin = probe(clip).start  # of MPEG-TS: 1.4 s
    options = {key: value + begin if key in ("start", "end") else value for key, value in TRIMS[trim].items()}
    made = make_output(clip, tmp_path / f"o{target}", preset=None if target == ".webm" else "ultrafast", **options)
    expected = made.expectation
    verify(made.path, expected)

    length = float(options["parts"][0] / 60)
    for lost in (f"gt(pts*tb,{length * 0.6})", f"between(pts*tb,{length * 0.3},{length * 0.7})"):
        with pytest.raises(UserError, match=r"(lacks|ends) .* s"):
            verify(remuxed(made, "-bsf:a", f"noise=drop='{lost}'"), expected)


def test_a_track_that_no_longer_holds_anything_is_told(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mkv", frames=25, audio=("eng",), subtitles=("ger",))
    made = make_output(clip, tmp_path / "o.mkv", (60,), preset="ultrafast")
    verify(made.path, made.expectation)

    with pytest.raises(UserError, match="subrip holds (nothing|0)"):
        verify(remuxed(made, "-bsf:s", "noise=drop=1"), made.expectation)
    with pytest.raises(UserError, match="flac holds nothing"):
        verify(remuxed(made, "-bsf:a", "noise=drop=1"), made.expectation)


def test_sound_beyond_a_cut_is_told(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mp4", frames=50, audio=("eng",))
    whole = make_output(clip, tmp_path / "o.mp4", (60,), preset="ultrafast")
    expected = whole.expectation

    short = replace(whole, timing=replace(whole.timing, end=Fraction(1)), path=whole.path)
    verify(whole.path, expected)
    with pytest.raises(UserError, match="ends 1.0. s too late"):
        verify(whole.path, short.expectation)


def test_sound_with_a_pause_and_sound_longer_than_the_film_pass(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mp4", frames=50, audio=("eng",), audio_duration=5)
    paused = tmp_path / "paused.mp4"
    pause = ["-bsf:a", "noise=drop='between(pts*tb,1,3)'"]
    ffmpeg.run([*ALWAYS, "-i", ffmpeg.file_url(clip), "-c", "copy", *pause, ffmpeg.file_url(paused)], "pausing")
    for target in ("o.mp4", "o.mkv", "o.webm"):
        made = make_output(paused, tmp_path / target, (120,))
        verify(made.path, made.expectation)


def test_a_clock_that_jumps_back_is_found(tmp_path: Path) -> None:
    part = make_clip(tmp_path / "a.ts", frames=25, audio=("eng",))
    joined = tmp_path / "joined.ts"
    joined.write_bytes(part.read_bytes() * 2)
    (sound,) = (stream.index for stream in probe(part).others)

    assert jumps_back(part, [sound]) is None
    found = jumps_back(joined, [sound])
    assert found is not None and abs(found - probe(part).start - 1) < Fraction(1, 10)
    assert tracks(joined, [sound]) == {sound: None}
