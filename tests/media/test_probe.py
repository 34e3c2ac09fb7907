"""The facts of a file, against what it was made with."""

from __future__ import annotations

import random
from fractions import Fraction

import clips
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfi_pipeline.errors import BAD_INPUT, USAGE, UserError
from vfi_pipeline.media import ffmpeg
from vfi_pipeline.media.facts import orientation
from vfi_pipeline.media.frames import Colour, oriented
from vfi_pipeline.media.probe import KNOWN_RATES, nominal_rate, probe
from vfi_pipeline.media.reader import read_frames


def test_streams_chapters_and_tags_are_listed(tmp_path):
    info = probe(clips.full_clip(tmp_path / "a.mkv", cover=True, font=True))

    video = info.video
    assert (video.index, video.codec, video.width, video.height) == (0, "ffv1", 64, 48)
    assert video.rate == Fraction(24000, 1001)
    assert [(s.kind, s.codec, s.language) for s in info.others[:4]] == [
        ("audio", "flac", "eng"), ("audio", "flac", "ger"),
        ("subtitle", "subrip", "eng"), ("subtitle", "subrip", "fre"),
    ]  # fmt: skip
    assert "default" in info.others[0].dispositions and "default" not in info.others[1].dispositions
    cover = next(s for s in info.others if s.kind == "video")
    assert cover.dispositions == ("attached_pic",)
    assert [s.kind for s in info.others].count("attachment") == 1
    assert info.chapters == 3
    assert {key.lower(): value for key, value in info.tags.items()}["title"] == "A film"


def test_the_pictures_of_an_avif_sequence_are_its_film(tmp_path):
    """It holds one of them once more, as a still, which comes first and is no smaller."""
    from PIL import Image, features

    if not features.check("avif"):
        pytest.skip("this Pillow writes no AVIF")
    pictures = [Image.new("RGB", (64, 48), (40 * k, 60, 90)) for k in range(6)]
    path = tmp_path / "a.avif"
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=120)
    video = probe(path).video
    assert (video.frames, video.duration) == (6, Fraction(72, 100))


@pytest.mark.parametrize("rate", ["24000/1001", "24", "25", "30000/1001", "30", "50", "60000/1001", "60", "12", "25/2"])
@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".avi", ".ts"])
def test_the_nominal_rate_is_exact_in_every_container(tmp_path, rate, suffix):
    if suffix == ".ts" and rate in ("12", "25/2"):
        pytest.skip("MPEG-2 has no such rate")
    info = probe(clips.make_clip(tmp_path / f"a{suffix}", rate=rate, frames=12))
    assert info.video.rate == Fraction(rate)


@pytest.mark.parametrize("times", [range(0, 400, 4), [0, 3, 7, 10, 13, 17, 20]])
def test_rate_nonsense_in_the_header_is_not_believed(times):
    assert nominal_rate(list(times), Fraction(1, 100), Fraction(57600), Fraction(90000)) in (25, 30)


@given(
    rate=st.sampled_from(KNOWN_RATES), base=st.sampled_from([1000, 90000, 12800, 600]), start=st.integers(-500, 10**6)
)
def test_a_steady_film_on_a_coarse_clock_has_its_own_rate(rate, base, start):
    times = [start + round(k / rate * base) for k in range(300)]
    found = nominal_rate(times, Fraction(1, base), rate, rate)
    assert found == rate
    # Without a word from the header, the error over the whole film stays below a tick or two.
    alone = nominal_rate(times, Fraction(1, base))
    assert abs(Fraction(299) / alone - Fraction(299) / rate) <= Fraction(2, base)


def test_a_jittery_film_is_rated_by_its_usual_distance():
    rng, time, times = random.Random(1), 0, []
    for k in range(300):
        times.append(time + rng.randrange(-4, 5))
        time += 33 if k != 150 else 900  # ms; one long gap
    assert nominal_rate(sorted(times), Fraction(1, 1000), Fraction(1, 3), Fraction(57600)) == 30


