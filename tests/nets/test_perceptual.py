"""LPIPS behind its door: present with the backbone, absent with one warning and the remedy."""

import logging

import pytest
import torch

from vfi_pipeline.errors import UserError
from vfi_pipeline.nets import perceptual


@pytest.fixture()
def empty_hub(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    perceptual.perceptual_or_none.cache_clear()
    yield tmp_path
    perceptual.perceptual_or_none.cache_clear()


def test_without_the_backbone_the_error_tells_where_to_get_it(empty_hub):
    with pytest.raises(UserError, match=r"alexnet-owt-7be5be79.pth") as caught:
        perceptual.Perceptual("alex")
    assert "download https://download.pytorch.org/models/" in str(caught.value)


def test_it_warns_once_and_answers_none(empty_hub, caplog):
    with caplog.at_level(logging.WARNING):
        assert perceptual.perceptual_or_none("vgg") is None
        assert perceptual.perceptual_or_none("vgg") is None
    assert len(caplog.records) == 1 and "vgg16-397923af.pth" in caplog.text


def test_an_unknown_backbone_is_refused():
    with pytest.raises(ValueError, match="alex, vgg, squeeze"):
        perceptual.backbone_file("resnet")


def test_with_a_backbone_it_measures_zero_for_equal_frames_and_never_trains(empty_hub):
    torchvision = pytest.importorskip("torchvision")
    torch.manual_seed(0)
    file = perceptual.backbone_file("squeeze")
    file.parent.mkdir(parents=True)
    # Random weights in the place of ImageNet's: the plumbing is what is tested.
    torch.save(torchvision.models.squeezenet1_1(weights=None).state_dict(), file)
    lpips = perceptual.Perceptual("squeeze")
    a, b = torch.rand(2, 3, 64, 64), torch.rand(2, 3, 64, 64, requires_grad=True)
    assert lpips(a, a).item() == 0 and lpips.each(a, b).shape == (2,)
    assert lpips(a[:, :1], b[:, :1]).item() > 0
    lpips.train()
    lpips(a, b).backward()
    assert b.grad.abs().sum() > 0 and not lpips.network.training
    assert not any(p.requires_grad for p in lpips.parameters())


def test_a_damaged_download_is_named_with_its_source(empty_hub, caplog):
    file = perceptual.backbone_file("squeeze")
    file.parent.mkdir(parents=True)
    file.write_bytes(b"<html>429 Too Many Requests</html>")
    with pytest.raises(UserError, match=r"squeezenet1_1-b8a52dc0.pth does not hold the ImageNet weights") as caught:
        perceptual.Perceptual("squeeze")
    assert "download https://" in str(caught.value)
    assert perceptual.perceptual_or_none("squeeze") is None and "does not hold" in caplog.text
