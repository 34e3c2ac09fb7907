"""Joined films have exact times, and everything that the source held, where it belongs."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from clips import describe, full_clip, make_clip
from outputs import PARTS, make_output, packet_times, video_spec, write_segments

from vfi_pipeline.errors import UserError
from vfi_pipeline.media import ffmpeg
from vfi_pipeline.media.assemble import Segment, assemble, publish
from vfi_pipeline.media.containers import stream_plan
from vfi_pipeline.media.encoders import choose_encoding
from vfi_pipeline.media.output_plan import OutputPlan, Timing
from vfi_pipeline.media.probe import probe
from vfi_pipeline.media.verify import verify
from vfi_pipeline.media.webp import chunks

SPEED = {"h264": "ultrafast", "hevc": "ultrafast", "av1": "12", "vp9": "8"}
slow = pytest.mark.slow
JOINED = [
    ("o.mp4", "h264"), pytest.param("o.mkv", "h264", marks=slow), pytest.param("o.mov", "h264", marks=slow),
    pytest.param("o.mp4", "hevc", marks=slow), pytest.param("o.mp4", "av1", marks=slow),
    pytest.param("o.webm", "vp9", marks=slow), ("o.mov", "prores"), ("o.mkv", "ffv1"),
    pytest.param("o.mov", "ffv1", marks=slow), pytest.param("o.ts", "h264", marks=slow),
]  # fmt: skip


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("plain") / "plain.mp4", frames=6)


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return full_clip(tmp_path_factory.mktemp("full") / "full.mkv", cover=True, font=True)


def beeping(path: Path, codec: str = "flac", audio_delay: float = 0, video_delay: float = 0, start: float = 0) -> Path:
    """2 s at 25 fps; the sound is silent but for beeps at 0.5 s and 1.5 s of its own time."""
    beep = "aevalsrc='0.5*sin(2*PI*1000*t)*(between(t,0.5,0.6)+between(t,1.5,1.6))':s=48000:d=2"
    command = [
        "-y",
        "-loglevel",
        "error",
        "-itsoffset",
        str(video_delay),
        "-f",
        "lavfi",
        "-i",
        "testsrc2=s=64x48:r=25:d=2",
    ]
    command += ["-itsoffset", str(audio_delay), "-f", "lavfi", "-i", beep, "-c:v", "libx264", "-preset", "ultrafast"]
    command += ["-pix_fmt", "yuv420p", "-c:a", codec, "-output_ts_offset", str(start), str(path)]
    ffmpeg.run(command, "making beeps")
    return path


def beeps(path: Path, gap: float = 0.2) -> list[float]:
    """When beeps begin, in seconds after the first picture."""
    command = ["-loglevel", "error", "-copyts", "-i", str(path), "-map", "0:a:0", "-af"]
    command += ["aresample=48000:async=1:first_pts=0:min_hard_comp=0.001", "-ac", "1", "-f", "f32le", "-"]
    loud = np.flatnonzero(np.abs(np.frombuffer(ffmpeg.run(command, "listening").stdout, "f4")) > 0.08) / 48000
    first = float(packet_times(path)[0])
    return [float(t) - first for t, before in zip(loud, [-9, *loud]) if t - before > gap]


@pytest.mark.parametrize("rate", ["60000/1001", pytest.param("24000/1001", marks=slow)])
@pytest.mark.parametrize(("name", "codec"), JOINED)
def test_joined_times_are_exact(plain: Path, tmp_path: Path, name: str, codec: str, rate: str) -> None:
    made = make_output(plain, tmp_path / name, (20, 1, 2, 17), Fraction(rate), codec=codec, preset=SPEED.get(codec))

    times = packet_times(made.path)
    exact = [n / Fraction(rate) for n in range(40)]
    if name.endswith((".mp4", ".mov")):
        assert [time - times[0] for time in times] == exact
    else:
        tick = Fraction(1, 90000) if name.endswith(".ts") else Fraction(1, 1000)
        assert max(abs(time - times[0] - want) for time, want in zip(times, exact)) <= tick
    assert describe(made.path)["frames"] == 40
    verify(made.path, made.expectation)


@pytest.mark.parametrize("codec", ["h264", pytest.param("hevc", marks=slow), pytest.param("ffv1", marks=slow)])
def test_a_film_of_three_segments_equals_a_film_of_one(plain: Path, tmp_path: Path, codec: str) -> None:
    crf = {"h264": 0, "hevc": None, "ffv1": None}[codec]
    joined = make_output(plain, tmp_path / "joined.mp4", (13, 1, 16), codec=codec, crf=crf, preset=SPEED.get(codec))
    whole = make_output(plain, tmp_path / "whole.mp4", (30,), codec=codec, crf=crf, preset=SPEED.get(codec))

    assert packet_times(joined.path) == packet_times(whole.path)
    one, other = describe(joined.path), describe(whole.path)
    assert one["pts"] == other["pts"]
    if codec != "hevc":  # lossless: the pictures too
        assert one["md5"] == other["md5"]


@slow
def test_a_thousand_joins_do_not_drift(plain: Path, tmp_path: Path) -> None:
    """Many references to one segment: what a long film's script looks like."""
    rate = Fraction(60000, 1001)
    info = probe(plain)
    spec = video_spec(rate=rate)
    encoding = choose_encoding(spec, tmp_path / "o.mp4", "ffv1")
    (segment,) = write_segments(tmp_path, spec, encoding, (7,))
    target = tmp_path / "o.mp4"
    timing = Timing(rate, 7 * 1000, info.video.start)
    plan = stream_plan(info, target, encoding)

    assemble([Segment(segment.path, 7)] * 1000, OutputPlan(info, spec, encoding, plan, timing), target)

    times = packet_times(target)
    assert [time - times[0] for time in times] == [n / rate for n in range(7000)]


