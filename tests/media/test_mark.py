"""The mark of results: found in every kind of output, and in nothing else."""

from __future__ import annotations

import av
import clips
import pytest
from outputs import make_output
from PIL import Image

from vfi_pipeline.media.mark import is_result, mark


@pytest.mark.parametrize("suffix", [".mp4", ".m4v", ".mov", ".mkv", ".webm", ".nut", ".ts", ".m2ts"])
def test_films_are_marked(tmp_path, suffix):
    source = clips.make_clip(tmp_path / "a.mkv", frames=3, audio=("eng",), tags={"title": "x" * 3000})
    made = make_output(source, tmp_path / f"b{suffix}", parts=(3,))
    assert is_result(made.path) and not is_result(source)


def test_a_long_film_is_marked_at_the_end_of_its_moov(tmp_path):
    source = clips.make_clip(tmp_path / "a.mkv", frames=3)
    made = make_output(source, tmp_path / "b.m4v", parts=(3,))
    data = made.path.read_bytes()
    at = data.index(b"udta") - 4  # samples by the million would lie before it
    free = (2_000_000).to_bytes(4, "big") + b"free" + bytes(2_000_000 - 8)
    moov = data.index(b"moov") - 4
    length = int.from_bytes(data[moov : moov + 4], "big") + len(free)
    made.path.write_bytes(data[:moov] + length.to_bytes(4, "big") + data[moov + 4 : at] + free + data[at:])
    assert is_result(made.path)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.gif", "anim.png", "anim.webp"])
def test_pictures_are_marked_and_look_the_same(tmp_path, name):
    pictures = [Image.effect_noise((40, 30), 40 + n).convert("RGB") for n in range(3)]
    path = tmp_path / name
    more = {"save_all": True, "append_images": pictures[1:]} if "anim" in name or name == "a.gif" else {}
    pictures[0].save(path, **more)

    def content():
        with Image.open(path) as picture:
            shown = []
            for n in range(getattr(picture, "n_frames", 1)):
                picture.seek(n)
                shown.append(picture.convert("RGB").tobytes())
            return shown

    before = content()
    assert not is_result(path)
    mark(path)
    assert is_result(path) and content() == before
    if name != "anim.webp":  # which this libavformat does not read
        with av.open(str(path)) as container:
            assert sum(1 for _ in container.decode(video=0)) == len(before)


def test_other_files_are_none(tmp_path):
    for name, content in (("a.mp4", b""), ("b.mp4", b"\0\0\0\x08ftypisom"), ("c.txt", b"vfi-pipeline is a program")):
        (tmp_path / name).write_bytes(content)
        assert not is_result(tmp_path / name)
    assert not is_result(tmp_path / "nowhere.mp4")
