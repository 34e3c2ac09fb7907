"""Frames that are read: bit for bit those that went into the file, each once, wherever reading starts."""

from __future__ import annotations

import random
from fractions import Fraction
from pathlib import Path

import av
import clips
import numpy as np
import pytest

from vfi_pipeline.errors import BAD_INPUT, UserError
from vfi_pipeline.media import ffmpeg
from vfi_pipeline.media.frames import Frame, pixel_format
from vfi_pipeline.media.index import index
from vfi_pipeline.media.layout import is_transparent, layout
from vfi_pipeline.media.probe import probe
from vfi_pipeline.media.reader import read_frames, read_numbered


def read_all(path: Path, **options) -> list[Frame]:
    with read_frames(probe(path), **options) as frames:
        return list(frames)


def assert_same(frame: Frame, planes) -> None:
    assert len(frame.planes) == len(planes)
    for got, expected in zip(frame.planes, planes):
        assert got.dtype == expected.dtype
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize(
    "pix_fmt",
    [
        "yuv420p", "yuv422p", "yuv444p", "yuv440p", "yuv411p", "yuv410p", "gray", "yuv420p10le", "yuv422p10le",
        "yuv444p12le", "yuv420p16le", "gray10le", "gray16le", "gbrp", "gbrp10le", "gbrp16le", "gbrap", "gbrap16le",
        "yuva420p", "yuva444p10le",
    ],
)  # fmt: skip
def test_every_sample_of_a_lossless_film_arrives(tmp_path, pix_fmt):
    size = (37, 23)  # odd: chroma planes are rounded up
    raw = ["-c:v", "rawvideo"]
    path = clips.make_clip(tmp_path / "a.nut", size=size, pix_fmt=pix_fmt, frames=4, content="noise", codec=raw)

    frames = read_all(path)

    assert [frame.format.name for frame in frames] == [pix_fmt] * 4
    for n, frame in enumerate(frames):
        assert (frame.width, frame.height) == size
        assert_same(frame, clips.planes(n, size, pix_fmt))
        assert all(plane.flags.c_contiguous for plane in frame.planes)


def raw_film(path: Path, stored: str, data: bytes, size: tuple[int, int], rate: int = 25) -> Path:
    """A film whose frames are ``data`` in the pixel format ``stored``, byte for byte: NUT takes every raw format."""
    head = [*clips.ALWAYS, "-f", "rawvideo", "-pixel_format", stored, "-video_size", f"{size[0]}x{size[1]}"]
    tail = ["-framerate", str(rate), "-i", "pipe:0", "-c:v", "rawvideo", "-pix_fmt", stored, ffmpeg.file_url(path)]
    ffmpeg.run([*head, *tail], doing="making raw film", stdin=data)
    return path


PACKED = {
    # name: (planes' kinds as stored per pixel, word)
    "rgb24": ("rgb", "u1"), "bgr24": ("bgr", "u1"), "rgba": ("rgba", "u1"), "bgra": ("bgra", "u1"),
    "argb": ("argb", "u1"), "abgr": ("abgr", "u1"), "rgb48be": ("rgb", ">u2"), "rgb48le": ("rgb", "<u2"),
    "bgr48le": ("bgr", "<u2"), "rgba64be": ("rgba", ">u2"), "rgba64le": ("rgba", "<u2"),
}  # fmt: skip


@pytest.mark.parametrize("stored", PACKED)
def test_packed_pixels_become_planes_sample_for_sample(tmp_path, stored):
    order, word = PACKED[stored]
    size, rng = (13, 7), np.random.default_rng(5)
    top = 256 if word == "u1" else 65536
    pixels = rng.integers(0, top, (7, 13, len(order))).astype(word)

    frame = read_all(raw_film(tmp_path / "a.nut", stored, pixels.tobytes(), size))[0]

    kinds = [plane.kind for plane in frame.format.planes]
    assert sorted(kinds) == sorted(order)
    for kind, plane in zip(kinds, frame.planes):
        np.testing.assert_array_equal(plane, pixels[..., order.index(kind)])


