"""Lottie animations as triplets."""

import json
import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from _databacks import lottie, lottie_renderer
from _databacks.lottie import Lottie
from _util.errors import InputError

pytest.importorskip("rlottie_python")
SIZE = 64, 96


def moving_square(moves: bool = True) -> dict:
    """A red square, 16 wide, whose centre goes evenly from (16, 32) to (80, 32) in 24 frames of 1 / 24 s."""
    even = {"i": {"x": [1], "y": [1]}, "o": {"x": [0], "y": [0]}}
    path = [{"t": 0, "s": [16, 32, 0], **even}, {"t": 24, "s": [80, 32, 0]}]
    rectangle = {"ty": "rc", "p": {"a": 0, "k": [0, 0]}, "s": {"a": 0, "k": [16, 16]}, "r": {"a": 0, "k": 0}}
    fill = {"ty": "fl", "c": {"a": 0, "k": [1, 0, 0, 1]}, "o": {"a": 0, "k": 100}}
    still = {name: {"a": 0, "k": value} for name, value in {"a": [0, 0], "s": [100, 100], "r": 0, "o": 100}.items()}
    group = {"ty": "gr", "it": [rectangle, fill, {"ty": "tr", "p": {"a": 0, "k": [0, 0]}, **still}]}
    position = {"a": 1, "k": path} if moves else {"a": 0, "k": [16, 32, 0]}
    layer = {"ty": 4, "ip": 0, "op": 24, "st": 0, "ks": {"p": position, **still}, "shapes": [group]}
    return {"v": "5.5.0", "fr": 24, "ip": 0, "op": 24, "w": SIZE[1], "h": SIZE[0], "layers": [layer]}


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "square.json").write_text(json.dumps(moving_square()))
    return tmp_path


def test_the_truth_lies_where_its_time_says(folder, monkeypatch):
    monkeypatch.setattr(lottie, "_background", lambda _, size: torch.zeros(3, *size))
    source = Lottie(folder, SIZE, each=12)
    x = torch.arange(SIZE[1]) + 0.5
    times = []
    for triplet in (source[i] for i in range(len(source))):
        red = triplet.frames[:, 0]
        first, middle, last = ((red * x).sum((1, 2)) / red.sum((1, 2))).tolist()
        assert red.sum((1, 2)).tolist() == pytest.approx([256] * 3, rel=0.03)
        assert middle == pytest.approx(first + triplet.time * (last - first), abs=0.1)
        assert last - first > 64 / 24 - 0.1
        times.append(triplet.time)
    assert 0.5 in times
    assert len(set(times)) > 3
    assert all(0 < time < 1 for time in times)


def test_frames_lie_on_a_background(folder, monkeypatch):
    monkeypatch.setattr(lottie, "_background", lambda _, size: torch.full((3, *size), 0.25))
    frames = Lottie(folder, SIZE)[0].frames
    assert frames[:, :, 0, 0].tolist() == [[0.25] * 3] * 3
    assert frames.shape == (3, 3, *SIZE)
    assert frames.dtype == torch.float32
    assert (frames[:, 0].amax((1, 2)) == 1).all()


def test_the_background_is_still_and_changes_from_triplet_to_triplet(folder):
    source = Lottie(folder, SIZE)
    first, second = source[0].frames, source[1].frames
    corner = first[..., :4, :4]
    assert corner[0].equal(corner[1])
    assert corner[0].equal(corner[2])
    assert not corner.equal(second[..., :4, :4])


def test_an_item_depends_on_the_seed_and_its_index_alone(folder):
    source = Lottie(folder, SIZE, seed=1)
    later, earlier = source[3], source[0]
    again = pickle.loads(pickle.dumps(source))
    assert again[0].frames.equal(earlier.frames)
    assert again[3].frames.equal(later.frames)
    assert source[-1].name == source.names[-1] == "square-15"
    assert not Lottie(folder, SIZE, seed=2)[0].frames.equal(earlier.frames)


def test_only_times_are_stretched():
    stretched = lottie_renderer.stretch(
        {"ip": 1, "ks": {"o": {"a": 1, "k": [{"t": 2.5, "s": [100]}]}}, "shapes": [{"ty": "gf", "t": 2}], "t": "text"}
    )
    assert stretched == {
        "ip": 16, "ks": {"o": {"a": 1, "k": [{"t": 40, "s": [100]}]}}, "shapes": [{"ty": "gf", "t": 2}], "t": "text"
    }  # fmt: skip


class TestWhatCannotBeUsed:
    def refusal(self, path: Path) -> str:
        source = Lottie(path.parent, SIZE, each=1)
        with pytest.raises(InputError) as caught:
            source[source.names.index(f"{path.stem}-0")]
        assert source[source.names.index("square-0")].frames.isfinite().all()  # the renderer lives, or lives again
        return str(caught.value)

    @pytest.mark.parametrize(
        "content", [b"", b"{", b"[1, 2]", b'{"fr": 24}', b"\xff\xfe\x00", b'{"fr": "fast", "layers": []}']
    )
    def test_no_animation(self, folder, content):
        path = folder / "bad.json"
        path.write_bytes(content)
        assert "bad.json cannot be rendered as a Lottie animation" in self.refusal(path)

    def test_nothing_moves(self, folder):
        path = folder / "still.json"
        path.write_text(json.dumps(moving_square(moves=False)))
        assert "still.json hardly moves" in self.refusal(path)

    def test_the_renderer_dies(self, folder, monkeypatch):
        renderer = lottie._renderer(os.getpid())
        right = renderer._ask

        def die(question: dict):
            if "deadly" in question["path"]:
                renderer.process.kill()
                renderer.process.wait()
            return right(question)

        monkeypatch.setattr(renderer, "_ask", die)
        path = folder / "deadly.json"
        path.write_text(json.dumps(moving_square()))
        assert "deadly.json brings down the Lottie renderer" in self.refusal(path)

    def test_threads_get_their_own_answers(self, folder):
        renderer, path = lottie._renderer(os.getpid()), next(folder.glob("*.json"))
        sizes = [(8, 8 + i) for i in range(24)]
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda size: renderer.request(path, [0], size)[1], sizes))
        assert [len(answer) for answer in answers] == [4 * h * w for h, w in sizes]

    def test_the_renderer_hangs(self, folder, monkeypatch):
        monkeypatch.setattr(lottie, "_TIMEOUT", 0.5)
        monkeypatch.setattr(lottie._renderer(os.getpid()), "process", None)
        monkeypatch.setattr(lottie._Renderer, "_start", lambda _: lottie.subprocess.Popen(
            ["sleep", "60"], stdin=lottie.subprocess.PIPE, stdout=lottie.subprocess.PIPE
        ))  # fmt: skip
        with pytest.raises(InputError, match="brings down"):
            Lottie(folder, SIZE)[0]

    def test_no_files(self, tmp_path):
        with pytest.raises(InputError, match="holds no Lottie animations"):
            Lottie(tmp_path)


@pytest.mark.slow
def test_real_animations_render_and_move(shared):
    source = Lottie(shared / "data/lottie", SIZE, each=1)
    still = []
    for i in range(len(source)):
        try:
            triplet = source[i]
        except InputError:
            still.append(source.names[i])
            continue
        assert (triplet.frames[2] - triplet.frames[0]).abs().mean() > 1e-4, triplet.name
    assert len(source) == 125
    assert len(still) < 5, still
