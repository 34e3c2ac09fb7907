"""Feature networks: layouts against an independent implementation, and what is said where the weights are missing."""

from __future__ import annotations

import hashlib
import pickle
import sys

import pytest
import torch
import torch.nn.functional as F

from vfi_pipeline.errors import ENVIRONMENT, UserError
from vfi_pipeline.nets import features as module
from vfi_pipeline.nets.features import VGG16, VGG_LAYERS, available, features


@pytest.fixture()
def nothing_here(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(module, "wheel_file", lambda name: None)
    return tmp_path


def random_vgg(seed: int = 0):
    """torchvision's VGG-16 with random weights: an implementation that is not ours."""
    torchvision = pytest.importorskip("torchvision")
    torch.manual_seed(seed)
    return torchvision.models.vgg16(weights=None).eval()


@pytest.mark.parametrize(
    ("name", "remedies"),
    [("vgg", ("make features", "vgg16-397923af.pth")), ("lite0", ("make features",)), ("squeeze", ("make features",))],
)
def test_without_weights_the_error_has_two_lines_and_the_remedies(nothing_here, name, remedies):
    with pytest.raises(UserError, match=f"feature network {name} are not on this machine") as caught:
        features(name)
    assert str(caught.value).count("\n") == 1 and caught.value.code == ENVIRONMENT
    assert all(remedy in str(caught.value) for remedy in remedies)
    assert not available(name)


def test_unknown_networks_layers_and_poolings_are_refused(nothing_here):
    with pytest.raises(ValueError, match="vgg, lite0 or squeeze"):
        features("resnet")
    with pytest.raises(ValueError, match="max, avg"):
        features("vgg", "median")


def cached_vgg(folder, monkeypatch, model, **options):
    """``features("vgg")`` with the weights of ``model`` in the place of ImageNet's."""
    (folder / "checkpoints").mkdir(parents=True)
    file = folder / "checkpoints" / module.TORCHVISION
    torch.save(model.features.state_dict(prefix="features."), file)
    monkeypatch.setattr(module, "TORCHVISION_SHA256", hashlib.sha256(file.read_bytes()).hexdigest())
    return features("vgg", **options)


def test_torchvisions_weights_give_torchvisions_features(nothing_here, monkeypatch):
    model = random_vgg()
    network = cached_vgg(nothing_here, monkeypatch, model)
    image = torch.rand(2, 3, 32, 48)
    found = network(image)
    assert tuple(found) == VGG_LAYERS == network.layers
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    seen = (image - mean.view(3, 1, 1)) / deviation.view(3, 1, 1)
    for layer, stop in (("conv1_2", 4), ("conv2_2", 9), ("conv3_3", 16), ("conv5_3", 30)):  # behind the ReLU
        assert torch.allclose(found[layer], model.features[:stop](seen), atol=1e-4), layer


def test_average_pooling_is_another_network(nothing_here, monkeypatch):
    model = random_vgg()
    network = cached_vgg(nothing_here, monkeypatch, model, pooling="avg")
    image = torch.rand(1, 3, 16, 16)
    x = network(image, upto="conv1_2")["conv1_2"]
    wanted = F.relu(model.features[5](F.avg_pool2d(x, 2)))
    assert torch.allclose(network(image, upto="conv2_1")["conv2_1"], wanted, atol=1e-5)


def test_upto_stops_early_and_pictures_of_one_four_and_few_pixels_are_taken(nothing_here, monkeypatch):
    network = cached_vgg(nothing_here, monkeypatch, random_vgg())
    assert list(network(torch.rand(1, 3, 16, 16), upto="conv2_1")) == ["conv1_1", "conv1_2", "conv2_1"]
    with pytest.raises(ValueError, match="no layer 'conv9'"):
        network(torch.rand(1, 3, 16, 16), upto="conv9")
    grey = torch.rand(1, 1, 16, 16)
    assert torch.equal(
        network(grey, upto="conv1_1")["conv1_1"], network(grey.expand(1, 3, -1, -1), upto="conv1_1")["conv1_1"]
    )
    assert network(torch.rand(1, 4, 16, 16), upto="conv1_1")["conv1_1"].shape == (1, 64, 16, 16)
    assert network(torch.rand(1, 3, 1, 3))["conv5_3"].shape[:2] == (1, 512)


def test_it_never_trains_and_passes_gradients_to_the_picture(nothing_here, monkeypatch):
    network = cached_vgg(nothing_here, monkeypatch, random_vgg())
    network.train()
    image = torch.rand(1, 3, 16, 16, requires_grad=True)
    network(image, upto="conv2_1")["conv2_1"].sum().backward()
    assert not network.training and image.grad.abs().sum() > 0
    assert not any(p.requires_grad for p in network.parameters())


def test_damaged_weights_are_named_and_never_unpickled(nothing_here):
    file = nothing_here / "checkpoints" / module.TORCHVISION
    file.parent.mkdir(parents=True)
    file.write_bytes(b"<html>429 Too Many Requests</html>")
    with pytest.raises(UserError, match=r"vgg16-397923af.pth is damaged: its SHA-256") as caught:
        features("vgg")
    assert caught.value.code == ENVIRONMENT


@pytest.mark.skipif(not available("vgg"), reason="make features has not been run")
def test_the_real_weights_tell_textures_apart_better_than_random_ones():
    """The Gram distance of two halves of a texture is below that to another texture, by more than random filters'."""
    from skimage.data import brick, grass

    from vfi_pipeline.losses.perceptual import gram, style_distance

    network = features("vgg")
    pictures = {
        name: torch.from_numpy(load()[:256, :256].copy())[None, None].float() / 255
        for name, load in (("brick", brick), ("grass", grass))
    }
    halves = {name: (x[..., :128], x[..., 128:]) for name, x in pictures.items()}

    def ratio(network):
        grams = {n: [gram(network(half, upto="conv3_3")["conv3_3"]) for half in pair] for n, pair in halves.items()}
        found = {n: network(pair[1], upto="conv3_3") for n, pair in halves.items()}
        same = style_distance({"conv3_3": found["brick"]["conv3_3"]}, {"conv3_3": grams["brick"][0]})
        other = style_distance({"conv3_3": found["grass"]["conv3_3"]}, {"conv3_3": grams["brick"][0]})
        return float(other / same)

    assert ratio(network) > 5


@pytest.mark.skipif(not available("lite0"), reason="make features has not been run")
def test_lite0_recognises_a_cat():
    """Its classifier, from the same file, on its own features: chelsea is a cat (ImageNet 281 to 285)."""
    from skimage.data import chelsea

    network = features("lite0")
    image = torch.from_numpy(chelsea()[:, 76:376].copy()).permute(2, 0, 1)[None].float() / 255
    image = F.interpolate(image, (224, 224), mode="bilinear", antialias=True)
    head = network(image)["head"].mean((2, 3))
    state = torch.load(module.wheel_file("lite0"), weights_only=True)
    scores = head @ state["_fc.weight"].T + state["_fc.bias"]
    assert int(scores.argmax()) in range(281, 286)
    assert tuple(network(image)) == network.layers


def random_squeezenet(path):
    """torchvision's SqueezeNet 1.1 with random weights, and a file of them as the package has it."""
    torchvision = pytest.importorskip("torchvision")
    torch.manual_seed(0)
    model = torchvision.models.squeezenet1_1(weights=None).eval()
    numbers = {2: 3, 3: 4, 4: 6, 5: 7, 6: 9, 7: 10, 8: 11, 9: 12}  # of the fire modules in torchvision's sequence
    parts = {"conv1": model.features[0], "conv10": model.classifier[1]}
    for fire, number in numbers.items():
        for part in ("squeeze", "expand1x1", "expand3x3"):
            name = f"fire{fire}/{'squeeze1x1' if part == 'squeeze' else part}"
            parts[name] = getattr(model.features[number], part)
    held = {}
    for name, part in parts.items():
        kernel = part.weight.detach().permute(2, 3, 1, 0)
        kernel = kernel.flip(2) if name == "conv1" else kernel  # Caffe's is of BGR
        held[name] = [kernel.contiguous().numpy(), part.bias.detach().numpy() + 0.01]
        part.bias.data += 0.01
    path.write_bytes(pickle.dumps(held, protocol=3))
    return model


def test_squeezenets_features_are_torchvisions(tmp_path, monkeypatch):
    file = tmp_path / "weights.pkl"
    model = random_squeezenet(file)
    known = (*module._WHEELS["squeeze"][:2], hashlib.sha256(file.read_bytes()).hexdigest())
    monkeypatch.setitem(module._WHEELS, "squeeze", known)
    monkeypatch.setattr(module, "wheel_file", lambda name: file)
    network = features("squeeze")
    image = torch.rand(2, 3, 47, 64)

    found = network(image)

    seen = 255 * image - torch.tensor([122.679, 116.669, 104.006]).view(3, 1, 1)
    assert tuple(found) == network.layers
    for layer, stop in (("conv1", 2), ("fire3", 5), ("fire5", 8), ("fire9", 13)):
        torch.testing.assert_close(found[layer], model.features[:stop](seen), rtol=1e-4, atol=1e-3)


def test_a_squeezenet_that_was_changed_is_never_unpickled(tmp_path, monkeypatch):
    class Harmful:
        def __reduce__(self):
            return exit, (3,)

    file = tmp_path / "weights.pkl"
    file.write_bytes(pickle.dumps({"conv1": Harmful()}))
    monkeypatch.setattr(module, "wheel_file", lambda name: file)
    with pytest.raises(UserError, match="weights.pkl is damaged: its SHA-256"):
        features("squeeze")


@pytest.mark.skipif(not available("squeeze"), reason="make features has not been run")
def test_the_real_squeezenet_tells_a_texture_from_another():
    from skimage.data import brick, grass

    from vfi_pipeline.losses.perceptual import gram, style_distance

    network = features("squeeze")
    halves = {
        name: [network(torch.from_numpy(load()[:256, k : k + 128].copy())[None, None].float() / 255) for k in (0, 128)]
        for name, load in (("brick", brick), ("grass", grass))
    }
    goal = {"fire5": gram(halves["brick"][0]["fire5"])}
    same, other = (style_distance({"fire5": halves[name][1]["fire5"]}, goal) for name in ("brick", "grass"))
    assert float(other / same) > 5


def test_a_vgg_of_ones_counts_its_inputs():
    """Worked by hand: kernels of 1, no bias, no shift: conv1_1 of a constant c is 27 c away from borders."""
    weights, channels = {}, 3
    for layer in VGG_LAYERS:
        width = {"1": 64, "2": 128, "3": 256, "4": 512, "5": 512}[layer[4]]
        weights[layer] = torch.ones(width, channels, 3, 3), torch.zeros(width)
        channels = width
    network = VGG16(weights, (torch.ones(3), torch.zeros(3)), "max", "ones")
    found = network(torch.full((1, 3, 8, 8), 0.5), upto="conv1_2")
    assert float(found["conv1_1"][0, 0, 4, 4]) == 27 * 0.5
    assert float(found["conv1_2"][0, 0, 4, 4]) == 64 * 9 * 27 * 0.5


def test_without_the_reader_of_the_wheels_file_the_remedy_is_the_same(nothing_here, monkeypatch):
    file = nothing_here / "weights.h5"
    file.write_bytes(b"anything")
    monkeypatch.setattr(module, "wheel_file", lambda name: file)
    with pytest.raises(UserError, match="weights.h5 is damaged"):
        features("vgg")
    known = (*module._WHEELS["vgg"][:2], hashlib.sha256(b"anything").hexdigest())
    monkeypatch.setitem(module._WHEELS, "vgg", known)
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(UserError, match="h5py, which reads them, is not") as caught:
        features("vgg")
    assert "make features" in str(caught.value)
