"""The sub-commands of `inbetween`: the one table of them."""

from typing import NamedTuple


class Command(NamedTuple):
    module: str  # its `main` is called; `python -m` runs the same
    summary: str  # one line of `inbetween --help`


COMMANDS: dict[str, Command] = {
    "interpolate": Command("_scripts.interpolate", "draw the frames between two frames, or between key drawings"),
    "video": Command("_scripts.interpolate_video", "bring videos, or folders of drawings, to another frame rate"),
    "demo": Command("_scripts.demo", "interpolate the two demo drawings"),
    "demo-page": Command("_scripts.demo_page", "serve a page that interpolates one pair (Gradio)"),
    "methods": Command("_scripts.methods", "list how flow is found and how frames are drawn"),
    "compile": Command("_scripts.compile", "compile now what is compiled when it is first used otherwise"),
    "get-weights": Command("_scripts.get_weights", "fetch published weights whose host and licence allow it"),
    "evaluate": Command("_scripts.evaluate", "compare methods with true frames, on ATD-12K or any triplets"),
    "study": Command("_scripts.user_study", "build the page of a user study, and analyse its answers"),
    "train": Command("_train.frame_interpolation.train", "train a network, or resume its training"),
    "export-weights": Command("_scripts.export_weights", "turn a checkpoint of training into weights"),
    "export-onnx": Command("_scripts.export_onnx", "write the default synthesis as ONNX"),
    "dataset": Command("_scripts.make_dataset", "make one data set of triplets from whole shows"),
    "dataset-to-hdf5": Command("_scripts.dataset_to_hdf5", "pack a data set into one file"),
    "sgm-flows": Command("_scripts.sgm_flows", "compute the flow by segment-guided matching of a data set"),
    "studio": Command("_scripts.studio", "serve a page to see and correct the in-betweens of key drawings"),
    "toons": Command("_databacks.toons.__main__", "draw cartoons with exact flow, as training sees them"),
    "clipart": Command("_databacks.clipart.__main__", "render clip art from SVGs, for training"),
    "benchmark-set": Command("_databacks.benchmark_set", "draw the small benchmark, 60 triplets of cartoons"),
    "benchmark": Command("_scripts.benchmark", "measure time and memory of interpolation"),
    "scaling": Command("_scripts.scaling", "measure how training scales over processes"),
    "encode-video": Command("_scripts.encode_video", "extract triplets, stage 1: encode at 24 frames a second"),
    "duplicate-frame-features": Command("_scripts.duplicate_frame_features", "stage 2: measure how frames differ"),
    "rrld-filter": Command("_scripts.rrld_filter", "stage 3: list triplets that move straight and evenly"),
    "extract-triplet-images": Command("_scripts.extract_triplet_images", "stage 4: write their frames"),
    "extract-triplet-flows": Command("_scripts.extract_triplet_flows", "stage 5: estimate their flow"),
}
OTHER_NAMES = {"pair": "interpolate"}
