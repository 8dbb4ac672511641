"""Stage 2 of extracting triplets: measure how each frame differs from the one before it.

OUT/video.mp4   →   OUT/duplicates.db, table duplicates(frame, rgb_mean, rgb_max, lab_mean, lab_max, psnr, ssim)
"""

from _scripts import stages
from _util import command
from _util.locks import holding


def main() -> None:
    arguments = stages.parse(stages.DIFFER, "Measure how each frame of OUT/video.mp4 differs from the one before it.")
    from _databacks.extraction.duplicates import duplicate_frame_features

    with holding(arguments.out):
        duplicate_frame_features(arguments.out)


if __name__ == "__main__":
    command.run(main)
