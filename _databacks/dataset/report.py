"""A page to judge a data set by: report.html, one file without scripts, the same for the same data set.

In: the rows of the index, what became of each video, the pictures. Out: how many triplets each show gave, a random
sample of them, histograms of the index's columns.
"""

import base64
import html
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np

from _databacks.dataset.assembly import MadeRow
from _databacks.dataset.preparing import PreparedVideo
from _util import image
from _util.errors import InputError
from _util.files import pictures, write_text
from _util.pixels import encoded

_SAMPLES = 12
_THUMBNAIL = 180  # pixels high
_BARS, _WIDTH, _HEIGHT = 24, 360, 120
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1100px; margin: 2em auto; padding: 0 1em; color: #222 }
table { border-collapse: collapse } td, th { padding: .2em .8em; text-align: right; border-bottom: 1px solid #ddd }
td:first-child, th:first-child { text-align: left }
figure { display: inline-block; margin: 0 1.5em 1.5em 0 } figcaption { color: #555; font-size: 13px }
figure img { max-width: 32%; margin-right: .5% } svg rect { fill: #4878a8 } svg text { font-size: 11px; fill: #555 }
"""


def write(out: Path, rows: Sequence[MadeRow], prepared: Sequence[PreparedVideo], skipped: Sequence[str]) -> bool:
    """Write report.html into the folder of a data set if it has changed; returns whether it was written.

    Args:
        prepared: the videos that were read.
        skipped: a sentence on each video that could not be used.

    Raises:
        InputError: it cannot be written.
    """
    text = _page(out, rows, prepared, skipped)
    path = out / "report.html"
    if path.exists() and path.read_bytes() == text.encode(errors="surrogateescape"):
        return False
    write_text(path, text)
    return True


def _page(out: Path, rows: Sequence[MadeRow], prepared: Sequence[PreparedVideo], skipped: Sequence[str]) -> str:
    """The report as XHTML; pictures of samples are read from the data set `out`."""
    repeats = sum(len(video.triplets) for video in prepared) - len(rows)
    parts = [
        "<h1>Triplets</h1>",
        f"<p>{len(rows):,} triplets from {len(prepared):,} videos; {repeats:,} more repeat one of these "
        "and were left out.</p>",
        *_sentences("Skipped", skipped),
        *_sentences("Read in part", [video.damage for video in prepared if video.damage]),
        "<h2>Shows</h2>",
        _shows(rows),
        "<h2>Histograms</h2>",
        *(_histogram(title, values) for title, values in _columns(rows).items() if values),
        "<h2>A random sample</h2>",
        *(_sample(out, row) for row in _choose(rows)),
    ]
    body = "\n".join(parts)
    return (
        '<!DOCTYPE html>\n<html xmlns="http://www.w3.org/1999/xhtml" lang="en">\n<head><meta charset="utf-8"/>'
        f"<title>Triplets</title><style>{_STYLE}</style></head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def _sentences(title: str, sentences: Sequence[str]) -> Iterable[str]:
    if sentences:
        items = "".join(f"<li>{html.escape(sentence)}</li>" for sentence in sentences)
        yield f"<h2>{title}</h2><ul>{items}</ul>"


def _shows(rows: Sequence[MadeRow]) -> str:
    counts = Counter(row.show for row in rows)
    videos = Counter(show for show, _ in {(row.show, row.video) for row in rows})
    lines = (
        f"<tr><td>{html.escape(show)}</td><td>{videos[show]:,}</td><td>{counts[show]:,}</td></tr>"
        for show in sorted(counts)
    )
    return f"<table><tr><th>show</th><th>videos with triplets</th><th>triplets</th></tr>{''.join(lines)}</table>"


def _columns(rows: Sequence[MadeRow]) -> dict[str, list[float]]:
    numbers = [[int(frame) for frame in row.frames.split("-")] for row in rows]
    return {
        "RRLD, 0 where motion is straight and even": [float(row.rrld) for row in rows],
        "share of the picture that moves": [float(row.coverage) for row in rows],
        "step from one drawing to the next, in frames of 24 a second": [
            float(later - earlier) for a, b, c in numbers for earlier, later in ((a, b), (b, c))
        ],
        "height in pixels": [float(row.height) for row in rows],
    }


def _histogram(title: str, values: Sequence[float]) -> str:
    counts, edges = np.histogram(values, _BARS)
    step = _WIDTH / _BARS
    bars = "".join(
        f'<rect x="{i * step:.1f}" y="{_HEIGHT * (1 - count / counts.max()):.1f}" width="{step - 1:.1f}" '
        f'height="{_HEIGHT * count / counts.max():.1f}"><title>{edges[i]:.4g} to {edges[i + 1]:.4g}: {count}</title>'
        "</rect>"
        for i, count in enumerate(counts)
    )
    labels = (
        f'<text x="0" y="{_HEIGHT + 14}">{edges[0]:.4g}</text>'
        f'<text x="{_WIDTH}" y="{_HEIGHT + 14}" text-anchor="end">{edges[-1]:.4g}</text>'
        f'<text x="{_WIDTH}" y="10" text-anchor="end">{counts.max():,}</text>'
    )
    drawing = f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT + 18}">{bars}{labels}</svg>'
    return f"<figure>{drawing}<figcaption>{html.escape(title)}; median {np.median(values):.4g}</figcaption></figure>"


def _choose(rows: Sequence[MadeRow]) -> list[MadeRow]:
    chosen = np.random.default_rng(0).permutation(len(rows))[:_SAMPLES]
    return [rows[k] for k in sorted(chosen)]


def _sample(out: Path, row: MadeRow) -> str:
    folder = next((path for path in (out / row.name, out / "images" / row.name) if path.is_dir()), out / row.name)
    caption = html.escape(f"{row.name}: {row.show}, {row.source}, frames {row.frames}, RRLD {float(row.rrld):.3f}")
    try:
        shown = "".join(_thumbnail(path) for path in pictures(folder))
    except (InputError, OSError):
        shown = "The pictures are gone or damaged."
    return f"<figure>{shown}<figcaption>{caption}</figcaption></figure>"


def _thumbnail(path: Path) -> str:
    pixels = image.read(path)
    size = max(1, round(pixels.shape[1] * _THUMBNAIL / pixels.shape[0])), _THUMBNAIL
    reduced = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    content = base64.b64encode(encoded(reduced, ".jpg")).decode()
    return f'<img alt="{path.name}" src="data:image/jpeg;base64,{content}"/>'
