"""Clip art: what becomes of SVGs, and triplets that are composed of it."""

import dataclasses
import pickle
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from _databacks import sources
from _databacks.clipart import __main__ as clipart_command
from _databacks.clipart import atlas as atlas_
from _databacks.clipart import building, mesh
from _databacks.clipart import scenes as scenes_
from _databacks.clipart.atlas import Atlas, Entry, LayeredDrawing
from _databacks.clipart.cutting import SIDE, cut
from _databacks.clipart.figures import CELLS, BendingFigure, Swing, move
from _databacks.clipart.grounds import flatten
from _databacks.clipart.limbs import GRID, find_limbs
from _databacks.clipart.scenes import Actor, Backdrop, Clipart, ClipartScene, MovingCamera, compose
from _databacks.clipart.vectors import VectorDrawing
from _databacks.sources import open_source
from _util.errors import InputError

pytest.importorskip("resvg_py", reason="clip art is drawn by resvg (make/setup train)")

HEAD = '<svg xmlns="http://www.w3.org/2000/svg" width="200" height="200" viewBox="0 0 200 200">'
FIGURE = (  # a body with arms, legs, a head and eyes
    '<g stroke="#111" stroke-width="6" stroke-linecap="round">'
    '<path d="M85 110L20 60M115 110L180 60M90 140L60 190M110 140L140 190" fill="none" stroke-width="16"/>'
    '<rect x="75" y="80" width="50" height="65" fill="{colour}"/><circle cx="100" cy="50" r="34" fill="#fc9"/>'
    '<circle cx="88" cy="45" r="9" fill="#fff"/><circle cx="88" cy="45" r="3" fill="#24f"/>'
    '<circle cx="114" cy="45" r="9" fill="#fff"/><circle cx="114" cy="45" r="3" fill="#24f"/></g>'
)
FLAT = "".join(
    f'<rect x="{20 + 40 * i}" y="{40 + 10 * i}" width="40" height="90" fill="{colour}"/>'
    for i, colour in enumerate(("#f88", "#8f8", "#88f", "#ff8"))
)
SCENE = '<rect width="200" height="200" fill="#8cf"/>' + FLAT
ENTITIES = '<!ENTITY a0 "xxxxxxxxxx">' + "".join('<!ENTITY a{} "{}">'.format(i + 1, f"&a{i};" * 20) for i in range(8))
USES = '<circle id="a0" r="9"/>' + "".join(
    '<g id="a{}">{}</g>'.format(i + 1, f'<use href="#a{i}"/>' * 10) for i in range(9)
)
UNUSABLE = {
    "damaged": ('<svg width="20"', "is damaged, or no SVG"),
    "page": ("<html><body/></html>", "is not an SVG"),
    "blank": (HEAD + "</svg>", "shows nothing"),
    "bare": (HEAD + '<rect width="99" height="99"/></svg>', "has 1 shapes"),
    "sizeless": (HEAD.replace("0 0 200 200", "0 0 nan 5") + FLAT + "</svg>", "has no size that makes sense"),
    "long": (HEAD + FLAT + f"<!--{'x' * 1_000_000}--></svg>", "is longer than 1 MB"),
    "bar": (HEAD + '<rect width="99" height="4" fill="red"/>' * 4 + "</svg>", "is too narrow"),
    "expands": (f"<!DOCTYPE svg [{ENTITIES}]>{HEAD}<title>&a8;</title></svg>", "is damaged, or no SVG"),
    "file": ('<!DOCTYPE svg [<!ENTITY a SYSTEM "file:///etc/hosts">]>' + HEAD + "<g>&a;</g></svg>", "is damaged"),
    "uses": (f'{HEAD}<defs>{USES}</defs>{FLAT}<use href="#a9"/></svg>', "cannot be rendered"),
    "deadly": (HEAD + "<g>" * 900 + FLAT + "</g>" * 900 + "</svg>", "brings down the renderer"),
}
SIZE = 96, 96


