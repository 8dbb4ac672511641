"""The registry of flows, syntheses and metrics, by the names that command lines accept.

A new flow, synthesis or metric is one file, with a function or class that creates it, and one entry here. Methods are
imported only when used, so help texts and name checks do not import PyTorch.
"""

import pkgutil
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, overload

from _util.errors import InputError

_HERE = "_train.frame_interpolation"
BACKENDS = ("pytorch", "onnxruntime", "openvino")


class Method(NamedTuple):
    """A flow estimator or a synthesis."""

    summary: str  # one line, for help texts and the README's table
    create: str  # "module:function" or "module:function:argument:…", called with a `context.Context` and the arguments
    weights: tuple[str, ...] = ()  # names in `checkpoints.NETWORKS`
    ranks: bool = True  # "auto" selects the first ranked method whose weights are available
    refines: bool = False  # refines a coarse initial flow
    finds_motion: bool = False  # needs no flow
    along_paths: bool = False  # gives, or accepts, paths: motion that is defined at every time (`_util.paths`)
    onnx: str = ""  # creates the same method for the ONNX backends; format as of `create`

    def creator(self, backend: str = "pytorch") -> Callable[..., Any]:
        """The function that creates it from a `context.Context`."""
        module, function, *arguments = (self.create if backend == "pytorch" else self.onnx).split(":")
        create = pkgutil.resolve_name(f"{module}:{function}")
        return lambda context: create(context, *arguments)

    def uses(self, flow: "Method") -> bool:
        """Whether this synthesis draws differently with a flow than without."""
        return not self.finds_motion or (self.along_paths and flow.along_paths)


class Metric(NamedTuple):
    """A metric that compares a drawn frame with the ground truth."""

    create: str  # "module:class", a `_util.metrics.ImageMetric`
    has_protocols: bool = False  # takes "paper" or "standard" as its argument, else no arguments

    def creator(self) -> Callable[..., Any]:
        """The class of the metric."""
        return pkgutil.resolve_name(self.create)


FLOWS: dict[str, Method] = {
    "rfr": Method("RFR, AnimeInterp's and EISAI's recurrent network", f"{_HERE}.flows:rfr", ("rfr",)),
    "sgm+dis": Method("the better of sgm and multidis at each pixel", f"{_HERE}.flows:sgm_dis"),
    "multidis": Method("OpenCV's dense inverse search at three sizes, the best at each pixel", f"{_HERE}.flows:dis3"),
    "dis": Method("OpenCV's dense inverse search", f"{_HERE}.flows:dis1"),
    "sgm": Method("segment-guided matching only; 0 where no segment is matched", f"{_HERE}.flows:sgm", ranks=False),
    "pieces+dis": Method(
        "sgm+dis plus rotating pieces, or strokes of line art, where these fit both frames better",
        f"{_HERE}.piece_flows:pieces_and_search",
        ranks=False,
        along_paths=True,
    ),
    "pieces": Method(
        "pieces that rotate, scale and bend, or strokes of line art, only; 0 where nothing is matched",
        f"{_HERE}.piece_flows:pieces_alone",
        ranks=False,
        along_paths=True,
    ),
    "sgm+rfr": Method(
        "RFR initialised with sgm, as in AnimeInterp's release",
        f"{_HERE}.flows:sgm_rfr:released",
        ("rfr",),
        ranks=False,
        refines=True,
    ),
    "sgm+rfr-paper": Method(
        "RFR initialised with sgm, as in the paper",
        f"{_HERE}.flows:sgm_rfr:paper",
        ("rfr",),
        ranks=False,
        refines=True,
    ),
    **{
        name: Method(
            f"a {name} trained with --task optflow", f"{_HERE}.flows:unet:{name}", (f"{name}_flow",), ranks=False
        )
        for name in ("unet", "resunet", "transunet")
    },
}

