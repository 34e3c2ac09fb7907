"""The end is tried before the first picture: what is planned can be finished, what cannot is told."""

from __future__ import annotations

from fractions import Fraction

import clips
import pytest

from vfi_pipeline.media import ffmpeg
from vfi_pipeline.media.languages import one_code
from vfi_pipeline.media.probe import probe


def sounding(path, layout, *codec, seconds=1, rate=48000, delay=0):
    """A film of a second with noise in ``layout``."""
    film = clips.make_clip(path.with_name("film.mkv"), frames=25) if not path.with_name("film.mkv").exists() else None
    noise = f"anoisesrc=d={seconds}:r={rate},aformat=channel_layouts={layout}"
    words = [*clips.ALWAYS, "-i", ffmpeg.file_url(film or path.with_name("film.mkv")), "-itsoffset", str(delay)]
    words += ["-f", "lavfi", "-i", noise, "-map", "0", "-map", "1"]
    video = ["-c:v", "mpeg2video"] if path.suffix in (".ts", ".vob") else ["-c:v", "copy"]
    video = ["-c:v", "flv1"] if path.suffix == ".flv" else video
    ffmpeg.run([*words, *video, "-c:a", *codec, ffmpeg.file_url(path)], "making sound")
    return path


def told(caplog):
    return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]


def announcing_two_tracks(path):
    """MPEG-TS whose second track of sound is in the tables and has no packets: they are taken out."""
    part = clips.make_clip(path.with_name("two.ts"), frames=25, audio=("eng", "ger"))
    packets = [part.read_bytes()[k : k + 188] for k in range(0, part.stat().st_size, 188)]
    path.write_bytes(b"".join(p for p in packets if (p[1] & 0x1F) << 8 | p[2] != 0x102))
    return path


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".ts"])
def test_a_track_that_is_announced_and_empty_is_lost_and_told(good, tmp_path, caplog, suffix):
    announcing_two_tracks(tmp_path / "dead.ts")
    shown = good("input=dead.ts", "multi=2", f"output=out{suffix}", "dry_run=true").out
    good("input=dead.ts", "multi=2", f"output=out{suffix}")
    line = "LOST (it is announced, but the file holds none of it)"
    assert any("audio 2" in text and line in text for text in told(caplog)) and line in shown
    sound = [stream for stream in probe(tmp_path / f"out{suffix}").others if stream.kind == "audio"]
    assert [stream.language for stream in sound] == ["eng"]


def test_sound_of_a_programme_that_begins_later_is_kept_at_its_time(good, tmp_path):
    """Its streams are met when the demuxer has read enough: until then it gives them the file's own start."""
    made = []
    for number, (service, first, begin) in enumerate(((1, 256, "0"), (7, 300, "1"))):
        path = tmp_path / f"{number}.ts"
        inputs = ["-f", "lavfi", "-i", "testsrc2=s=128x96:r=25:d=1", "-f", "lavfi", "-i", "sine=d=1"]
        words = ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-c:a", "mp2", "-streamid", f"0:{first}"]
        words += ["-streamid", f"1:{first + 1}", "-mpegts_service_id", str(service), "-output_ts_offset", begin]
        ffmpeg.run([*clips.ALWAYS, *inputs, *words, ffmpeg.file_url(path)], "making a programme")
        made.append(path.read_bytes())
    (tmp_path / "a.ts").write_bytes(b"".join(made))
    good("input=a.ts", "multi=2", "output=out.mkv", "model=hold")
    starts = [float(one.start) for one in probe(tmp_path / "out.mkv").others if one.kind == "audio"]
    assert starts == pytest.approx([0, 0.92], abs=0.05)


def test_what_lies_outside_of_a_cut_is_told(good, tmp_path, caplog):
    sounding(tmp_path / "late.mkv", "stereo", "flac", seconds=0.3, delay=0.6)
    good("input=late.mkv", "multi=2", "end=0.4", "output=out.mp4")
    assert any("nothing of it lies between start= and end=" in line for line in told(caplog))
    assert probe(tmp_path / "out.mp4").others == ()


