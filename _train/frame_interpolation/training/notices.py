"""Warnings that are printed once, over all worker processes of a loader."""

import hashlib
import sys

import torch

_SIZE = 1 << 17  # of a table of 1 MiB; one that is nearly full repeats messages, and leaves none out
_PROBES = 64


class Notices:
    """Prints each message to stderr only once, over all worker processes."""

    def __init__(self):
        self._said = torch.zeros(_SIZE, dtype=torch.int64).share_memory_()  # digests, 0 where there is none

    def say(self, message: str) -> None:
        if self._is_new(message):
            print(" ".join(message.split()), file=sys.stderr, flush=True)

    def _is_new(self, message: str) -> bool:
        """Enter a message at the first free place from the one of its digest on."""
        hashed = hashlib.blake2b(message.encode(errors="surrogateescape"), digest_size=8).digest()
        digest = int.from_bytes(hashed, signed=True) or 1
        for place in range(digest, digest + _PROBES):
            held = int(self._said[place % _SIZE])
            if held == digest:
                return False
            if held == 0:
                self._said[place % _SIZE] = digest
                break
        return True
