"""The times of all frames, without decoding: equal to what a decoder yields, in every kind of file."""

from __future__ import annotations

import re
from fractions import Fraction

import av
import clips
import pytest

from vfi_pipeline.errors import UserError
from vfi_pipeline.media import ffmpeg
from vfi_pipeline.media.film_times import film_times
from vfi_pipeline.media.index import index, vp9_is_shown
from vfi_pipeline.media.probe import probe
from vfi_pipeline.media.reader import read_frames


def seconds(path) -> list[Fraction]:
    times = index(probe(path)).times
    return [times.time(k) for k in range(len(times))]


def decoded_seconds(path) -> list[Fraction]:
    """An independent witness: ffmpeg's own decoder and clock."""
    witness = clips.describe(path)
    base = Fraction(witness["time_base"])
    return [pts * base for pts in witness["pts"]]


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".mov", ".webm", ".ts", ".nut"])
def test_times_are_those_that_ffmpeg_decodes(tmp_path, suffix):
    path = clips.make_clip(tmp_path / f"a{suffix}", rate="30000/1001", frames=20, audio=["eng"])
    assert seconds(path) == decoded_seconds(path)
    assert not index(probe(path)).counted


def test_vfr_times_and_the_last_frames_own_duration(tmp_path):
    path = clips.vfr_clip(tmp_path / "a.mp4")
    assert seconds(path) == decoded_seconds(path)
    assert index(probe(path)).times.last_duration > 0


def test_b_frames_are_sorted(tmp_path):
    x264 = ["-c:v", "libx264", "-bf", "3", "-g", "12", "-crf", "20"]
    for suffix in (".mp4", ".mkv", ".ts"):
        path = clips.make_clip(tmp_path / f"a{suffix}", frames=30, codec=x264)
        found = seconds(path)
        assert len(found) == 30 and found == sorted(found)
        assert {b - a for a, b in zip(found, found[1:])} == {Fraction(1, 25)}


def test_start_times_are_kept(tmp_path):
    assert seconds(clips.make_clip(tmp_path / "a.mkv", start=2, frames=5))[0] == 2
    path = clips.make_clip(tmp_path / "b.ts", frames=5)
    assert seconds(path)[0] > 1 and seconds(path) == decoded_seconds(path)


def test_frames_that_an_edit_list_hides_do_not_count(tmp_path):
    x264 = ["-c:v", "libx264", "-g", "30", "-bf", "2", "-qp", "0"]
    whole = clips.make_clip(tmp_path / "a.mp4", frames=40, codec=x264)
    cut = tmp_path / "cut.mp4"  # copied from the middle of a group of pictures: an edit list hides what leads up to it
    command = [*clips.ALWAYS, "-ss", "0.4", "-i", ffmpeg.file_url(whole), "-c", "copy", ffmpeg.file_url(cut)]
    ffmpeg.run(command, doing="cutting")

    with av.open(str(cut)) as container:
        packets = sum(1 for packet in container.demux(video=0) if packet.size)
    found = seconds(cut)

    assert packets > len(found) == 30
    assert found[0] == 0 and found == decoded_seconds(cut)
    with read_frames(probe(cut)) as frames:
        assert [frame.time for frame in frames] == found


def test_hidden_reference_frames_do_not_count(tmp_path):
    hidden = ["-b:v", "200k", "-auto-alt-ref", "1", "-lag-in-frames", "16", "-cpu-used", "8"]
    for codec in ("libvpx", "libvpx-vp9"):
        path = clips.make_clip(tmp_path / f"{codec}.webm", frames=40, size=(96, 64), codec=["-c:v", codec, *hidden])
        assert len(seconds(path)) == 40
        assert seconds(path) == decoded_seconds(path)


def test_vp9_headers_by_hand():
    shown, hidden = bytes([0b10000010, 0]), bytes([0b10000000, 0])  # marker 10, profile 0, no existing, key, show
    existing = bytes([0b10001000])
    assert vp9_is_shown(shown) and vp9_is_shown(existing) and not vp9_is_shown(hidden)
    index_byte = 0b11000000 | (2 - 1)  # two frames, sizes of one byte
    superframe = hidden + shown + bytes([index_byte, 2, 2, index_byte])
    assert vp9_is_shown(superframe)
    assert not vp9_is_shown(hidden + hidden + bytes([index_byte, 2, 2, index_byte]))


def test_a_raw_stream_without_a_clock_is_counted(tmp_path):
    x264 = ["-c:v", "libx264", "-bf", "2", "-g", "10"]
    path = clips.make_clip(tmp_path / "a.h264", frames=25, rate=25, codec=x264)
    found = index(probe(path)).times
    assert len(found) == 25
    assert {found.time(k + 1) - found.time(k) for k in range(24)} == {Fraction(1, 25)}


