"""The thread that draws in-betweens, those in view first, and exports.

The next in-between is determined after each one, so edits take effect at once. The motion of the gaps that were drawn
last is kept in memory.
"""

import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any

from _train.frame_interpolation.ends import Ends
from _train.frame_interpolation.studio import exports
from _train.frame_interpolation.studio.session import ChangedError, Session
from _train.frame_interpolation.studio.sheet import InBetween, SheetRow
from _util import formats
from _util.errors import InputError
from _util.runs import digest_of

_MOST_PREPARED = 2  # gaps whose motion is kept
_PAUSE = 1.0  # seconds after an unexpected error


class Worker(threading.Thread):
    """Draws what a session wants until it is stopped.

    Args:
        out: folder of exports.
        options: of `Interpolator`.
    """

    def __init__(self, session: Session, out: Path, **options: Any):
        super().__init__(name="drawing", daemon=True)
        self._session, self._out, self._options = session, out, options
        self._interpolator: Any = None
        self._prepared: OrderedDict[Any, Any] = OrderedDict()
        self._export: exports.Export | None = None
        self._stopped = False

    def stop(self) -> None:
        """Stop after the current drawing."""
        with self._session.changed:
            self._stopped = True
            self.cancel()
            self._session.changed.notify_all()

    def export(self, format: str) -> None:
        """Draw missing in-betweens, then write all drawings to a file or folder.

        Raises:
            InputError: there is no such format, an export is running, or there is nothing to write.
        """
        with self._session.changed:
            if self.ident and not self.is_alive():
                raise InputError("Nothing can be drawn, for the reason shown above, so nothing can be exported.")
            if self._export:
                raise InputError("An export is running already; wait for it, or cancel it.")
            self._session.check_disk()
            self._export = exports.Export(format, self._session, self._out)
            self._export.drew()
            self._session.changed.notify_all()

    def cancel(self) -> None:
        """Cancel the current export, if any."""
        with self._session.changed:
            if self._export:
                self._export.is_cancelled = True
                self._session.changed.notify_all()

    def run(self) -> None:
        try:
            from _train.frame_interpolation.interpolator import Interpolator  # slow, and the page is served already

            self._interpolator = Interpolator(**self._options)
            self._session.begin_drawing(self._interpolator.method, digest_of(self._interpolator.settings()))
        except Exception as error:
            self._session.cannot_draw(_sentence(error))
            return
        while not self._stopped:
            try:
                self._work()
            except Exception as error:  # the next attempt may succeed
                self._session.report(error)
                with self._session.changed:
                    self._session.changed.wait(_PAUSE)

    def _work(self) -> None:
        """Wait until there is something to draw or export, and advance it by one drawing."""
        with self._session.changed:
            while not (self._stopped or self._export or self._session.wanted()):
                self._session.changed.wait()
            if self._stopped:
                return
            export, wanted = self._export, self._session.wanted()
        if export:
            self._advance(export)
        elif wanted:
            self._draw(*wanted)

    def _draw(self, row: SheetRow, one: InBetween) -> None:
        self._session.began(one)
        problem = ""
        try:
            self._session.cache.keep(one.id, self._drawn(row, one))
        except ChangedError:
            self._session.check_disk()
        except Exception as error:  # an error of this gap; others can still be drawn
            problem = _sentence(error)
        self._session.finished(one, problem)

    def _drawn(self, row: SheetRow, one: InBetween) -> formats.Picture:
        ends, pair = self._pair(row)
        (waiting,) = self._interpolator.draw(pair, [float(one.tick)])
        return ends.picture(waiting())

    def _pair(self, row: SheetRow) -> Any:
        """Both keys of a gap, and the motion between them."""
        assert row.next is not None
        gap = row.key.digest, row.next.digest, row.hints
        if gap in self._prepared:
            self._prepared.move_to_end(gap)
            return self._prepared[gap]
        while len(self._prepared) >= _MOST_PREPARED:
            self._prepared.popitem(last=False)
        pictures = self._session.read_key(row.key), self._session.read_key(row.next)
        ends = Ends((row.key.path, row.next.path), pictures)
        self._prepared[gap] = ends, self._interpolator.prepare(*ends.frames(), row.hints)
        return self._prepared[gap]

    def _advance(self, export: exports.Export) -> None:
        """Draw one missing in-between of an export, or write the export if none is missing."""
        missing = next(
            ((row, one) for row in export.rows for one in row.drawings if one.id not in self._session.cache), None
        )
        try:
            export.check()
            if missing:
                self._draw_for_export(export, *missing)
                return
            export.write()
        except exports.CancelledError:
            export.end("cancelled")
        except Exception as error:
            export.end("failed", _sentence(error))
        with self._session.changed:
            self._export = None
            export.show()

    def _draw_for_export(self, export: exports.Export, row: SheetRow, one: InBetween) -> None:
        if row.problem:
            raise InputError(row.problem)
        self._session.began(one)
        try:
            self._session.cache.keep(one.id, self._drawn(row, one))
        finally:
            self._session.finished(one)
        export.drew()


def _sentence(error: Exception) -> str:
    if isinstance(error, InputError):
        return str(error)
    if isinstance(error, MemoryError) or "out of memory" in str(error).lower():
        return "There is not enough memory to draw this; close other programs, or make the keys smaller."
    return f"This cannot be drawn ({type(error).__name__}: {' '.join(str(error).split())[:200]})."
