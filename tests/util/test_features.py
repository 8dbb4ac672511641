"""Backbones: torchvision's networks cut off, and the files that they come from."""

import functools
import urllib.error

import pytest
import torch
import torchvision
from safetensors.torch import save_file

from _util import checkpoints
from _util.errors import InputError
from _util.features import ARCHITECTURES, BACKBONES, Backbone, open_backbone

MEAN, DEVIATION = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])


@functools.cache
def seeded(architecture: str) -> torch.nn.Module:
    """Torchvision's network without its classifier, with seeded weights."""
    with torch.device("meta"):
        network = getattr(torchvision.models, architecture)(weights=None).features.eval()
    network.load_state_dict(checkpoints.seeded(network.state_dict()), assign=True)
    return network


@pytest.mark.parametrize("architecture", BACKBONES)
def test_activations_are_torchvisions(architecture):
    network, image = seeded(architecture), torch.rand(1, 3, 64, 67)
    layers = [convolution.layer for convolution in ARCHITECTURES[architecture]]
    backbone = Backbone(architecture, network.state_dict(), layers)
    x, expected = (image - MEAN.view(3, 1, 1)) / DEVIATION.view(3, 1, 1), []
    for module in network:
        x = module(x)
        if isinstance(module, torch.nn.ReLU):
            expected.append(x.clone())
    activations = backbone(image)
    assert len(activations) == len(expected) == len(layers)
    assert backbone.channels == tuple(activation.shape[1] for activation in activations)
    for ours, theirs in zip(activations, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_it_is_frozen_but_gives_gradients_to_images():
    backbone = Backbone("alexnet", seeded("alexnet").state_dict(), ["relu2", "relu3"])
    assert not list(backbone.parameters())
    assert not backbone.state_dict()
    assert not backbone.train().training
    image = torch.rand(1, 3, 64, 64, requires_grad=True)
    sum(activation.sum() for activation in backbone(image)).backward()
    assert image.grad.abs().sum() > 0


@pytest.mark.parametrize(("architecture", "layer"), [("vgg16", "relu3_2"), ("alexnet", "relu1"), ("alexnet", "relu5")])
def test_the_smallest_side_is_exact(architecture, layer):
    backbone = Backbone(architecture, seeded(architecture).state_dict(), [layer])
    side = backbone.smallest_side
    assert backbone(torch.rand(1, 3, side, side + 5))[0].shape[2] == 1
    with pytest.raises(ValueError, match=f"sides of {side} pixels"):
        backbone(torch.rand(1, 3, side - 1, side + 5))


@pytest.mark.parametrize("layers", [[], ["relu1_2", "relu1_1"], ["relu3_4"], ["relu1"], ["relu1_1", "relu1_1"]])
def test_layers_that_there_are_not(layers):
    with pytest.raises(ValueError, match="relu1_1, relu1_2, relu2_1"):
        Backbone("vgg16", {}, layers)


def test_alexnet_is_shipped(tmp_path):
    backbone = open_backbone("alexnet", {"alexnet": ["relu1"]}, tmp_path)
    red, blue = torch.zeros(2, 1, 3, 32, 32)
    red[:, 0], blue[:, 2] = 1, 1
    assert (backbone(red)[0] - backbone(blue)[0]).abs().mean() > 0.1


def test_a_file_is_recognised_by_its_shapes(tmp_path):
    weights = seeded("vgg16").state_dict()
    whole = {f"module.features.{name}": value for name, value in weights.items()}
    whole["module.classifier.0.weight"], whole["module.classifier.0.bias"] = torch.rand(3, 5), torch.rand(3)
    torch.save({"state_dict": whole}, tmp_path / "anything.pt")
    save_file(weights, tmp_path / "vgg16-abc.safetensors")
    image = torch.rand(1, 3, 40, 40)
    expected = Backbone("vgg16", weights, ["relu2_2"])(image)[0]
    for source in (tmp_path / "anything.pt", "vgg16"):
        backbone = open_backbone(source, {"vgg16": ["relu2_2"]}, tmp_path)
        assert backbone.architecture == "vgg16"
        torch.testing.assert_close(backbone(image)[0], expected)


def test_files_that_are_something_else(tmp_path):
    save_file(seeded("vgg16").state_dict(), tmp_path / "vgg19.safetensors")
    with pytest.raises(InputError, match="holds vgg16 instead of vgg19"):
        open_backbone("vgg19", {}, tmp_path)
    torch.save({"features.0.weight": torch.rand(64, 3, 3, 3)}, tmp_path / "other.pth")
    with pytest.raises(InputError, match="none of vgg19, vgg16, alexnet"):
        open_backbone(tmp_path / "other.pth", {})
    with pytest.raises(InputError, match="There is no backbone resnet"):
        open_backbone("resnet", {})


def test_without_the_net_it_says_what_to_do(tmp_path, monkeypatch):
    def fail(*arguments, **options):
        raise urllib.error.URLError("no route")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", fail)
    with pytest.raises(InputError, match=r"put https://.*vgg19.*\.pth into .* or choose alexnet"):
        open_backbone("vgg19", {}, tmp_path)
