"""An HTML report: every item's pictures to flip and wipe between, sortable scores, distributions.

DIR/
    index.html  report.css  report.js  data.js      opens from disk: no server, no external resources
    items/NAME_1f0c…/
        0.webp  1.webp  …                           the pictures, lossless, about 0.25 MB each at 540p
        thumbnails.webp                             all of them reduced, side by side
        item.json                                   written last: names, metadata, scores, digests and sizes of files

Items are added one by one, possibly from several processes. A run that was killed resumes: pictures that have not
changed and whose files are intact are not encoded again.
"""

import hashlib
import json
from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image

from _train.frame_interpolation.evaluation.pages import site
from _util.files import make_folder, natural, replacing, write_text

THUMBNAIL = 160, 90  # maximum width and height of a thumbnail, pixels


class ReportItem(NamedTuple):
    """The content of one item."""

    name: str
    metadata: dict[str, str]  # such as subset and level; shown, and used as filters
    scores: dict[str, dict[str, float]]  # method -> metric -> value, which may be infinite or NaN
    pictures: dict[str, np.ndarray]  # label -> (h, w, 3) uint8 RGB, in display order
    stamp: str  # of the files that scores and pictures depend on, for `Report.has`


class Report:
    """Writes a report into a folder, item by item.

    Args:
        folder: created if missing; may hold the files of an earlier run. Items of a report with another title, other
            metrics, other methods or another `run` are ignored.
        higher_is_better: metric -> whether higher is better, in display order.
        methods: the methods that every item has, in display order.
        run: a digest of everything else that all items depend on, such as the path of the data and the protocol.

    Raises:
        InputError: here and in every method, if something cannot be written, or the folder holds another page.
    """

    def __init__(self, folder: Path, title: str, higher_is_better: dict[str, bool], methods: list[str], run: str):
        self.folder, self.title, self.run = folder, title, run
        self.higher_is_better, self.methods = higher_is_better, methods
        site.make_page_folder(folder, "report")

    def has(self, name: str, stamp: str) -> bool:
        """Whether an item of this name and stamp was added, now or before an interruption, and its files are intact."""
        folder = self._folder(name)
        record = _read_record(folder)
        if record is None or not self._belongs(record) or record.get("stamp") != stamp:
            return False
        return all(_is_whole(folder, file) for file in record["files"])

    def add(self, item: ReportItem) -> None:
        """Write an item's pictures and record, replacing an earlier item of the same name."""
        folder = self._folder(item.name)
        make_folder(folder)
        before = _read_record(folder) or {"files": []}
        known = {(file["name"], file["digest"]) for file in before["files"] if _is_whole(folder, file)}

        def store(name: str, pixels: np.ndarray, **options: int | bool) -> dict:
            digest = hashlib.blake2b(repr(pixels.shape).encode() + pixels.tobytes(), digest_size=16).hexdigest()
            path = folder / name
            if (name, digest) not in known:
                with replacing(path) as temporary:
                    Image.fromarray(pixels).save(temporary, "WEBP", **options)
            return {"name": name, "digest": digest, "bytes": path.stat().st_size}

        pictures = list(item.pictures.values())
        with ThreadPoolExecutor() as pool:
            stored = [
                pool.submit(store, f"{i}.webp", np.ascontiguousarray(picture), lossless=True, quality=0, method=0)
                for i, picture in enumerate(pictures)
            ]
            stored.append(pool.submit(store, "thumbnails.webp", _thumbnails(pictures), quality=60))
        height, width = pictures[0].shape[:2]
        record = {
            "title": self.title,
            "run": self.run,
            "metrics": list(self.higher_is_better),
            "name": item.name,
            "stamp": item.stamp,
            "metadata": item.metadata,
            "scores": {method: {k: float(v) for k, v in scores.items()} for method, scores in item.scores.items()},
            "labels": list(item.pictures),
            "size": [width, height],
            "files": [file.result() for file in stored],
        }
        write_text(folder / "item.json", json.dumps(record))

    def finish(self, summary: list[dict[str, str]], names: Collection[str]) -> Path:
        """Write the page for the items of this report in the folder, in natural order of their names.

        Args:
            summary: the rows of the table at the top, each column -> formatted cell.
            names: of the items shown.

        Returns:
            The path of `index.html`, which is written last.
        """
        folders = {path.parent: _read_record(path.parent) for path in (self.folder / "items").glob("*/item.json")}
        records = {
            folder.name: record
            for folder, record in folders.items()
            if record and self._belongs(record) and record["name"] in names
        }
        ordered = dict(sorted(records.items(), key=lambda entry: natural(entry[1]["name"])))
        return site.write_page(self.folder, "report", self._data(ordered, summary))

    def _folder(self, name: str) -> Path:
        return self.folder / "items" / site.safe_name(name)

    def _belongs(self, record: dict) -> bool:
        return (
            record["title"] == self.title
            and record.get("run") == self.run
            and record["metrics"] == list(self.higher_is_better)
            and set(record["scores"]) == set(self.methods)
        )

    def _data(self, records: dict[str, dict], summary: list[dict[str, str]]) -> dict:
        """The data of the page, without pictures, in columns, which are compact and fast to sort."""
        items = list(records.values())
        columns = _distinct(column for row in summary for column in row)
        sets = _distinct(tuple(item["labels"]) for item in items)
        return {
            "title": self.title,
            "summary": {"columns": columns, "rows": [[row.get(column, "") for column in columns] for row in summary]},
            "metrics": [{"name": name, "higherIsBetter": higher} for name, higher in self.higher_is_better.items()],
            "names": [item["name"] for item in items],
            "folders": list(records),
            "sizes": [item["size"] for item in items],
            "labels": {"sets": sets, "column": [sets.index(tuple(item["labels"])) for item in items]},
            "metadata": [
                _metadata_column(name, items) for name in _distinct(name for item in items for name in item["metadata"])
            ],
            "scores": [
                {
                    "method": method,
                    "columns": [
                        [float(f"{item['scores'][method][metric]:.6g}") for item in items]
                        for metric in self.higher_is_better
                    ],
                }
                for method in self.methods
            ],
        }


def _thumbnails(pictures: list[np.ndarray]) -> np.ndarray:
    """Reduce all pictures to one size and place them side by side."""
    height, width = pictures[0].shape[:2]
    scale = min(1, THUMBNAIL[0] / width, THUMBNAIL[1] / height)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.hstack([cv2.resize(picture, size, interpolation=cv2.INTER_AREA) for picture in pictures])


def _read_record(folder: Path) -> dict | None:
    """Read an item's record; None if there is no complete one."""
    try:
        record = json.loads((folder / "item.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) and site.safe_name(str(record.get("name"))) == folder.name else None


def _is_whole(folder: Path, file: dict) -> bool:
    try:
        return (folder / file["name"]).stat().st_size == file["bytes"]
    except OSError:
        return False


def _distinct(values: Iterable) -> list:
    return list(dict.fromkeys(values))


def _metadata_column(name: str, items: list[dict]) -> dict:
    """The distinct values of one metadata name, in natural order, and the index of each item's value, -1 for none."""
    values = sorted({item["metadata"][name] for item in items if name in item["metadata"]}, key=natural)
    places = {value: i for i, value in enumerate(values)}
    return {"name": name, "values": values, "column": [places.get(item["metadata"].get(name), -1) for item in items]}
