"""DFI and exemplars by the command: pictures, animations, films; what is refused, and with which remedy."""

from __future__ import annotations

import clips
import numpy as np
import pytest
from PIL import Image
from tiny_network import TinyNetwork

from vfi_pipeline.data.drawn_faces import drawn_face, write_sets
from vfi_pipeline.jobs import local
from vfi_pipeline.media import probe
from vfi_pipeline.media.reader import read_frames
from vfi_pipeline.nets import features as networks

DFI = ("sources=faces/neutral", "targets=faces/smiling", "edit_size=32", "neighbours=3")
QUICK = ("model=dfi", "model.iterations=4", *DFI)


@pytest.fixture(autouse=True)
def faces(tmp_path, monkeypatch):
    monkeypatch.setattr(networks, "features", lambda name="vgg", pooling="max": TinyNetwork())
    write_sets(tmp_path / "faces", people=8, size=40)
    Image.open(tmp_path / "faces/new.png").save(tmp_path / "face.png")
    return tmp_path


def pixels(path):
    return np.asarray(Image.open(path))


def frames(path):
    with read_frames(probe.probe(path)) as found:
        return list(found)


class TestOnePicture:
    def test_a_strength_alone_makes_one_picture(self, good, tmp_path):
        good("input=face.png", *QUICK, "strength=0.3")
        made = pixels(tmp_path / "face_dfi.png")
        assert made.shape == (40, 40, 3) and not np.array_equal(made, pixels(tmp_path / "face.png"))
        good("input=face.png", *QUICK, "t=0.3", "output=t.png")
        assert np.array_equal(pixels(tmp_path / "t.png"), made)

    def test_sets_alone_say_that_it_is_dfi(self, command, tmp_path):
        import interpolate

        assert interpolate.main(["input=face.png", *DFI, "model.iterations=4", "output=a.png"]) == 0
        assert (tmp_path / "a.png").is_file()

    def test_strength_zero_is_the_picture_bit_for_bit(self, good, tmp_path):
        good("input=face.png", *QUICK, "t=[0,0.2]", "output=%d.png")
        assert np.array_equal(pixels(tmp_path / "1.png"), pixels(tmp_path / "face.png"))
        assert not np.array_equal(pixels(tmp_path / "2.png"), pixels(tmp_path / "face.png"))

    def test_an_animation_goes_from_the_picture_to_the_strength(self, good, tmp_path):
        good("input=face.png", *QUICK, "strength=0.2", "frames=5", "output=%d.png")
        assert np.array_equal(pixels(tmp_path / "1.png"), pixels(tmp_path / "face.png"))
        good("input=face.png", *QUICK, "t=0.2", "output=end.png")
        assert np.array_equal(pixels(tmp_path / "5.png"), pixels(tmp_path / "end.png"))
        made = [pixels(tmp_path / f"{k}.png").astype(int) for k in range(1, 6)]
        away = [np.abs(each - pixels(tmp_path / "face.png")).mean() for each in made]
        assert away == sorted(away)

    @pytest.mark.parametrize("kind", ["grey", "alpha", "sixteen"])
    def test_other_formats(self, good, tmp_path, kind):
        rgb = drawn_face(1001, 0.0, 44)
        if kind == "grey":
            Image.fromarray(rgb[..., 0]).save(tmp_path / "x.png")
        elif kind == "alpha":
            Image.fromarray(np.dstack((rgb, np.full((44, 44), 128, np.uint8)))).save(tmp_path / "x.png")
        else:
            Image.fromarray(rgb[..., 0].astype(np.uint16) * 257).save(tmp_path / "x.png")
        good("input=x.png", *QUICK, "t=[0,0.2]", "output=%d.png")
        first, last = pixels(tmp_path / "1.png"), pixels(tmp_path / "2.png")
        assert np.array_equal(first, pixels(tmp_path / "x.png")) and first.shape == last.shape
        assert first.dtype == last.dtype and not np.array_equal(first, last)
        if kind == "alpha":
            assert np.array_equal(first[..., 3], last[..., 3])

    def test_the_same_command_gives_the_same_picture(self, good, tmp_path):
        for name in ("a.png", "b.png"):
            good("input=face.png", *QUICK, "strength=0.2", f"output={name}")
        assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()

    def test_preview_and_sheet(self, good, tmp_path):
        good(
            "input=face.png", *QUICK, "strength=0.2", "frames=3", "preview=live.png", "sheet=sheet.png", "output=a.mp4"
        )
        assert (tmp_path / "live.png").is_file() and (tmp_path / "sheet.png").is_file()

    def test_a_shifted_face_is_told(self, good, tmp_path, caplog):
        shifted = np.roll(pixels(tmp_path / "face.png"), 9, axis=1)
        shifted[:, :9] = shifted[:, 9:10]
        Image.fromarray(shifted).save(tmp_path / "moved.png")
        good("input=face.png", *QUICK, "strength=0.1", "output=a.png")
        assert "aligned" not in caplog.text
        good("input=moved.png", *QUICK, "strength=0.1", "output=b.png")
        assert "moved.png is not aligned" in caplog.text and "to the right" in caplog.text and "Try:" in caplog.text


