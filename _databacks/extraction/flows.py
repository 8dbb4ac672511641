"""Stage 5: the flow between the first and the last frame of each triplet.

images/000012-000013-000015/ → flows/000012-000013-000015.pt, a tensor (2, 2, h, w) at the size of the pictures: flow10,
then flow01, each y before x. `_databacks.rrldextr` turns them to what the rest of the project expects.
"""

import io
from pathlib import Path

import torch

from _databacks.extraction import records
from _databacks.extraction.filtering import FlowEstimator
from _databacks.extraction.options import ExtractionOptions
from _databacks.extraction.reports import CONSOLE, StageReport
from _databacks.extraction.triplets import read_triplets
from _databacks.triplet import read_frames
from _util.files import make_folder, write_bytes


def extract_triplet_flows(
    out: Path, flow: FlowEstimator, options: ExtractionOptions, report: StageReport = CONSOLE
) -> None:
    """Write the missing flows of the triplets listed in rrld.txt in the folder `out`.

    Flows of triplets that are not listed are deleted.

    Raises:
        InputError: the list or a picture is missing or cannot be read, or something cannot be written.
    """
    folder = out / "flows"
    names = [triplet.name for triplet in read_triplets(out)]
    record = records.Record(folder, images=records.read(out / "images")["made_from"], flow=options.flow)
    if _names(folder) == set(names) and record.is_finished(report):
        return
    record.begin(report)
    make_folder(folder)
    for name in _names(folder).difference(names):
        records.remove(folder / f"{name}.pt")
    there = _names(folder)
    missing = [name for name in names if name not in there]
    done = len(names) - len(missing)
    for name in report.bar(missing, total=len(names), initial=done, unit="triplet", desc="extract_triplet_flows"):
        first, _, last = read_frames(out / "images" / name).split(1)
        flow01, flow10 = flow(first, last)
        content = io.BytesIO()
        torch.save(torch.cat([flow10, flow01]).flip(1).float().cpu().contiguous(), content)
        write_bytes(folder / f"{name}.pt", content.getbuffer())
    record.finish()


def _names(folder: Path) -> set[str]:
    return {path.stem for path in folder.glob("[!.]*.pt")}
