"""Long work in parts: what is finished is kept, and a later run goes on from there.

DIR/.clip.mp4.parts/            beside clip.mp4, which appears when all parts are joined
    run.json                    what determines the result; only the same run may go on
    000000.nut  000001.nut  …   parts, each of which appears when it is whole
"""

import json
import shutil
from pathlib import Path
from typing import Any

from _util.errors import InputError
from _util.files import replacing


class Parts:
    """The finished parts of a file or folder that is being made.

    Args:
        out: what is being made.
        run: all that determines the result, by names that a user knows; of what JSON holds.
        suffix: of a part, which is a file, or a folder where it is empty.
    """

    def __init__(self, out: Path, run: dict[str, Any], suffix: str):
        self.folder = out.with_name(f".{out.name}.parts")
        self._run = json.loads(json.dumps(run))
        self._suffix = suffix

    @property
    def finished(self) -> list[Path]:
        """The parts from the first up to the first that is missing."""
        paths = []
        while (path := self.path(len(paths))).exists():
            paths.append(path)
        return paths

    def path(self, i: int) -> Path:
        return self.folder / f"{i:06d}{self._suffix}"

    def begin(self, resume: bool, overwrite: bool) -> None:
        """Make the folder, or take over the one that an earlier run has left.

        Args:
            resume: go on from parts that are finished.
            overwrite: otherwise, throw them away.

        Raises:
            InputError: neither is wanted and there are some, they are of another run, or there is no place for them.
        """
        if self.finished and resume:
            self._check_run()
        elif self.finished and not overwrite:
            raise InputError(
                f"{self.folder} holds what an earlier run finished; add --resume to go on, --overwrite to begin anew."
            )
        else:
            self.discard()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{self.folder} cannot be made ({error.strerror}); choose another place.") from error
        for leftover in self.folder.glob(".*"):  # of a part that was being written when a run was killed
            _remove(leftover)
        with replacing(self.folder / "run.json") as temporary:
            temporary.write_text(json.dumps(self._run, indent=1, ensure_ascii=False))

    def discard(self) -> None:
        """Remove the folder and all in it."""
        _remove(self.folder)

    def _check_run(self) -> None:
        try:
            run = json.loads((self.folder / "run.json").read_text())
        except (OSError, ValueError) as error:
            raise InputError(f"{self.folder}/run.json is missing or damaged; begin anew with --overwrite.") from error
        changed = [name for name in {**run, **self._run} if run.get(name) != self._run.get(name)]
        if changed:
            told = ", ".join(f"{name} {run.get(name)} instead of {self._run.get(name)}" for name in changed)
            raise InputError(f"{self.folder} is of another run: {told}; run that one, or begin anew with --overwrite.")


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
