"""The time left of a video is known before its first frame, and settles within a few."""

import io
import threading

import numpy as np
import pytest

from _train.frame_interpolation.video import progress
from _train.frame_interpolation.video.progress import FrameBar, expected_seconds


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass only where a test says so, as a list of one."""
    seconds = [100.0]
    monkeypatch.setattr(progress.time, "perf_counter", lambda: seconds[0])
    return seconds


class Machine:
    """Takes 3 ms, and 2 µs a pixel, to prepare a pair, and half of that for a frame; the first pair takes 5 s more."""

    def __init__(self, clock: list[float]):
        self.clock, self.loading, self.pixels = clock, 5.0, 0

    def prepare(self, frame0: np.ndarray, frame1: np.ndarray) -> int:
        assert frame0.shape == frame1.shape
        assert not np.array_equal(frame0, frame1)  # between equal frames, none is drawn
        self.clock[0] += 3e-3 + 2e-6 * frame0[:, :, 0].size + self.loading
        self.loading = 0.0
        return frame0[:, :, 0].size

    def draw(self, pair: int, times: list[float]):
        for _ in times:
            self.pixels += pair
            self.clock[0] += 1.5e-3 + 1e-6 * pair
            yield lambda: None


@pytest.mark.parametrize("between", [1, 4])
@pytest.mark.parametrize("size", [(1080, 1920), (90, 70), (20, 20)])
def test_a_frame_is_expected_to_take_what_its_size_costs(clock, size, between):
    machine = Machine(clock)
    h, w = size
    pair = 3e-3 + 2e-6 * h * w + between * (1.5e-3 + 1e-6 * h * w)
    assert expected_seconds(machine, size, between) == pytest.approx(pair / (between + 1))
    assert machine.pixels < max(0.8 * h * w, 8000)  # it costs less than a frame of that size, unless it is tiny


def test_a_delay_of_one_measurement_is_not_extrapolated_beyond_the_area(clock):
    class Delayed(Machine):
        def prepare(self, frame0, frame1):
            if frame0.shape[0] == 45:  # the larger of the small frames
                self.clock[0] += 1
            return super().prepare(frame0, frame1)

    assert expected_seconds(Delayed(clock), (90, 70), 1) < 4 * 1.1 / 2


def left(bar: FrameBar) -> str:
    return str(bar).partition("<")[2].partition(",")[0]


def test_time_left_is_shown_before_the_first_frame_and_settles_within_a_few(clock):
    with FrameBar(0.5, total=240, file=io.StringIO()) as bar:
        assert left(bar) == "02:00"
        for _ in range(12):  # which take three times as long
            clock[0] += 1.5
            bar.update()
        assert bar.format_dict["rate"] == pytest.approx(1 / 1.5, rel=0.25)
        for _ in range(100):  # one that is late does not count for more
            clock[0] += 1.5
            bar.update()
        before = bar.format_dict["rate"]
        clock[0] += 15
        bar.update()
        assert bar.format_dict["rate"] == pytest.approx(before, rel=0.1)


def test_where_nothing_is_expected_what_is_done_counts(clock):
    with FrameBar(total=100, initial=10, file=io.StringIO()) as bar:
        assert left(bar) == "?"
        clock[0] += 8
        bar.update(4)
        assert left(bar) == "02:52"


class Pipe(io.StringIO):
    """A stream whose reader may end."""

    is_open = True

    def write(self, text: str) -> int:
        if not self.is_open:
            raise BrokenPipeError
        return super().write(text)


def test_a_bar_that_cannot_be_written_holds_up_no_other_thread(monkeypatch):
    monkeypatch.setattr(FrameBar, "_lock", threading.RLock(), raising=False)
    pipe = Pipe()
    bar = FrameBar(total=10, file=pipe, mininterval=0)
    pipe.is_open = False

    def update() -> None:
        with pytest.raises(BrokenPipeError):
            bar.update()

    thread = threading.Thread(target=update)
    thread.start()
    thread.join()
    is_free = FrameBar.get_lock().acquire(timeout=1)
    assert is_free
    with pytest.raises(BrokenPipeError):
        bar.close()
    FrameBar.get_lock().release()