@pytest.mark.parametrize(
    ("layout", "codec", "suffix", "becomes"),
    [
        ("4.0", "ac3", ".webm", "quad"),
        ("5.1(side)", "ac3", ".webm", "5.1"),
        ("2.1", "flac", ".webm", "3.0"),
        ("7.1(wide)", "flac", ".webm", "7.1"),
        ("7.1", "flac", ".m2ts", "5.1"),
        ("7.1", "flac", ".ts", "5.1"),
        ("hexadecagonal", "pcm_s16le", ".webm", "5.1"),
    ],
)
def test_channels_that_an_encoder_does_not_know_are_mixed_and_told(
    good, tmp_path, caplog, layout, codec, suffix, becomes
):
    sounding(tmp_path / ("a.mov" if codec == "pcm_s16le" else "a.mkv"), layout, codec)
    source = "a.mov" if codec == "pcm_s16le" else "a.mkv"
    good(f"input={source}", "multi=2", f"output=out{suffix}", "model=hold")
    assert any("audio 1" in line and f"becomes {becomes}" in line for line in told(caplog))
    (sound,) = probe(tmp_path / f"out{suffix}").others
    assert sound.channels in (becomes, f"{becomes}(side)")


@pytest.mark.parametrize(
    ("name", "codec", "rate", "suffix", "now"),
    [
        ("a.flv", ("nellymoser",), 44100, ".mkv", "aac"),
        ("a.nut", ("dfpwm",), 48000, ".mkv", "aac"),
        ("a.ts", ("s302m", "-strict", "-2"), 48000, ".mkv", "aac"),
        ("a.mkv", ("truehd", "-strict", "-2"), 48000, ".m2ts", "ac3"),
    ],
)
def test_sound_that_a_container_refuses_is_converted_and_told(good, tmp_path, caplog, name, codec, rate, suffix, now):
    sounding(tmp_path / name, "mono" if name != "a.ts" else "stereo", *codec, rate=rate)
    good(f"input={name}", "multi=2", f"output=out{suffix}", "model=hold")
    assert any(f"converted to {now} ({suffix} refuses it as it is" in line for line in told(caplog))
    assert [stream.codec for stream in probe(tmp_path / f"out{suffix}").others] == [now]


def test_a_remedy_is_named_only_if_it_works(good, tmp_path, caplog):
    sounding(tmp_path / "a.flv", "mono", "nellymoser", rate=44100)
    good("input=a.flv", "multi=2", "output=out.mp4", "model=hold")
    assert any("converted to aac" in line for line in told(caplog)) and not any("Try" in line for line in told(caplog))
    caplog.clear()
    sounding(tmp_path / "b.mkv", "stereo", "ac3")
    good("input=b.mkv", "multi=2", "output=b.webm", "model=hold")
    assert any("Try: an output that ends in .mkv copies it" in line for line in told(caplog))
    caplog.clear()
    good("input=b.mkv", "multi=2", "output=c.mkv", "model=hold")
    assert told(caplog) == [] and [one.codec for one in probe(tmp_path / "c.mkv").others] == ["ac3"]


