"""Overlapping subtitles of MP4 become samples that follow each other."""

from _util.timed_text import Sample, Shown


def data(text: bytes) -> bytes:
    return len(text).to_bytes(2) + text


def test_lines_are_shown_together_while_they_overlap():
    shown = Shown()
    assert shown.add(0, 30, data(b"one")) == []
    assert shown.add(10, 10, data(b"two")) == [Sample(0, 10, data(b"one"))]
    assert shown.until(100) == [Sample(10, 10, data(b"one\ntwo")), Sample(20, 10, data(b"one"))]


def test_what_is_too_long_for_one_sample_is_left_out_of_it():
    shown, signs = Shown(), [bytes([letter]) * 30_000 for letter in b"abc"]
    for sign in signs:
        shown.add(0, 10, data(sign))
    assert shown.until(100) == [Sample(0, 10, data(b"\n".join(signs[:2])))]
