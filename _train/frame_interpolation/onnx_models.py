"""The default synthesis as ONNX models: exported for other programs, and run by ONNX Runtime or OpenVINO.

    checkpoints/onnx/
        ifnet-1.onnx    for frames of up to 800 lines
        ifnet-2.onnx    up to 1600: the same weights, motion estimated at half the size
        ifnet-4.onnx    larger

The inputs are frame0 and frame1, (1, 3, h, w) RGB in [0, 1], and t, (1, 1, h, w) in (0, 1), constant or per pixel; h
and w are multiples of 8 times the number in the name. The outputs are frame (1, 3, h, w), motion (1, 4, h, w), x y to
frame 0, then to frame 1, in pixels, and mask (1, 1, h, w), logits of frame 0's share. All are fp32.
"""

import contextlib
import importlib.util
import io
import logging
import os
import threading
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from _train.frame_interpolation.context import Context
from _train.frame_interpolation.models import ifnet
from _train.frame_interpolation.models.ifnet import Interpolation
from _train.frame_interpolation.models.layers import pad
from _train.frame_interpolation.models.mixing import mix, static_limit
from _train.frame_interpolation.models.sharp_ifnet import SharpIFNet
from _train.frame_interpolation.syntheses import Intermediate, Pair
from _util import checkpoints, command, extras, files, runs
from _util.errors import InputError
from _util.version import VERSION

FOLDER = "onnx"  # inside a folder of checkpoints
COARSENESSES = (1, 2, 4)
OPSET = 20  # the first version whose GridSample has the mode "cubic"
_MULTIPLE = ifnet.SCALES[0]
_INPUTS, _OUTPUTS = ("frame0", "frame1", "t"), ("frame", "motion", "mask")
_KEPT = 8  # loaded models; OpenVINO needs one for each frame size
_KEPT_PIXELS = 2 * 1920 * 1088  # of these sizes together: OpenVINO needs 0.4 GB for each million. One may be larger
_PROVIDERS = ("TensorRT", "CUDA", "Dml", "CoreML", "OpenVINO", "CPU")  # of ONNX Runtime, in order of preference

_Size = tuple[int, int]  # (h, w)


class _Model(NamedTuple):
    """A loaded model, which several threads may run."""

    run: Callable[[dict[str, np.ndarray]], list[np.ndarray]]  # takes inputs by name, returns the outputs in order
    properties: Mapping[str, str]  # its metadata


def place(folder: Path = checkpoints.FOLDER) -> Path:
    """The folder of the models that belong to a folder of checkpoints; it may not exist yet."""
    found = (searched / FOLDER for searched in checkpoints.searched(folder) if (searched / FOLDER).is_dir())
    return next(found, checkpoints.place_for_more(folder) / FOLDER)


def file_name(coarser: int) -> str:
    return f"ifnet-{coarser}.onnx"


def _origin(weights: Path) -> dict[str, str]:
    """Model metadata that identifies the weights and the project version that a model was exported from."""
    return {"version": VERSION, "weights": runs.digest(weights)}


def settings(backend: str, folder: Path) -> dict[str, Any]:
    """What determines the frames of a backend besides the weights: its name, and a digest of the existing models."""
    paths = [place(folder) / file_name(coarser) for coarser in COARSENESSES]
    models = {path.name: runs.digest(path) for path in paths if path.is_file()}
    return {"backend": backend, "models": runs.digest_of(models)}


class _Exported(nn.Module):
    def __init__(self, network: SharpIFNet, coarser: int):
        super().__init__()
        self.network, self.coarser = network, coarser

    def forward(self, frame0: Tensor, frame1: Tensor, t: Tensor) -> Interpolation:
        return self.network(frame0, frame1, t, self.coarser)


