"""The default synthesis as ONNX: the same frames, of any size, with alpha, and what is refused."""

import functools
import json
import os
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.utils.data import DataLoader

from _scripts import export_onnx
from _train.frame_interpolation import Interpolator, onnx_models, pairs
from _train.frame_interpolation.keys import key_drawings, timing
from _train.frame_interpolation.methods import BACKENDS
from _train.frame_interpolation.models import sharp_ifnet
from _train.frame_interpolation.models.sharp_ifnet import SharpIFNet
from _train.frame_interpolation.video.interpolate import Options, interpolate_video
from _util import checkpoints, image
from _util.errors import InputError

for package in ("onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(package)

Small = functools.partial(SharpIFNet, (16, 12), (1, 1))  # tracing more blocks takes minutes


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

    def create(backend: str, device: str = "auto") -> Interpolator:
        if backend != "pytorch":
            pytest.importorskip(backend)
        return Interpolator(synthesis="ifnet", device=device, precision="fp32", folder=folder, backend=backend)

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
    with pytest.raises(InputError, match=r"cannot load .*ifnet-4\.onnx"):
        interpolate(*pair)


@pytest.mark.parametrize("kind", ["pair", "sequence", "video"])
def test_nothing_is_written_without_a_model(tmp_path, kind):
    (tmp_path / "default").mkdir()
    shutil.copy(checkpoints.FOLDER / "default/ifnet.safetensors", tmp_path / "default")
    keys, out = [tmp_path / f"keys/{i}.png" for i in range(2)], tmp_path / "out"
    keys[0].parent.mkdir()
    for key, frame in zip(keys, frames(1700, 1610, 3), strict=True):
        image.write(key, (255 * frame).astype(np.uint8))
    options, rates = {"folder": tmp_path, "backend": "onnxruntime"}, Options(fps=Fraction(24), in_fps=Fraction(12))
    draw = {
        "pair": lambda: pairs.interpolate_files(*keys, out, fps=2, **options),
        "sequence": lambda: key_drawings.interpolate_keys(keys, out, timing.plan(["0", "1"]), **options),
        "video": lambda: interpolate_video(keys[0].parent, out, rates, lambda: (Interpolator(**options), {})),
    }[kind]
    with pytest.raises(InputError, match=r"ifnet-4\.onnx; write it with"):
        draw()
    assert not out.exists()


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_a_model_of_other_weights_is_refused(create, folder, backend):
    pair, weights = frames(33, 70, 3), folder / "default/ifnet.safetensors"
    kept = weights.read_bytes()
    state = checkpoints.seeded(Small().state_dict())
    save_file({name: tensor + 0.01 for name, tensor in state.items()}, weights)
    try:
        with pytest.raises(InputError, match=r"ifnet-1\.onnx was made of other weights than .*ifnet\.safetensors"):
            create(backend)(*pair)
    finally:
        weights.write_bytes(kept)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_threads_share_an_interpolator(create, backend):
    interpolate, pairs = create(backend), [frames(64, 96, 3), frames(64, 96, 3)[::-1]]
    alone = [interpolate(*pair)[0] for pair in pairs]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda i: interpolate(*pairs[i % 2])[0], range(24)))
    for i, frame in enumerate(together):
        np.testing.assert_array_equal(frame, alone[i % 2])


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_a_fork_draws_the_same_frames(create, backend):
    interpolate, pair = create(backend), frames(64, 96, 3)
    (expected,) = interpolate(*pair)
    # Its workers run PyTorch on one thread, which a fork can do.
    (found,) = DataLoader(
        [pair],
        num_workers=1,
        collate_fn=lambda batch: interpolate(*batch[0])[0],
        timeout=30,
        multiprocessing_context="fork",
    )
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_loaded_models_are_few_and_small_enough_together(monkeypatch, tmp_path):
    monkeypatch.setattr(onnx_models, "_openvino", lambda core, path, size: size)
    monkeypatch.setattr(onnx_models._Loaded, "_openvino_core", lambda self: None)
    loaded = onnx_models._Loaded()
    for h in range(64, 704, 64):
        assert loaded.model("openvino", tmp_path / "a.onnx", (h, 64)) == (h, 64)
    assert [size for *_, size in loaded._models] == [(h, 64) for h in range(192, 704, 64)]
    loaded.model("openvino", tmp_path / "a.onnx", (192, 64))
    assert next(iter(loaded._models))[-1] == (256, 64)  # what was used least recently is the first to go
    loaded.model("openvino", tmp_path / "a.onnx", (1088, 1920))
    loaded.model("openvino", tmp_path / "a.onnx", (1088, 1856))
    loaded.model("openvino", tmp_path / "a.onnx", (1088, 1792))
    assert [size for *_, size in loaded._models] == [(1088, 1856), (1088, 1792)]
    loaded.model("openvino", tmp_path / "a.onnx", (4352, 7680))
    assert [size for *_, size in loaded._models] == [(4352, 7680)]