def test_blu_ray_pcm_is_kept_without_loss_and_its_remedy_can_be_followed(good, tmp_path, caplog):
    film = clips.make_clip(tmp_path / "film.mkv", frames=12, audio=("eng",))
    words = [*clips.ALWAYS, "-i", ffmpeg.file_url(film), "-c:v", "libx264", "-c:a", "pcm_bluray"]
    ffmpeg.run([*words, "-f", "mpegts", "-mpegts_m2ts_mode", "1", ffmpeg.file_url(tmp_path / "blu.m2ts")], "a disc")

    def samples(path):
        words = ["-v", "error", "-i", ffmpeg.file_url(path), "-map", "0:a", "-c:a", "pcm_s24le", "-f", "md5", "-"]
        return ffmpeg.run(words, "hashing").stdout

    good("input=blu.m2ts", "multi=2", "output=a.mkv", "model=hold")
    (line,) = told(caplog)
    assert "converted to flac (.mkv cannot hold pcm_bluray; lossless)" in line and "Try" not in line
    assert samples(tmp_path / "a.mkv") == samples(tmp_path / "blu.m2ts")
    caplog.clear()
    good("input=blu.m2ts", "multi=2", "output=a.webm", "model=hold")
    assert any(line.endswith("Try: an output that ends in .m2ts copies it") for line in told(caplog))
    caplog.clear()
    good("input=blu.m2ts", "multi=2", "output=b.m2ts", "model=hold")
    assert told(caplog) == [] and [one.codec for one in probe(tmp_path / "b.m2ts").others] == ["pcm_bluray"]


@pytest.mark.parametrize("words", [("codec=h264", "preset=banana"), ("codec=mpeg2video", "output=out.mkv", "crf=300")])
def test_an_encoder_that_refuses_is_told_before_the_first_picture(command, tmp_path, words, monkeypatch):
    from vfi_pipeline.jobs import local

    clips.make_clip(tmp_path / "a.mkv", frames=3)
    monkeypatch.setattr(local, "interpolate_segments", lambda *_: pytest.fail("pictures were made"))
    refused = command("input=a.mkv", "multi=2", *words)
    assert refused.code == 2 and "Try: " in refused.err
    assert [path.name for path in tmp_path.iterdir()] == ["a.mkv"]


def test_a_title_that_mpeg_ts_cannot_hold_is_no_obstacle(good, tmp_path):
    clips.make_clip(tmp_path / "a.mkv", frames=3, tags={"title": "ü" * 400})
    good("input=a.mkv", "multi=2", "output=out.ts", "model=hold")


@pytest.mark.parametrize("suffix", [".mov", ".mp4", ".mkv", ".webm"])
@pytest.mark.parametrize("language", ["deu", "ger", "nld", "zho", "fra", "ces", "eng"])
def test_a_language_arrives_by_the_code_that_the_container_knows(good, tmp_path, suffix, language):
    clips.make_clip(tmp_path / "in.mkv", frames=5, audio=("eng", language))
    good("input=in.mkv", "multi=2", f"output=out{suffix}")
    sound = [stream.language for stream in probe(tmp_path / f"out{suffix}").others if stream.kind == "audio"]
    assert [one_code(code) for code in sound] == ["eng", one_code(language)]


@pytest.mark.parametrize(
    ("language", "suffix", "kept"), [("gsw", ".mov", None), ("nob", ".mov", None), ("gsw", ".mp4", "gsw")]
)
def test_a_language_that_the_container_does_not_know_is_told_before_the_work(
    good, tmp_path, caplog, language, suffix, kept
):
    clips.make_clip(tmp_path / "in.mkv", frames=5, audio=(language,))
    shown = good("input=in.mkv", "multi=2", f"output=out{suffix}", "dry_run=true").out
    good("input=in.mkv", "multi=2", f"output=out{suffix}")
    (sound,) = [stream for stream in probe(tmp_path / f"out{suffix}").others if stream.kind == "audio"]
    assert sound.language in (kept, kept and one_code(kept), "und" if kept is None else kept)
    line = f"the language tag {language} is LOST"
    assert (line in shown) == (kept is None) == any(line in text for text in told(caplog))


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
@pytest.mark.parametrize("multi", [4, 8])
def test_many_frames_a_second_of_a_broadcast_rate_pass_the_last_check(good, tmp_path, multi, suffix):
    clips.make_clip(tmp_path / "in.mp4", frames=90, rate="30000/1001")
    good("input=in.mp4", f"multi={multi}", f"output=out{suffix}")
    assert probe(tmp_path / f"out{suffix}").video.rate == Fraction(30000 * multi, 1001)
