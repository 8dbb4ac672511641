"""A study page: shows two animations side by side and asks the participant which looks better.

METHOD_A/  METHOD_B/  …  (truth/)   →   OUT/
    one clip per item                       index.html  study.css  study.js  data.js
    as `clips` reads them                   clips/3f9c0d….webp  …

Every two methods are compared on every item. The page randomises order and sides for each participant, and inserts
attention checks: a clip against itself with shuffled tiles, which any attentive viewer notices. File names and page
text do not reveal the methods: clips are named by digests, and their identity is in `data.js`, in Base64, which hides
it from viewers though not from programmers. The page copies it into the answers, so that these can be analysed on their
own (see `answers`).
"""

import base64
import hashlib
import itertools
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from tqdm import tqdm

from _train.frame_interpolation.evaluation.pages import clips, site
from _util.errors import InputError
from _util.files import make_folder

SECONDS = 1.0  # default duration of a clip, one way
_SLACK = 0.025  # seconds by which clips of an item may last differently; GIF counts hundredths


class Study(NamedTuple):
    """Summary of a page."""

    page: Path
    items: int
    comparisons: int  # per participant
    checks: int  # attention checks per participant, in addition


class Showing(NamedTuple):
    """How clips are shown."""

    seconds: float | None  # one way; None: an animation's own duration, SECONDS for a folder of frames
    loop: bool  # restart after the last frame, instead of playing back to the first


def build(
    methods: list[Path],
    out: Path,
    *,
    truth: Path | None,
    showing: Showing,
    question: str,
    trials: int | None,
    checks: int | None,
    seed: int,
) -> Study:
    """Build a study page; clips that an earlier run with the same arguments wrote are kept.

    Args:
        methods: two or more folders, of different names, with clips of the same items.
        out: folder of the page, created if missing.
        truth: a folder with ground-truth clips of the items, which attention checks then use; without it, they use the
            methods' clips.
        trials: comparisons per participant, drawn at random, balanced over pairs of methods; None for all.
        checks: attention checks per participant, at most one per item; None for one in ten comparisons, at least two.
        seed: selects the clips of the checks and how they are shuffled.

    Raises:
        InputError: unusable folders or clips, or a destination that cannot be written to.
    """
    found, of_truth = _matching_items(methods, truth)
    names = list(found[0])
    site.make_page_folder(out, "study")
    make_folder(out / "clips")
    generator = np.random.default_rng(seed)
    writer = _Writer(out / "clips", showing)

    pairs = list(itertools.combinations(range(len(methods)), 2))
    total = len(pairs) * len(names)
    trials = min(trials or total, total)
    checks = min(max(2, round(trials / 10)) if checks is None else checks, len(names))
    checked = {int(i) for i in generator.choice(len(names), checks, replace=False)}

    compared = [[] for _ in pairs]
    named = [_name(method) for method in methods]
    key = {"question": question, "methods": named, "clips": {}, "whole": {}, "broken": {}}
    attention = []
    for i, name in enumerate(tqdm(names, unit="item", desc="clips")):
        files = [items[name] for items in found]
        versions = [writer.write(file, who) for file, who in zip(files, named, strict=True)]
        writer.check_sizes(versions, files)
        writer.check_durations(versions, files)
        key["clips"].update({clip: [m, name] for m, clip in enumerate(versions)})
        for pair, (a, b) in enumerate(pairs):
            compared[pair].append(sorted([versions[a], versions[b]]))
        if i in checked:
            draw, broken_seed = (int(number) for number in generator.integers(2**32, size=2))
            file = of_truth[name] if truth else files[draw % len(files)]
            whole = writer.write(file, "whole")
            broken = writer.write(file, "broken", broken_seed)
            key["whole"][whole] = key["broken"][broken] = name
            attention.append(sorted([whole, broken]))

    sealed = base64.b64encode(json.dumps(key).encode()).decode()
    data = {
        "study": study_name(sealed),
        "question": question,
        "comparisons": compared,
        "trials": trials,
        "checks": attention,
        "sealed": sealed,
    }
    page = site.write_page(out, "study", data)
    writer.remove_others()
    return Study(page, len(names), trials, checks)