def export(path: Path, coarser: int, precision: torch.dtype, folder: Path = checkpoints.FOLDER) -> None:
    """Write a model for frames of any size.

    Args:
        coarser: factor by which the blocks work coarser than at their default scales.
        precision: of weights and convolutions, fp32 or fp16.
        folder: of the checkpoints with the weights.

    Raises:
        InputError: weights are missing or do not fit, packages are missing, or the file cannot be written.
    """
    extras.require("onnx", "onnxscript")
    import onnx

    network = SharpIFNet().eval().requires_grad_(False)
    weights = checkpoints.load(network, "ifnet", folder)
    network = network.fold() if precision == torch.float32 else network.to(precision)
    multiple = _MULTIPLE * coarser
    frame, t = torch.rand(1, 3, 2 * multiple, 3 * multiple), torch.full((1, 1, 2 * multiple, 3 * multiple), 0.5)
    sides = {2: multiple * torch.export.Dim("rows", min=1), 3: multiple * torch.export.Dim("columns", min=1)}
    with command.ending_at_once(), _quietly():
        program = torch.onnx.export(
            _Exported(network, coarser).eval(),
            (frame, frame.clone(), t),
            dynamo=True,
            opset_version=OPSET,
            input_names=_INPUTS,
            output_names=_OUTPUTS,
            dynamic_shapes=(sides, sides, sides),
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    onnx.helper.set_model_props(
        model,
        {
            "title": "inbetween IFNet",
            **_origin(weights),
            "multiple": str(multiple),
            "precision": str(precision).removeprefix("torch."),
            "licence": "MIT; weights begin with those of RIFE 4.6, Copyright (c) 2021 hzwer",
        },
    )
    with files.making_folder(path.parent), files.replacing(path) as temporary:
        onnx.save(model, temporary)


@contextlib.contextmanager
def _quietly():
    """Suppress the exporter's progress messages."""
    with warnings.catch_warnings(action="ignore"), contextlib.redirect_stdout(io.StringIO()):
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)


def difference(path: Path, coarser: int, folder: Path = checkpoints.FOLDER) -> float | None:
    """The maximum absolute difference between a model and PyTorch in fp32, of colours in [0, 1], on a pair of smooth
    patterns; None if ONNX Runtime is not installed."""
    if importlib.util.find_spec("onnxruntime") is None:
        return None
    network = SharpIFNet().eval()
    checkpoints.load(network, "ifnet", folder)
    sides = 2 * _MULTIPLE * coarser, 3 * _MULTIPLE * coarser
    noise = torch.rand(1, 3, 6, 10, generator=torch.Generator().manual_seed(0))
    wide = F.interpolate(noise, (sides[0], sides[1] + 8), mode="bicubic", align_corners=False).clamp(0, 1)
    frame0, frame1, t = wide[..., 8:], wide[..., :-8], torch.full((1, 1, *sides), 0.4)
    with torch.inference_mode():
        expected = network(frame0, frame1, t, coarser).frame
    return float((_run(_load("onnxruntime", path, sides), frame0, frame1, t)[0] - expected).abs().max())


class OnnxPair(NamedTuple):
    """A pair of frames as `OnnxIntermediate` prepares it."""

    frames: Tensor  # (2, 1, 3, h, w)
    seen: Tensor | None  # (2, 1, 3, h, w), the frames to estimate motion from, if different


