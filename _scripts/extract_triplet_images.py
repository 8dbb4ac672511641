"""Stage 4 of extracting triplets: write their frames as pictures.

OUT/rrld.txt   →   OUT/images/000012-000013-000015/
                       000012.png  000013.png  000015.png
"""

from _scripts import stages
from _util import command
from _util.locks import holding


def main() -> None:
    arguments = stages.parse(stages.IMAGES, "Write the frames of the triplets in OUT/rrld.txt as pictures.")
    from _databacks.extraction.images import extract_triplet_images

    with holding(arguments.out):
        extract_triplet_images(arguments.out, stages.options(arguments))


if __name__ == "__main__":
    command.run(main)
