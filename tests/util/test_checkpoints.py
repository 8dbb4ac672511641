"""Weights load from what people publish, and from nothing that is damaged, does not fit, or could run code."""

import io
import pickle
import zipfile

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from _train.frame_interpolation.benchmarks.stages import write_checkpoints
from _train.frame_interpolation.models.dtm import DTM
from _train.frame_interpolation.models.rfr import RFR
from _train.frame_interpolation.models.softsplat_lite import SoftsplatLite
from _util import checkpoints
from _util.errors import InputError

NETWORKS = {"ssl": SoftsplatLite, "dtm": DTM, "rfr": RFR}


def network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), *(nn.Linear(2, 2) for _ in range(4)))


@pytest.fixture
def weights() -> dict[str, Tensor]:
    return checkpoints.seeded(network().state_dict())


def assert_loads(path, weights):
    model = network()
    assert checkpoints.load(model, path) == path
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(tensor, weights[name], atol=1e-3, rtol=1e-3)


def failure(path) -> str:
    """What loading says; the model stays as it was."""
    model = network()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(InputError) as caught:
        checkpoints.load(model, path)
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(tensor, before[name], atol=0, rtol=0)
    assert str(path) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("wrapper", [None, "state_dict", "model_state_dict"])
@pytest.mark.parametrize("prefix", ["", "module.", "module.net."])
def test_prefixes_and_wrappers(tmp_path, weights, prefix, wrapper, legacy):
    content = {prefix + name: tensor for name, tensor in weights.items()}
    if prefix:  # another network beside it, some of whose names end alike
        content |= (
            {"module.other.0.weight": torch.zeros(1), "module.other.x": torch.zeros(1)} if "net" in prefix else {}
        )
    if wrapper:
        content = {"epoch": 3, wrapper: content}
    torch.save(content, tmp_path / "w.pt", _use_new_zipfile_serialization=not legacy)
    assert_loads(tmp_path / "w.pt", weights)


def test_half_precision_safetensors(tmp_path, weights):
    halves = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in weights.items()}
    save_file(halves, tmp_path / "w.safetensors")
    assert_loads(tmp_path / "w.safetensors", weights)


@pytest.mark.parametrize("name", NETWORKS)
def test_published_files(tmp_path, name):
    write_checkpoints(tmp_path)
    if name == "rfr":
        path = tmp_path / checkpoints.PUBLISHED[name]
        content = torch.load(path)
        content["model_state_dict"] |= {"module.feat_ext.conv1.weight": torch.zeros(32, 3, 3, 3)}
        torch.save(content, path)
    model = NETWORKS[name]().eval()
    path = checkpoints.load(model, name, tmp_path)
    assert path.name == checkpoints.PUBLISHED[name]
    for key, tensor in checkpoints.seeded(model.state_dict()).items():
        torch.testing.assert_close(model.state_dict()[key], tensor, atol=0, rtol=0)


def test_published_before_shipped(tmp_path):
    assert checkpoints.find("dtm", tmp_path) is None
    shipped = tmp_path / "default" / "dtm.safetensors"
    shipped.parent.mkdir()
    shipped.write_bytes(b"")
    assert checkpoints.find("dtm", tmp_path) == shipped
    (tmp_path / "dtm.pt").write_bytes(b"")
    assert checkpoints.find("dtm", tmp_path) == tmp_path / "dtm.pt"


@pytest.mark.parametrize(("name", "file"), checkpoints.PUBLISHED.items())
def test_missing_weights_are_reported_with_their_place(tmp_path, name, file):
    with pytest.raises(InputError, match=f"put {file} into {tmp_path}"):
        checkpoints.load(network(), name, tmp_path)


def test_exported_weights_are_found_in_their_own_folder(tmp_path):
    path = tmp_path / "ifnet.safetensors"
    path.touch()
    assert checkpoints.find("ifnet", tmp_path) == path
    shipped = tmp_path / "default" / path.name
    shipped.parent.mkdir()
    shipped.touch()
    assert checkpoints.find("ifnet", tmp_path) == shipped


