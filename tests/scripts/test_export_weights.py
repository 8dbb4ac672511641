"""Weights for release: what is exported, from which checkpoint, and that it can be used."""

import math

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from _scripts import export_weights
from _train.frame_interpolation.models.dtm import DTM
from _train.frame_interpolation.training.journal import Journal
from _util import checkpoints
from _util.version import VERSION

pytest.importorskip("lightning", reason="training needs what make/setup train installs")

FACTS = {
    "options": {"data": ["toons", "triplets"], "seed": 3},
    "legs": [
        {"command": "python -m train --steps 1", "commit": "abc", "hardware": "1 × CPU"},
        {"command": "python -m train --steps 2", "commit": "abc", "hardware": "2 × GPU"},
    ],
}


@pytest.fixture
def run(call, tmp_path):
    """Exports OUT to `default/`; returns the exit code and what was said on stderr."""

    return lambda *arguments: call(export_weights.main, *arguments, "--to", tmp_path / "default")[:2]


def write(out, name: str, scale: float = 1.0) -> dict[str, torch.Tensor]:
    """A checkpoint of DTM whose averaged weights are seeded ones times `scale`, which are returned."""
    (out / "checkpoints").mkdir(parents=True, exist_ok=True)
    state = checkpoints.seeded(DTM().state_dict())
    state = {key: scale * tensor if tensor.is_floating_point() else tensor for key, tensor in state.items()}
    average = {f"dtm.{key}": tensor for key, tensor in state.items()}
    networks = {key: torch.zeros_like(tensor) for key, tensor in average.items()}
    content = {"step": 7, "seconds": 5400.0, "networks": networks, "average": average, "facts": FACTS}
    Journal(out, 0).save(content, [name])
    return state


def test_averaged_weights_load_where_shipped_ones_are_looked_for(run, tmp_path):
    expected = write(tmp_path / "out", "last.ckpt")
    assert run(tmp_path / "out")[0] == 0
    network = DTM()
    assert checkpoints.load(network, "dtm", tmp_path) == tmp_path / "default/dtm.safetensors"
    for name, tensor in network.state_dict().items():
        torch.testing.assert_close(tensor, expected[name].to(tensor.dtype), rtol=1e-3, atol=1e-6)


def test_best_before_last(run, tmp_path):
    write(tmp_path / "out", "last.ckpt", scale=2)
    expected = write(tmp_path / "out", "best.ckpt")
    run(tmp_path / "out")
    written = checkpoints.read(tmp_path / "default/dtm.safetensors")
    torch.testing.assert_close(written["net_nedt.net.1.weight"], expected["net_nedt.net.1.weight"].half())


def test_weights_are_replaced_only_if_asked(run, tmp_path):
    write(tmp_path / "out", "last.ckpt")
    existing = tmp_path / "default/dtm.safetensors"
    existing.parent.mkdir()
    existing.write_bytes(b"shipped")
    code, said = run(tmp_path / "out")
    assert (code, existing.read_bytes()) == (2, b"shipped")
    assert f"{existing} exists" in said
    assert "--overwrite" in said
    assert run(tmp_path / "out", "--overwrite")[0] == 0
    checkpoints.load(DTM(), existing)


def test_half_precision_with_the_facts(run, tmp_path):
    write(tmp_path / "out", "last.ckpt")
    run(tmp_path / "out")
    with safe_open(tmp_path / "default/dtm.safetensors", "pt") as file:
        assert file.metadata() == {
            "data": "toons triplets",
            "steps": "7",
            "hours": "1.50",
            "hardware": "1 × CPU; 2 × GPU",
            "commit": "abc",
            "seed": "3",
            "command": "python -m train --steps 2",
            "version": VERSION,
        }
        dtypes = {file.get_tensor(name).dtype for name in file.keys()}  # noqa: SIM118
    assert dtypes == {torch.float16, torch.int64}


def test_nothing_to_export(run, tmp_path):
    code, said = run(tmp_path)
    assert code == 2
    assert "no checkpoints/best.ckpt or last.ckpt" in said
    assert not (tmp_path / "default").exists()


def test_a_share_is_of_the_way_from_a_start(run, tmp_path):
    write(tmp_path / "out", "last.ckpt")
    code, said = run(tmp_path / "out", "--share", 0.3)
    assert (code, (tmp_path / "default").exists()) == (2, False)
    assert "add --start WEIGHTS" in said


def test_a_start_of_another_network(run, tmp_path):
    write(tmp_path / "out", "last.ckpt")
    save_file({"block0.beta": torch.ones(1)}, tmp_path / "other.safetensors")
    code, said = run(tmp_path / "out", "--start", tmp_path / "other.safetensors")
    assert (code, (tmp_path / "default").exists()) == (2, False)
    assert "has none of the weights of" in said


def test_what_is_beyond_half_precision_stays_whole(run, tmp_path):
    expected = write(tmp_path / "out", "last.ckpt", scale=1e6)
    run(tmp_path / "out")
    dtm = DTM()
    checkpoints.load(dtm, tmp_path / "default/dtm.safetensors")
    for name, tensor in dtm.state_dict().items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-3, atol=0)


def test_weights_that_are_not_finite(run, tmp_path):
    write(tmp_path / "out", "last.ckpt", scale=math.nan)
    code, said = run(tmp_path / "out")
    assert code == 2
    assert "not finite" in said
    assert said.count("\n") == 1
    assert not (tmp_path / "default").exists()
