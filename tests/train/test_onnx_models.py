"""The default synthesis as ONNX: the same frames, of any size, with alpha, and what is refused."""

import functools
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from _train.frame_interpolation import Interpolator, onnx_models
from _train.frame_interpolation.models import sharp_ifnet
from _train.frame_interpolation.models.sharp_ifnet import SharpIFNet
from _util import checkpoints
from _util.errors import InputError

for package in ("onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(package)

Small = functools.partial(SharpIFNet, (16, 12, 8, 8), (1, 1, 1, 1))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Checkpoints with seeded weights of a small network, and its model for frames of up to 800 lines."""
    folder = tmp_path_factory.mktemp("checkpoints")
    (folder / "default").mkdir()
    (folder / "onnx").mkdir()
    save_file(checkpoints.seeded(Small().state_dict()), folder / "default/ifnet.safetensors")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(onnx_models, "SharpIFNet", Small)
        onnx_models.export(folder / "onnx" / onnx_models.file_name(1), 1, torch.float32, folder)
        assert onnx_models.difference(folder / "onnx" / onnx_models.file_name(1), 1, folder) < 1e-4
    return folder


@pytest.fixture
def create(monkeypatch, folder):
    monkeypatch.setattr(sharp_ifnet, "SharpIFNet", Small)

    def create(backend: str) -> Interpolator:
        if backend != "pytorch":
            pytest.importorskip(backend)
        return Interpolator(synthesis="ifnet", precision="fp32", folder=folder, backend=backend)

    return create


def frames(h: int, w: int, channels: int) -> list[np.ndarray]:
    y, x = np.mgrid[:h, :w]
    waves = np.stack([np.sin(x / (5 + c) + y / 7) for c in range(channels)], -1)
    frame = (0.5 + 0.4 * waves).astype(np.float32)
    if channels == 4:
        frame[..., 3] = x > w // 3
    return [frame, np.roll(frame, 3, 1)]


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
@pytest.mark.parametrize(("size", "channels"), [((33, 70), 3), ((64, 96), 3), ((50, 40), 4)])
def test_frames_are_those_of_pytorch(create, backend, size, channels):
    pair = frames(*size, channels)
    pytorch, onnx = (create(name)(*pair, times=[0.3, 0.5]) for name in ("pytorch", backend))
    for expected, found in zip(pytorch, onnx, strict=True):
        assert found.shape == (*size, channels)
        np.testing.assert_allclose(found, expected, atol=2e-3)
        assert np.abs(found - expected).mean() < 1e-4
    assert np.abs(onnx[0] - onnx[1]).max() > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_a_missing_or_damaged_model_is_named(create, folder, backend):
    interpolate, pair, path = create(backend), frames(1700, 1610, 3), folder / "onnx/ifnet-4.onnx"
    path.unlink(missing_ok=True)
    with pytest.raises(InputError, match=r"ifnet-4\.onnx; write it with"):
        interpolate(*pair)
    path.write_bytes(b"\x08\x0a" * 99)
    with pytest.raises(InputError, match=r"ifnet-4\.onnx is damaged"):
        interpolate(*pair)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_a_model_of_other_weights_is_refused(create, folder, backend):
    pair, weights = frames(33, 70, 3), folder / "default/ifnet.safetensors"
    kept = weights.read_bytes()
    onnx_models._load.cache_clear()
    state = checkpoints.seeded(Small().state_dict())
    save_file({name: tensor + 0.01 for name, tensor in state.items()}, weights)
    try:
        with pytest.raises(InputError, match=r"ifnet-1\.onnx was made of other weights than .*ifnet\.safetensors"):
            create(backend)(*pair)
    finally:
        weights.write_bytes(kept)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="this system has no signals of users")
def test_signals_are_handled_after_models_of_two_sizes_were_freed(folder):
    pytest.importorskip("openvino")
    code = "import gc, pathlib, signal, sys; from _train.frame_interpolation import onnx_models\n"
    code += "model = pathlib.Path(sys.argv[1])\n"
    code += "loaded = [onnx_models._openvino(model, (64, size)) for size in (64, 96)]\n"
    code += "del loaded[0]; gc.collect(); loaded.clear(); gc.collect()\n"
    code += "signal.signal(signal.SIGUSR1, lambda *_: print('handled')); signal.raise_signal(signal.SIGUSR1)\n"
    model = folder / "onnx" / onnx_models.file_name(1)
    found = subprocess.run([sys.executable, "-c", code, model], capture_output=True, text=True)
    assert (found.returncode, found.stdout) == (0, "handled\n"), found.stderr


def test_what_onnx_runtime_does_not_draw_is_refused():
    with pytest.raises(InputError, match="onnxruntime draws ifnet, ifnet-fast, not splat"):
        Interpolator(flow="dis", synthesis="splat", backend="onnxruntime")
    with pytest.raises(InputError, match="no backend 'tensorflow'"):
        Interpolator(synthesis="ifnet", backend="tensorflow")


def test_without_the_packages_it_says_which(tmp_path):
    code = "import sys; sys.modules['onnxruntime'] = None; from _train.frame_interpolation import Interpolator as I\n"
    code += "try: I(synthesis='ifnet', backend='onnxruntime')\nexcept Exception as error: print(error)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "This needs onnxruntime, which is not installed: run make/setup onnx."
