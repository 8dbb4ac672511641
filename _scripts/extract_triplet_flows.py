"""Stage 5 of extracting triplets: estimate the flow between the first and the last frame of each.

OUT/images/000012-000013-000015/   →   OUT/flows/000012-000013-000015.pt, (2, 2, h, w): flow10, flow01; y, x
"""

from _scripts import stages
from _util import command
from _util.locks import holding


def main() -> None:
    arguments = stages.parse(stages.FLOWS, "Estimate the flow between the first and the last frame of each triplet.")
    from _databacks.extraction.flows import extract_triplet_flows

    name, flow = stages.flow_estimator(arguments.flow, arguments.device, arguments.precision, arguments.checkpoints)
    with holding(arguments.out):
        extract_triplet_flows(arguments.out, flow, stages.options(arguments, name))


if __name__ == "__main__":
    command.run(main)
