"""Whether work ends the threads that it starts."""

import _thread
import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def threads_end(within_s: float = 5.0) -> Iterator[None]:
    """Fails if more threads run after the block than before it.

    ``threading.active_count`` does not know the threads of ``media.threads.start_thread``. A thread is counted until it
    is gone, a moment after it has said that it ends.
    """
    before, failure = _thread._count(), None
    try:
        yield
    except BaseException as error:
        failure = error
    deadline = time.monotonic() + within_s
    while (left := _thread._count() - before) > 0 and time.monotonic() < deadline:
        time.sleep(0.01)
    if failure is not None:
        raise failure
    assert left <= 0, f"{left} threads run on"