def restamped(path, changes: dict[int, int]):
    """A Matroska file of one short cluster with time stamps (ms) changed in its blocks: id, size, track 1, 16 bit."""
    data = path.read_bytes()
    places = {}
    for old in changes:
        found = re.search(rb"\xa3(?:[\x40-\x7f].|[\x80-\xff])\x81" + re.escape(old.to_bytes(2, "big")), data, re.DOTALL)
        places[old] = found.end() - 2
    for old, at in places.items():
        data = data[:at] + changes[old].to_bytes(2, "big", signed=True) + data[at + 2 :]
    path.write_bytes(data)
    return path


def test_equal_time_stamps_count_once_and_the_first_is_shown(tmp_path):
    path = restamped(clips.make_clip(tmp_path / "a.mkv", frames=6, content="noise"), {120: 80})

    found = index(probe(path)).times
    with read_frames(probe(path)) as frames:
        read = list(frames)

    assert [found.time(k) * 25 for k in range(len(found))] == [0, 1, 2, 4, 5]
    assert len(read) == 5
    for frame, n in zip(read, (0, 1, 2, 4, 5)):
        assert (frame.planes[0] == clips.planes(n)[0]).all()


def test_negative_time_stamps_are_times_too(tmp_path):
    path = restamped(clips.make_clip(tmp_path / "a.mkv", frames=6), {0: -80, 40: -40, 80: 0, 120: 40})
    assert seconds(path) == [Fraction(t, 1000) for t in (-80, -40, 0, 40, 160, 200)]
    with read_frames(probe(path)) as frames:
        assert [frame.time for frame in frames] == seconds(path)


def test_an_image_sequence_has_even_times(tmp_path):
    clips.make_pictures(tmp_path / "seq", frames=4)
    times = index(probe(tmp_path / "seq", image_rate=Fraction(24000, 1001))).times
    assert [times.time(k) for k in range(4)] == [Fraction(1001 * k, 24000) for k in range(4)]
    assert times.last_duration == Fraction(1001, 24000)


def test_the_index_is_renewed_when_the_file_changes(tmp_path):
    path = clips.make_clip(tmp_path / "a.mkv", frames=6)
    info = probe(path)
    assert len(index(info).times) == 6
    clips.make_clip(tmp_path / "b.mkv", frames=9).replace(path)
    assert len(index(info).times) == 9
    path.unlink()
    with pytest.raises(UserError, match="is gone"):
        index(info)


def without_block_durations(path):
    """The Matroska file as most muxers write it: BlockDuration (0x9B, one byte of size) becomes Void."""
    data = bytearray(path.read_bytes())
    for found in re.finditer(rb"\x9b(?=[\x81\x82\x84])", bytes(data)):
        data[found.start()] = 0xEC
    path.write_bytes(bytes(data))
    return path


def held_at_the_end(path, last: int = 2000):
    """A film of 12 frames at 25 fps whose last frame lasts ``last`` ms, as its container says it."""
    film = clips.make_clip(path.with_name(f"plain-{path.name}"), frames=12, content="noise")
    hold = f"setts=duration=if(eq(N\\,11)\\,{last}/1000/TB\\,DURATION)"
    command = [*clips.ALWAYS, "-i", ffmpeg.file_url(film), "-c", "copy", "-bsf:v", hold, ffmpeg.file_url(path)]
    ffmpeg.run(command, doing="holding the last frame")
    return path


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_the_last_frame_stays_for_its_own_duration(tmp_path, suffix):
    found = index(probe(held_at_the_end(tmp_path / f"a{suffix}"))).times
    assert len(found) == 12 and abs(found.span - Fraction(11, 25) - 2) < Fraction(1, 500)
    assert found.even_at(Fraction(25)).span == found.span


