"""Subtitles of MP4 (timed text, 3GPP TS 26.245), of which one sample is shown at a time.

In: subtitles that may overlap, each a sample. Out: samples that follow each other; where several are shown, their lines
are in one.
"""

import math
import struct
from collections.abc import Iterator
from typing import NamedTuple

_LONGEST = 65535  # bytes of text in a sample
_STYLE = struct.Struct(">HH8s")  # first character, the one after the last, how they look


class Sample(NamedTuple):
    """What is shown for a while; times are in ticks of any one clock."""

    start: int
    duration: int
    data: bytes  # the length of the text in 2 bytes, the text in UTF-8, boxes such as its styles


class Shown:
    """What is shown, up to the latest time given."""

    def __init__(self) -> None:
        self._now: float = -math.inf
        self._samples: list[Sample] = []

    def add(self, start: int, duration: int, data: bytes) -> list[Sample]:
        """Show a sample from `start` on; returns what was shown before that. Times must not decrease."""
        before = self.until(start)
        if not duration:  # a blank one, or one of no known duration
            return [*before, Sample(start, 0, data)]
        self._now = max(start, self._now)
        self._samples.append(Sample(start, duration, data))
        return before

    def until(self, time: float) -> list[Sample]:
        """What is shown up to a time: a sample for each interval in which it is the same."""
        found = []
        while self._samples and self._now < time:
            end = min(time, *(sample.start + sample.duration for sample in self._samples))
            if end > self._now:
                start = int(self._now)
                found.append(Sample(start, int(end) - start, _together([sample.data for sample in self._samples])))
                self._now = end
            self._samples = [sample for sample in self._samples if sample.start + sample.duration > self._now]
        return found


def _together(samples: list[bytes]) -> bytes:
    """Samples as one, below each other, each with its styles; the first ones, as far as one sample can hold them."""
    if len(samples) == 1:
        return samples[0]
    texts, styles, before = [], [], 0
    for sample in samples:
        size = int.from_bytes(sample[:2])
        if sum(map(len, texts)) + len(texts) + size > _LONGEST:
            break
        texts.append(sample[2 : 2 + size])
        styles += [_STYLE.pack(before + first, before + end, look) for first, end, look in _styles(sample[2 + size :])]
        before += len(texts[-1].decode(errors="replace")) + 1
    text = b"\n".join(texts)
    boxes = struct.pack(">I4sH", 10 + 12 * len(styles), b"styl", len(styles)) + b"".join(styles) if styles else b""
    return struct.pack(">H", len(text)) + text + boxes


def _styles(boxes: bytes) -> Iterator[tuple[int, int, bytes]]:
    while len(boxes) >= 8:
        size, kind = struct.unpack_from(">I4s", boxes)
        if kind == b"styl":
            yield from _STYLE.iter_unpack(boxes[10:size])
        boxes = boxes[max(size, 8) :]