def test_five_names_of_each_fault_are_listed(tmp_path, weights):
    wrong = {f"more{i}": torch.zeros(1) for i in range(7)}
    wrong |= {name: torch.zeros(9, 9) for name in list(weights)[:6]}  # the other nine are missing
    torch.save(wrong, tmp_path / "w.pt")
    message = failure(tmp_path / "w.pt")
    missing, extra, misshapen = message.split("(", 1)[1].split("; ")
    assert missing == "missing: 1.num_batches_tracked, 2.weight, 2.bias, 3.weight, 3.bias and 4 more"
    assert extra == "extra: more0, more1, more2, more3, more4 and 2 more"
    assert misshapen.startswith("misshapen: 0.weight is 9×9 instead of 4×3×3×3, 0.bias is 9×9 instead of 4,")
    assert misshapen.endswith(" and 1 more).")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda x: x * float("nan"),
        lambda x: x / 0,
        lambda x: x.double() * 1e300,
        lambda x: x.to(torch.complex64),
        lambda x: x.to_sparse(),
        lambda x: x.to("meta"),
    ],
    ids=["nan", "inf", "inf in fp32", "complex", "sparse", "meta"],
)
def test_weights_are_finite_numbers(tmp_path, weights, spoil):
    torch.save({**weights, "2.weight": spoil(weights["2.weight"])}, tmp_path / "w.pt")
    assert "not finite numbers: 2.weight" in failure(tmp_path / "w.pt")


class Malicious:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        import os

        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("form", ["zip", "legacy", "pickle"])
@pytest.mark.parametrize("beside_weights", [True, False])
def test_code_is_never_run(tmp_path, weights, form, beside_weights):
    path, trace = tmp_path / "w.pt", tmp_path / "trace"
    content = Malicious(trace)
    if beside_weights:
        content = {**weights, "more": content}
    if form == "pickle":
        path.write_bytes(pickle.dumps(content, protocol=2))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=form == "zip")
    failure(path)
    assert not trace.exists()
    torch.load(path, weights_only=False) if form != "pickle" else pickle.loads(path.read_bytes())
    assert trace.exists(), "the file would not have run code anyway"


def test_code_is_called_code(tmp_path, weights):
    torch.save({**weights, "more": Malicious(tmp_path / "trace")}, tmp_path / "w.pt")
    assert "could run code" in failure(tmp_path / "w.pt")


def content_of(kind: str) -> bytes:
    saved = io.BytesIO()
    if kind == "truncated":
        torch.save({"a": torch.zeros(1000)}, saved)
        return saved.getvalue()[:2000]
    if kind == "zip of something":
        with zipfile.ZipFile(saved, "w") as archive:
            archive.writestr("a.txt", "text")
    elif kind == "TorchScript":
        torch.jit.save(torch.jit.script(nn.Linear(2, 2)), saved)
    return {"text": b"not a checkpoint", "empty": b""}.get(kind, saved.getvalue())


@pytest.mark.filterwarnings("ignore:`torch.jit")
@pytest.mark.parametrize("suffix", [".pt", ".ckpt", ".safetensors"])
@pytest.mark.parametrize("kind", ["text", "empty", "truncated", "zip of something", "TorchScript"])
def test_what_is_no_checkpoint(tmp_path, recwarn, kind, suffix):
    path = tmp_path / f"w{suffix}"
    path.write_bytes(content_of(kind))
    recwarn.clear()
    assert "is damaged or is not a checkpoint" in failure(path)
    assert not recwarn.list


@pytest.mark.parametrize("content", [{}, [torch.zeros(1)], torch.zeros(1), {0: torch.zeros(1)}, {"a": 1}])
def test_a_checkpoint_holds_tensors_by_name(tmp_path, content):
    torch.save(content, tmp_path / "w.pt")
    assert "holds no weights by name" in failure(tmp_path / "w.pt")


@pytest.mark.parametrize("name", ["none.pt", "."])
def test_a_file_that_is_not_there(tmp_path, name):
    with pytest.raises(InputError, match="There is no checkpoint"):
        checkpoints.load(network(), tmp_path / name)


def test_seeded_weights_depend_on_name_and_shape_alone():
    first, second = (checkpoints.seeded(network().state_dict()) for _ in range(2))
    for name, tensor in first.items():
        torch.testing.assert_close(tensor, second[name], atol=0, rtol=0)
    assert not torch.equal(first["2.weight"], first["3.weight"])