@pytest.mark.slow
def test_settings_tell_backends_and_their_models_apart(create, folder, monkeypatch):
    pytest.importorskip("openvino")
    found = [create(backend).settings() for backend in BACKENDS]
    monkeypatch.setattr(onnx_models, "file_name", lambda coarser: f"other-{coarser}.onnx")
    (folder / "onnx" / "other-1.onnx").write_bytes(b"other")
    found.append(create("openvino").settings())
    assert len({json.dumps(settings) for settings in found}) == 4


@pytest.mark.slow
def test_a_device_of_pytorch_is_ignored(create):
    assert create("onnxruntime", device="cuda").device.type == "cpu"


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="this system has no signals of users")
def test_signals_are_handled_after_models_of_two_sizes_were_freed(folder):
    pytest.importorskip("openvino")
    code = "import gc, os, pathlib, signal, sys; from _train.frame_interpolation import onnx_models\n"
    code += "for size in (64, 96): onnx_models._load('openvino', pathlib.Path(sys.argv[1]), (64, size))\n"
    code += "models = onnx_models._loaded(os.getpid())._models\n"
    code += "del models[next(iter(models))]; gc.collect(); models.clear(); gc.collect()\n"
    code += "signal.signal(signal.SIGUSR1, lambda *_: print('handled')); signal.raise_signal(signal.SIGUSR1)\n"
    model = folder / "onnx" / onnx_models.file_name(1)
    found = subprocess.run([sys.executable, "-c", code, model], capture_output=True, text=True)
    assert (found.returncode, found.stdout) == (0, "handled\n"), found.stderr


def test_what_onnx_runtime_does_not_draw_is_refused():
    with pytest.raises(InputError, match="onnxruntime draws ifnet, ifnet-fast, not splat"):
        Interpolator(flow="dis", synthesis="splat", backend="onnxruntime")
    with pytest.raises(InputError, match="no backend 'tensorflow'"):
        Interpolator(synthesis="ifnet", backend="tensorflow")


def test_a_folder_of_weights_that_is_missing_is_named(call, tmp_path):
    code, said, _ = call(export_onnx.main, "--checkpoints", tmp_path / "nope")
    assert code == 2
    assert said == f"There is no folder of weights {tmp_path / 'nope'}; correct --checkpoints, or leave it out.\n"


def test_an_interrupted_export_ends_as_other_commands_do(tmp_path):
    """PyTorch's exporter takes an interrupt for a failure of its own."""
    code = (
        "import os, signal, sys, time, torch\n"
        "from _scripts import export_onnx\n"
        "from _util import command\n"
        "def fail(*_, **__):\n"
        "    try: os.kill(os.getpid(), signal.SIGTERM); time.sleep(5)\n"
        "    except BaseException: raise RuntimeError('Failed to export the model')\n"
        "torch.onnx.export = fail\n"
        "command.run(export_onnx.main)\n"
    )
    out = tmp_path / "out"
    checkpoints = Path(__file__).parents[2] / "checkpoints"
    found = subprocess.run(
        [sys.executable, "-c", code, "--out", out, "--checkpoints", checkpoints], capture_output=True, text=True
    )
    assert found.returncode == 128 + signal.SIGTERM
    said = [f"Exporting {out}/ifnet-1.onnx; this may take minutes.", "Interrupted; files written so far are complete."]
    assert found.stderr.splitlines() == said
    assert not out.exists()


def test_without_the_packages_it_says_which(tmp_path):
    code = "import sys; sys.modules['onnxruntime'] = None; from _train.frame_interpolation import Interpolator as I\n"
    code += "try: I(synthesis='ifnet', backend='onnxruntime')\nexcept Exception as error: print(error)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "This needs onnxruntime, which is not installed: run make/setup onnx."