@pytest.mark.parametrize(("stored", "order"), [("rgb0", "rgb0"), ("bgr0", "bgr0"), ("0rgb", "0rgb"), ("0bgr", "0bgr")])
def test_padding_is_not_alpha(tmp_path, stored, order):
    pixels = np.random.default_rng(1).integers(0, 256, (7, 13, 4)).astype(np.uint8)

    frame = read_all(raw_film(tmp_path / "a.nut", stored, pixels.tobytes(), (13, 7)))[0]

    assert frame.format.name == "gbrp"
    for kind, plane in zip("gbr", frame.planes):
        np.testing.assert_array_equal(plane, pixels[..., order.index(kind)])


def decoded_picture(stored: str, size: tuple[int, int], planes: list[np.ndarray]) -> av.VideoFrame:
    """A picture as a decoder yields it, with padded lines, for formats that no container stores raw."""
    picture = av.VideoFrame(*size, stored)
    for plane, rows in zip(picture.planes, planes):
        memory = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
        rows = rows.reshape(rows.shape[0], -1).copy().view(np.uint8)
        memory[: rows.shape[0], : rows.shape[1]] = rows
    return picture


@pytest.mark.parametrize(
    ("stored", "shift", "working"),
    [
        ("nv12", 0, "yuv420p"), ("nv21", 0, "yuv420p"), ("p010le", 6, "yuv420p10le"), ("p010be", 6, "yuv420p10le"),
        ("p012le", 4, "yuv420p12le"), ("p016le", 0, "yuv420p16le"),
    ],
)  # fmt: skip
def test_semi_planar_420_is_taken_apart(stored, shift, working):
    rng = np.random.default_rng(2)
    word = "u1" if stored.startswith("nv") else (">u2" if stored.endswith("be") else "<u2")
    top = 256 if word == "u1" else 1 << (16 - shift)
    luma, pairs = rng.integers(0, top, (6, 10)), rng.integers(0, top, (3, 5, 2))
    picture = decoded_picture(stored, (10, 6), [(luma << shift).astype(word), (pairs << shift).astype(word)])

    form = layout(stored)

    assert form.working.name == working
    u, v = (1, 0) if stored == "nv21" else (0, 1)
    for got, want in zip(form.planes(picture), (luma, pairs[..., u], pairs[..., v])):
        np.testing.assert_array_equal(got, want)
        assert got.dtype == form.working.dtype


def test_a_palette_is_looked_up():
    indices = np.random.default_rng(6).integers(0, 256, (6, 10)).astype(np.uint8)
    colours = np.random.default_rng(7).integers(0, 256, (256, 4)).astype(np.uint8)  # B, G, R, A
    picture = decoded_picture("pal8", (10, 6), [indices])
    np.frombuffer(picture.planes[1], np.uint8)[:1024] = colours.reshape(-1)
    assert is_transparent(picture)
    for transparent, channels in ((True, (1, 0, 2, 3)), (False, (1, 0, 2))):
        got = layout("pal8", transparent).planes(picture)
        for plane, channel in zip(got, channels, strict=True):
            np.testing.assert_array_equal(plane, colours[indices, channel])


@pytest.mark.parametrize(("stored", "places"), [("yuyv422", "yuyv"), ("uyvy422", "uyvy"), ("yvyu422", "yvyu")])
def test_packed_422_is_taken_apart(tmp_path, stored, places):
    words = np.random.default_rng(3).integers(0, 256, (6, 5, 4)).astype(np.uint8)

    frame = read_all(raw_film(tmp_path / "a.nut", stored, words.tobytes(), (10, 6)))[0]

    luma = words[..., [k for k, kind in enumerate(places) if kind == "y"]].reshape(6, 10)
    assert frame.format.name == "yuv422p"
    for got, want in zip(frame.planes, (luma, words[..., places.index("u")], words[..., places.index("v")])):
        np.testing.assert_array_equal(got, want)


