"""Primitives of a picture, and the warp that picture and primitive share."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from vfi_pipeline.data.drawn_faces import drawn_face, write_sets
from vfi_pipeline.data.modules.single_image import SingleImage
from vfi_pipeline.data.picture_sets import read_set, set_digest, set_files
from vfi_pipeline.data.primitives import LINE, PAPER, Palette, nearest_colours, palette_of, primitive_of
from vfi_pipeline.data.single_image import SingleImageSet, random_displacement, snapped
from vfi_pipeline.errors import UserError
from vfi_pipeline.geometry import folding

FACE = drawn_face(5, 0.0, 64)


class TestPrimitives:
    @pytest.mark.parametrize("kind", ["super", "segments", "edges"])
    def test_a_primitive_has_the_palettes_colours_alone(self, kind):
        palette = palette_of(FACE, kind, 6)
        made = primitive_of(FACE, palette)
        found = {tuple(int(v) for v in colour) for colour in made.reshape(-1, 3)}
        assert made.shape == FACE.shape and found <= set(palette.colours) and len(found) > 1

    def test_areas_of_flat_colours_are_those_colours(self):
        picture = np.zeros((40, 40, 3), np.uint8)
        picture[:, :20], picture[:, 20:] = (200, 40, 40), (40, 40, 200)
        palette = palette_of(picture, "segments", 2, smoothing=0)
        assert set(palette.areas) == {(200, 40, 40), (40, 40, 200)}
        assert np.array_equal(primitive_of(picture, palette), picture)

    def test_lines_lie_on_edges_and_areas_on_both_sides(self):
        picture = np.zeros((40, 40, 3), np.uint8)
        picture[:, :20], picture[:, 20:] = (220, 60, 60), (60, 60, 220)
        made = primitive_of(picture, palette_of(picture, "super", 2))
        lines = np.argwhere((made == LINE).all(axis=2))
        assert set(lines[:, 1]) <= {18, 19, 20, 21} and len(lines) >= 38
        assert np.array_equal(np.unique(made[:, :16].reshape(-1, 3), axis=0), [[220, 60, 60]])

    def test_edges_alone_are_lines_on_paper(self):
        assert palette_of(FACE, "edges").colours == (PAPER, LINE)

    def test_no_area_is_taken_for_a_line(self):
        picture = np.zeros((20, 20, 3), np.uint8)
        picture[:10] = 200
        palette = palette_of(picture, "super", 2)
        assert LINE not in palette.areas and len(set(palette.colours)) == 3

    def test_the_same_seed_gives_the_same_palette(self):
        assert palette_of(FACE, "super", 8, seed=3) == palette_of(FACE, "super", 8, seed=3)

    def test_soft_brushes_are_taken_for_the_nearest_colour(self):
        colours = ((0, 0, 0), (255, 0, 0), (0, 0, 255))
        pixels = np.array([[[20, 10, 0], [200, 30, 30], [60, 0, 140]]], np.uint8)
        assert nearest_colours(pixels, colours).tolist() == [[[0, 0, 0], [255, 0, 0], [0, 0, 255]]]

    def test_an_unknown_kind_is_refused(self):
        with pytest.raises(ValueError, match="super, segments, edges"):
            palette_of(FACE, "sketch")


def ramps(size=64):
    """A picture whose colours say where a pixel came from, as its own primitive."""
    y, x = torch.meshgrid(torch.linspace(0, 1, size), torch.linspace(0, 1, size), indexing="ij")
    return torch.stack((x, y, torch.zeros_like(x)))[None]


@pytest.mark.parametrize("augmentation", ["tps", "crop", "none"])
def test_picture_and_primitive_are_warped_by_one_map(augmentation, monkeypatch):
    monkeypatch.setattr("vfi_pipeline.data.single_image.snapped", lambda primitive, palette: primitive)
    samples = SingleImageSet(ramps(), 1 - ramps(), Palette("segments", ()), augmentation)
    for counter in range(6):
        sample = samples[counter]
        assert torch.allclose(sample.first, 1 - sample.last, atol=1e-5)
        moved = not torch.allclose(sample.first, ramps()[0], atol=1e-4)
        assert moved == (augmentation != "none")


def test_a_sample_is_decided_by_seed_and_counter():
    palette = palette_of(FACE, "super", 6)
    parts = [
        torch.from_numpy(p.copy()).permute(2, 0, 1)[None].float() / 255 for p in (primitive_of(FACE, palette), FACE)
    ]
    one, other = (SingleImageSet(*parts, palette, seed=4) for _ in range(2))
    assert torch.equal(one[7].first, other[7].first) and torch.equal(one[7].last, other[7].last)
    assert not torch.equal(one[7].last, one[8].last)
    assert not torch.equal(one[7].last, SingleImageSet(*parts, palette, seed=5)[7].last)


def test_random_splines_move_and_do_not_fold():
    for seed in range(12):
        flow = random_displacement((48, 64), np.random.default_rng(seed))
        assert flow.shape == (1, 2, 48, 64)
        assert 1 < float(flow.norm(dim=1).max()) < 20
        assert float(folding(flow)[1]) < 0.02


def test_snapping_leaves_a_primitive_as_it_is():
    palette = palette_of(FACE, "super", 6)
    primitive = torch.from_numpy(primitive_of(FACE, palette)).permute(2, 0, 1)[None].float() / 255
    assert torch.equal(snapped(primitive, palette), primitive)
    assert torch.equal(snapped(primitive + 0.01, palette), primitive)


class TestTheDataModule:
    @pytest.fixture()
    def picture(self, tmp_path):
        Image.fromarray(drawn_face(5, 0.0, 96)).save(tmp_path / "y.png")
        return tmp_path / "y.png"

    def test_its_first_judged_sample_is_the_picture_itself(self, picture):
        data = SingleImage(str(picture), size=48)
        assert torch.equal(data.val_set()[0].last, data.picture[0]) and data.picture.shape == (1, 3, 48, 48)
        assert torch.equal(data.val_set()[0].first, data.primitive[0]) and len(data.val_set()) == 4

    def test_it_writes_what_is_to_be_edited(self, picture, tmp_path):
        data = SingleImage(str(picture), size=48)
        data.write_pictures(tmp_path / "out")
        read = np.asarray(Image.open(tmp_path / "out/primitive.png"))
        assert np.array_equal(read, (data.primitive[0].permute(1, 2, 0) * 255).round().byte().numpy())

    def test_a_primitive_of_ones_own(self, picture, tmp_path):
        drawn = np.zeros((96, 96, 3), np.uint8)
        drawn[:, 40:] = (10, 200, 30)
        Image.fromarray(drawn).save(tmp_path / "own.png")
        data = SingleImage(str(picture), str(tmp_path / "own.png"), size=96)
        assert set(data.palette.colours) == {(0, 0, 0), (10, 200, 30)}
        assert np.array_equal((data.primitive[0].permute(1, 2, 0) * 255).round().byte().numpy(), drawn)

    @pytest.mark.parametrize(
        ("given", "problem"),
        [
            ({"image": "none.png"}, "does not exist"),
            ({"primitive": "sketch"}, "neither a kind nor a file"),
            ({"size": 4}, "data.size=4"),
            ({"colours": 1}, "data.colours=1"),
            ({"augmentation": "cut"}, "data.augmentation=cut"),
        ],
    )
    def test_mistakes(self, picture, given, problem):
        with pytest.raises(UserError, match=problem):
            SingleImage(**{"image": str(picture), **given})

    def test_a_primitive_of_another_shape_is_refused(self, picture, tmp_path):
        Image.new("RGB", (40, 90)).save(tmp_path / "tall.png")
        with pytest.raises(UserError, match="another shape"):
            SingleImage(str(picture), str(tmp_path / "tall.png"))


class TestSets:
    def test_files_in_natural_order_and_a_digest_of_what_is_in_them(self, tmp_path):
        for name in ("f10.png", "f2.png", ".hidden.png"):
            Image.new("RGB", (8, 8)).save(tmp_path / name)
        (tmp_path / "notes.txt").write_text("x")
        files = set_files(tmp_path, "sources")
        assert [path.name for path in files] == ["f2.png", "f10.png"]
        before = set_digest(files)
        Image.new("RGB", (8, 8), "red").save(tmp_path / "f2.png")
        assert set_digest(files) != before

    def test_pictures_are_cut_to_the_shape_asked_for(self, tmp_path):
        wide = np.zeros((40, 50, 3), np.uint8)
        wide[:, :5], wide[:, 45:] = 255, 255
        Image.fromarray(wide).save(tmp_path / "w.png")
        made = read_set([tmp_path / "w.png"], (40, 40), "sources")
        assert made.shape == (1, 3, 40, 40) and made.dtype == torch.uint8 and int(made.max()) == 0

    def test_an_unreadable_picture_is_left_out_and_told(self, tmp_path, caplog):
        Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
        (tmp_path / "b.png").write_bytes(b"no picture")
        assert len(read_set(set_files(tmp_path, "targets"), (8, 8), "targets")) == 1
        assert "targets= is used without b.png" in caplog.text
        with pytest.raises(UserError, match="None of the 1 pictures"):
            read_set([tmp_path / "b.png"], (8, 8), "targets")


def test_drawn_faces_smile_at_the_mouth_and_stay_the_same_person(tmp_path):
    plain, smiling = drawn_face(3, 0.0), drawn_face(3, 1.0)
    change = np.abs(plain.astype(int) - smiling).mean(axis=2)
    assert change[70:110, 30:98].mean() > 5 * change[:40].mean()
    assert np.array_equal(plain, drawn_face(3, 0.0)) and not np.array_equal(plain, drawn_face(4, 0.0))
    write_sets(tmp_path, people=4, size=32)
    assert len(list((tmp_path / "smiling").iterdir())) == 2 == len(list((tmp_path / "neutral").iterdir()))