@slow
def test_vp9_keeps_alpha_and_time(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "a.mkv", pix_fmt="yuva420p", frames=4)
    made = make_output(source, tmp_path / "o.webm", (9, 1, 8), Fraction(60000, 1001), preset="8")

    command = [
        "-loglevel",
        "error",
        "-c:v",
        "libvpx-vp9",
        "-i",
        str(made.path),
        "-f",
        "rawvideo",
        "-pix_fmt",
        "yuva420p",
        "-",
    ]
    pictures = np.frombuffer(ffmpeg.run(command, "decoding").stdout, np.uint8).reshape(18, -1)
    alpha = pictures[:, 64 * 48 * 3 // 2 :].reshape(18, 48, 64).astype(float)
    from clips import planes

    wanted = np.stack([planes(n, (64, 48), "yuva420p", "motion")[3] for n in range(18)]).astype(float)
    assert np.abs(alpha - wanted).mean() < 3
    verify(made.path, made.expectation)


@pytest.mark.parametrize(("suffix", "subtitle"), [(".mkv", "subrip"), (".mp4", "mov_text"), (".webm", "webvtt")])
def test_everything_is_kept(full: Path, tmp_path: Path, suffix: str, subtitle: str) -> None:
    made = make_output(full, tmp_path / f"o{suffix}", preset="8" if suffix == ".webm" else "ultrafast")
    verify(made.path, made.expectation)

    found = probe(made.path)
    audio = [stream for stream in found.others if stream.kind == "audio"]
    texts = [stream for stream in found.others if stream.kind == "subtitle"]
    assert [stream.language for stream in audio] == ["eng", "ger"]
    assert [(stream.codec, stream.language) for stream in texts] == [(subtitle, "eng"), (subtitle, "fre")]
    assert found.chapters == 3
    assert found.tags.get("title", found.tags.get("TITLE")) == "A film"
    covers = [stream for stream in found.others if "attached_pic" in stream.dispositions]
    fonts = [stream for stream in found.others if stream.kind == "attachment"]
    assert len(covers) == (suffix != ".webm")
    assert len(fonts) == (suffix == ".mkv")
    assert len(made.plan.lost) == {".mkv": 0, ".mp4": 1, ".webm": 2}[suffix]


def test_subtitles_keep_their_words_and_times(full: Path, tmp_path: Path) -> None:
    made = make_output(full, tmp_path / "o.mp4", preset="ultrafast")

    def words(path: Path) -> str:
        return ffmpeg.run(
            ["-loglevel", "error", "-i", str(path), "-map", "0:s:1", "-f", "srt", "-"], "reading"
        ).stdout.decode()

    assert words(made.path) == words(full)
    assert "Hello fre" in words(made.path)


def test_chapters_keep_their_names_and_times(full: Path, tmp_path: Path) -> None:
    made = make_output(full, tmp_path / "o.mkv", preset="ultrafast")

    def chapters(path: Path) -> list[tuple[Fraction, Fraction, str]]:
        with av.open(str(path)) as container:
            return [
                (c["start"] * c["time_base"], c["end"] * c["time_base"], c["metadata"]["title"])
                for c in container.chapters()
            ]

    assert chapters(made.path) == chapters(full)


def test_audio_is_copied_bit_for_bit(full: Path, tmp_path: Path) -> None:
    made = make_output(full, tmp_path / "o.mkv", preset="ultrafast")

    def packets(path: Path) -> list[bytes]:
        with av.open(str(path)) as container:
            return [bytes(packet) for packet in container.demux(container.streams.audio[1]) if packet.size]

    assert packets(made.path) == packets(full)


@pytest.mark.parametrize(
    ("suffix", "shift"),
    [
        (".mp4", {"audio_delay": 0.75}),
        (".mkv", {"video_delay": 0.5}),
        *(
            pytest.param(suffix, shift, marks=slow)
            for suffix in (".mp4", ".mkv", ".mov")
            for shift in ({}, {"audio_delay": 0.3, "start": 10}, {"audio_delay": 0.5}, {"video_delay": 0.25})
        ),
    ],
    ids=str,
)
def test_sound_keeps_its_distance_to_the_pictures(tmp_path: Path, suffix: str, shift: dict[str, float]) -> None:
    codec = {".mp4": "aac", ".mkv": "aac", ".mov": "pcm_s16le"}[suffix]
    source = beeping(tmp_path / f"source{suffix}", codec, **shift)
    for target in ("o.mp4", "o.mkv"):
        made = make_output(source, tmp_path / target, (60, 1, 59), preset="ultrafast")
        verify(made.path, made.expectation)

        before, after = beeps(source), beeps(made.path)
        assert len(before) == len(after) == 2
        assert max(abs(a - b) for a, b in zip(before, after)) < 0.0015


def test_audio_longer_than_the_pictures_stays(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "a.mp4", frames=10, audio=("eng",), audio_duration=2)
    made = make_output(source, tmp_path / "o.mp4", (12, 1, 11), preset="ultrafast")
    verify(made.path, made.expectation)

    assert packet_times(made.path, "audio")[-1] - packet_times(source, "audio")[-1] == 0
    assert packet_times(made.path, "audio")[-1] > packet_times(made.path)[-1] + 1


@pytest.mark.parametrize(("suffix", "codec"), [(".mp4", "aac"), (".mkv", "flac")])
@pytest.mark.parametrize("start", [pytest.param(0, marks=slow), 10])
def test_a_cut_keeps_sound_and_pictures_together(tmp_path: Path, suffix: str, codec: str, start: float) -> None:
    source = beeping(tmp_path / f"source{suffix}", codec, start=start)
    cut = Fraction(start) + 1
    made = make_output(
        source, tmp_path / f"o{suffix}", (20, 1, 9), Fraction(30), start=cut, end=cut + 1, first=cut, preset="ultrafast"
    )
    verify(made.path, made.expectation)

    assert beeps(made.path) == pytest.approx([0.5], abs=0.0015)
    sound, pictures = packet_times(made.path, "audio"), packet_times(made.path)
    assert 0 <= sound[0] - pictures[0] < Fraction(1, 10)
    assert sound[-1] - pictures[0] < 1


@pytest.mark.slow
def test_a_cut_at_the_end_alone_keeps_the_beginning(tmp_path: Path) -> None:
    source = beeping(tmp_path / "a.mp4", "aac")
    made = make_output(source, tmp_path / "o.mp4", (20, 5), Fraction(25), end=Fraction(1), preset="ultrafast")
    verify(made.path, made.expectation)

    assert beeps(made.path) == pytest.approx([0.5], abs=0.0015)
    assert packet_times(made.path, "audio")[0] == packet_times(source, "audio")[0] < 0  # AAC's priming


def test_a_phones_tags_are_kept(tmp_path: Path) -> None:
    tags = {"com.apple.quicktime.make": "Apple", "title": "Holiday"}
    source = make_clip(tmp_path / "a.mov", frames=3, tags=tags, extra=["-movflags", "use_metadata_tags"])
    made = make_output(source, tmp_path / "o.mov", (3,), preset="ultrafast")

    assert tags.items() <= probe(source).tags.items()
    assert tags.items() <= probe(made.path).tags.items()


def test_a_cut_moves_subtitles_and_chapters(tmp_path: Path) -> None:
    source = full_clip(tmp_path / "a.mkv", frames=24)  # lines 0 to 0.5 s and 0.5 to 1 s, chapters every 0.334 s
    cut = Fraction(4, 10)
    made = make_output(
        source, tmp_path / "o.mkv", (6, 1, 5), Fraction(24), start=cut, end=cut + Fraction(1, 2), first=cut
    )
    verify(made.path, made.expectation)

    text = ffmpeg.run(
        ["-loglevel", "error", "-i", str(made.path), "-map", "0:s:0", "-f", "srt", "-"], "x"
    ).stdout.decode()
    assert "00:00:00,000 --> 00:00:00,1" in text  # Hello, 0.4 to 0.5 s
    assert "00:00:00,1" in text.split("Hello eng")[1]
    with av.open(str(made.path)) as container:
        chapters = [(round(c["start"] * c["time_base"], 2), c["metadata"]["title"]) for c in container.chapters()]
    assert chapters == [(0, "Part 2"), (Fraction(27, 100), "Part 3")]


@pytest.mark.parametrize("suffix", [".mp4", pytest.param(".mkv", marks=slow), pytest.param(".webm", marks=slow)])
def test_slow_motion_stretches_sound_subtitles_and_chapters(tmp_path: Path, suffix: str) -> None:
    source = full_clip(tmp_path / "a.mkv", frames=24)
    made = make_output(
        source, tmp_path / f"o{suffix}", (48, 1, 47), Fraction(24000, 1001), audio="stretch", stretch=Fraction(4),
        preset="8" if suffix == ".webm" else "ultrafast",
    )  # fmt: skip
    verify(made.path, made.expectation)

    sound = packet_times(made.path, "audio")
    assert float(sound[-1]) == pytest.approx(4 * float(packet_times(source, "audio")[-1]), abs=0.4)
    text = ffmpeg.run(
        ["-loglevel", "error", "-i", str(made.path), "-map", "0:s:0", "-f", "srt", "-"], "x"
    ).stdout.decode()
    assert "00:00:02,00" in text
    assert "00:00:04,000" in text
    with av.open(str(made.path)) as container:
        ends = [float(c["end"] * c["time_base"]) for c in container.chapters()]
    assert ends == pytest.approx([4 * 0.334, 4 * 0.667, 4 * 1.001], abs=0.01)


@slow
def test_slow_motion_moves_every_beep_by_the_same_factor(tmp_path: Path) -> None:
    source = beeping(tmp_path / "a.mkv", audio_delay=0.75)
    made = make_output(
        source, tmp_path / "o.mkv", (100, 1, 99), Fraction(25), audio="stretch", stretch=Fraction(4), preset="ultrafast"
    )

    # The stretcher smears an attack by 43 ms before the beat, 11 ms of the source.
    assert beeps(made.path, gap=1) == pytest.approx([5, 9], abs=0.06)


@slow
def test_slow_motion_with_silence(tmp_path: Path) -> None:
    source = beeping(tmp_path / "a.mp4", "aac")
    made = make_output(source, tmp_path / "o.mp4", (50, 50), Fraction(25), audio="silence", stretch=Fraction(2))
    verify(made.path, made.expectation)

    assert beeps(made.path) == []
    assert float(packet_times(made.path, "audio")[-1]) == pytest.approx(4, abs=0.05)


@pytest.mark.parametrize(
    ("suffix", "rotation", "mirrored"),
    [
        (".mp4", 90, False),
        (".mkv", 90, True),
        *(
            pytest.param(suffix, rotation, mirrored, marks=slow)
            for suffix in (".mp4", ".mkv")
            for rotation, mirrored in ((180, False), (270, False), (270, True), (0, True))
        ),
    ],
)
def test_orientation_is_kept(tmp_path: Path, suffix: str, rotation: int, mirrored: bool) -> None:
    source = make_clip(tmp_path / "a.mp4", frames=3, rotation=rotation, mirrored=mirrored)
    made = make_output(source, tmp_path / f"o{suffix}", (2, 1), preset="ultrafast")
    verify(made.path, made.expectation)

    found, before = probe(made.path).video, probe(source).video
    assert (found.rotation, found.mirrored) == (before.rotation, before.mirrored) == (rotation, mirrored)
    assert (found.width, found.height) == (64, 48)


def test_a_container_that_cannot_turn_gets_upright_pictures(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "a.mp4", frames=3, rotation=90, sample_aspect="4/3")
    made = make_output(source, tmp_path / "o.ts", (2, 1), preset="ultrafast")
    verify(made.path, made.expectation)

    found = probe(made.path).video
    assert (found.width, found.height, found.rotation, found.sample_aspect) == (48, 64, 0, Fraction(3, 4))
    assert any("turned upright" in note for note in made.encoding.notes)


@pytest.mark.parametrize("suffix", [".mp4", *(pytest.param(s, marks=slow) for s in (".mkv", ".mov", ".webm"))])
def test_sample_aspect_is_kept(tmp_path: Path, suffix: str) -> None:
    source = make_clip(tmp_path / "a.mp4", size=(72, 48), frames=3, sample_aspect="32/27")
    made = make_output(source, tmp_path / f"o{suffix}", (2, 1), preset="8" if suffix == ".webm" else "ultrafast")
    verify(made.path, made.expectation)

    assert float(probe(made.path).video.sample_aspect) == pytest.approx(32 / 27, abs=0.01)


BT709 = {"colorspace": "bt709", "color_primaries": "bt709", "color_trc": "bt709", "color_range": "tv"}
BT601 = {"colorspace": "smpte170m", "color_primaries": "smpte170m", "color_trc": "smpte170m", "color_range": "tv"}
FULL = {"colorspace": "bt709", "color_primaries": "bt709", "color_trc": "iec61966-2-1", "color_range": "pc"}
HLG = {"colorspace": "bt2020nc", "color_primaries": "bt2020", "color_trc": "arib-std-b67", "color_range": "tv"}


WHERE = [
    ("o.mp4", "h264"),
    ("o.mkv", "ffv1"),
    ("o.webm", "vp9"),
    ("o.mp4", "hevc"),
    ("o.mov", "prores"),
    ("o.mkv", "av1"),
]


@pytest.mark.parametrize(
    ("name", "codec", "tags"),
    [
        pytest.param(name, codec, tags, id=f"{name}-{codec}-{label}", marks=() if keep else slow)
        for name, codec in WHERE
        for label, tags in {"bt709": BT709, "bt601": BT601, "full": FULL, "hlg": HLG, "untagged": {}}.items()
        for keep in [(codec, label) in {("h264", "bt601"), ("h264", "untagged"), ("ffv1", "full"), ("hevc", "hlg")}]
    ],
)
def test_colour_tags_are_kept(tmp_path: Path, name: str, codec: str, tags: dict[str, str]) -> None:
    source = make_clip(tmp_path / "a.mp4", frames=3, colour=tags, pix_fmt="yuv420p10le" if tags is HLG else "yuv420p")
    made = make_output(source, tmp_path / name, (2, 1), codec=codec, preset=SPEED.get(codec))
    verify(made.path, made.expectation)

    found, before = probe(made.path).video.colour, probe(source).video.colour
    assert (found.matrix, found.primaries, found.transfer) == (before.matrix, before.primaries, before.transfer)
    if codec != "prores":  # ProRes is limited range by definition
        assert {found.range, before.range} in ({"tv"}, {"pc"}, {"tv", None}, {None})


@pytest.mark.parametrize("suffix", [".mp4", pytest.param(".mkv", marks=slow), pytest.param(".mov", marks=slow)])
def test_hdr10_metadata_is_kept(tmp_path: Path, suffix: str) -> None:
    hdr = {
        "master_display": "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)",
        "max_cll": "1000,400",
    }
    tags = {"colorspace": "bt2020nc", "color_primaries": "bt2020", "color_trc": "smpte2084", "color_range": "tv"}
    source = make_clip(tmp_path / "a.mkv", frames=3, colour=tags, pix_fmt="yuv420p10le")
    made = make_output(source, tmp_path / f"o{suffix}", (2, 1), spec={"hdr": hdr}, preset="ultrafast")
    verify(made.path, made.expectation)

    found = probe(made.path).video
    assert (found.codec, found.pixel_format) == ("hevc", "yuv420p10le")
    assert found.hdr == hdr


@slow
def test_odd_size_is_kept(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "a.webm", size=(53, 37), frames=3)
    for name, codec in (("o.mp4", "auto"), ("o.mp4", "h264"), ("o.mkv", "hevc"), ("o.mp4", "av1"), ("o.webm", "auto")):
        made = make_output(source, tmp_path / name, (2, 1), codec=codec)
        verify(made.path, made.expectation)
        video = probe(made.path).video
        assert (video.width, video.height) == (53, 37)


@slow
def test_422_of_odd_height_is_kept(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "a.mkv", size=(64, 37), pix_fmt="yuv422p", frames=3)
    made = make_output(source, tmp_path / "o.mp4", (2, 1))
    verify(made.path, made.expectation)

    assert (made.encoding.codec, made.encoding.pixel_format) == ("h264", "yuv422p")


@pytest.mark.parametrize(
    ("name", "alpha"),
    [("o.gif", True), *(pytest.param(n, a, marks=slow) for n in ("o.gif", "o.apng", "o.webp") for a in (False, True))],
)
def test_animations(tmp_path: Path, name: str, alpha: bool) -> None:
    source = make_clip(tmp_path / "a.mkv", pix_fmt="gbrap" if alpha else "yuv420p", frames=4)
    made = make_output(source, tmp_path / name, (5, 1, 4), Fraction(25))
    found = verify(made.path, made.expectation)

    from PIL import Image

    with Image.open(made.path) as image:
        assert image.n_frames == 10
        assert image.size == (64, 48)
        assert image.info["loop"] == 0
        assert ("A" in image.mode or "transparency" in image.info) == alpha or name == "o.webp"
    assert found.frames == 10
    assert not made.path.with_name("palette.png").exists()


@pytest.mark.parametrize("crf", [None, 100])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "gbrap"])
def test_a_webp_in_which_nothing_moves_lasts_as_planned(tmp_path: Path, crf: int | None, pix_fmt: str) -> None:
    """libwebp merges equal frames, and writes a picture without a duration where one is left."""
    from PIL import Image

    source = make_clip(tmp_path / "a.mkv", pix_fmt=pix_fmt, frames=2, content="grey")
    made = make_output(source, tmp_path / "o.webp", (2, 3), Fraction(10), content="grey", crf=crf)
    assert verify(made.path, made.expectation).frames == 5
    with Image.open(made.path) as image:
        assert image.is_animated is False and image.size == (64, 48) and image.info["loop"] == 0
        image.load()
    assert sum(int.from_bytes(b[12:15], "little") for n, b in chunks(made.path.read_bytes()) if n == b"ANMF") == 500