def test_grey_with_alpha_and_bits_are_read(tmp_path):
    pixels = np.random.default_rng(4).integers(0, 256, (7, 13, 2)).astype(np.uint8)
    frame = read_all(raw_film(tmp_path / "a.nut", "ya8", pixels.tobytes(), (13, 7)))[0]
    assert frame.format.name == "gbrap"
    for plane in frame.planes[:3]:
        np.testing.assert_array_equal(plane, pixels[..., 0])
    np.testing.assert_array_equal(frame.planes[3], pixels[..., 1])

    bits = np.random.default_rng(4).integers(0, 2, (7, 16))
    for stored, white in (("monob", 1), ("monow", 0)):
        packed = np.packbits(bits, axis=1).tobytes()
        frame = read_all(raw_film(tmp_path / f"{stored}.nut", stored, packed, (16, 7)))[0]
        np.testing.assert_array_equal(frame.planes[0], np.where(bits == white, 255, 0))


def test_565_is_spread_one_to_one(tmp_path):
    words = np.arange(65536, dtype="<u2").reshape(256, 256)
    frame = read_all(raw_film(tmp_path / "a.nut", "rgb565le", words.tobytes(), (256, 256)))[0]
    g, b, r = (plane.astype(int) for plane in frame.planes)
    assert (g.min(), g.max(), r.max(), b.max()) == (0, 255, 255, 255)
    assert len(np.unique(r * 65536 + g * 256 + b)) == 65536


def test_float_pictures_are_refused():
    with pytest.raises(ValueError, match="gbrpf32le are not supported"):
        layout("gbrpf32le")


# ------------------------------------------------------------------------------------------------ parts and seeking


def codecs():
    gop = ["-g", "10", "-bf", "3"]
    hidden = ["-b:v", "300k", "-cpu-used", "8", "-g", "12", "-auto-alt-ref", "1", "-lag-in-frames", "12"]
    x265 = "open-gop=1:keyint=10:bframes=3:log-level=error"
    return {
        "open_gop.mp4": ["-c:v", "libx264", "-crf", "20", *gop, "-x264-params", "open-gop=1:scenecut=0"],
        "hevc_open.mkv": ["-c:v", "libx265", "-x265-params", x265, "-crf", "20"],
        "mpeg2.ts": ["-c:v", "mpeg2video", "-q:v", "3", "-g", "10", "-bf", "2"],
        "mpeg2.mpg": ["-c:v", "mpeg2video", "-q:v", "3", "-g", "10", "-bf", "2"],
        "vp9.webm": ["-c:v", "libvpx-vp9", *hidden],
        "vp8.webm": ["-c:v", "libvpx", *hidden],
        "av1.mkv": ["-c:v", "libsvtav1", "-preset", "12", "-g", "15"],
        "mpeg4.avi": ["-c:v", "mpeg4", "-q:v", "3", "-g", "10", "-bf", "2"],
        "mpeg4.mp4": ["-c:v", "mpeg4", "-q:v", "3", "-g", "10", "-bf", "2"],
        "h264.avi": ["-c:v", "libx264", *gop, "-crf", "20"],
        "raw.h264": ["-c:v", "libx264", *gop, "-crf", "20"],
        "h264.flv": ["-c:v", "libx264", *gop, "-crf", "20"],
        "mjpeg.avi": ["-c:v", "mjpeg", "-q:v", "3"],
        "ffv1.avi": ["-c:v", "ffv1"],
        "prores.mov": ["-c:v", "prores_ks"],
        "theora.ogv": ["-c:v", "libtheora", "-g", "10"],
        "wmv2.wmv": ["-c:v", "wmv2", "-g", "10"],
        "x.gif": ["-c:v", "gif"],
        "x.apng": ["-c:v", "apng", "-f", "apng"],
        "x.y4m": ["-c:v", "wrapped_avframe", "-f", "yuv4mpegpipe"],
    }  # fmt: skip


