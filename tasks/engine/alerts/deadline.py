"""Work that must end in time, whatever it waits for."""

from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread

from django.db import connections


def within[R](seconds: float, do: Callable[[], R]) -> R:
    """Call `do` in a thread of its own, with its own database connection; return its value.

    Nothing else ends the wait for a frozen server: no exception reaches a thread in there. One that
    is late is left to end by itself, and does not keep the process.

    Raises:
        TimeoutError: it has not returned in time.
    """
    outcome: Future[R] = Future()

    def run() -> None:
        try:
            try:
                result = do()
            finally:
                connections.close_all()
        except BaseException as error:  # noqa: BLE001  (the caller gets it)
            outcome.set_exception(error)
        else:
            outcome.set_result(result)

    Thread(target=run, name="within", daemon=True).start()
    return outcome.result(seconds)