@slow
def test_an_animation_has_the_colours_of_the_film(tmp_path: Path) -> None:
    from PIL import Image

    source = make_clip(tmp_path / "a.mkv", frames=2, content="grey", colour=BT709)
    for name in ("o.gif", "o.apng", "o.webp"):
        made = make_output(source, tmp_path / name, (2, 1), Fraction(25), content="grey")
        with Image.open(made.path) as image:
            pixel = image.convert("RGB").getpixel((20, 20))
        assert np.abs(np.array(pixel) - round((128 - 16) / 219 * 255)).max() <= 1


def test_images_get_the_names_that_were_asked_for(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "a.mp4", frames=3)
    made = make_output(source, tmp_path / "new" / "shot_%04d.png", PARTS)  # assemble's target is a folder of its own
    assert sorted(p.name for p in made.path.iterdir()) == [f"shot_{n:04d}.png" for n in range(1, 13)]
    verify(made.path, made.expectation)

    folder = tmp_path / "kept"
    folder.mkdir()
    (folder / "note.txt").write_text("mine")
    publish(made.path, folder / "shot_%04d.png", made.encoding)

    assert len(list(folder.iterdir())) == 13
    assert not made.path.exists()
    assert all(segment.path.exists() for segment in made.segments)


def test_publishing_refuses_to_overwrite(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "a.mp4", frames=3)
    made = make_output(source, tmp_path / "new.mp4", (2,), preset="ultrafast")
    goal = tmp_path / "out.mp4"
    goal.write_text("mine")

    with pytest.raises(UserError, match="exists"):
        publish(made.path, goal, made.encoding)
    assert goal.read_text() == "mine"
    publish(made.path, goal, made.encoding, overwrite=True)
    assert probe(goal).video.width == 64


