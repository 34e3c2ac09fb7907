"""The odd files of ../shared/odd: each is read rightly or refused in one line. Facts are those of its README."""

from __future__ import annotations

import random
from fractions import Fraction
from pathlib import Path

import clips
import numpy as np
import pytest

from vfi_pipeline.errors import BAD_INPUT, UserError
from vfi_pipeline.media.frames import Colour
from vfi_pipeline.media.index import index
from vfi_pipeline.media.probe import probe
from vfi_pipeline.media.reader import read_frames, read_numbered

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "odd"
FILM, NTSC = Fraction(24000, 1001), Fraction(30000, 1001)

# name: frames, stored size, source format, working format, rate
READ = {
    "alpha.gif": (30, (320, 180), "bgra", "gbrap", FILM),
    "alpha_vp9_yuva420p.webm": (40, (480, 270), "yuva420p", "yuva420p", 24),
    "anamorphic_720x480_sar32x27.mp4": (48, (720, 480), "yuv420p", "yuv420p", 24),
    "attached_cover_picture.mp4": (60, (854, 480), "yuv420p", "yuv420p", 24),
    "audio_aac_2subs_chapters.mkv": (185, (640, 480), "yuv420p", "yuv420p", 30),
    "audio_starts_0.75s_late.mp4": (185, (640, 480), "yuv420p", "yuv420p", 30),
    "duplicated_frames_on_twos.mp4": (80, (854, 480), "yuv420p", "yuv420p", 24),
    "film_24000_1001.mp4": (72, (854, 480), "yuv420p", "yuv420p", FILM),
    "gray16_a.png": (1, (854, 480), "gray16be", "gray16le", 25),
    "gray16_b.png": (1, (854, 480), "gray16be", "gray16le", 25),
    "hard_cuts_every_second.mp4": (144, (640, 360), "yuv420p", "yuv420p", 24),
    "hdr10_pq_bt2020_10bit_hevc.mkv": (48, (854, 480), "yuv420p10le", "yuv420p10le", 24),
    "interlaced_29.97_tff_mpeg2.ts": (50, (720, 480), "yuv420p", "yuv420p", NTSC),
    "odd_dims_853x481_yuv420p_vp9.webm": (24, (853, 481), "yuv420p", "yuv420p", 24),
    "odd_dims_853x481_yuv444p_h264.mp4": (36, (853, 481), "yuv444p", "yuv444p", 24),
    "one_frame.mp4": (1, (854, 480), "yuv420p", "yuv420p", 24),
    "pair_sizes_a_854x480.jpg": (1, (854, 480), "yuvj420p", "yuv420p", 25),
    "pair_sizes_b_640x360.jpg": (1, (640, 360), "yuvj420p", "yuv420p", 25),
    "prores_422_10bit.mov": (30, (640, 360), "yuv422p10le", "yuv422p10le", 24),
    "real_webcam_fullrange_yuvj420p_no_nb_frames.mkv": (77, (640, 480), "yuvj420p", "yuv420p", 30),
    "rgba_a.png": (1, (427, 240), "rgba", "gbrap", 25),
    "rgba_b.png": (1, (427, 240), "rgba", "gbrap", 25),
    "rotated_displaymatrix90_phone.mp4": (60, (854, 480), "yuv420p", "yuv420p", 24),
    "truncated_moov_ok_mdat_cut.mp4": (61, (854, 480), "yuv420p", "yuv420p", 24),
    "two_video_streams.mkv": (60, (854, 480), "yuv420p", "yuv420p", 24),
    "very_long_gop_single_keyframe.mp4": (100, (854, 480), "yuv420p", "yuv420p", 24),
    "vfr_phone_like_timestamps.mp4": (87, (368, 480), "yuv420p", "yuv420p", NTSC),
    "video_starts_0.5s_late.mkv": (185, (640, 480), "yuv420p", "yuv420p", 30),
    "ünïcode näme – \"double\" & 'single' quotes 视频 (copy).mp4": (60, (854, 480), "yuv420p", "yuv420p", 24),
}
SLOW = {
    "real_alpha_vp9_1280x720_60fps.webm": (541, (1280, 720), "yuva420p", "yuva420p", 60),
    "real_vfr_screen_recording_3026x1386.mp4": (63, (3026, 1386), "yuv420p", "yuv420p", 30),
}
REFUSED = {
    "README.md": "not a video",
    "real_audio_only.mp4": r"no video \(only audio\)",
    "text_file_renamed.mp4": "not a video",
    "truncated_no_moov.mp4": "moov",
    "zero_byte.mp4": "is empty",
}


