"""Exported weights: the same model comes back, and nothing else is accepted."""

import json
import pickle
import stat

import pytest
import torch
from safetensors.torch import save_file

from vfi_pipeline.errors import BAD_INPUT, UserError
from vfi_pipeline.models import checkpoint
from vfi_pipeline.models.checkpoint import Card, load_model, save_model, sha256
from vfi_pipeline.models.warping_ode import WarpingODE
from vfi_pipeline.nets.fields import FIELDS
from vfi_pipeline.nets.unet import UNetShape
from vfi_pipeline.ode import Solver

SHAPE = UNetShape(widths=(8, 12), final=8, head=1.0)


def model(kind="svf"):
    torch.manual_seed(0)
    return WarpingODE(FIELDS[kind](conditioning="both", unet=SHAPE), "group", Solver("rk4", 5), guide_span=320)


@pytest.mark.parametrize("kind", sorted(FIELDS))
def test_a_saved_model_comes_back_the_same(tmp_path, kind):
    made, t = model(kind), torch.tensor([[0.4, 1.0]])
    card = Card("smile", {"command": "python train.py"}, {"set": "digits"}, {"psnr": 31.5})
    digest = save_model(tmp_path / "a b" / "smile.safetensors", made, card)
    back, read = load_model(tmp_path / "a b" / "smile.safetensors", expected=digest)
    first, last = torch.rand(2, 1, 3, 16, 20).unbind(0)
    assert torch.equal(back(first, last, t).frame, made(first, last, t).frame)
    assert read == card and back.guide_span == 320 and not back.training
    assert not any(p.requires_grad for p in back.parameters())


def test_saving_leaves_a_card_for_people_and_no_drafts(tmp_path):
    card = Card(
        "smile", {"steps": 10}, {"films": [f"{k}.mp4" for k in range(30)]}, {"val/psnr": 31.456}, "Fails on smoke."
    )
    digest = save_model(tmp_path / "smile.safetensors", model(), card)
    text = (tmp_path / "smile.md").read_text()
    assert digest in text and "| val/psnr | 31.46 |" in text and "(30 in all)" in text and "Fails on smoke." in text
    assert sorted(p.name for p in tmp_path.iterdir()) == ["smile.md", "smile.safetensors"]


def test_half_precision_halves_the_file_and_reads_as_float32(tmp_path):
    save_model(tmp_path / "full.safetensors", model())
    save_model(tmp_path / "half.safetensors", model(), half=True)
    back, _ = load_model(tmp_path / "half.safetensors")
    assert all(p.dtype == torch.float32 for p in back.parameters())
    weights = sum(p.numel() for p in back.parameters())
    sizes = [(tmp_path / f"{name}.safetensors").stat().st_size for name in ("full", "half")]
    assert sizes[0] - sizes[1] == pytest.approx(2 * weights, rel=0.02)


class Evil:
    def __reduce__(self):
        return exec, ("raise SystemExit('the pickle ran')",)


@pytest.mark.parametrize(
    "write", [lambda p: torch.save({"w": Evil()}, p), lambda p: p.write_bytes(pickle.dumps(Evil()))]
)
def test_pickles_are_refused_unread(tmp_path, write):
    write(tmp_path / "evil.safetensors")
    with pytest.raises(UserError, match="is a pickle") as caught:
        load_model(tmp_path / "evil.safetensors")
    assert caught.value.code == BAD_INPUT


def test_every_damaged_byte_and_every_truncation_is_noticed(tmp_path):
    path = tmp_path / "w.safetensors"
    save_model(path, model())
    whole = path.read_bytes()
    for place in range(0, len(whole), len(whole) // 40):
        broken = bytearray(whole)
        broken[place] ^= 0x10
        path.write_bytes(bytes(broken))
        with pytest.raises(UserError):
            load_model(path)
    for length in (0, 1, 7, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(UserError):
            load_model(path)


def test_who_may_read_the_card_may_read_the_weights(tmp_path, file_mode):
    save_model(tmp_path / "w.safetensors", model())
    save_model(tmp_path / "w.safetensors", model())  # over the former ones
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}

    assert modes == {"w.safetensors": file_mode, "w.md": file_mode}


def test_another_hash_is_refused(tmp_path):
    digest = save_model(tmp_path / "w.safetensors", model())
    assert digest == sha256(tmp_path / "w.safetensors")
    with pytest.raises(UserError, match="not the file it should be"):
        load_model(tmp_path / "w.safetensors", expected="0" * 64)


def test_foreign_tensors_and_missing_files_are_refused(tmp_path):
    save_file({"w": torch.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(UserError, match="not weights of this program"):
        load_model(tmp_path / "other.safetensors")
    with pytest.raises(UserError, match="does not exist"):
        load_model(tmp_path / "none.safetensors")


@pytest.mark.parametrize("kind", ["os.system", "warping_ode:os", "", None])
def test_a_file_cannot_name_a_class(tmp_path, kind):
    tensors = {"w": torch.zeros(3)}
    metadata = {"format": checkpoint.FORMAT, "config": json.dumps({"kind": kind}), "card": "{}"}
    metadata["content"] = checkpoint._content_hash(tensors, metadata)
    save_file(tensors, tmp_path / "x.safetensors", metadata)
    with pytest.raises(UserError, match="does not fit this version"):
        load_model(tmp_path / "x.safetensors")


def test_a_model_that_no_one_could_read_is_not_written(tmp_path):
    class Other(torch.nn.Linear):
        def config(self):
            return {"kind": "other"}

    with pytest.raises(ValueError, match="BUILDERS has no 'other'"):
        save_model(tmp_path / "x.safetensors", Other(1, 1))


def test_a_header_whose_length_begins_like_a_pickle_is_read_all_the_same(tmp_path):
    # A safetensors file opens with its header's length, little-endian: 0x80 is also a pickle's first byte.
    path = tmp_path / "model.safetensors"
    for notes in range(8, 400, 4):
        save_model(path, model(), Card(notes="x" * notes))
        if path.read_bytes()[:1] == b"\x80":
            break
    assert path.read_bytes()[:1] == b"\x80"

    load_model(path)
