"""Silence ends where it should, with any number of threads within."""

import os
import threading

from _util.quiet import unsuppressed, without_messages


def test_what_is_written_goes_nowhere_until_the_last_thread_has_left(capfd):
    both, go_on = threading.Barrier(2), threading.Event()

    def work():
        with without_messages():
            both.wait()
            os.write(2, b"inside ")
            go_on.wait()

    thread = threading.Thread(target=work)
    with without_messages():
        thread.start()
        both.wait()
        os.write(1, b"inside ")
    os.write(2, b"still one inside ")
    go_on.set()
    thread.join()
    os.write(1, b"outside")
    os.write(2, b"outside")
    assert capfd.readouterr() == ("outside", "outside")


def test_an_error_ends_it(capfd):
    for _ in range(3):
        try:
            with without_messages():
                raise KeyError
        except KeyError:
            os.write(2, b".")
    assert capfd.readouterr().err == "..."


def test_outputs_are_themselves_for_a_while(capfd):
    with without_messages():
        with unsuppressed():
            os.write(1, b"in between")
            os.write(2, b"in between")
        os.write(1, b"inside")
        os.write(2, b"inside")
    with unsuppressed():
        os.write(1, b", outside")
    assert capfd.readouterr() == ("in between, outside", "in between")
