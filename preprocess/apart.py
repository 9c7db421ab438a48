"""Reading that can be given up: libraries that decode do not stop when they are asked to."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, TypeVar

from common.progress import Progress

if TYPE_CHECKING:
    import pyvips

_POLL_S = 0.05
T = TypeVar("T")
Watch = Callable[["pyvips.Image"], "pyvips.Image"]
"""Given a picture, it answers the same one, whose computing can be stopped."""


def read_apart(work: Callable[[Watch], T], progress: Progress | None) -> T:
    """Run ``work``, which only reads, in a thread of its own; check from this one meanwhile.

    Whoever cancels is not kept waiting: a picture that is being computed is told to stop, but a
    decoder that skips rows, or one that takes a file whole, notices seconds later, and its answer
    then goes to nobody.

    Args:
        work: Is given `Watch`; what it computes without that is not stopped.
        progress: None runs the work here.

    Raises:
        StoppedError: The work was cancelled or ran out of time.
    """
    if progress is None:
        return work(lambda image: image)
    progress.check()
    watched: list[pyvips.Image] = []

    def watch(image: pyvips.Image) -> pyvips.Image:
        image = image.copy()
        image.set_progress(True)  # without that it takes no notice
        watched.append(image)
        return image

    pool = ThreadPoolExecutor(1)
    try:
        future = pool.submit(work, watch)
        while not wait([future], _POLL_S).done:
            progress.check()
    except BaseException:  # Ctrl-C too
        for image in watched:
            image.set_kill(True)
        raise
    finally:
        pool.shutdown(wait=False)
    return future.result()
