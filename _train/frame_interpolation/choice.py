"""Selects the flow and the synthesis: those requested, or the best ones whose weights are available.

Does not import PyTorch, so that invalid options are reported immediately.
"""

from pathlib import Path
from typing import NamedTuple

from _train.frame_interpolation import methods
from _train.frame_interpolation.methods import FLOWS, SYNTHESES, Method
from _util import weights
from _util.errors import InputError

COARSE_FLOW = "sgm"


class Choice(NamedTuple):
    """The selected flow (None if none is needed) and synthesis, by name, and notes to print for the user."""

    flow: str | None
    synthesis: str
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.synthesis if self.flow is None else f"{self.flow}+{self.synthesis}"


def choose(flow: str, synthesis: str, folder: Path) -> Choice:
    """Resolve "auto" to the first ranked method whose weights are available, and check the combination.

    Raises:
        InputError: an unknown name, an incompatible flow and synthesis, a missing folder, or missing weights.
    """
    choice = _compatible(flow, synthesis, folder)
    of_flow = () if choice.flow is None else FLOWS[choice.flow].weights
    for name in (*of_flow, *SYNTHESES[choice.synthesis].weights):
        if not weights.find(name, folder):
            raise weights.missing(name, folder)
    if folder != weights.FOLDER and not folder.is_dir():
        raise InputError(f"There is no folder of weights {folder}; correct --checkpoints, or leave it out.")
    return choice


def _compatible(flow: str, synthesis: str, folder: Path) -> Choice:
    flow_method = methods.find("flow", FLOWS, flow)
    methods.find("synthesis", SYNTHESES, synthesis)
    candidates = SYNTHESES
    if flow_method is not None:  # requested by name, so it must be used
        candidates = {name: method for name, method in SYNTHESES.items() if method.uses(flow_method)}
    synthesis, note = _first("synthesis", synthesis, candidates, folder)
    method = SYNTHESES[synthesis]
    if method.finds_motion and flow_method is None:
        return Choice(None, synthesis, note)
    if flow_method is not None and not method.uses(flow_method):
        raise InputError(
            f"The synthesis {synthesis} finds motion itself and does not use the flow {flow}; leave --flow out, or "
            "choose another --synthesis."
        )
    if method.refines:
        if flow_method is not None and "rfr" in flow_method.weights:
            raise InputError(
                f"The synthesis {synthesis} refines a coarse flow by its own RFR and gains nothing from {flow}, which "
                f"RFR has refined already; take --flow {COARSE_FLOW}."
            )
        return Choice(COARSE_FLOW if flow == "auto" else flow, synthesis, note)
    flow, flow_note = _first("flow", flow, FLOWS, folder)
    return Choice(flow, synthesis, (*flow_note, *note))


def _first(kind: str, wanted: str, table: dict[str, Method], folder: Path) -> tuple[str, tuple[str, ...]]:
    if wanted != "auto":
        return wanted, ()
    ranked = [name for name, method in table.items() if method.ranks]
    missing = {
        name: [weights.expected(part) for part in table[name].weights if not weights.find(part, folder)]
        for name in ranked
    }
    taken = next(name for name in ranked if not missing[name])
    note = f"{kind}: {taken}"
    if taken != ranked[0]:
        place = weights.place_for_more(folder)
        place = place.relative_to(Path.cwd()) if place.is_relative_to(Path.cwd()) else place
        note += f" (for {ranked[0]}, put {' and '.join(missing[ranked[0]])} into {place})"
    return taken, (note,)