def test_a_failed_join_keeps_the_segments_and_leaves_no_file(plain: Path, tmp_path: Path) -> None:
    made = make_output(plain, tmp_path / "o.mp4", preset="ultrafast")
    made.path.unlink()
    made.segments[1].path.write_bytes(b"not a film")

    with pytest.raises(UserError) as caught:
        assemble(made.segments, made.output, made.path)
        verify(made.path, made.expectation)
    assert "o.mp4" in str(caught.value)
    assert all(segment.path.exists() for segment in made.segments)


def test_missing_segments_are_noticed_before_the_join(plain: Path, tmp_path: Path) -> None:
    made = make_output(plain, tmp_path / "o.mp4", preset="ultrafast")
    with pytest.raises(UserError, match="hold 6 frames where the plan has 12"):
        assemble(made.segments[:2], made.output, made.path)


def test_any_folder_name_will_do(plain: Path, tmp_path: Path) -> None:
    folder = tmp_path / "-a %d 'b' \"c\" :é&#? [x]"
    folder.mkdir()
    source = folder / "ünï 'q' \"d\" %d.mp4"
    source.write_bytes(plain.read_bytes())
    made = make_output(source, folder / "out %03d é'.mp4".replace("%03d", "x"), preset="ultrafast")

    verify(made.path, made.expectation)
