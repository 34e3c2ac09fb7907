"""The look of several exemplars at once (Song et al. 2017, "Stylizing Face Images via Multiple Exemplars").

Each patch of the picture gets the look of the exemplar that is most similar to it there, with neighbours that fit: a
Markov random field over patches, whose labels are exemplars. The look is the local energy of the bands of a Laplacian
pyramid and the light below them (``pyramid.transferred_by``). A guided filter blends the labels along the picture's
edges, so that no seam shows where patches meet.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from vfi_pipeline.editing.guided import guided_filter
from vfi_pipeline.editing.markov import belief_propagation
from vfi_pipeline.editing.pyramid import LEVELS, transferred, transferred_by
from vfi_pipeline.models.unmoved import Unmoved


@dataclass(frozen=True)
class ExemplarSettings:
    """Parameters of the method; options of ``model=exemplars``.

    Attributes:
        most: largest number of exemplars; those most similar to the picture are used.
        patches: along the longer side.
        seams: weight of the difference between two exemplars' transfers where their patches meet.
        levels: of the pyramid.
        radius: of the guided filter, in patches; 0 leaves it out.
        edges: contrast, of 1, below which the guided filter smooths.
        colour: whether colours are transferred as well as light.
        steady: of a film: reward, in correlation, of the exemplar that a patch had in the frame before.
    """

    most: int = 8
    patches: int = 16
    seams: float = 8.0
    levels: int = LEVELS
    radius: float = 1.0
    edges: float = 0.05
    colour: bool = False
    steady: float = 0.5


@dataclass(frozen=True)
class Field:
    """The Markov random field of one picture; see ``markov``.

    Attributes:
        data: (h, w, K) 1 minus the correlation of picture and exemplar in and around each patch, 0 to 2.
        across, down: mean squared difference of two exemplars' transfers where two patches meet, weighted.
        rows, columns: the patch of each row and column of pixels.
    """

    data: Tensor
    across: Tensor
    down: Tensor
    rows: Tensor
    columns: Tensor

    def weights(self, labels: Tensor) -> Tensor:
        """(1, K, H, W): 1 where a patch has the label, else 0."""
        of_pixels = labels[self.rows][:, self.columns]
        return F.one_hot(of_pixels, self.data.shape[2]).permute(2, 0, 1)[None].to(self.data)


def field_of(picture: Tensor, exemplars: Tensor, settings: ExemplarSettings) -> Field:
    """The field of a picture (1, C, H, W) and exemplars (K, C, H, W); the first channel is the light."""
    height, width = picture.shape[-2:]
    pitch = max(1.0, max(height, width) / settings.patches)
    rows, columns = max(1, round(height / pitch)), max(1, round(width / pitch))
    row_of = (torch.arange(height, device=picture.device) * rows) // height
    column_of = (torch.arange(width, device=picture.device) * columns) // width
    data = 1 - _likeness(picture[:, :1], exemplars[:, :1], (rows, columns))
    count = len(exemplars)
    transfers = [transferred(picture, exemplars[k : k + 1], settings.levels)[0] for k in range(count)]
    across = data.new_zeros(rows, max(0, columns - 1), count, count)
    down = data.new_zeros(max(0, rows - 1), columns, count, count)
    for k in range(count):
        for other in range(k + 1, count):
            difference = (transfers[k] - transfers[other]).square().mean(dim=0)[None, None]
            # Cells of half a patch: those on both sides of a border are where two patches meet.
            fine = F.adaptive_avg_pool2d(difference, (2 * rows, 2 * columns))[0, 0]
            horizontal = F.avg_pool2d(fine[None, None], (2, 1))[0, 0]
            vertical = F.avg_pool2d(fine[None, None], (1, 2))[0, 0]
            across[..., k, other] = across[..., other, k] = (horizontal[:, 1:-1:2] + horizontal[:, 2::2]) / 2
            down[..., k, other] = down[..., other, k] = (vertical[1:-1:2] + vertical[2::2]) / 2
    return Field(data, settings.seams * across, settings.seams * down, row_of, column_of)


def blended(weights: Tensor, picture: Tensor, settings: ExemplarSettings) -> Tensor:
    """Weights (1, K, H, W) smoothed within the edges of the picture's first channel; they add up to 1 as before."""
    if settings.radius <= 0:
        return weights
    radius = max(1, round(settings.radius * max(picture.shape[-2:]) / settings.patches))
    smooth = guided_filter(weights, picture[:, :1], radius, settings.edges**2).clamp(min=0)
    return smooth / smooth.sum(dim=1, keepdim=True).clamp(min=1e-6)


def seam_energy(result: Tensor, picture: Tensor, labels: Tensor) -> float:
    """Mean squared step of ``result - picture`` between neighbouring pixels of different labels; 0 if there are none.

    Args:
        result, picture: (1, C, H, W).
        labels: (H, W) of pixels.
    """
    change = (result - picture)[0]
    steps = [
        torch.diff(change, dim=axis).square().mean(dim=0)[torch.diff(labels, dim=axis - 1) != 0] for axis in (1, 2)
    ]
    seam_steps = torch.cat(steps)
    return float(seam_steps.mean()) if seam_steps.numel() else 0.0


@dataclass
class Choice:
    """A picture in the look of exemplars.

    Attributes:
        result: (1, C, H, W), not clamped.
        labels: (h, w) the exemplar of each patch, an index.
        weights: (1, K, H, W) after the guided filter.
        field: the Markov random field.
    """

    result: Tensor
    labels: Tensor
    weights: Tensor
    field: Field = field(repr=False)