@pytest.mark.parametrize(
    ("words", "problem", "remedy"),
    [
        (("model=dfi",), "sources= is not given", "sources=neutral/ targets=smiling/"),
        (("model=dfi", "sources=faces/neutral"), "targets= is not given", "targets="),
        (("model=dfi", "sources=nowhere", "targets=faces/smiling"), "sources=nowhere does not exist", "check the name"),
        (("model=dfi", "sources=empty", "targets=faces/smiling"), "holds no pictures", "put pictures there"),
        (("model=dfi", "sources=faces/..", "targets=faces/smiling", "t=3"), "t=3 is outside", "extrapolate=true"),
        (("model=dfi", "sources=folder", "targets=faces/smiling"), "sources=folder holds no pictures", "folder/inner"),
        (("model=dfi", "sources=faces/neutral", "targets=faces/neutral"), "same pictures", "another folder"),
        (("model=dfi", "sources=wide", "targets=faces/smiling"), "wide.png of sources= is 90x30", "one shape"),
        (("model=dfi", *DFI, "exemplars=faces/neutral"), "exemplars= means nothing", "leave one"),
        (("model=dfi", *DFI, "attribute=0.3"), "attribute= is for films", "leave out attribute="),
        (("model=dfi", *DFI, "save_maps=true"), "save_maps= is about motion", "leave out save_maps="),
        (("model=dfi", *DFI, "direction=backward"), "direction= is about motion", "strength=[-0.4,0] extrapolate=true"),
        (("model=dfi", *DFI, "strength=1.5", "duration=1"), "outside of 0 to 1", "extrapolate=true"),
        (("model=dfi", *DFI, "strength=-0.3"), "outside of 0 to 1", "extrapolate=true"),
        (("model=fit", *DFI, "duration=1"), "sources= means nothing to model=fit", "model=dfi"),
        (("model=dfi", *DFI, "neighbours=0"), "neighbours=0", "neighbours="),
        (("model=dfi", *DFI, "fps=60", "multi=2"), "multi= is for films", "leave out multi="),
        (("exemplars=empty", "model=exemplars"), "exemplars=empty holds no pictures", "put pictures there"),
        (("model=exemplars",), "needs pictures to take the look from", "exemplars="),
        (("exemplars=faces/neutral", "model=exemplars", "edit_size=64"), "edit_size= is for model=dfi", "leave out"),
    ],
)  # fmt: skip
def test_mistakes_are_told_in_two_lines(command, faces, words, problem, remedy):
    (faces / "empty").mkdir()
    (faces / "folder/inner").mkdir(parents=True)
    (faces / "wide").mkdir()
    Image.new("RGB", (90, 30)).save(faces / "wide/wide.png")
    result = command("input=face.png", *words, "output=never.png")
    assert result.code in (2, 3) and problem in result.err and remedy in result.err, result.err
    assert not (faces / "never.png").exists()


def test_two_pictures_are_refused(command):
    result = command("input=[face.png,faces/new.png]", *QUICK, "duration=1")
    assert result.code == 2 and "edits one picture, and 2 were given" in result.err


def test_missing_weights_are_told_before_any_work(command, monkeypatch, tmp_path):
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(networks, "wheel_file", lambda name: None)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "none"))
    clips.make_clip(tmp_path / "a.mkv", frames=3)
    for job in (("input=face.png", *QUICK), ("input=a.mkv", "multi=1", "attribute=0.3", *DFI, "model=blend")):
        result = command(*job)
        assert result.code == 4 and "weights of the feature network vgg" in result.err and "make features" in result.err