def test_vfr_is_not_taken_for_its_time_base(tmp_path):
    info = probe(clips.vfr_clip(tmp_path / "a.mp4"))
    assert info.video.rate in (24, 25, 30, Fraction(24000, 1001), Fraction(30000, 1001))


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_orientation_is_what_ffmpeg_applies(tmp_path, rotation, mirrored):
    path = clips.make_clip(tmp_path / "a.mp4", rotation=rotation, mirrored=mirrored, frames=2, content="noise")
    info = probe(path)
    assert (info.video.rotation, info.video.mirrored) == (rotation, mirrored)
    assert (info.video.width, info.video.height) == (64, 48)  # as stored

    with read_frames(info) as frames:
        ours = oriented(next(frames), rotation, mirrored)
    command = [*clips.ALWAYS, "-i", ffmpeg.file_url(path), "-frames:v", "1", "-f", "rawvideo", "pipe:1"]
    theirs = ffmpeg.run(command, doing="turning").stdout  # ffmpeg turns by itself
    assert b"".join(plane.tobytes() for plane in ours.planes) == theirs


def test_display_matrices_are_read_by_hand():
    one = 65536
    assert orientation((one, 0, 0, 0, one, 0, 0, 0, 1 << 30)) == (0, False)
    assert orientation((0, one, 0, -one, 0, 0, 0, 0, 1 << 30)) == (90, False)  # iPhone held upright
    assert orientation((-one, 0, 0, 0, -one, 0, 0, 0, 1 << 30)) == (180, False)
    assert orientation((0, -one, 0, one, 0, 0, 0, 0, 1 << 30)) == (270, False)
    assert orientation((-one, 0, 0, 0, one, 0, 0, 0, 1 << 30)) == (0, True)


def test_colour_tags_are_told_and_untagged_stays_untagged(tmp_path):
    tags = {
        "colorspace": "bt2020nc", "color_primaries": "bt2020", "color_trc": "smpte2084", "color_range": "tv",
        "chroma_sample_location": "topleft",
    }  # fmt: skip
    x264 = ["-c:v", "libx264", "-preset", "ultrafast"]
    tagged = probe(clips.make_clip(tmp_path / "a.mp4", pix_fmt="yuv420p10le", colour=tags, codec=x264)).video
    assert tagged.colour == Colour("bt2020nc", "bt2020", "smpte2084", "tv", "topleft")
    assert (tagged.pixel_format, tagged.working_format) == ("yuv420p10le", "yuv420p10le")

    plain = probe(clips.make_clip(tmp_path / "b.mp4")).video.colour
    assert (plain.matrix, plain.primaries, plain.transfer, plain.range) == (None, None, None, None)
    rgb = probe(clips.make_clip(tmp_path / "c.mkv", pix_fmt="gbrp")).video.colour
    assert rgb.matrix == "gbr" and rgb.chroma_location is None


def test_full_range_jpeg_video_is_pc(tmp_path):
    path = clips.make_clip(tmp_path / "a.mkv", store_as="yuvj420p", codec=["-c:v", "mjpeg"])
    video = probe(path).video
    assert (video.pixel_format, video.working_format, video.colour.range) == ("yuvj420p", "yuv420p", "pc")


def test_hdr10_metadata_is_text_for_x265(tmp_path):
    master, light = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)", "1000,400"
    params = f"master-display={master}:max-cll={light}:hdr10=1:log-level=error"
    codec = ["-c:v", "libx265", "-x265-params", params, "-preset", "ultrafast"]
    path = clips.make_clip(tmp_path / "a.mkv", pix_fmt="yuv420p10le", size=(128, 96), codec=codec, frames=3)
    assert probe(path).video.hdr == {"master_display": master, "max_cll": light}


def test_start_times_keep_their_offsets(tmp_path):
    info = probe(clips.make_clip(tmp_path / "a.mkv", start=2, audio=["eng"], audio_delay=0.5))
    assert info.video.start == 2 and info.start == 2
    assert info.others[0].start is None or abs(info.others[0].start - Fraction(5, 2)) < Fraction(1, 50)