def svg(content: str) -> str:
    return HEAD + content + "</svg>"


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """An atlas of three figures, a thing and a scene, and what else is in their folders by name with the reasons."""
    folder = tmp_path_factory.mktemp("clipart")
    for name, content in {
        **{f"figures/{colour}": svg(FIGURE.format(colour=colour)) for colour in ("red", "green", "blue")},
        **{f"figures/unusable/{name}": content for name, (content, _) in UNUSABLE.items()},
        "things/flat": svg(FLAT),
        "things/scene": svg(SCENE),
    }.items():
        path = folder / f"{name}.svg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    (folder / "figures/again.svg").symlink_to(folder / "figures/red.svg")
    path = folder / "atlas.zip"
    count, unused = building.build([folder / "figures"], [folder / "things"], path, 3)
    assert count == 5
    return path, {Path(name).stem: reason for name, reason in unused.items()}


@pytest.fixture(scope="session")
def path(built) -> Path:
    return built[0]


@pytest.fixture
def atlas(path) -> Atlas:
    return Atlas(path)


def drawing(picture: np.ndarray) -> LayeredDrawing:
    """A drawing of one layer, (h, w, 4) uint8 with colours multiplied by alpha."""
    h, w = picture.shape[:2]
    return LayeredDrawing(Entry(0, "test", "figure", (w, h), [(0, 0)], [None], []), [picture], [])


def disc(side: int = 64) -> LayeredDrawing:
    """A white disc."""
    y, x = np.mgrid[:side, :side] + 0.5 - side / 2
    cover = np.clip(0.35 * side + 0.5 - np.hypot(x, y), 0, 1)
    return drawing(np.repeat(np.round(255 * cover)[..., None], 4, -1).astype(np.uint8))


def scene(figure: BendingFigure, camera: MovingCamera | None = None, parallax: float = 1.0) -> ClipartScene:
    """A figure in its own colours on black."""
    h, w = SIZE
    black = Backdrop(np.zeros((8, 8, 3), np.float32), (4, 4), 12, 0.0)
    actor = Actor(figure, parallax, np.eye(3, dtype=np.float32), np.zeros(7))
    return ClipartScene(SIZE, camera or MovingCamera((w / 2, h / 2)), black, [actor])


def centroid(frame: np.ndarray) -> np.ndarray:
    """x, y of what is bright."""
    y, x = np.mgrid[: frame.shape[0], : frame.shape[1]] + 0.5
    light = frame.sum(-1)
    return np.array([(light * x).sum(), (light * y).sum()]) / light.sum()