def study_name(sealed: str) -> str:
    """The identifier of a study, which its answers repeat: a digest of the identity of its clips."""
    return hashlib.blake2b(sealed.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


class _Writer:
    """Writes clips under anonymous names, skipping those that exist."""

    def __init__(self, folder: Path, showing: Showing):
        self.folder = folder
        self.showing = showing
        self._names: set[str] = set()

    def write(self, source: Path, who: str, broken_seed: int | None = None) -> str:
        """Write a clip, with shuffled tiles if `broken_seed` is given, and return its name."""
        what = repr((who, broken_seed, self.showing, clips.LARGEST, clips.FASTEST))
        digest = hashlib.blake2b(what.encode("utf-8", "backslashreplace"), digest_size=8)
        for file in clips.sources(source):
            digest.update(f"\n{source.name}/{file.name} ".encode("utf-8", "surrogateescape"))
            try:
                digest.update(file.read_bytes())
            except OSError as error:
                raise InputError(f"{file} cannot be read ({error.strerror}); it is a part of a clip.") from error
        name = digest.hexdigest()
        self._names.add(name)
        if not self._path(name).exists():
            clip = clips.read(source)
            if broken_seed is not None:
                clip = clips.scramble(clip, np.random.default_rng(broken_seed))
            seconds = self.showing.seconds or clip.seconds or SECONDS
            clips.write(self._path(name), clip, seconds, self.showing.loop)
        return name

    def remove_others(self) -> None:
        """Remove the clips of earlier pages, which may show other methods."""
        for path in self.folder.glob("*.webp"):
            if path.stem not in self._names:
                path.unlink()

    def check_sizes(self, names: list[str], sources: list[Path]) -> None:
        sizes = []
        for name in names:
            with Image.open(self._path(name)) as file:
                sizes.append(file.size)
        for size, source in zip(sizes, sources, strict=True):
            if size != sizes[0]:
                raise InputError(
                    f"{source} would be shown at {size[0]}×{size[1]} pixels and {sources[0]} at "
                    f"{sizes[0][0]}×{sizes[0][1]}; give all methods' clips of an item one shape."
                )

    def check_durations(self, names: list[str], sources: list[Path]) -> None:
        if self.showing.seconds:
            return
        ways = 1 if self.showing.loop else 2
        durations = [(clips.read(self._path(name)).seconds or 0) / ways for name in names]
        for duration, source in zip(durations, sources, strict=True):
            if abs(duration - durations[0]) > _SLACK:
                raise InputError(
                    f"{source} lasts {duration:.2f} s and {sources[0]} {durations[0]:.2f} s, so that one would play "
                    "faster; give --seconds, or clips of an item that last alike."
                )

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.webp"


def _matching_items(methods: list[Path], truth: Path | None) -> tuple[list[dict[str, Path]], dict[str, Path]]:
    """The items of each method, which must have the same names, and those of the truth, which may have more."""
    if len(methods) < 2:
        raise InputError("A study compares two methods or more; give a folder of clips for each.")
    names = [_name(method) for method in methods]
    for name in names:
        if not name.isprintable():
            raise InputError(f"The folder name {name!r} cannot be printed in tables; rename it.")
        if names.count(name) > 1:
            raise InputError(
                f"{names.count(name)} folders of methods are named {name}; rename them to tell them apart."
            )
    first, *others = found = [clips.items(method) for method in methods]
    for method, items in zip(methods[1:], others, strict=True):
        _check_has(method, items, methods[0], first)
        _check_has(methods[0], first, method, items)
    of_truth = clips.items(truth) if truth else {}
    if truth:
        _check_has(truth, of_truth, methods[0], first)
    return found, of_truth


def _name(method: Path) -> str:
    return method.resolve().name


def _check_has(folder: Path, items: dict[str, Path], other: Path, wanted: dict[str, Path]) -> None:
    missing = [name for name in wanted if name not in items]
    if missing:
        raise InputError(
            f"{folder} lacks {len(missing)} of the {len(wanted)} clips that {other} has, such as {missing[0]}; "
            "all must have the same items."
        )