@pytest.mark.parametrize("name", codecs())
def test_a_part_reads_as_it_does_in_the_whole(tmp_path, name):
    encoder = codecs()[name]
    if encoder[1] not in ffmpeg.encoders():
        pytest.skip(f"this ffmpeg has no {encoder[1]}")
    pix_fmt = "gbrp" if name.endswith(("gif", "apng")) else "yuv422p10le" if "prores" in name else "yuv420p"
    path = clips.make_clip(tmp_path / name, frames=45, rate=25, size=(96, 64), pix_fmt=pix_fmt, codec=encoder)
    witness = clips.describe(path)
    info = probe(path)
    times = index(info).times
    with read_numbered(info, threads=2) as frames:
        whole = [frame for k, frame in frames]

    assert len(times) == len(whole) == witness["frames"] == 45
    rng = random.Random(name)
    for _ in range(6):
        first = rng.randrange(45)
        stop = min(45, first + rng.randrange(1, 6))
        with read_numbered(info, first, stop, threads=2) as frames:
            part = list(frames)
        assert [k for k, _ in part] == list(range(first, stop))
        for k, frame in part:
            assert frame.time == times.time(k)
            assert_same(frame, whole[k].planes)


def test_parts_are_chosen_by_exact_time(tmp_path):
    path = clips.make_clip(tmp_path / "a.mp4", rate="24000/1001", frames=24)
    step = Fraction(1001, 24000)

    with read_frames(probe(path), start=5 * step, stop=8 * step) as frames:
        assert [frame.time for frame in frames] == [5 * step, 6 * step, 7 * step]
    with read_frames(probe(path), start=5 * step + Fraction(1, 10**9)) as frames:
        assert next(frames).time == 6 * step


def test_vfr_frames_carry_their_own_times(tmp_path):
    info = probe(clips.vfr_clip(tmp_path / "a.mkv"))
    with read_frames(info) as frames:
        times = [frame.time for frame in frames]
    expected = [0, 0.033, 0.067, 0.101, 0.132, 0.233, 0.275, 0.316, 0.358, 0.400, 0.442]
    assert [round(float(time), 3) for time in times] == expected


def test_alpha_of_vp9_is_seen(tmp_path):
    frames = read_all(clips.webm_alpha_clip(tmp_path / "a.webm"))
    assert len(frames) == 6
    for n, frame in enumerate(frames):
        assert frame.format.name == "yuva420p"
        assert_same(frame, clips.planes(n, pix_fmt="yuva420p", content="motion"))


def test_gif_keeps_transparency_and_delays(tmp_path):
    frames = read_all(clips.gif_clip(tmp_path / "a.gif", delays_cs=(10, 5, 20, 7)))
    assert [frame.time for frame in frames] == [Fraction(t, 100) for t in (0, 10, 15, 35)]
    times = index(probe(tmp_path / "a.gif")).times
    assert times.last_duration == Fraction(7, 100)
    green, blue, red, alpha = frames[2].planes
    assert (red[10, 10], green[10, 10], blue[10, 10], alpha[10, 10]) == (200, 60, 60, 255)
    assert alpha[47, 63] == 0


# -------------------------------------------------------------------------------------------------- what goes wrong


def test_a_change_of_size_is_an_error_that_tells_when(tmp_path):
    a = clips.make_clip(tmp_path / "a.ts", frames=10, size=(64, 48), codec=["-c:v", "mpeg2video", "-bf", "0"])
    b = clips.make_clip(tmp_path / "b.ts", frames=10, size=(96, 64), codec=["-c:v", "mpeg2video", "-bf", "0"])
    both = tmp_path / "both.ts"
    both.write_bytes(a.read_bytes() + b.read_bytes())

    with pytest.raises(UserError, match=r"at \d+\.\d+ s the picture changes from 64x48 yuv420p to 96x64") as caught:
        read_all(both)
    assert caught.value.code == BAD_INPUT


def test_a_joined_recording_whose_clock_starts_anew_is_read_through(tmp_path):
    part = clips.make_clip(tmp_path / "a.ts", frames=30, codec=["-c:v", "mpeg2video", "-bf", "0", "-q:v", "2"])
    both = tmp_path / "both.ts"
    both.write_bytes(part.read_bytes() * 2)
    info = probe(both)

    times = index(info).times
    assert len(times) == 60
    assert {round((b - a) * times.time_base * 1000) for a, b in zip(times.pts, times.pts[1:])} == {40}
    with read_numbered(info, 28, 33) as frames:
        part = [frame for _, frame in frames]
    with read_numbered(info, 0, 3) as frames:
        start = [frame for _, frame in frames]
    for again, first in zip(part[2:], start):
        assert_same(again, first.planes)