class TestAtlas:
    def test_every_usable_drawing_is_there_once(self, atlas):
        assert [entry.name for entry in atlas.figures] == [f"figures/{c}.svg" for c in ("again", "blue", "green")]
        assert [entry.name for entry in atlas.things] == ["things/flat.svg"]
        assert [entry.name for entry in atlas.scenes] == ["things/scene.svg"]
        assert atlas.grounds == 3
        assert atlas.ground(0).std() > 0

    @pytest.mark.parametrize("name", UNUSABLE)
    def test_what_cannot_be_used_is_named_with_the_reason(self, built, name):
        assert set(built[1]) == set(UNUSABLE)
        assert UNUSABLE[name][1] in built[1][name]

    def test_layers_composed_are_the_drawing(self, atlas, path):
        for entry in atlas.figures:
            drawn = atlas.drawing(entry)
            assert max(entry.size) == SIDE
            assert len(drawn.layers) > 1
            assert any(entry.boxes)
            whole = VectorDrawing(path.parent / entry.name).render(entry.size)
            assert np.abs(flatten(drawn) - whole).mean() < 2

    def test_arms_and_legs_are_limbs(self, atlas):
        limbs = atlas.drawing(atlas.figures[0]).limbs
        assert len(limbs) >= 4
        w, h = atlas.figures[0].size
        tips = [np.unravel_index(limb.weights.argmax(), (GRID, GRID)) for limb in limbs]
        for corner_y, corner_x in ((0, 0), (0, w), (h, 0), (h, w)):  # of an arm or a leg
            assert min(np.hypot(y * SIDE / GRID - corner_y, x * SIDE / GRID - corner_x) for y, x in tips) < 0.35 * SIDE
        for limb in limbs:
            x, y = (int(GRID * place) for place in limb.joint)
            assert 40 < limb.weights[y, x] < 215  # a joint is where the turn fades

    @pytest.mark.parametrize(("content", "reason"), [("", r"bad\.svg is damaged"), (svg(SCENE), "all fill their page")])
    def test_a_failed_build_leaves_the_atlas_as_it_was(self, tmp_path, content, reason):
        (tmp_path / "atlas.zip").write_text("before")
        (tmp_path / "bad.svg").write_text(content)
        with pytest.raises(InputError, match=rf"None of 1 SVG is a figure that can be used.*{reason}"):
            building.build([tmp_path], [], tmp_path / "atlas.zip", 1)
        assert (tmp_path / "atlas.zip").read_text() == "before"
        assert len(list(tmp_path.iterdir())) == 2

    def test_an_interrupted_build_resumes(self, tmp_path, monkeypatch):
        for name in ("red", "green", "blue"):
            (tmp_path / f"{name}.svg").write_text(svg(FIGURE.format(colour=name)))
        draw, asked = building.workers.processes, []

        def interrupted(work, jobs, tick, count):
            yield next(draw(work, jobs[:1], tick, count))
            raise KeyboardInterrupt

        def counted(work, jobs, tick, count):
            asked.extend(job.path.stem for job in jobs)
            return draw(work, jobs, tick, count)

        monkeypatch.setattr(building.workers, "processes", interrupted)
        with pytest.raises(KeyboardInterrupt):
            building.build([tmp_path], [], tmp_path / "atlas.zip", 1)
        assert not (tmp_path / "atlas.zip").exists()
        monkeypatch.setattr(building.workers, "processes", counted)
        assert building.build([tmp_path], [], tmp_path / "atlas.zip", 1) == (3, {})
        assert asked == ["green", "red"]
        assert [entry.name.rpartition("/")[2] for entry in Atlas(tmp_path / "atlas.zip").figures] == [
            "blue.svg",
            "green.svg",
            "red.svg",
        ]
        assert not (tmp_path / "atlas.parts").exists()

    @pytest.mark.parametrize("content", [b"", b"PK", b"no zip at all"])
    def test_another_file_is_refused(self, tmp_path, content):
        (tmp_path / "a.zip").write_bytes(content)
        with pytest.raises(InputError, match="is not an atlas of clip art"):
            Atlas(tmp_path / "a.zip")

    def test_a_picture_that_is_missing_is_reported(self, path, tmp_path):
        with zipfile.ZipFile(path) as whole, zipfile.ZipFile(tmp_path / "a.zip", "w") as part:
            part.writestr("index.json", whole.read("index.json"))
        broken = Atlas(tmp_path / "a.zip")
        for read in (lambda: broken.drawing(broken.figures[0]), lambda: broken.ground(0)):
            with pytest.raises(InputError, match="is damaged"):
                read()


