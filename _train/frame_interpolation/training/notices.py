"""Warnings that are printed once, over all worker processes of a loader."""

import sys
import zlib

import torch


class Notices:
    """Prints each message to stderr only once, over all worker processes."""

    def __init__(self):
        self._said = torch.zeros(1 << 16, dtype=torch.bool).share_memory_()  # by checksum

    def say(self, message: str) -> None:
        place = zlib.crc32(message.encode(errors="surrogateescape")) % len(self._said)
        if not self._said[place]:
            self._said[place] = True
            print(" ".join(message.split()), file=sys.stderr, flush=True)