class OnnxIntermediate(Intermediate):
    """The default synthesis, run by ONNX Runtime or OpenVINO.

    Args:
        backend: "onnxruntime" or "openvino".
        folder: of the checkpoints, with the models in `onnx/`.
        coarser: factor by which motion is estimated coarser than by default.

    Raises:
        InputError: the backend is not installed.
    """

    def __init__(self, backend: str, folder: Path, coarser: int = 1):
        extras.require(backend)
        self.backend, self.folder, self.coarser = backend, place(folder), coarser
        self.weights = checkpoints.find("ifnet", folder)
        self._origin = {} if self.weights is None else _origin(self.weights)

    def check_size(self, size: _Size) -> None:
        """Load the model for frames of (h, w).

        Raises:
            InputError: as `_model`.
        """
        self._model_for(size)

    def prepare(self, pair: Pair, flow: Any = None) -> OnnxPair:
        self.check_size((pair.frame0.shape[2], pair.frame0.shape[3]))
        frames = torch.stack([pair.frame0, pair.frame1])
        seen = None if pair.seen0 is pair.frame0 else torch.stack([pair.seen0, pair.seen1])
        return OnnxPair(frames, seen)

    def interpolate(self, prepared: OnnxPair, t: float | Tensor) -> Interpolation:
        h, w = prepared.frames.shape[-2:]
        model, coarser = self._model_for((h, w))
        times = ifnet.time_plane(t, prepared.frames)
        seen = prepared.frames if prepared.seen is None else prepared.seen
        frame0, frame1, *planes = (pad(x, _MULTIPLE * coarser) for x in (*seen, *times.split(1)))
        found = [_run(model, frame0, frame1, plane) for plane in planes]
        drawn = Interpolation(*(torch.cat(x)[:, :, :h, :w] for x in zip(*found, strict=True)))
        if prepared.seen is None:
            return drawn
        return mix(prepared.frames, drawn.motion, drawn.mask, static_limit(seen[0], seen[1], coarser))

    def _model_for(self, size: _Size) -> tuple[_Model, int]:
        """The model for frames of (h, w), and the factor by which its blocks work coarser.

        Raises:
            InputError: as `_model`.
        """
        coarser = min(self.coarser * ifnet.coarseness(size), COARSENESSES[-1])
        multiple = _MULTIPLE * coarser
        h, w = (-(-side // multiple) * multiple for side in size)
        return self._model(coarser, (h, w)), coarser

    def _model(self, coarser: int, size: _Size) -> _Model:
        """The model for frames of (h, w) after padding.

        Raises:
            InputError: the file is missing, is not a model, or was exported from other weights or by another version.
        """
        path = self.folder / file_name(coarser)
        model = _load(self.backend, path, size)
        if not (self._origin | {"multiple": str(_MULTIPLE * coarser)}).items() <= model.properties.items():
            raise InputError(
                f"{path} was made of other weights than {self.weights}, or by another version; write it again with "
                f"{command.line('_scripts.export_onnx')}."
            )
        return model


def _run(model: _Model, frame0: Tensor, frame1: Tensor, t: Tensor) -> list[Tensor]:
    inputs = zip(_INPUTS, (frame0, frame1, t), strict=True)
    outputs = model.run({name: x.float().contiguous().numpy() for name, x in inputs})
    return [torch.from_numpy(output) for output in outputs]


def _load(backend: str, path: Path, size: _Size) -> _Model:
    """Load a model for frames of (h, w), unless it is loaded.

    Raises:
        InputError: the file is missing, or is not a model.
    """
    if not path.is_file():
        raise InputError(f"There is no {path}; write it with {command.line('_scripts.export_onnx')}.")
    try:
        return _loaded(os.getpid()).model(backend, path, size)
    except Exception as error:  # the backends raise types of their own
        reason = (str(error).strip() or repr(error)).splitlines()[-1]
        again = command.line("_scripts.export_onnx")
        raise InputError(
            f"{backend} cannot load {path} ({reason}); if it is damaged, write it again by {again}."
        ) from error


class _Loaded:
    """The models that one process has loaded, the most recently used last."""

    def __init__(self) -> None:
        self._models: dict[tuple[str, Path, str, _Size], _Model] = {}
        self._lock = threading.Lock()
        self._core: Any = None

    def model(self, backend: str, path: Path, size: _Size) -> _Model:
        size = size if backend == "openvino" else (0, 0)
        key = backend, path, runs.stamp(path), size
        with self._lock:
            model = self._models.pop(key, None)
            if model is None:
                model = _openvino(self._openvino_core(), path, size) if backend == "openvino" else _onnxruntime(path)
            self._models[key] = model
            while len(self._models) > 1 and (len(self._models) > _KEPT or self._pixels() > _KEPT_PIXELS):
                del self._models[next(iter(self._models))]
        return model

    def _pixels(self) -> int:
        return sum(h * w for *_, (h, w) in self._models)

    def _openvino_core(self) -> Any:
        """The only `openvino.Core` of the process, which is never freed.

        OpenVINO's CPU plugin replaces the alternate signal stack, once for each core. Of two cores, the one that is
        freed last brings back the stack of the other, which is unmapped by then, and the next signal ends the process.
        """
        if self._core is None:
            import openvino

            self._core = openvino.Core()
        return self._core


_processes: dict[int, _Loaded] = {}


def _loaded(process: int) -> _Loaded:
    """The models of a process, never freed: a fork can neither run nor free those of its parent, as their threads are
    missing."""
    return _processes.setdefault(process, _Loaded())  # in one step, so that threads share one


def _onnxruntime(path: Path) -> _Model:
    """Load a model with the best available provider."""
    import onnxruntime

    there = onnxruntime.get_available_providers()
    providers = [name for name in (f"{provider}ExecutionProvider" for provider in _PROVIDERS) if name in there]
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.enable_cpu_mem_arena = False  # an arena per model grows with the largest frame, and saves no time
    session = onnxruntime.InferenceSession(path, options, providers=providers)

    def run(inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        return [np.asarray(output) for output in session.run(_OUTPUTS, inputs)]

    return _Model(run, session.get_modelmeta().custom_metadata_map)


def _openvino(core: Any, path: Path, size: _Size) -> _Model:
    """Compile a model for one fixed size, which is faster, on the device that OpenVINO selects."""
    model = core.read_model(path)
    model.reshape({name: (1, 1 if name == "t" else 3, *size) for name in _INPUTS})
    compiled = core.compile_model(model, "AUTO", {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"})
    lock = threading.Lock()  # a compiled model has one set of inputs and outputs

    def run(inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        with lock:
            outputs = compiled(inputs)
            return [np.array(outputs[name]) for name in _OUTPUTS]

    information = dict(model.get_rt_info()).get("framework", {})
    return _Model(run, {name: value.astype(str) for name, value in information.items()})


def create(context: Context, coarser: str = "1") -> OnnxIntermediate:
    return OnnxIntermediate(context.backend, context.folder, int(coarser))