class TestCutting:
    def test_drawings_without_outlines_get_some(self, tmp_path):
        (tmp_path / "flat.svg").write_text(svg(FLAT))
        darkest = []
        for seed in range(8):
            layers = cut(VectorDrawing(tmp_path / "flat.svg"), np.random.default_rng(seed)).layers
            whole = sum(layer for layer in layers)
            at_border, within = whole[300, SIDE // 2 - 2 : SIDE // 2 + 2, :3], whole[300, SIDE * 3 // 8, :3]
            assert within.max() > 200
            darkest.append(at_border.min())
        assert min(darkest) < 90
        assert max(darkest) > 120  # most, not all

    def test_hidden_shapes_and_text_are_left_out(self, tmp_path):
        shown = '<rect x="50" y="50" width="20" height="20"/>'
        hidden = (
            '<circle cx="9" cy="9" r="9" display="none"/><g style="display: none"><circle cx="9" cy="9" r="9"/></g>'
        )
        (tmp_path / "a.svg").write_text(svg(shown + hidden + '<text x="9" y="99">text</text>'))
        found = VectorDrawing(tmp_path / "a.svg")
        assert found.shapes == 1
        assert found.extent == pytest.approx((20, 20), rel=0.1)

    def test_what_is_too_small_does_not_bend(self):
        small = np.pad(np.full((20, 20), 255, np.uint8), 90)
        for alpha in (np.zeros((50, 90), np.uint8), small):
            assert find_limbs(alpha, np.random.default_rng(0)) == []


class TestMesh:
    def test_a_flat_mesh_draws_the_picture_over_the_canvas(self):
        random = np.random.default_rng(0)
        picture = random.uniform(1, 255, (48, 48, 4)).astype(np.float32)
        picture[..., :3] *= picture[..., 3:] / 255
        canvas = random.uniform(0, 255, (64, 80, 3)).astype(np.float32)
        expected = canvas.copy()
        seen = expected[5:53, 7:55]
        seen[:] = picture[..., :3] + seen * (1 - picture[..., 3:] / 255)
        x, y = np.meshgrid(7 + np.arange(CELLS + 1) * 2.0, 5 + np.arange(CELLS + 1) * 2.0)
        mesh.draw(canvas, x, y, 2.0, picture, np.ones(2), np.zeros(2), np.zeros(7))
        np.testing.assert_allclose(canvas, expected, atol=1e-3)

    def test_a_shadow_takes_its_share_of_the_light(self):
        picture, canvas = np.full((48, 48, 4), 255, np.float32), np.zeros((48, 48, 3), np.float32)
        x, y = np.meshgrid(*[np.arange(CELLS + 1) * 2.0] * 2)
        mesh.draw(canvas, x, y, 2.0, picture, np.ones(2), np.zeros(2), np.array([0.25, 1, 0, -24, 0, 0, 0]))
        np.testing.assert_allclose(canvas[:, :23], 255)
        np.testing.assert_allclose(canvas[:, 25:], 0.75 * 255)


class TestMotion:
    def test_a_rigid_figure_is_where_its_time_says(self):
        figure = BendingFigure(disc(), 0.5, np.array([44.0, 52.0]), shift=(13.0, -7.5))
        times = (0.0, 0.3, 0.5, 0.8, 1.0)
        places = np.array([centroid(scene(figure).draw(time)) for time in times])
        expected = np.array([44, 52]) + (np.array(times)[:, None] - 0.5) * np.array([13, -7.5])
        np.testing.assert_allclose(places, expected, atol=0.05)

    def test_a_figure_follows_the_camera_by_its_depth(self):
        figure = BendingFigure(disc(), 0.5, np.array([48.0, 48.0]))
        camera = MovingCamera((48, 48), shift=(16.0, 8.0))
        first, last = (centroid(scene(figure, camera, parallax=0.5).draw(time)) for time in (0, 1))
        np.testing.assert_allclose(last - first, [8, 4], atol=0.05)

    def test_the_ground_follows_the_camera_by_its_depth(self):
        ramp = np.broadcast_to(np.arange(200, dtype=np.float32)[None, :, None], (200, 200, 3))
        ground = Backdrop(np.ascontiguousarray(ramp), (100, 100), 1.0, 0.5)
        drawn = [ground.draw((32, 48), MovingCamera((24, 16), shift=(20.0, 0.0)), time) for time in (0, 0.25, 1)]
        assert [picture[32, 48].mean() for picture in drawn] == pytest.approx([105, 102.5, 95], abs=0.4)

    def test_limbs_turn_evenly_about_their_joints(self):
        weights = np.zeros((CELLS + 1, CELLS + 1))
        weights[:, 16:] = 1
        joint = np.array([32.0, 32.0])
        figure = BendingFigure(disc(), 1.0, np.array([32.0, 32.0]), swings=(Swing(weights, joint, 0.2, 0.8),))
        angles = []
        for time in (0.0, 0.25, 0.5, 1.0):
            x, y = figure.vertices(0, time)
            angles.append(np.arctan2(y[12, -1] - 32, x[12, -1] - 32))
            assert np.hypot(x[12, -1] - 32, y[12, -1] - 32) == pytest.approx(32)
            assert (x[3, 3], y[3, 3]) == pytest.approx((8, 8))  # what follows nothing of the turn
        assert angles == pytest.approx([-0.2, 0, 0.2, 0.6])

    def test_what_has_no_pace_rests_exactly(self, atlas):
        for seed in range(6):
            composed = compose(atlas, SIZE, np.random.default_rng(seed))
            for actor in composed.actors:
                actor.figure.pace = 0.0
            still = composed._replace(camera=MovingCamera((48, 48)))
            first, middle, last = (still.draw(time) for time in (0, 0.37, 1))
            assert np.array_equal(first, middle)
            assert np.array_equal(first, last)

    def test_the_middle_frame_is_between_the_outer_ones(self, atlas):
        """All figures move so little that any bend is nearly a shift: their vertices at t are the mean at 0 and 1."""
        for seed in range(8):
            figure = move(atlas.drawing(atlas.figures[0]), np.random.default_rng(seed), 60, np.array([48, 48]))
            slow = dataclasses.replace(figure, pace=0.05)
            for layer in range(len(figure.drawing.layers)):
                first, middle, last = (np.stack(slow.vertices(layer, time)) for time in (0, 0.25, 1))
                np.testing.assert_allclose(middle, 0.75 * first + 0.25 * last, atol=0.02)


class TestSource:
    def test_an_item_depends_on_the_seed_and_its_index_alone(self, path):
        source = Clipart(path, SIZE, seed=4)
        later, earlier = source[7], source[2]
        again = pickle.loads(pickle.dumps(source))
        for index, item in ((2, earlier), (7, later)):
            assert again[index].frames.equal(item.frames)
            assert again[index].time == item.time
        assert not Clipart(path, SIZE, seed=5)[2].frames.equal(earlier.frames)
        assert not later.frames.equal(earlier.frames)
        assert source[-1].name == source.names[-1]

    @pytest.mark.skipif(sys.platform != "linux", reason="workers are forked")
    def test_workers_draw_the_same(self, path):
        source = Clipart(path, SIZE, seed=4)
        ours = [source[i].frames for i in range(4)]
        theirs = DataLoader(source, batch_size=None, sampler=range(4), num_workers=2)
        for one, other in zip(ours, theirs, strict=True):
            assert one.equal(other[1])

    @pytest.mark.parametrize("size", [(64, 64), (33, 120), (200, 48), (17, 5)])
    def test_frames_have_any_size(self, path, size):
        source = Clipart(path).for_crops(size, seed=1)
        for index in range(4):
            triplet = source[index]
            assert triplet.frames.shape == (3, 3, *size)
            assert triplet.frames.dtype == torch.float32
            assert 0 <= triplet.frames.min() < triplet.frames.max() <= 1
            assert 0 < triplet.time < 1

    def test_triplets_differ_in_what_moves_and_when(self, path, monkeypatch):
        monkeypatch.setattr(scenes_, "degrade", lambda frames, times, random: frames)
        triplets = [Clipart(path, SIZE)[i] for i in range(24)]
        changes = [(t.frames[2] - t.frames[0]).abs().mean().item() for t in triplets]
        assert np.median(changes) > 0.005
        assert 0.3 < np.mean([t.time == 0.5 for t in triplets]) < 0.8
        assert len({t.time for t in triplets}) > 6

    def test_degradation_changes_frames_and_nothing_else(self, path, monkeypatch):
        source = Clipart(path, SIZE)
        degraded = [source[i] for i in range(12)]
        monkeypatch.setattr(scenes_, "degrade", lambda frames, times, random: frames)
        whole = [source[i] for i in range(12)]
        differences = [(a.frames - b.frames).abs().mean().item() for a, b in zip(whole, degraded, strict=True)]
        assert max(differences) > 1e-3
        assert max(differences) < 0.3
        assert [triplet.time for triplet in whole] == [triplet.time for triplet in degraded]

    def test_it_opens_by_its_word(self, path, monkeypatch):
        monkeypatch.setitem(sources.KINDS, "clipart", sources.KINDS["clipart"]._replace(default=str(path)))
        for words in ("clipart", path, ["clipart", str(path)]):
            assert isinstance(open_source(words), Clipart)

    def test_no_other_zip_is_taken_for_one(self, tmp_path):
        for name, content in (("a.zip", "index.json"), ("b.zip", "layers/1.png"), ("c.zip", "frames.npy")):
            with zipfile.ZipFile(tmp_path / name, "w") as file:
                file.writestr(content, "{}")
        (tmp_path / "d.zip").write_bytes(b"no zip at all")
        assert [sources.find_kind(path)[0] for path in sorted(tmp_path.iterdir())] == [None] * 4

    def test_without_an_atlas_the_command_that_makes_one_is_named(self, tmp_path):
        with pytest.raises(InputError, match=r"python -m _databacks\.clipart FOLDER"):
            open_source(["clipart", str(tmp_path / "atlas.zip")])


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
def test_a_network_trains_on_it(path, tmp_path, call, monkeypatch, workers):
    pytest.importorskip("lightning", reason="training needs what make/setup train installs")
    from tests import train_tiny

    monkeypatch.setitem(sources.KINDS, "clipart", sources.KINDS["clipart"]._replace(default=str(path)))
    options = ("--model", "tiny", "--batch-size", 2, "--crop", 48, 64, "--device", "cpu", "--workers", workers)
    finished = call(train_tiny.train.main, "clipart:0.5", tmp_path / "out", *options, "--steps", 2)
    assert finished.code == 0, finished.said
    assert "Trained to step 2" in finished.written


class TestCommand:
    @pytest.fixture(autouse=True)
    def place(self, tmp_path, monkeypatch):
        monkeypatch.setattr(atlas_, "PATH", tmp_path / "data/atlas.zip")

    def test_it_builds_and_says_what_it_left_out(self, tmp_path, call):
        (tmp_path / "svg").mkdir()
        (tmp_path / "svg/good.svg").write_text(svg(FIGURE.format(colour="red")))
        (tmp_path / "svg/bad.svg").write_text("")
        finished = call(clipart_command.main, tmp_path / "svg", "--processes", 1, "--grounds", 2)
        assert finished.code == 0, finished.said
        assert "1 drawing, " in finished.written
        assert "1 file could not be used" in finished.written
        assert "bad.svg: is damaged" in finished.said
        assert len(Atlas(tmp_path / "data/atlas.zip").figures) == 1

    def test_a_sheet_shows_triplets(self, path, tmp_path, call, monkeypatch):
        monkeypatch.setattr(atlas_, "PATH", path)
        finished = call(clipart_command.main, "--sheet", tmp_path / "sheets/a.png")
        assert finished.code == 0, finished.said
        assert (tmp_path / "sheets/a.png").stat().st_size > 10_000

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ([], "name a folder of SVGs"),
            (["--things", "a"], "name a folder of SVGs"),
            (["nowhere"], "nowhere holds no SVGs"),
            (["--sheet"], "There is no atlas of clip art"),
        ],
    )
    def test_what_is_missing_is_said_in_a_sentence(self, call, tmp_path, arguments, message):
        finished = call(clipart_command.main, *arguments)
        assert finished.code == 2
        assert message in finished.said
        assert not (tmp_path / "data").exists()
