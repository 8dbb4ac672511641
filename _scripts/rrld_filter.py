"""Stage 3 of extracting triplets: list those that move straight and evenly.

OUT/video.mp4  duplicates.db   →   OUT/rrld.txt:  frames,linearity,coverage
                                                  000012-000013-000015,0.12,0.034
"""

from _scripts import stages
from _util import command
from _util.locks import holding


def main() -> None:
    arguments = stages.parse(
        stages.FILTER, "List the triplets of drawings in OUT/video.mp4 that move straight and evenly, by their RRLD."
    )
    from _databacks.extraction.filtering import rrld_filter

    name, flow = stages.flow_estimator(arguments.flow, arguments.device, arguments.precision, arguments.checkpoints)
    with holding(arguments.out):
        rrld_filter(arguments.out, flow, stages.options(arguments, name))


if __name__ == "__main__":
    command.run(main)
