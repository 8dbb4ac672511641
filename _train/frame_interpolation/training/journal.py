"""The output of a training run: checkpoints, metrics by step, their curves, sample pictures.

OUT/
    checkpoints/last.ckpt  best.ckpt
    metrics.csv  curves.png
    samples/0001000-0.png     frame 0, what was drawn between, frame 1
    tensorboard/
"""

import contextlib
import csv
import io
import tempfile
from pathlib import Path

import numpy as np
import torch

from _util import checkpoints, files, image
from _util.errors import InputError
from _util.version import VERSION


class Journal:
    """Writes into a folder, starting at a step; rows after that step, from before a resume, are dropped.

    Args:
        gathered: the figures that `gather` had collected when the checkpoint of that step was saved.

    Raises:
        InputError: here and in every method, if something cannot be written; existing files are kept.
    """

    def __init__(self, out: Path, step: int, gathered: dict[str, list[float]] | None = None):
        from torch.utils.tensorboard import SummaryWriter

        self.out = out
        self.gathered = gathered or {}
        self.rows: list[dict[str, float]] = []
        metrics = out / "metrics.csv"
        if step and metrics.exists():
            self.rows = [row for row in _read_rows(metrics) if row["step"] <= step]
        with self._writing_events():
            self._readable = _Readable(out / "tensorboard")
            self.events = SummaryWriter(str(self._readable.path), purge_step=step + 1)

    def _writing_events(self) -> contextlib.AbstractContextManager[None]:
        return files.writing(self.out / "tensorboard", "make room or choose another OUT")

    def gather(self, figures: dict[str, float]) -> None:
        """Collect figures; the next `write` writes their means."""
        for name, value in figures.items():
            self.gathered.setdefault(name, []).append(value)

    def write(self, step: int, **figures: float) -> dict[str, float]:
        """Append a row to `metrics.csv` and to TensorBoard's events, and return it."""
        means = {name: float(np.mean(values)) for name, values in self.gathered.items()}
        self.gathered.clear()
        self.rows.append({"step": step, **figures, **means})
        names = list(dict.fromkeys(name for row in self.rows for name in row))
        text = io.StringIO(newline="")
        table = csv.DictWriter(text, names)
        table.writeheader()
        table.writerows({name: f"{value:.7g}" for name, value in row.items()} for row in self.rows)
        files.write_bytes(self.out / "metrics.csv", text.getvalue().encode())
        with self._writing_events():
            for name, value in {**figures, **means}.items():
                self.events.add_scalar(name, value, step)
            self.events.flush()
        return self.rows[-1]

    def draw(self) -> None:
        """Write `curves.png`, one panel per figure; training and validation of the same figure share a panel."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        names = dict.fromkeys(name for row in self.rows for name in row if name != "step")
        panels = dict.fromkeys(name.removeprefix("validation_") for name in names)
        if not panels:
            return
        figure = Figure(figsize=(12, 3 * -(-len(panels) // 3)), layout="constrained")
        for i, title in enumerate(panels):
            panel = figure.add_subplot(-(-len(panels) // 3), 3, i + 1, title=title, xlabel="step")
            for name, label in ((title, "train"), (f"validation_{title}", "validation")):
                points = [(row["step"], row[name]) for row in self.rows if name in row]
                if points:
                    panel.plot(*zip(*points, strict=True), marker="." if len(points) < 50 else None, label=label)
            if f"validation_{title}" in names:
                panel.legend()
        content = io.BytesIO()
        FigureCanvasAgg(figure).print_png(content)
        files.write_bytes(self.out / "curves.png", content.getbuffer())

    def show(self, step: int, pictures: list[np.ndarray]) -> None:
        """Write sample pictures, (h, w, 3) uint8 each."""
        files.make_folder(self.out / "samples", "choose another OUT")
        for i, picture in enumerate(pictures):
            image.write(self.out / "samples" / f"{step:07d}-{i}.png", picture)
            with self._writing_events():
                self.events.add_image(f"sample {i}", picture, step, dataformats="HWC")

    def save(self, state: dict, names: list[str]) -> None:
        """Write the same checkpoint under each of the names."""
        content = io.BytesIO()
        torch.save(state, content)
        for name in names:
            files.write_bytes(self.out / "checkpoints" / name, content.getbuffer())


class _Readable:
    """A path to a folder that is valid UTF-8, as TensorBoard needs: the folder itself, or a symbolic link to it.

    Attributes:
        path: valid during the lifetime of this object.
    """

    def __init__(self, folder: Path):
        folder.mkdir(exist_ok=True)
        self.path = folder
        try:
            str(folder.resolve()).encode()
        except UnicodeEncodeError:
            self._place = tempfile.TemporaryDirectory()
            self.path = Path(self._place.name) / folder.name
            self.path.symlink_to(folder.resolve(), target_is_directory=True)


def _read_rows(path: Path) -> list[dict[str, float]]:
    try:
        with path.open(newline="") as file:
            rows = [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(file)]
    except (OSError, ValueError, TypeError, csv.Error) as error:
        raise InputError(f"{path} is damaged; move it away, and its curves start again.") from error
    if not all("step" in row for row in rows):
        raise InputError(f"{path} has rows without a step; move it away, and its curves start again.")
    return rows


def read_checkpoint(path: Path) -> dict:
    """Read a checkpoint of `Journal.save`, onto the CPU; only tensors and plain values are accepted.

    Raises:
        InputError: the file is damaged or is not a checkpoint.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        if "facts" in state:  # format of earlier versions
            state["metadata"] = {"options": state["facts"]["options"], "runs": state.pop("facts")["legs"]}
        state["step"], state["networks"], state["average"], state["metadata"]
    except Exception as error:  # damaged files raise many types of errors
        raise InputError(f"{path} is damaged or is not a checkpoint of training; move it away.") from error
    return state


