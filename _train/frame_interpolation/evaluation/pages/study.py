"""A study page: two animations side by side, and the participant says which looks better.

METHOD_A/  METHOD_B/  …  (truth/)   →   OUT/
    one clip per item                       index.html  study.css  study.js  data.js
    as `clips` reads them                   clips/3f9c0d….webp  …

Every two methods are compared on every item, in an order and on sides that the page draws for each participant. Between
them come checks of attention: a clip against itself with its parts in other places, which whoever watches will find. No
file name and no text on the page names the method: clips are named by digests, and what each is lies in `data.js` in
Base64, which hides it from eyes though not from a curious programmer. The page copies it into the answers, so that
they can be analysed wherever they are (see `answers`).
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

SECONDS = 1.0  # that a clip lasts one way if nothing else says


class Study(NamedTuple):
    """What was built."""

    page: Path
    items: int
    comparisons: int  # that a participant answers
    checks: int  # of attention, beside those


class Showing(NamedTuple):
    """How clips are shown."""

    seconds: float | None = None  # one way; None: as long as an animation lasts, SECONDS for frames
    loop: bool = False  # start again after the last frame, instead of playing back to the first


def build(
    methods: list[Path],
    out: Path,
    *,
    truth: Path | None = None,
    showing: Showing | None = None,
    question: str = "Which animation looks better?",
    trials: int | None = None,
    checks: int | None = None,
    seed: int = 0,
) -> Study:
    """Build a study page; clips that an earlier run of the same call has written are kept.

    Args:
        methods: two folders or more, of different names, which hold clips of the same items.
        out: folder of the page, made where missing.
        truth: a folder with clips of the items as they should be; checks of attention show these, whole and broken.
            Without it they show the methods' clips.
        trials: comparisons per participant, drawn at random and as many of each two methods; None for all there are.
        checks: of attention per participant, at most one per item; None for one in ten comparisons, and at least two.
        seed: decides which clips become checks and how they are broken.

    Raises:
        InputError: folders or clips that cannot be used, or a place that cannot be written to.
    """
    found, of_truth = _matching_items(methods, truth)
    names = list(found[0])
    site.make_page_folder(out, "study")
    make_folder(out / "clips")
    generator = np.random.default_rng(seed)
    writer = _Writer(out / "clips", showing or Showing())

    pairs = list(itertools.combinations(range(len(methods)), 2))
    total = len(pairs) * len(names)
    trials = min(trials or total, total)
    checks = min(max(2, round(trials / 10)) if checks is None else checks, len(names))
    checked = {int(i) for i in generator.choice(len(names), checks, replace=False)}

    compared = [[] for _ in pairs]
    key = {
        "question": question,
        "methods": [_name(method) for method in methods],
        "clips": {},
        "whole": {},
        "broken": {},
    }
    attention = []
    for i, name in enumerate(tqdm(names, unit="item", desc="clips")):
        files = [items[name] for items in found]
        versions = [writer.write(file, who) for file, who in zip(files, key["methods"], strict=True)]
        writer.check_sizes(versions, files)
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
    return Study(site.write_page(out, "study", data), len(names), trials, checks)


def study_name(sealed: str) -> str:
    """The name by which answers belong to a study: a digest of what its clips are."""
    return hashlib.blake2b(sealed.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


class _Writer:
    """Writes clips under names that say nothing, and only those that are not there."""

    def __init__(self, folder: Path, showing: Showing):
        self.folder = folder
        self.showing = showing

    def write(self, source: Path, who: str, broken_seed: int | None = None) -> str:
        """Write a clip, scrambled if there is a seed for that, and return its name."""
        what = repr((who, broken_seed, self.showing, clips.LARGEST))
        digest = hashlib.blake2b(what.encode("utf-8", "backslashreplace"), digest_size=8)
        for file in clips.sources(source):
            digest.update(f"\n{source.name}/{file.name} ".encode("utf-8", "surrogateescape"))
            digest.update(file.read_bytes())
        name = digest.hexdigest()
        if not self._path(name).exists():
            clip = clips.read(source)
            if broken_seed is not None:
                clip = clips.scramble(clip, np.random.default_rng(broken_seed))
            seconds = self.showing.seconds or clip.seconds or SECONDS
            clips.write(self._path(name), clip, seconds, self.showing.loop)
        return name

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

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.webp"


def _matching_items(methods: list[Path], truth: Path | None) -> tuple[list[dict[str, Path]], dict[str, Path]]:
    """The items of each method, alike in name and order, and the truth's, which may have more."""
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
