"""The check at the end finds each kind of damage, and says which."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from clips import full_clip, make_clip
from outputs import Output, make_output

from vfi_pipeline.errors import ENVIRONMENT, UserError
from vfi_pipeline.media.frames import Colour
from vfi_pipeline.media.verify import ExpectedStream, count_frames, verify


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


def test_segments_are_counted_without_decoding(made: Output) -> None:
    assert [count_frames(segment.path) for segment in made.segments] == [30, 1, 29]