def test_matroska_without_block_durations_states_the_end_once(tmp_path):
    path = without_block_durations(held_at_the_end(tmp_path / "a.mkv"))
    with av.open(str(path)) as container:
        assert max(packet.duration for packet in container.demux(video=0) if packet.size) == 40
    found = index(probe(path))
    assert found.times.span == Fraction(244, 100) and found.damaged_at is None

    cut = tmp_path / "cut.mkv"  # the same statement in a file that was cut off is no hold
    cut.write_bytes(path.read_bytes()[: path.stat().st_size * 3 // 4])
    assert "promises" in index(probe(cut)).damage


def test_gif_and_apng_hold_their_last_picture(tmp_path):
    from PIL import Image

    pictures = [Image.fromarray(clips.planes(n, content="motion")[0]) for n in range(4)]
    for name in ("a.gif", "a.png"):
        times = {"duration": [100, 100, 100, 1500], "loop": 0}
        pictures[0].save(tmp_path / name, save_all=True, append_images=pictures[1:], **times)
        found = index(probe(tmp_path / name)).times
        assert (len(found), found.span) == (4, Fraction(18, 10))


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".nut", ".ts"])
@pytest.mark.parametrize("b_frames", [0, 2])
@pytest.mark.parametrize("away", ["+40", "-40", "+0.3"])
def test_one_wild_time_stamp_is_mended_and_told(tmp_path, suffix, b_frames, away):
    """``setts`` moves the presentation time of one packet alone."""
    x264 = ["-c:v", "libx264", "-bf", str(b_frames), "-preset", "fast", "-qp", "0"]
    film = clips.make_clip(tmp_path / "film.mp4", frames=25, codec=x264, content="motion")
    if suffix == ".mkv" and away == "-40":
        pytest.skip("ffmpeg shifts a Matroska file with times before 0 as a whole")
    move = f"setts=pts=if(eq(N\\,12)\\,PTS{away}/TB\\,PTS)"
    path = tmp_path / f"wild{suffix}"
    command = [*clips.ALWAYS, "-i", ffmpeg.file_url(film), "-c", "copy", "-bsf:v", move, "-avoid_negative_ts", "0"]
    ffmpeg.run([*command, ffmpeg.file_url(path)], doing="moving a time stamp")

    info = probe(path)
    _, times, notes = film_times(info, index(info))
    steps = {times.time(k + 1) - times.time(k) for k in range(24)}
    assert len(times) == 25 and all(abs(step - Fraction(1, 25)) < Fraction(1, 500) for step in steps)
    assert abs(times.span - 1) < Fraction(1, 20)
    assert "time stamp is wrong" in notes[0]
    with read_frames(info) as frames:
        assert len(list(frames)) == 25


@pytest.mark.parametrize(("suffix", "rate"), [(".mkv", "24"), (".mkv", "30000/1001"), (".mp4", "25"), (".ts", "50")])
def test_frames_that_are_missing_from_an_even_film_are_named(tmp_path, suffix, rate):
    film = clips.make_clip(tmp_path / "film.mkv", rate=rate, frames=40, codec=["-c:v", "libx264", "-g", "1"])
    path = tmp_path / f"holed{suffix}"
    command = [*clips.ALWAYS, "-i", ffmpeg.file_url(film), "-c", "copy", "-bsf:v", "noise=drop=between(n\\,15\\,19)"]
    ffmpeg.run([*command, ffmpeg.file_url(path)], doing="dropping packets")
    info = probe(path)

    _, times, notes = film_times(info, index(info))

    assert len(times) == 35
    (note,) = [note for note in notes if "missing" in note]
    assert note.startswith("5 frames are missing after frame 14, at ")


def test_films_of_a_variable_rate_and_single_held_frames_miss_nothing(tmp_path):
    film = clips.make_clip(tmp_path / "film.mkv", frames=60, codec=["-c:v", "libx264", "-g", "1"])
    drops = {"often": "lt(mod(n\\,10)\\,4)*gt(n\\,9)", "one": "eq(n\\,30)"}
    for name, drop in drops.items():
        path = tmp_path / f"{name}.mkv"
        command = [*clips.ALWAYS, "-i", ffmpeg.file_url(film), "-c", "copy", "-bsf:v", f"noise=drop={drop}"]
        ffmpeg.run([*command, ffmpeg.file_url(path)], doing="dropping packets")
        info = probe(path)
        assert not any("missing" in note for note in film_times(info, index(info))[2]), name


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".nut", ".ts"])
def test_frames_that_pile_up_behind_a_wild_time_stamp_follow_each_other(tmp_path, suffix):
    """``setts`` moves both times of one packet, and muxers then push all later ones behind it."""
    film = clips.make_clip(tmp_path / "film.mp4", frames=25, codec=["-c:v", "libx264", "-bf", "0", "-qp", "0"])
    path = tmp_path / f"piled{suffix}"
    move = "setts=ts=if(eq(N\\,12)\\,TS+40/TB\\,TS)"
    command = [*clips.ALWAYS, "-i", ffmpeg.file_url(film), "-c", "copy", "-bsf:v", move, ffmpeg.file_url(path)]
    ffmpeg.run(command, doing="moving a time stamp")
    found = index(probe(path))
    assert len(found.times) == 25 and abs(found.times.span - 1) < Fraction(1, 20)
    assert "13 time stamps are wrong" in found.notes[0]
