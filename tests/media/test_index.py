"""The times of all frames, without decoding: equal to what a decoder yields, in every kind of file."""

from __future__ import annotations

import re
from fractions import Fraction

import av
import clips
import pytest

from vfi_pipeline.errors import UserError
from vfi_pipeline.media import ffmpeg
from vfi_pipeline.media.index import index, source_times, steady_ticks, vp9_is_shown
from vfi_pipeline.media.probe import probe
from vfi_pipeline.media.reader import read_frames


def seconds(path) -> list[Fraction]:
    times = source_times(probe(path))
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
    assert source_times(probe(path)).last_duration > 0


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
    found = source_times(probe(path))
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

    found = source_times(probe(path))
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
    times = source_times(probe(tmp_path / "seq", image_rate=Fraction(24000, 1001)))
    assert [times.time(k) for k in range(4)] == [Fraction(1001 * k, 24000) for k in range(4)]
    assert times.last_duration == Fraction(1001, 24000)


def test_the_index_is_renewed_when_the_file_changes(tmp_path):
    path = clips.make_clip(tmp_path / "a.mkv", frames=6)
    info = probe(path)
    assert len(source_times(info)) == 6
    clips.make_clip(tmp_path / "b.mkv", frames=9).replace(path)
    assert len(source_times(info)) == 9
    path.unlink()
    with pytest.raises(UserError, match="is gone"):
        source_times(info)


def test_steady_ticks_by_hand():
    step = Fraction(10)
    assert steady_ticks([0, 10, 25, 30], step) == [0, 10, 25, 30]
    assert steady_ticks([None, None, None], step) == [0, 10, 20]
    assert steady_ticks([5, None, 25, None], step) == [5, 15, 25, 35]
    assert steady_ticks([100, 110, 0, 10, 20], step) == [100, 110, 120, 130, 140]  # the clock was reset
    assert steady_ticks([0, 10, 10, 20], step) == [0, 10, 20, 30]
    assert steady_ticks([None, None, None], step, decoding=[7, 3, 5]) == [3, 5, 7]
    assert steady_ticks([None] * 4, Fraction(10, 3)) == [0, 3, 7, 10]
