"""The options of triplet extraction."""

from dataclasses import dataclass, field

from _util.errors import InputError

Size = int | tuple[int, int] | None  # no higher than this; exactly (h, w); as the source is
CODECS = {"h264": "libx264", "hevc": "libx265"}


@dataclass(frozen=True)
class ExtractionOptions:
    """The options of all stages. Each stage uses its own, and makes its result again if one of them has changed."""

    # encode_video
    video_size: Size = 1080
    codec: str = "h264"  # one of CODECS
    crf: int = 18
    # rrld_filter
    flow: str = "dis"  # identifies the estimator passed in
    repeats: str = "published"  # "published", the model on duplicates.db; "detected", by `_util.duplicates.detect`
    sensitivity: float = 1  # differences are multiplied by this before the published model calls them repeats or not
    cut_threshold: float | None = None  # of `_util.cuts.detect`; None is its own
    thresholds: dict[str, float] = field(default_factory=dict)  # of `_util.rrld.Thresholds`, those that differ
    one_per_cut: bool = False  # of each shot the accepted triplet with the lowest RRLD alone
    # extract_triplet_images
    image_size: Size = (540, 960)
    format: str = "png"  # or "jpg"
    quality: int = 95  # of JPEG
    origin: str = "original"  # the frames of the video given; "encoded": those of video.mp4


def parse_size(text: str) -> Size:
    """A size as it is written on a command line: 1080, 960x540 (width first) or source.

    Raises:
        InputError: none of these, or smaller than 16 pixels.
    """
    if text == "source":
        return None
    sides = text.lower().replace("×", "x").split("x")
    if len(sides) > 2 or not all(side.isascii() and side.isdecimal() and 16 <= int(side) <= 16384 for side in sides):
        raise InputError(f"{text!r} is not a size; write a height, WIDTHxHEIGHT or source, of 16 pixels at least.")
    return int(sides[0]) if len(sides) == 1 else (int(sides[1]), int(sides[0]))