@pytest.fixture(autouse=True)
def folder() -> Path:
    if not FOLDER.is_dir():
        pytest.skip("no folder ../shared/odd beside the repository")
    return FOLDER


def test_every_file_is_in_a_table(folder):
    assert {path.name for path in folder.iterdir()} == set(READ) | set(SLOW) | set(REFUSED)


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_refused_in_one_line(folder, name):
    with pytest.raises(UserError, match=REFUSED[name]) as caught:
        probe(folder / name)
    problem, remedy, code = caught.value.args
    assert code == BAD_INPUT and remedy and "\n" not in problem + remedy


@pytest.mark.parametrize("name", [*READ, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def test_frames_that_are_read_are_those_of_the_index(folder, name):
    count, size, source, working, rate = {**READ, **SLOW}[name]
    info = probe(folder / name)
    video = info.video
    assert ((video.width, video.height), video.pixel_format, video.working_format) == (size, source, working)
    assert video.rate == rate
    found = index(info)
    assert len(found.times) == count and not found.counted
    with read_frames(info, threads=2) as frames:
        times = [frame.time for frame in frames]
    assert times == [found.times.time(k) for k in range(count)]


@pytest.mark.parametrize("name", ["very_long_gop_single_keyframe.mp4", "interlaced_29.97_tff_mpeg2.ts", "alpha.gif"])
def test_parts_are_what_they_are_in_the_whole(folder, name):
    info = probe(folder / name)
    with read_numbered(info, threads=2) as frames:
        whole = [frame.planes[0] for _, frame in frames]
    rng = random.Random(3)
    for _ in range(3):
        first = rng.randrange(len(whole) - 3)
        with read_numbered(info, first, first + 3, threads=2) as frames:
            for k, frame in frames:
                np.testing.assert_array_equal(frame.planes[0], whole[k])


@pytest.mark.parametrize("name", ["film_24000_1001.mp4", "hdr10_pq_bt2020_10bit_hevc.mkv", "alpha.gif"])
def test_times_are_ffmpegs(folder, name):
    witness = clips.describe(folder / name)
    times = index(probe(folder / name)).times
    assert [times.time(k) for k in range(len(times))] == [p * Fraction(witness["time_base"]) for p in witness["pts"]]


def test_single_facts(folder):
    def video(name):
        return probe(folder / name).video

    assert video("anamorphic_720x480_sar32x27.mp4").sample_aspect == Fraction(32, 27)
    assert video("rotated_displaymatrix90_phone.mp4").rotation == 270  # ffmpeg's 90 is against the clock
    assert video("interlaced_29.97_tff_mpeg2.ts").interlaced
    assert not video("anamorphic_720x480_sar32x27.mp4").interlaced and not video("prores_422_10bit.mov").interlaced
    hdr = video("hdr10_pq_bt2020_10bit_hevc.mkv")
    assert hdr.colour == Colour("bt2020nc", "bt2020", "smpte2084", "tv", hdr.colour.chroma_location)
    assert hdr.hdr["max_cll"] == "1000,400" and hdr.hdr["master_display"].endswith("L(10000000,50)")
    assert video("film_24000_1001.mp4").colour.matrix == "bt709"
    assert video("real_webcam_fullrange_yuvj420p_no_nb_frames.mkv").colour.range == "pc"
    assert video("video_starts_0.5s_late.mkv").start == Fraction(523, 1000)
    assert probe(folder / "video_starts_0.5s_late.mkv").start == 0
    late = probe(folder / "audio_starts_0.75s_late.mp4")
    assert late.video.start == 0 and late.others[0].start == Fraction(32017, 44100)
    subs = probe(folder / "audio_aac_2subs_chapters.mkv")
    assert subs.chapters == 2 and [s.language for s in subs.others] == ["eng", "eng", "ger"]
    cover = probe(folder / "attached_cover_picture.mp4")
    assert [s.dispositions for s in cover.others] == [("attached_pic",)]
    assert probe(folder / "two_video_streams.mkv", stream=1).video.width == 640


def test_the_truncated_film_breaks_where_its_data_end(folder):
    found = index(probe(folder / "truncated_moov_ok_mdat_cut.mp4"))
    assert found.damaged_at == found.times.end == Fraction(61, 24)
    assert found.damage


def test_pictures_of_two_sizes_are_no_sequence(folder, tmp_path):
    for name in ("pair_sizes_a_854x480.jpg", "pair_sizes_b_640x360.jpg"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    info = probe(tmp_path)
    with pytest.raises(UserError, match=r"pair_sizes_b_640x360\.jpg is 640x360"), read_frames(info) as frames:
        list(frames)
