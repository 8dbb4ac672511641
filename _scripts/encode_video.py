"""Stage 1 of extracting triplets: encode a video at constant 24 frames a second.

VIDEO   →   OUT/video.mp4
"""

from _scripts import stages
from _util import command
from _util.locks import holding


def main() -> None:
    arguments = stages.parse(stages.ENCODE, "Encode a video at constant 24 frames a second, H.264 or HEVC, no sound.")
    from _databacks.extraction.encoding import encode_video

    stages.check_flow(arguments)  # a mistake that a later stage would find is found before there is work
    with holding(arguments.out):
        encode_video(arguments.video, arguments.out, stages.options(arguments))


if __name__ == "__main__":
    command.run(main)
