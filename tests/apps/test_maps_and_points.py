"""Files that come and go: maps and points. Data, never instructions."""

from fractions import Fraction as F

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from vfi_pipeline.apps.maps import FORMAT, Maps, maps_folder, maps_name, packed, pictured, read_maps
from vfi_pipeline.apps.options import read_picture_options
from vfi_pipeline.apps.pictures import film_of, gather, read_points
from vfi_pipeline.errors import BAD_INPUT, UserError

KIND = "stationary"


def state(seed=0):
    torch.manual_seed(seed)
    return {"v": torch.randn(1, 2, 6, 8), "solver": torch.tensor([2.0, 8, 1e-3, 1e-3]).double()}


@pytest.fixture
def pair(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, size in (("a.png", (40, 30)), ("b.png", (80, 60)), ("c.png", (40, 30))):
        Image.fromarray(np.full((size[1], size[0], 3), 9, np.uint8)).save(name)

    def pictures(count=2, **options):
        film = film_of(["a.png", "b.png", "c.png"][:count])
        return gather(film, read_picture_options({"duration": "1", **options}), 1 << 20)

    return pictures


def test_maps_come_back_as_they_were(tmp_path):
    gaps = [Maps(KIND, state(k), ("a.png", "b.png")) for k in range(2)]
    (tmp_path / "o.safetensors").write_bytes(packed(gaps, loop=True))
    back = read_maps(tmp_path / "o.safetensors", 2)

    for before, after in zip(gaps, back):
        assert after.kind == KIND and after.pictures == ("a.png", "b.png")
        assert all(torch.equal(after.state[name], value) for name, value in before.state.items())


@pytest.mark.parametrize(
    "header",
    [
        {},
        {"format": FORMAT},
        {"format": FORMAT, "gaps": "{"},
        {"format": FORMAT, "gaps": "[]"},
        {"format": FORMAT, "gaps": '[{"kind": "os", "pictures": ["a", "b"]}]'},
        {"format": FORMAT, "gaps": f'[{{"kind": "{KIND}"}}]'},
        {"format": FORMAT, "gaps": '[{"home": "vfi_pipeline.models.far", "pictures": ["a", "b"]}]'},
        {"format": FORMAT, "gaps": '[{"kind": ["a"], "pictures": ["a", "b"]}]'},
        {"format": "vfi-pipeline/1", "gaps": "[]"},
    ],
)
def test_a_file_of_another_kind_is_refused(tmp_path, header):
    save_file({"0.v": torch.zeros(1, 2, 3, 3)}, tmp_path / "o.safetensors", header)
    with pytest.raises(UserError, match="maps") as caught:
        read_maps(tmp_path / "o.safetensors", 1)
    assert caught.value.code == BAD_INPUT


def test_values_that_are_no_numbers_are_refused(tmp_path):
    broken = {"v": torch.full((1, 2, 3, 3), float("nan"))}
    (tmp_path / "o.safetensors").write_bytes(packed([Maps(KIND, broken, ("a", "b"))], False))
    with pytest.raises(UserError, match="no numbers"):
        read_maps(tmp_path / "o.safetensors", 1)


def test_maps_are_named_after_the_output(tmp_path):
    assert maps_name(tmp_path / "film.mp4").name == "film.maps.safetensors"
    assert maps_name(tmp_path / "frames" / "%04d.png").name == "frames.maps.safetensors"
    assert maps_folder(tmp_path / "a_%04d.png").name == "a.maps"


def test_every_map_is_a_picture():
    maps = {"flow.v": torch.randn(2, 2, 5, 7), "mult": torch.randn(1, 3, 5, 7)}
    maps |= {"steps": torch.zeros(1), "other": torch.zeros(1, 9, 5, 7)}
    found = pictured([Maps("any", maps, ("a", "b"))])

    assert sorted(found) == ["01_flow_v_1.png", "01_flow_v_2.png", "01_mult.png"]
    assert all(image.size == (7, 5) for image in found.values())


def test_points_are_read_and_follow_their_picture(pair, tmp_path):
    (tmp_path / "p.json").write_text('[[[0, 0], [0, 0]], {"first": [10, 20], "last": [20.5, 40.5]}]')
    (points,) = read_points(tmp_path / "p.json", pair())

    assert points[0].tolist() == [[0, 0], [10, 20]]
    # b.png is twice as large: its pixel 0 covers the left half of pixel 0.
    assert points[1].tolist() == [[-0.25, -0.25], [10, 20]]


def test_each_gap_may_have_its_own_points(pair, tmp_path):
    (tmp_path / "p.json").write_text('{"gaps": [null, [[[1, 2], [3, 4]]]]}')

    first, second = read_points(tmp_path / "p.json", pair(3))
    assert first is None and second is not None and second[1].tolist() == [[3, 4]]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("!!python/object/apply:os.system [id]", "is not JSON"),
        ("[]", "holds no list"),
        ("7", "no list"),
        ('{"lines": []}', "holds no list"),
        ('{"gaps": [[], [], []]}', "holds no list"),
        ("[[[1, 2], [3]]]", "entry 0"),
        ("[[[1, 2], [3, true]]]", "entry 0"),
        ("[[[1, 2], [3, NaN]]]", "entry 0"),
        ("[[[1, 2], [3, 4], [5, 6]]]", "entry 0"),
        ('[[[1, 2], [3, 4]], "x"]', "entry 1"),
        ("[[[1, 2], [300, 4]]]", "lies outside of b.png"),
        ("[[[-3, 2], [30, 4]]]", "lies outside of a.png"),
    ],
)
def test_a_malformed_points_file_is_told(pair, tmp_path, text, told):
    (tmp_path / "p.json").write_text(text)
    with pytest.raises(UserError, match=told) as caught:
        read_points(tmp_path / "p.json", pair())
    assert caught.value.code == BAD_INPUT


def test_one_list_is_not_enough_for_several_gaps(pair, tmp_path):
    (tmp_path / "p.json").write_text("[[[1, 2], [3, 4]]]")
    with pytest.raises(UserError, match="one list, and there are 2 gaps"):
        read_points(tmp_path / "p.json", pair(3))


def test_films_and_several_folders_are_no_pictures(pair, tmp_path):
    (tmp_path / "film.mp4").write_bytes(b"0")
    with pytest.raises(UserError, match="is a film"):
        film_of(["a.png", "film.mp4"])
    assert F(1) == read_picture_options({"duration": "1"}).duration
