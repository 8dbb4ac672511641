"""Triplets from a video, in the five published stages (Chen and Zwicker, ECCV 2022, section 4).

OUT/
    video.mp4                              the video at constant 24 frames a second, numbered from 0       encode_video
    duplicates.db                          how each frame differs from the one before it       duplicate_frame_features
    rrld.txt                               the triplets accepted: frames,linearity,coverage                 rrld_filter
    images/000012-000013-000015/000012.png …                                                     extract_triplet_images
    flows/000012-000013-000015.pt          flow between the first and the last frame              extract_triplet_flows
    video.json  duplicates.json  …         what each was made from, with which options

Every stage resumes after an interruption. If its result exists it reports so and does nothing; if its input or options
have changed it makes the result again. Results are written atomically. `_databacks.rrldextr` reads the folder.
"""

from pathlib import Path

from _databacks.extraction.duplicates import duplicate_frame_features
from _databacks.extraction.encoding import encode_video
from _databacks.extraction.filtering import FlowEstimator, rrld_filter
from _databacks.extraction.flows import extract_triplet_flows
from _databacks.extraction.images import extract_triplet_images
from _databacks.extraction.options import ExtractionOptions, Size, parse_size
from _databacks.extraction.reports import ALOUD, QUIET, StageReport
from _databacks.extraction.triplets import ExtractedTriplet, read_triplets

__all__ = [
    "ALOUD",
    "QUIET",
    "ExtractedTriplet",
    "ExtractionOptions",
    "FlowEstimator",
    "Size",
    "StageReport",
    "duplicate_frame_features",
    "encode_video",
    "extract",
    "extract_triplet_flows",
    "extract_triplet_images",
    "parse_size",
    "read_triplets",
    "rrld_filter",
]


def extract(
    video: Path,
    out: Path,
    flow: FlowEstimator,
    *,
    options: ExtractionOptions | None = None,
    with_flows: bool = True,
    report: StageReport = ALOUD,
) -> list[ExtractedTriplet]:
    """All stages in order, from `video`, a file or a folder of drawings, into the folder `out`.

    Args:
        flow: takes two frames (1, 3, h, w) RGB in [0, 1] on the CPU and returns flow01 and flow10, (1, 2, h, w), x then
            y in pixels, on any device. It sees frames of 360×640, and for the last stage those of the images; it is
            called from several threads.
        with_flows: also run the last stage.
        report: `ALOUD`, `QUIET` or one of the caller's own.

    Returns:
        The triplets, in order; none is not an error.

    Raises:
        InputError: the video cannot be read, `out` belongs to another video, or something cannot be written.
    """
    options = options or ExtractionOptions()
    encode_video(video, out, options, report)
    duplicate_frame_features(out, options, report)
    triplets = rrld_filter(out, flow, options, report)
    extract_triplet_images(out, options, report)
    if with_flows:
        extract_triplet_flows(out, flow, options, report)
    return triplets
