"""Warnings of a loader: each once, and none left out."""

import multiprocessing

import numpy as np
import pytest

from _train.frame_interpolation.training import notices
from _train.frame_interpolation.training.notices import Notices


def test_every_message_is_printed_and_only_once(capfd):
    random = np.random.default_rng(0)
    names = random.permutation(10**6)[:3000]  # of 65,536 checksums, some would be equal
    messages = [f"Skipped: clip_{name} holds 2 pictures." for name in names]
    said = Notices()
    for message in [*messages, *reversed(messages)]:
        said.say(message)
    assert capfd.readouterr().err.splitlines() == messages


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_other_processes_know_what_was_said(capfd, method):
    said = Notices()
    said.say("one\n more")
    context = multiprocessing.get_context(method)
    for message in ("one\n more", "another"):
        process = context.Process(target=said.say, args=(message,))
        process.start()
        process.join()
        assert process.exitcode == 0
    said.say("another")
    assert capfd.readouterr().err == "one more\nanother\n"


def test_a_full_table_leaves_nothing_out(capfd, monkeypatch):
    monkeypatch.setattr(notices, "_SIZE", 8)
    said = Notices()
    for i in range(20):
        said.say(str(i))
    assert capfd.readouterr().err.split() == [str(i) for i in range(20)]
