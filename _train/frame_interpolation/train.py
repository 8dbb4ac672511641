"""Train a network of frame interpolation, and resume when called again.

DATA, one or more       →   OUT/
    toons                       checkpoints/last.ckpt    the state after the last step; a run resumes from here
                                checkpoints/best.ckpt    of the best validation LPIPS
    lottie/*.json               metrics.csv  curves.png  losses and validation, by step
    rrld/images/                samples/                 frame 0, what was drawn between, frame 1
    triplets/name/{a,b,c}.png   tensorboard/

`toons` are cartoons with exact flow, drawn while training; so is `clipart`, of what `python -m _databacks.clipart` has
rendered. A triplet is two frames and the truth between them. Then `python -m _scripts.export_weights OUT --to
FOLDER/default` turns the best checkpoint into weights for `interpolate --checkpoints FOLDER`.
"""

import argparse

from _train.frame_interpolation.training import metadata as run_metadata
from _train.frame_interpolation.training import options as training_options
from _util import command, extras, torchrun
from _util.errors import InputError


def main() -> None:
    options = training_options.parse(__doc__ or "")
    from _util.files import making_folder
    from _util.locks import holding

    training_options.require_outside_of_data(options)
    checkpoints = options.out / "checkpoints"
    if torchrun.rank():  # only rank 0 writes, and removes folders that stay empty
        train(options)
        return
    with holding(options.out):
        training_options.require_own(options.out)
        with making_folder(checkpoints):
            training_options.require_writing(checkpoints)
            train(options)


def train(options: argparse.Namespace) -> None:
    extras.require("lightning", "matplotlib", "tensorboard")
    import torch

    from _databacks.keyframes import Keyframes
    from _train.frame_interpolation.training import data, elastic, tasks
    from _train.frame_interpolation.training.loop import Loop
    from _util import memory

    kind = tasks.choose(options.model, options.task)
    training_options.take_defaults(options, kind)
    processes = torchrun.count()
    options.device = elastic.choose_device(options.device)
    for folder in options.validate or []:
        Keyframes(folder)  # raises InputError if there are none

    elastic.join(options.device)
    last = options.out / "checkpoints/last.ckpt"
    state = run_metadata.read_state(last, options, processes)
    metadata = run_metadata.describe(options, processes)
    if state:
        run_metadata.refuse_changes(state["metadata"]["options"], metadata["options"], last)
        run_metadata.continue_runs(state, metadata)
        if run_metadata.is_finished(state["step"], last, options):
            return

    memory.keep_freed()
    torch.manual_seed(options.seed)
    torch.set_float32_matmul_precision("high")
    task = kind(options, options.device)
    if state is None:
        task.begin()
    sources = data.open_all(options, task)
    task.plan(data.steps_in_epoch(sources, options, processes))

    loop = Loop(
        elastic.create_fabric(options, task.uses_all_weights, processes), task, options, sources, metadata, state
    )
    try:
        loop.run()
    except OSError as error:
        raise InputError(f"Training stopped at step {loop.step} ({error}); earlier checkpoints are intact.") from error
    if loop.fabric.is_global_zero:
        print(f"Trained to step {loop.step} of {options.steps}, in {loop.seconds / 60:.1f} minutes; see {options.out}.")


if __name__ == "__main__":
    command.run(main)
