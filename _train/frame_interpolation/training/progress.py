"""Training progress: a bar on a terminal; otherwise lines of step, figures, seconds per step and time left."""

import sys
import time

from tqdm import tqdm


class Progress:
    """A progress bar on a terminal, otherwise one line per row of figures."""

    def __init__(self, step: int, steps: int, shown: bool):
        self._lines = shown and not sys.stderr.isatty()
        self._bar = tqdm(total=steps, initial=step, unit="step", disable=not shown or self._lines)
        self._step, self._first, self._started = step, step, time.monotonic()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_) -> None:
        self._bar.close()

    def update(self, row: dict[str, float]) -> None:
        """Advance by one step; `row` holds the figures written at this step, if any."""
        self._step += 1
        self._bar.update()
        shown = {name: row[name] for name in ("loss", "validation_lpips") if name in row}
        if shown:
            self._bar.set_postfix(shown)
        if shown and self._lines:
            each = (time.monotonic() - self._started) / (self._step - self._first)
            left = tqdm.format_interval(each * (self._bar.total - self._step))
            message = "  ".join(f"{name} {value:.5f}" for name, value in shown.items())
            print(
                f"step {self._step}/{self._bar.total}  {message}  {each:.2f} s/step  {left} left",
                file=sys.stderr,
                flush=True,
            )