def stylised(
    picture: Tensor,
    exemplars: Tensor,
    settings: ExemplarSettings = ExemplarSettings(),
    earlier_weights: Tensor | None = None,
) -> Choice:
    """The picture in the look of the exemplars.

    Args:
        picture: (1, C, H, W) in [0, 1], C = 1 or 3.
        exemplars: (K, C, H, W) of its size; a single one gives the transfer of Shih et al. 2014.
        earlier_weights: (1, K, H, W) the weights of the frame before, warped to this one; see ``steady``.
    """
    own, looks = _opponent(picture), _opponent(exemplars)
    colours = own[:, 1:]
    if not settings.colour:
        own, looks = own[:, :1], looks[:, :1]
    field = field_of(own, looks, settings)
    data = field.data
    if earlier_weights is not None:
        earlier = F.adaptive_avg_pool2d(earlier_weights, (data.shape[0], data.shape[1]))[0].permute(1, 2, 0)
        data = data - settings.steady * earlier
    labels = belief_propagation(data, field.across, field.down)
    weights = blended(field.weights(labels), own, settings)
    result = transferred_by(own, looks, weights, settings.levels)
    result = _opponent_inverse(result if settings.colour else torch.cat((result, colours), dim=1))
    return Choice(result, labels, weights, field)


def most_alike(picture: Tensor, exemplars: Tensor, count: int, patches: int = 16) -> list[int]:
    """Indices of the exemplars most similar to the picture, the most similar first; of equal ones the earlier."""
    height, width = picture.shape[-2:]
    pitch = max(1.0, max(height, width) / patches)
    shape = (max(1, round(height / pitch)), max(1, round(width / pitch)))
    likeness = torch.cat(
        [_likeness(_luma(picture), _luma(exemplars[k : k + 1]), shape) for k in range(len(exemplars))], dim=2
    )
    return torch.sort(-likeness.mean(dim=(0, 1)), stable=True).indices[:count].tolist()


class ExemplarAnimation(Unmoved):
    """A picture that changes to the exemplars' look, ``x + t (y - x)``; see ``animation.protocol.PairAnimation``.

    Args:
        picture: x, (1, C, H, W); C is 1, 3 or 4 (RGB premultiplied by alpha, alpha, which stays).
        result: y, (1, c, H, W).
    """

    def __init__(self, picture: Tensor, result: Tensor, choice: Choice) -> None:
        self.picture, self.result, self.choice = picture, result, choice

    @torch.no_grad()
    def frame(self, t: float) -> Tensor:
        """``t = 0`` is the picture, bit for bit."""
        if t == 0:
            return self.picture
        if self.picture.shape[1] == 4:
            alpha = self.picture[:, 3:]
            colours = self.picture[:, :3] + t * (alpha * self.result - self.picture[:, :3])
            return torch.cat((torch.minimum(colours.clamp(min=0), alpha), alpha), dim=1)
        return (self.picture + t * (self.result - self.picture)).clamp(0, 1)


@torch.no_grad()
def animated(picture: Tensor, exemplars: Tensor, settings: ExemplarSettings = ExemplarSettings()) -> ExemplarAnimation:
    """The animation of ``picture`` (1, C, H, W) by exemplars (K, 3, H, W) of its size."""
    if picture.shape[1] == 4:
        alpha = picture[:, 3:]
        opaque = torch.where(alpha > 0, picture[:, :3] / alpha.clamp(min=1e-6), torch.full_like(picture[:, :3], 0.5))
    else:
        opaque = picture
    candidates = _luma(exemplars) if picture.shape[1] == 1 else exemplars
    candidates = candidates[most_alike(opaque, candidates, settings.most, settings.patches)]
    choice = stylised(opaque, candidates, settings)
    return ExemplarAnimation(picture, choice.result.clamp(0, 1), choice)


def _luma(picture: Tensor) -> Tensor:
    """(B, 1, H, W) of grey or RGB."""
    if picture.shape[1] == 1:
        return picture
    return (picture * picture.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(dim=1, keepdim=True)


def _opponent(picture: Tensor) -> Tensor:
    """Light and two differences of colour (BT.601, unscaled), whose bands are nearly independent. Grey is unchanged."""
    if picture.shape[1] == 1:
        return picture
    light = _luma(picture)
    return torch.cat((light, picture[:, 2:] - light, picture[:, :1] - light), dim=1)


def _opponent_inverse(picture: Tensor) -> Tensor:
    if picture.shape[1] == 1:
        return picture
    light, blue, red = picture[:, :1], picture[:, 1:2] + picture[:, :1], picture[:, 2:] + picture[:, :1]
    return torch.cat((red, (light - 0.299 * red - 0.114 * blue) / 0.587, blue), dim=1)


def _likeness(picture: Tensor, exemplars: Tensor, shape: tuple[int, int]) -> Tensor:
    """(h, w, K) correlation of grey pictures in windows of three patches, independent of light and contrast."""
    stack = torch.cat((picture, exemplars))
    fine = (
        F.adaptive_avg_pool2d(stack, (8 * shape[0], 8 * shape[1])) if min(stack.shape[-2:]) >= 8 * max(shape) else stack
    )

    def mean(x: Tensor) -> Tensor:
        cells = F.adaptive_avg_pool2d(x, shape)
        return F.avg_pool2d(cells, 3, stride=1, padding=1, count_include_pad=False) if min(shape) > 1 else cells

    own, compared = fine[:1], fine[1:]
    covariance = mean(own * compared) - mean(own) * mean(compared)
    variances = (mean(own.square()) - mean(own).square()) * (mean(compared.square()) - mean(compared).square())
    return (covariance / variances.clamp(min=1e-8).sqrt()).clamp(-1, 1)[:, 0].permute(1, 2, 0)