def export(
    out: Path, folder: Path, start: Path | None = None, share: float = 1.0, overwrite: bool = False
) -> list[Path]:
    """Export the averaged weights of OUT's best checkpoint, or of the last if there is no best, and return the files.

    If `start` is given, weights are interpolated from it by `share`: halfway, they often keep old and new abilities
    (WiSE-FT; Wortsman et al., Robust Fine-Tuning of Zero-Shot Models, CVPR 2022).

    Each network becomes `NAME.safetensors` in fp16, with the metadata of its training. Tensors beyond the range of
    fp16, as batch norm statistics can be, stay in fp32.

    Raises:
        InputError: there is no checkpoint, a weight is not finite, `start` is of another network, a file exists that
            is not to be overwritten, or one cannot be written.
    """
    from safetensors.torch import save

    paths = [out / "checkpoints" / name for name in ("best.ckpt", "last.ckpt")]
    path = next((path for path in paths if path.exists()), None)
    if path is None:
        raise InputError(f"{out} has no checkpoints/best.ckpt or last.ckpt; give the folder of a run of training.")
    state = read_checkpoint(path)
    options, runs = state["metadata"]["options"], state["metadata"]["runs"]
    metadata = {
        "data": " ".join(options["data"]),
        "steps": str(state["step"]),
        "hours": f"{state['seconds'] / 3600:.2f}",
        "hardware": "; ".join(dict.fromkeys(run["hardware"] for run in runs)),
        "commit": "; ".join(dict.fromkeys(run["commit"] for run in runs)),
        "seed": str(options["seed"]),
        "version": VERSION,
        **({"start": start.name, "share": f"{share:g}"} if start else {}),
        "command": runs[-1]["command"],
    }
    readable = {name: text.encode(errors="backslashreplace").decode() for name, text in metadata.items()}
    before, has_met = checkpoints.read(start) if start else {}, False
    networks: dict[str, dict[str, torch.Tensor]] = {}
    for name, tensor in state["average"].items():
        network, weight = name.split(".", 1)
        if not tensor.isfinite().all():
            raise InputError(f"{path} holds a {name} that is not finite; train further from an earlier checkpoint.")
        known = next((before[key] for key in _endings(weight) if key in before), None)
        if known is not None and tensor.is_floating_point() and known.shape == tensor.shape:
            tensor, has_met = known.float().lerp(tensor, share), True
        if tensor.is_floating_point() and tensor.abs().max() <= torch.finfo(torch.float16).max:
            tensor = tensor.half()
        networks.setdefault(network, {})[weight] = tensor.contiguous()
    if start and not has_met:
        raise InputError(f"{start} has none of the weights of {path}; give the file that the run started from.")
    exported = {folder / f"{name}.safetensors": tensors for name, tensors in networks.items()}
    if not overwrite and (existing := next(filter(Path.exists, exported), None)):
        raise InputError(f"{existing} exists; choose another --to, or add --overwrite to replace it.")
    files.make_folder(folder, "choose another --to")
    for place, tensors in exported.items():
        files.write_bytes(place, save(tensors, readable))
    return list(exported)


def _endings(name: str) -> list[str]:
    """A name and all its suffixes without leading modules: "ifnet.block0.beta", "block0.beta", …"""
    parts = name.split(".")
    return [".".join(parts[i:]) for i in range(len(parts))]
