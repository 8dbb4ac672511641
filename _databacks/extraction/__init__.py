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
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _databacks.extraction.filtering import FlowEstimator
    from _databacks.extraction.options import ExtractionOptions
    from _databacks.extraction.reports import StageReport
    from _databacks.extraction.triplets import ExtractedTriplet


def extract(
    video: Path, out: Path, flow: "FlowEstimator", options: "ExtractionOptions", report: "StageReport"
) -> "list[ExtractedTriplet]":
    """The first four stages in order, from `video`, a file or a folder of drawings, into the folder `out`.

    Returns:
        The triplets, in order; none is not an error.

    Raises:
        InputError: the video cannot be read, `out` belongs to another video, or something cannot be written.
    """
    from _databacks.extraction.duplicates import duplicate_frame_features
    from _databacks.extraction.encoding import encode_video
    from _databacks.extraction.filtering import rrld_filter
    from _databacks.extraction.images import extract_triplet_images

    encode_video(video, out, options, report)
    duplicate_frame_features(out, report)
    triplets = rrld_filter(out, flow, options, report)
    extract_triplet_images(out, options, report)
    return triplets