def test_sample_aspect_and_interlacing_are_seen(tmp_path):
    ntsc = {"rate": "30000/1001", "size": (720, 480), "frames": 4}
    path = clips.make_clip(tmp_path / "a.ts", interlaced=True, sample_aspect="32/27", **ntsc)
    video = probe(path).video
    assert (video.interlaced, video.sample_aspect) == (True, Fraction(32, 27))
    assert not probe(clips.make_clip(tmp_path / "b.ts", rate="30000/1001", frames=4)).video.interlaced


def test_a_video_among_several_is_chosen(tmp_path):
    small = clips.make_clip(tmp_path / "small.mkv", frames=3)
    large = clips.make_clip(tmp_path / "large.mkv", frames=3, size=(96, 64))
    both = tmp_path / "both.mkv"
    inputs = ["-i", ffmpeg.file_url(small), "-i", ffmpeg.file_url(large)]
    options = ["-map", "0:v", "-map", "1:v", "-c", "copy", "-disposition:v", "0"]
    ffmpeg.run([*clips.ALWAYS, *inputs, *options, ffmpeg.file_url(both)], doing="joining")

    assert probe(both).video.width == 96
    assert probe(both, stream=0).video.width == 64
    assert [other.index for other in probe(both, stream=0).others] == [1]
    with pytest.raises(UserError, match="stream 5 is not there") as caught:
        probe(both, stream=5)
    assert caught.value.code == USAGE and "0 (64x48), 1 (96x64)" in str(caught.value)


def test_a_cover_picture_is_not_the_film(tmp_path):
    info = probe(clips.make_clip(tmp_path / "a.mp4", cover=True, size=(24, 16)))  # the cover is larger
    assert (info.video.width, info.video.codec) == (24, "h264")


def bad_files(folder):
    film = clips.make_clip(folder / "film.mp4", frames=5, audio=["eng"])
    data = film.read_bytes()
    (folder / "zero.mp4").write_bytes(b"")
    (folder / "text.mp4").write_text("This is not a film.\n" * 5)
    (folder / "cut.mp4").write_bytes(data[: len(data) // 2])
    (folder / "empty").mkdir()
    audio = [*clips.ALWAYS, "-i", ffmpeg.file_url(film), "-map", "0:a", "-c", "copy", ffmpeg.file_url(folder / "a.m4a")]
    ffmpeg.run(audio, doing="taking the sound")
    cover = clips.make_clip(folder / "c.mp4", cover=True, frames=2, audio=["eng"])
    only = [*clips.ALWAYS, "-i", ffmpeg.file_url(cover), "-map", "0:a", "-map", "0:v:1", "-c", "copy"]
    ffmpeg.run([*only, "-disposition:v:0", "attached_pic", ffmpeg.file_url(folder / "song.m4a")], doing="making a song")
    (folder / "list.m3u8").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfilm.mp4\n#EXT-X-ENDLIST\n")
    (folder / "list.mkv").write_text("ffconcat version 1.0\nfile film.mp4\n")


def test_each_bad_file_gives_its_one_line(tmp_path):
    bad_files(tmp_path)
    for name, words in {
        "missing.mp4": "cannot be found", "zero.mp4": "is empty", "text.mp4": "not a video", "cut.mp4": "moov",
        "a.m4a": "no video", "song.m4a": "only a cover picture", "list.m3u8": "not a plain media file",
        "list.mkv": "not a plain media file", "empty": "folder without pictures", "*.jpg": "matches no pictures",
    }.items():  # fmt: skip
        with pytest.raises(UserError, match=words) as caught:
            probe(tmp_path / name)
        problem, remedy, code = caught.value.args
        assert code == BAD_INPUT and remedy and "\n" not in problem + remedy, name


def test_pictures_beyond_the_limit_are_refused(tmp_path):
    path = clips.make_clip(tmp_path / "a.mp4", size=(64, 48))
    with pytest.raises(UserError, match=r"64x48 are beyond the limit of 3000 pixels"):
        probe(path, max_pixels=3000)