SYNTHESES: dict[str, Method] = {
    "ifnet": Method(
        "the project's own network: estimates motion at the new frame and samples both frames along it",
        f"{_HERE}.syntheses:sharp_ifnet",
        ("ifnet",),
        finds_motion=True,
        along_paths=True,
        onnx=f"{_HERE}.onnx_models:create",
    ),
    "ifnet-fast": Method(
        "the same network, with motion estimated at half the size",
        f"{_HERE}.syntheses:sharp_ifnet:2",
        ("ifnet",),
        ranks=False,
        finds_motion=True,
        along_paths=True,
        onnx=f"{_HERE}.onnx_models:create:2",
    ),
    "rife": Method("RIFE 4.6, as published", f"{_HERE}.syntheses:rife", ("rife",), finds_motion=True),
    "ssldtm": Method(
        "EISAI's SoftsplatLite and DTM, as published", f"{_HERE}.syntheses:ssldtm", ("ssl", "dtm"), along_paths=True
    ),
    "fusion": Method(
        "splats and backward warps along a flow, mixed and corrected by a network",
        f"{_HERE}.syntheses:fusion",
        ("fusion",),
        along_paths=True,
    ),
    "resunet": Method("a resunet trained with --task vfi", f"{_HERE}.syntheses:unet:resunet", ("resunet",)),
    "transunet": Method("a transunet trained with --task vfi", f"{_HERE}.syntheses:unet:transunet", ("transunet",)),
    "unet": Method("a unet trained with --task vfi", f"{_HERE}.syntheses:unet:unet", ("unet",)),
    "ssl": Method("SoftsplatLite without DTM", f"{_HERE}.syntheses:ssl", ("ssl",), along_paths=True),
    "splat": Method("softmax splatting only, without weights", f"{_HERE}.syntheses:splatting", along_paths=True),
    "animeinterp": Method(
        "AnimeInterp, as released",
        f"{_HERE}.syntheses:animeinterp:animeinterp:released",
        ("animeinterp",),
        ranks=False,
        refines=True,
    ),
    "animeinterp-paper": Method(
        "AnimeInterp, as described in the paper",
        f"{_HERE}.syntheses:animeinterp:animeinterp:paper",
        ("animeinterp",),
        ranks=False,
        refines=True,
    ),
    "animeinterp-gma": Method(
        "AnimeInterp with global motion aggregation, as released",
        f"{_HERE}.syntheses:animeinterp:animeinterp-gma:released",
        ("animeinterp-gma",),
        ranks=False,
        refines=True,
    ),
    "animeinterp-gma-paper": Method(
        "the same, with flow initialised as in the paper",
        f"{_HERE}.syntheses:animeinterp:animeinterp-gma:paper",
        ("animeinterp-gma",),
        ranks=False,
        refines=True,
    ),
}


METRICS: dict[str, Metric] = {
    "lpips": Metric("_util.metrics:LPIPS", has_protocols=True),
    "chamfer": Metric("_util.metrics:Chamfer"),
    "psnr": Metric("_util.metrics:PSNR"),
    "ssim": Metric("_util.metrics:SSIM", has_protocols=True),
    "ie": Metric("_util.metrics:InterpolationError"),
    "hausdorff": Metric("_util.metrics:Hausdorff"),
    "dists": Metric("_util.metrics:DISTS"),
}
PUBLISHED = ("lpips", "chamfer", "psnr", "ssim")  # in papers on 2D animation


@overload
def find(kind: str, table: Mapping[str, Method], name: str, others: tuple[()]) -> Method: ...
@overload
def find(kind: str, table: Mapping[str, Method], name: str, others: Iterable[str] = ("auto",)) -> Method | None: ...
def find(kind: str, table: Mapping[str, Method], name: str, others: Iterable[str] = ("auto",)) -> Method | None:
    """Look up a method by name; None if the name is one of `others`.

    Raises:
        InputError: an unknown name; the message lists the valid ones.
    """
    if name in others:
        return None
    if not isinstance(name, str) or name not in table:
        raise InputError(f"There is no {kind} {name!r}; it is {', '.join([*others, *table])}.")
    return table[name]


def split(word: str, *more_flows: str) -> tuple[str, str]:
    """Split FLOW+SYNTHESIS, of which either may be left out and is then "auto"; a name of both kinds is a flow.

    Args:
        more_flows: names of flows beside `FLOWS` and "auto".
    """
    if word in ("auto", *FLOWS, *more_flows):
        return word, "auto"
    if word in SYNTHESES:
        return "auto", word
    flow, _, synthesis = word.rpartition("+")
    return flow or "auto", synthesis


def summaries(table: Mapping[str, Method]) -> str:
    """The table as a sentence for help texts: `rfr, RFR, …; dis, …`."""
    return "; ".join(f"{name}: {method.summary}" for name, method in table.items())