def cut_off(path: Path, share: float) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_cut_off_file_is_found_out_and_its_sound_part_is_exact(tmp_path, suffix):
    options = {"frames": 40, "content": "noise", "extra": ["-movflags", "+faststart"] if suffix == ".mp4" else []}
    path = cut_off(clips.make_clip(tmp_path / f"a{suffix}", **options), 0.55)

    found = index(probe(path))

    assert found.damaged_at is not None and found.damage
    assert 18 <= len(found.times) <= 24
    assert abs(found.damaged_at - len(found.times) * Fraction(1, 25)) < Fraction(1, 500)
    with read_frames(probe(path)) as frames:
        for n, frame in enumerate(frames):
            assert_same(frame, clips.planes(n))
    assert n + 1 == len(found.times)


def test_a_broken_frame_is_refused_with_its_time_or_held(tmp_path):
    alone = ["-c:v", "mjpeg", "-q:v", "2"]  # no frame leans on another
    path = clips.make_clip(tmp_path / "a.avi", frames=10, codec=alone)
    info = probe(path)
    parts = path.read_bytes().split(b"\xff\xd8\xff")
    parts[9] = bytes(len(parts[9]) - 32) + parts[9][-32:]  # its last bytes are the next chunk's header
    path.write_bytes(b"\xff\xd8\xff".join(parts[:9]) + bytes(3) + b"\xff\xd8\xff".join(parts[9:]))

    with pytest.raises(UserError, match=r"damaged (at|after) 0\.\d+ s"), read_frames(info) as frames:
        for _ in frames:
            pass
    with read_frames(info, allow_damaged=True) as frames:
        held = list(frames)
    assert len(held) == 10
    assert sum(all(np.array_equal(a, b) for a, b in zip(f.planes, g.planes)) for f, g in zip(held, held[1:])) == 1


def test_damage_that_the_index_meets_is_told_with_its_time(tmp_path):
    # ffmpeg's PNG parser joins a frame without a signature to the next: a time stamp is missing, so all is decoded.
    path = clips.make_clip(tmp_path / "a.mkv", frames=10, content="noise", pix_fmt="gbrp", codec=["-c:v", "png"])
    parts = path.read_bytes().split(b"\x89PNG")
    path.write_bytes(b"\x89PNG".join(parts[:6]) + b"\x89XXX" + b"\x89PNG".join(parts[6:]))

    found = index(probe(path))

    assert found.damaged_at == Fraction(1, 5)
    assert [round(found.times.time(k) * 25) for k in range(len(found.times))] == [0, 1, 2, 3, 4, 7, 8, 9]
    for frame in read_all(path):
        assert_same(frame, clips.planes(round(frame.time * 25), pix_fmt="gbrp"))


def test_interlaced_film_is_recognised_and_deinterlaced_alike_in_parts(tmp_path):
    path = clips.make_clip(tmp_path / "a.ts", interlaced=True, rate="30000/1001", frames=30, audio=["eng"])
    info = probe(path)
    assert info.video.interlaced
    with read_numbered(info, deinterlace=True) as frames:
        whole = [frame for _, frame in frames]
    with read_numbered(info, 17, 22, deinterlace=True) as frames:
        part = list(frames)
    with read_numbered(info) as frames:
        woven = [frame for _, frame in frames]

    times = index(info).times
    assert [frame.time for frame in whole] == [times.time(k) for k in range(len(times))]
    for k, frame in part:
        assert_same(frame, whole[k].planes)
    assert any(not np.array_equal(a.planes[0], b.planes[0]) for a, b in zip(whole, woven))


def test_a_file_is_closed_when_reading_stops_early(tmp_path):
    import os

    info = probe(clips.make_clip(tmp_path / "a.mp4"))
    index(info)
    before = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0
    for _ in range(5):
        with read_frames(info) as frames:
            next(frames)
    after = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0
    assert after == before


def test_working_formats_know_every_layout():
    for name in ("nv12", "p010le", "rgba", "yuyv422", "yuvj420p", "pal8", "monob", "gray16be", "yuv420p12be"):
        assert layout(name).working == pixel_format(layout(name).working.name)
    assert layout("yuvj422p").full_range and not layout("yuv422p").full_range
