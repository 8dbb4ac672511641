"""The nodes keep ComfyUI's protocol: they are called here as its executor calls them."""

import importlib.util
import shutil
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch

from _train.frame_interpolation.interpolator import Interpolator
from _util.errors import InputError
from hosts.comfyui import nodes
from tests.train.test_easing import PLACES, accelerated, picture, place_of

FOLDER = Path(nodes.__file__).parent
TYPES = {"IMAGE", "INT"}
INTERPOLATOR = nodes._interpolator


@pytest.fixture(autouse=True)
def simple(monkeypatch):
    chosen = Interpolator(flow="dis", synthesis="splat", device="cpu")
    monkeypatch.setattr(nodes, "_interpolator", lambda synthesis: chosen)


def execute(name: str, **inputs) -> torch.Tensor:
    """What ComfyUI does with a node: defaults, limits and types of inputs are verified, then its function is called."""
    node = nodes.NODE_CLASS_MAPPINGS[name]
    types_of_inputs = node.INPUT_TYPES()
    required, optional = types_of_inputs["required"], types_of_inputs.get("optional", {})
    for key, (kind, *rest) in [*required.items(), *((key, optional[key]) for key in optional if key in inputs)]:
        settings = rest[0] if rest else {}
        value = inputs.setdefault(key, settings.get("default"))
        if isinstance(kind, list):
            assert value in kind
        elif kind == "INT":
            assert settings["min"] <= value <= settings["max"]
        else:
            assert kind == "IMAGE"
    assert required.keys() <= inputs.keys() <= required.keys() | optional.keys()
    result = getattr(node(), node.FUNCTION)(**inputs)
    assert isinstance(result, tuple)
    assert node.RETURN_TYPES == ("IMAGE",)
    assert len(result) == len(node.RETURN_NAMES) == 1
    return result[0]


def load(folder: Path) -> types.ModuleType:
    """What ComfyUI does with a folder of `custom_nodes`."""
    spec = importlib.util.spec_from_file_location("custom_nodes.inbetween", folder / "__init__.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def images(count: int, channels: int = 3) -> torch.Tensor:
    return torch.stack([torch.full((32, 48, channels), i / 4) for i in range(count)])


def test_a_pair():
    first, last = images(2).split(1)
    frames = execute("InbetweenPair", first=first, last=last, between=3)
    assert frames.shape == (5, 32, 48, 3)
    assert frames.dtype == torch.float32
    assert torch.equal(frames[[0, -1]], torch.cat([first, last]))
    assert torch.allclose(frames.mean((1, 2, 3)), torch.linspace(0, 0.25, 5), atol=0.01)


@pytest.mark.parametrize("channels", [3, 4])
def test_a_sequence(channels):
    given = images(3, channels)
    frames = execute("InbetweenSequence", images=given)
    assert frames.shape == (5, 32, 48, channels)
    assert torch.equal(frames[::2], given)
    assert 0 <= frames.min() <= frames.max() <= 1


def test_a_sequence_is_eased_by_the_images_around_each_gap(monkeypatch):
    ifnet = Interpolator(device="cpu", precision="fp32")
    monkeypatch.setattr(nodes, "_interpolator", lambda synthesis: ifnet)
    given = torch.stack([torch.from_numpy(picture(x).astype(np.float32) / 255) for x in PLACES[1:]])
    frames = {
        ease: execute("InbetweenSequence", images=given, ease=ease).mul(255).byte().numpy() for ease in ("none", "auto")
    }
    assert (frames["none"][[0, 1, 2, 4, 6, 7, 8]] == frames["auto"][[0, 1, 2, 4, 6, 7, 8]]).all()  # ends have one side
    for gap in (1, 2):
        off = {ease: place_of(drawn[2 * gap + 1]) - accelerated(0.5, gap + 1) for ease, drawn in frames.items()}
        assert abs(off["auto"]) < 0.6 * abs(off["none"])


def test_an_ease_needs_a_synthesis_that_finds_motion():
    with pytest.raises(InputError, match="does not"):
        execute("InbetweenSequence", images=images(4), ease="auto")


def test_one_image_stays():
    assert torch.equal(execute("InbetweenSequence", images=images(1)), images(1))


def test_sizes_that_differ_are_refused():
    with pytest.raises(ValueError, match="different sizes"):
        execute("InbetweenPair", first=images(1), last=torch.zeros(1, 40, 48, 3))


def test_images_without_alpha_are_opaque_beside_those_with_it():
    first, last = images(2).split(1)
    with torch.inference_mode():
        frames = execute("InbetweenPair", first=first.half(), last=torch.cat([last, last * 0], 3)[..., :4])
    assert torch.equal(frames[[0, 2], 0, 0, 3], torch.tensor([1.0, 0.0]))
    assert torch.equal(frames[0, ..., :3], first[0])


def test_an_empty_batch_is_refused():
    with pytest.raises(ValueError, match="no images"):
        execute("InbetweenSequence", images=images(1)[:0])
    for first, last in ((images(1)[:0], images(1)), (images(1), images(1)[:0])):
        with pytest.raises(ValueError, match="no images"):
            execute("InbetweenPair", first=first, last=last)


def test_a_batch_is_no_end_of_a_pair():
    for first, last in ((images(2), images(1)), (images(1), images(2))):
        with pytest.raises(ValueError, match="A batch of 2 images is no end of a pair"):
            execute("InbetweenPair", first=first, last=last)


def test_progress_is_shown_and_cancelling_ends_the_work(monkeypatch):
    done = []

    class ProgressBar:
        def __init__(self, total: int):
            done.append(total)

        def update(self, more: int) -> None:
            done.append(more)
            if len(done) == 4:
                raise InterruptedError

    monkeypatch.setitem(sys.modules, "comfy", types.ModuleType("comfy"))
    monkeypatch.setitem(sys.modules, "comfy.utils", types.SimpleNamespace(ProgressBar=ProgressBar))
    with pytest.raises(InterruptedError):
        execute("InbetweenSequence", images=images(3), between=2)
    assert done == [4, 1, 1, 1]


def test_it_computes_where_comfyui_does(monkeypatch):
    monkeypatch.setitem(sys.modules, "comfy", types.ModuleType("comfy"))
    management = types.SimpleNamespace(get_torch_device=lambda: torch.device("cpu"))
    monkeypatch.setitem(sys.modules, "comfy.model_management", management)
    monkeypatch.setattr(nodes, "Interpolator", lambda **options: options)
    assert INTERPOLATOR.__wrapped__("splat") == {"synthesis": "splat", "device": torch.device("cpu")}
    monkeypatch.delitem(sys.modules, "comfy.model_management")
    assert INTERPOLATOR.__wrapped__("splat") == {"synthesis": "splat", "device": "auto"}


def test_a_copy_elsewhere_names_the_variable_that_it_needs(monkeypatch, tmp_path):
    monkeypatch.delenv("INBETWEEN_HOME", raising=False)
    copied = shutil.copytree(FOLDER, tmp_path / "ComfyUI" / "custom_nodes" / "inbetween")
    with pytest.raises(ImportError, match="INBETWEEN_HOME"):
        load(copied)
    monkeypatch.setenv("INBETWEEN_HOME", str(FOLDER.parents[1]))
    assert load(copied).NODE_CLASS_MAPPINGS


def test_the_folder_is_loaded_as_comfyui_loads_it():
    module = load(FOLDER)
    assert module.NODE_CLASS_MAPPINGS.keys() == module.NODE_DISPLAY_NAME_MAPPINGS.keys()
