"""The training tasks, by name. A task defines its networks, the loss of a batch and how the result interpolates.

A new model needs a class in a file here and a line in `TASKS`; `loop.py` does everything else.

    task.py           base classes of all tasks and of those that train synthesis on flow
    flow.py           RFR
    ifnet.py          IFNet
    synthesis.py      SoftsplatLite + DTM, Fusion
    animeinterp.py    AnimeInterp, with and without GMA, in stages
    stages.py         what is trained in which stage
    unet.py           the U-Nets: their flow, and their frames
"""

from _train.frame_interpolation.models.unet import VARIANTS
from _train.frame_interpolation.training.tasks.animeinterp import AnimeInterpTask
from _train.frame_interpolation.training.tasks.flow import RFRTask
from _train.frame_interpolation.training.tasks.ifnet import IFNetTask
from _train.frame_interpolation.training.tasks.synthesis import FusionTask, SoftsplatLiteTask
from _train.frame_interpolation.training.tasks.task import Task
from _train.frame_interpolation.training.tasks.unet import FlowUNetTask, FrameUNetTask
from _util.errors import InputError

TASKS: dict[str, type[Task]] = {
    "rfr": RFRTask,
    "ifnet": IFNetTask,
    "ssldtm": SoftsplatLiteTask,
    "fusion": FusionTask,
    "animeinterp": AnimeInterpTask,
    "animeinterp-gma": AnimeInterpTask,
    **dict.fromkeys(VARIANTS, FrameUNetTask),
}


def choose(model: str, task: str | None) -> type[Task]:
    """The task of a model; `task`, "vfi" or "optflow", selects the task of a U-Net.

    Raises:
        InputError: an unknown model, or `task` is set for a model with only one.
    """
    if model not in TASKS:
        raise InputError(f"There is no model {model!r}; it is {', '.join(TASKS)}.")
    if task and model not in VARIANTS:
        raise InputError(f"{model} has one task; --task is for {', '.join(VARIANTS)}.")
    return FlowUNetTask if task == "optflow" else TASKS[model]
