"""Writers store planes as they are, say why they fail, and leave nothing behind when they do."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from clips import describe, planes, raw_bytes
from outputs import frame, packet_times, video_spec, write_segments

from vfi_pipeline.errors import ENVIRONMENT, UserError
from vfi_pipeline.media import ffmpeg
from vfi_pipeline.media.encoders import choose_encoding
from vfi_pipeline.media.frames import Frame, pixel_format
from vfi_pipeline.media.writer import open_writer, segment_name

LOSSLESS = [
    "yuv420p",
    "yuv422p10le",
    "yuv444p12le",
    "gbrp",
    "gray",
    "yuva420p",
    "gray16le",
    "gbrap",
    "gbrp16le",
    "gbrap16le",
]


def decoded(path: Path, pix_fmt: str) -> bytes:
    command = ["-nostdin", "-loglevel", "error", "-i", str(path), "-f", "rawvideo", "-pix_fmt", pix_fmt, "-"]
    return ffmpeg.run(command, "decoding").stdout


@pytest.mark.parametrize("size", [pytest.param((64, 48), marks=pytest.mark.slow), (53, 37)])
@pytest.mark.parametrize("pix_fmt", LOSSLESS)
def test_ffv1_returns_every_sample(tmp_path: Path, pix_fmt: str, size: tuple[int, int]) -> None:
    spec = video_spec(pix_fmt, size)
    encoding = choose_encoding(spec, tmp_path / "out.mkv", "ffv1")
    (segment,) = write_segments(tmp_path, spec, encoding, (3,), "noise")

    assert encoding.lossless
    assert encoding.notes == ()
    assert decoded(segment.path, pix_fmt) == raw_bytes(3, size, pix_fmt, "noise")


def test_grey_film_keeps_every_sample_in_h264s_luma(tmp_path: Path) -> None:
    spec = video_spec("gray", colour={"range": "pc"})
    encoding = choose_encoding(spec, tmp_path / "out.mp4", crf=0)
    (segment,) = write_segments(tmp_path, spec, encoding, (3,), "ramp")

    assert encoding.pixel_format == "yuv420p"
    stored = np.frombuffer(decoded(segment.path, "yuv420p"), np.uint8).reshape(3, -1)
    assert np.array_equal(stored[0, : 64 * 48].reshape(48, 64), planes(0, (64, 48), "gray", "ramp")[0])
    assert set(stored[:, 64 * 48 :].ravel()) == {128}


def test_lossless_rgb_keeps_exact_samples_in_libx264rgb(tmp_path: Path) -> None:
    spec = video_spec("gbrp")
    encoding = choose_encoding(spec, tmp_path / "out.mkv", "libx264rgb", crf=0)
    (segment,) = write_segments(tmp_path, spec, encoding, (3,), "noise")

    assert decoded(segment.path, "gbrp") == raw_bytes(3, (64, 48), "gbrp", "noise")


def test_ten_bit_ramp_keeps_more_than_256_levels(tmp_path: Path) -> None:
    spec = video_spec("yuv420p10le", (1024, 16))
    encoding = choose_encoding(spec, tmp_path / "out.mp4", crf=1)
    (segment,) = write_segments(tmp_path, spec, encoding, (2,), "ramp")

    assert encoding.pixel_format == "yuv420p10le"
    luma = np.frombuffer(decoded(segment.path, "yuv420p10le"), "<u2")[: 1024 * 16]
    assert len(np.unique(luma)) > 700


@pytest.mark.parametrize("rate", ["60000/1001", "999/7"])
def test_a_segment_counts_in_exact_frames(tmp_path: Path, rate: str) -> None:
    spec = video_spec(rate=rate)
    (segment,) = write_segments(tmp_path, spec, choose_encoding(spec, tmp_path / "o.mp4"), (20,))

    times = packet_times(segment.path)

    assert [time - times[0] for time in times] == [n / Fraction(rate) for n in range(20)]


@pytest.mark.parametrize(
    ("matrix", "span", "weights"),
    [("bt709", "tv", (0.2126, 0.0722)), ("smpte170m", "tv", (0.299, 0.114)), ("bt709", "pc", (0.2126, 0.0722)),
     (None, None, (0.299, 0.114)), ("bt2020nc", "tv", (0.2627, 0.0593))],
)  # fmt: skip
@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_images_have_the_right_colours(
    tmp_path: Path, suffix: str, matrix: str | None, span: str | None, weights: tuple[float, float]
) -> None:
    spec = video_spec("yuv420p", colour={"matrix": matrix, "range": span})
    y, u, v = 110, 100, 160
    encoding = choose_encoding(spec, tmp_path / f"%04d{suffix}")
    form = pixel_format("yuv420p")
    flat = tuple(np.full(form.plane_size(i, 64, 48), level, np.uint8) for i, level in enumerate((y, u, v)))
    with open_writer(tmp_path / "segment", spec, encoding) as writer:
        writer.write(Frame(flat, form, 64, 48, colour=spec.colour))

    with av.open(str(next((tmp_path / "segment").iterdir()))) as image:
        found = next(image.decode(video=0)).to_ndarray(format="rgb24")[24, 32]

    kr, kb = weights
    full = span == "pc"
    luma = y / 255 if full else (y - 16) / 219
    cb, cr = ((level - 128) / (255 if full else 224) for level in (u, v))
    red, blue = luma + 2 * (1 - kr) * cr, luma + 2 * (1 - kb) * cb
    green = (luma - kr * red - kb * blue) / (1 - kr - kb)
    assert np.abs(found - 255 * np.array([red, green, blue])).max() < (1.01 if suffix == ".png" else 5)


def test_sixteen_bit_images_for_deep_sources(tmp_path: Path) -> None:
    spec = video_spec("yuv444p12le")
    encoding = choose_encoding(spec, tmp_path / "frames")
    (segment,) = write_segments(tmp_path, spec, encoding, (2,), "ramp")

    with av.open(str(sorted(segment.path.iterdir())[0])) as image:
        picture = next(image.decode(video=0))
    assert picture.format.name == "rgb48be"
    assert encoding.pattern == "%08d.png"


def test_images_are_turned_upright(tmp_path: Path) -> None:
    spec = video_spec("gbrp", rotation=90)
    encoding = choose_encoding(spec, tmp_path / "%04d.png")
    (segment,) = write_segments(tmp_path, spec, encoding, (1,), "noise")

    with av.open(str(next(segment.path.iterdir()))) as image:
        found = next(image.decode(video=0)).to_ndarray(format="rgb24")
    green, blue, red = planes(0, (64, 48), "gbrp", "noise")
    assert np.array_equal(found, np.rot90(np.stack([red, green, blue], -1), -1))


def test_image_files_are_numbered_by_output_index(tmp_path: Path) -> None:
    spec = video_spec("gbrp")
    encoding = choose_encoding(spec, tmp_path / "%04d.png")
    first, second = write_segments(tmp_path, spec, encoding, (3, 2))

    assert [p.name for p in sorted(first.path.iterdir())] == [f"{n:010d}.png" for n in range(3)]
    assert [p.name for p in sorted(second.path.iterdir())] == [f"{n:010d}.png" for n in (3, 4)]


def test_nothing_is_written_for_a_benchmark(tmp_path: Path) -> None:
    spec = video_spec()
    encoding = choose_encoding(spec, tmp_path / "out.mp4", benchmark=True)
    (segment,) = write_segments(tmp_path, spec, encoding, (4,))

    assert segment.frames == 4
    assert list(tmp_path.iterdir()) == []


def test_an_exception_leaves_no_file_and_no_process(tmp_path: Path) -> None:
    spec = video_spec()
    encoding = choose_encoding(spec, tmp_path / "out.mp4")
    with pytest.raises(KeyError), open_writer(tmp_path / "s.nut", spec, encoding) as writer:
        writer.write(frame(0, spec))
        pid = writer.pid
        os.kill(pid, 0)
        raise KeyError

    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_the_name_appears_only_when_the_segment_is_complete(tmp_path: Path) -> None:
    spec = video_spec()
    encoding = choose_encoding(spec, tmp_path / "out.mp4")
    path = tmp_path / segment_name(encoding, 7)
    with open_writer(path, spec, encoding) as writer:
        writer.write(frame(0, spec))
        assert not path.exists()

    assert path.name == "segment_00007.nut"
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_a_killed_ffmpeg_is_reported_and_leaves_nothing(tmp_path: Path) -> None:
    spec = video_spec(size=(640, 480))
    encoding = choose_encoding(spec, tmp_path / "out.mp4")
    with pytest.raises(UserError, match="SIGKILL") as caught, open_writer(tmp_path / "s.nut", spec, encoding) as writer:
        writer.write(frame(0, spec))
        os.kill(writer.pid, signal.SIGKILL)
        for n in range(200):
            writer.write(frame(0, spec) if n else frame(1, spec))

    assert caught.value.code == ENVIRONMENT
    assert list(tmp_path.iterdir()) == []


def test_what_ffmpeg_says_reaches_the_user(tmp_path: Path) -> None:
    spec = video_spec()
    encoding = replace(choose_encoding(spec, tmp_path / "out.mp4"), options=(("preset", "nonsense"),))
    with pytest.raises(UserError, match="nonsense|preset"), open_writer(tmp_path / "s.nut", spec, encoding) as writer:
        for n in range(20):
            writer.write(frame(n, spec))

    assert list(tmp_path.iterdir()) == []


def test_a_picture_of_another_size_is_refused(tmp_path: Path) -> None:
    spec, other = video_spec(), video_spec(size=(32, 32))
    with (
        pytest.raises(UserError, match="changed from 64x48 yuv420p to 32x32"),
        open_writer(tmp_path / "s.nut", spec, choose_encoding(spec, tmp_path / "out.mp4")) as writer,
    ):
        writer.write(frame(0, other))


def test_a_folder_that_cannot_be_made_is_a_user_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    spec = video_spec()
    with pytest.raises(UserError, match="cannot be made"):
        open_writer(tmp_path / "file" / "s.nut", spec, choose_encoding(spec, tmp_path / "out.mp4"))


def test_names_with_signs_are_plain_names(tmp_path: Path) -> None:
    folder = tmp_path / "-a %d 'b' \"c\" :é&#?"
    spec = video_spec("gbrp")
    (segment,) = write_segments(folder, spec, choose_encoding(spec, tmp_path / "%d.png"), (2,))
    (film,) = write_segments(folder, spec, choose_encoding(spec, tmp_path / "o.mkv", "ffv1"), (2,))

    assert len(list(segment.path.iterdir())) == 2
    assert describe(film.path)["frames"] == 2


@pytest.mark.parametrize("size", [(33, 27), (639, 359), (639, 360), (853, 481)])
def test_ffv1_takes_odd_sizes(tmp_path: Path, size: tuple[int, int]) -> None:
    spec = video_spec(size=size)
    encoding = choose_encoding(spec, tmp_path / "out.mkv", codec="ffv1")
    with open_writer(tmp_path / segment_name(encoding, 0), spec, encoding) as writer:
        writer.write(frame(0, spec))

    assert (tmp_path / segment_name(encoding, 0)).stat().st_size > 0


@pytest.mark.parametrize("rate", ["24000/1001", "60000/1001", "96000/1001", "120000/1001", "240000/1001", "125/6"])
def test_a_segment_has_its_rate_exactly(tmp_path: Path, rate: str) -> None:
    """ffmpeg's raw demuxer takes 120000/1001 for 120: all was 0.1 % too fast, and refused at the end."""
    spec = video_spec(rate=Fraction(rate))
    encoding = choose_encoding(spec, tmp_path / "out.mp4")
    path = tmp_path / segment_name(encoding, 0)
    with open_writer(path, spec, encoding) as writer:
        for n in range(30):
            writer.write(frame(n, spec))
    with av.open(str(path)) as container:
        (stream,) = container.streams.video
        times = sorted(packet.pts * stream.time_base for packet in container.demux(stream) if packet.pts is not None)
    assert {b - a for a, b in zip(times, times[1:])} == {1 / Fraction(rate)}