class TestExemplars:
    def test_a_picture_in_the_look_of_a_folder(self, command, tmp_path):
        import interpolate

        assert interpolate.main(["input=face.png", "exemplars=faces/smiling", "output=out.png"]) == 0
        made = pixels(tmp_path / "out.png")
        assert made.shape == (40, 40, 3) and not np.array_equal(made, pixels(tmp_path / "face.png"))

    def test_the_picture_as_its_own_exemplar_comes_back(self, good, tmp_path):
        good("input=face.png", "exemplars=face.png", "model=exemplars", "output=out.png")
        assert np.abs(pixels(tmp_path / "out.png").astype(int) - pixels(tmp_path / "face.png")).max() <= 1

    def test_an_animation(self, good, tmp_path):
        good("input=face.png", "exemplars=faces/smiling", "model=exemplars", "frames=3", "output=%d.png")
        good("input=face.png", "exemplars=faces/smiling", "model=exemplars", "output=out.png")
        assert np.array_equal(pixels(tmp_path / "1.png"), pixels(tmp_path / "face.png"))
        assert np.array_equal(pixels(tmp_path / "3.png"), pixels(tmp_path / "out.png"))


class TestFilms:
    @pytest.mark.parametrize(
        "edit", [(*DFI, "attribute=0.2"), ("exemplars=faces/neutral",)], ids=["attribute", "exemplars"]
    )
    def test_every_source_frame_is_edited_and_the_rest_stays(self, good, tmp_path, edit):
        source = clips.make_clip(tmp_path / "a.mkv", frames=3, size=(64, 64), audio=("eng",))
        good("input=a.mkv", "multi=2", *edit, "model=flow", "codec=ffv1", "output=b.mkv", "scene=off")
        before, after = probe.probe(source), probe.probe(tmp_path / "b.mkv")
        assert after.video.rate == 2 * before.video.rate and len(after.others) == len(before.others)
        old, new = frames(source), frames(tmp_path / "b.mkv")
        assert len(new) == 6 and new[0].format == old[0].format
        for k in range(3):
            assert not np.array_equal(new[2 * k].planes[0], old[k].planes[0])

    def test_an_attribute_of_zero_is_the_film(self, good, tmp_path):
        clips.make_clip(tmp_path / "a.mkv", frames=3, size=(64, 48))
        good("input=a.mkv", "multi=2", "codec=ffv1", "output=plain.mkv")
        good("input=a.mkv", "multi=2", "codec=ffv1", *DFI, "attribute=0", "output=b.mkv")
        assert clips.describe(tmp_path / "b.mkv")["md5"] == clips.describe(tmp_path / "plain.mkv")["md5"]

    @pytest.mark.parametrize(
        ("words", "problem"),
        [
            (("attribute=0.4",), "sources= is not given"),
            (DFI, "how much of it a film is to have was not said"),
            ((*DFI, "attribute=0.4", "exemplars=faces/neutral"), "both repaint"),
            ((*DFI, "attribute=0.4", "style=mosaic"), "both repaint"),
            (("exemplars=faces/neutral", "neighbours=4"), "neighbours= is for an attribute"),
            ((*DFI, "attribute=9"), "attribute"),
        ],
    )
    def test_mistakes(self, command, tmp_path, words, problem):
        clips.make_clip(tmp_path / "a.mkv", frames=3)
        result = command("input=a.mkv", "multi=2", *words, "output=b.mkv")
        assert result.code in (2, 3) and problem in result.err and "Try:" in result.err
        assert not (tmp_path / "b.mkv").exists()

    @pytest.mark.slow
    @pytest.mark.parametrize(
        "edit", [(*DFI, "attribute=0.2"), ("exemplars=faces/neutral",)], ids=["attribute", "exemplars"]
    )
    def test_a_stopped_film_goes_on_as_if_it_had_not_been(self, command, tmp_path, monkeypatch, edit):
        clips.make_clip(tmp_path / "a.mkv", frames=10, size=(48, 48))
        job = ("input=a.mkv", "multi=1", "segment=0.15", *edit, "model=flow", "codec=ffv1", "scene=off")
        assert command(*job, "output=whole.mkv").code == 0
        real = local.open_writer

        def broken(path, *args, **kwargs):
            if path.name.startswith("segment_00001"):
                raise OSError(28, "No space left on device")
            return real(path, *args, **kwargs)

        monkeypatch.setattr(local, "open_writer", broken)
        assert command(*job, "output=b.mkv").code == 4
        monkeypatch.setattr(local, "open_writer", real)
        Image.fromarray(drawn_face(3, 0.2, 40)).save(tmp_path / "faces/neutral/extra.png")
        changed = command(*job, "output=b.mkv")
        assert changed.code == 2 and "style" in changed.err  # another set is another job
        (tmp_path / "faces/neutral/extra.png").unlink()
        assert command(*job, "output=b.mkv").code == 0
        assert clips.describe(tmp_path / "b.mkv")["md5"] == clips.describe(tmp_path / "whole.mkv")["md5"]
