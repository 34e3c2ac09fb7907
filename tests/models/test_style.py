"""The styles that ship: whole, small, blind to contrast, of any size, and unlike the film."""

from __future__ import annotations

import re

import pytest
import torch

from vfi_pipeline.errors import UserError
from vfi_pipeline.models.flow import load_flow
from vfi_pipeline.models.shipped import kind_of, locate
from vfi_pipeline.models.style import load_style
from vfi_pipeline.synthesis.style import NetworkPainter

STYLES = ("mosaic", "brushwork")


@pytest.fixture(scope="module")
def photograph():
    from skimage.data import astronaut

    return torch.from_numpy(astronaut()[60:181, 140:293].copy()).permute(2, 0, 1)[None].float() / 255


@pytest.mark.parametrize("name", STYLES)
def test_a_shipped_style_is_small_and_has_its_card(name):
    path, digest = locate(name, "style")
    assert kind_of(name) == "style" and len(digest) == 64 and path.stat().st_size < 3_000_000
    card = path.with_suffix(".md").read_text()
    assert digest in card and "## Data" in card and "style=" in card
    assert not re.search(r"(^|[\s\"'=\[(])/\w", card)  # no path of the machine that trained it


@pytest.mark.parametrize("name", STYLES)
def test_it_paints_any_size_and_does_not_see_brightness_or_contrast(name, photograph):
    network = load_style(name)
    with torch.inference_mode():
        painted = network(photograph)
        assert painted.shape == photograph.shape == (1, 3, 121, 153)
        assert (painted - photograph).abs().mean() > 0.1
        for gain, offset in ((0.5, 0.2), (0.25, 0.5)):
            assert (network(gain * photograph + offset) - painted).abs().max() < 1e-3


@pytest.mark.parametrize("name", STYLES)
def test_the_frame_before_steadies_what_noise_would_change(name, photograph):
    """Takes of a still scene, with a camera's noise, painted one after another, change less than each painted alone."""
    network, generator = load_style(name), torch.Generator().manual_seed(0)
    steady, blind = NetworkPainter(network), NetworkPainter(network, looks_back=False)
    everywhere = torch.ones_like(photograph[:, :1])
    chain, alone = [], []
    for k in range(6):
        take = (photograph + 0.03 * torch.randn(photograph.shape, generator=generator)).clamp(0, 1)
        before = (chain[-1], everywhere) if chain else (None, None)
        chain.append(steady.paint(k, take, *before))
        alone.append(blind.paint(k, take, None, None))

    def change(frames):
        return max(float((b - a).square().mean()) for a, b in zip(frames, frames[1:]))

    assert change(chain) < 0.5 * change(alone)
    # It stays the picture it began as: neither fading nor drifting away.
    assert (chain[-1] - chain[0]).square().mean() < 2 * change(alone)
    assert abs(float(chain[-1].std() - alone[-1].std())) < 0.1 * float(alone[-1].std())


def test_a_style_is_not_taken_for_motion():
    with pytest.raises(UserError, match="holds a style model") as caught:
        load_flow("mosaic")
    assert "style=mosaic" in str(caught.value)
