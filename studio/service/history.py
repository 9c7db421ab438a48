"""What each visitor has made during this run of the server, newest first.

Only the list is kept here; the files are the storage's, and an entry whose file is gone is gone.
"""

from __future__ import annotations

import io
import logging
import secrets
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.errors import OptionError, StudioError
from common.types import Size
from studio.service.storage import Storage, storage_errors
from studio.service.wish import Fused, Wish

LOG = logging.getLogger(__name__)
THUMBNAIL_NAME = "thumbnail.jpg"
THUMBNAIL_PX = 320
THUMBNAIL_QUALITY = 80
MOST_ENTRIES = 100
"""Results that are listed for one visitor; the oldest leaves the list, not the disk."""
MOST_VISITORS = 1000
"""The one who has made nothing for the longest time is forgotten first."""


@dataclass(frozen=True, slots=True)
class Made:
    """What came out, and how.

    size: pixels. bytes: of the file. seconds: in all.
    """

    size: Size
    bytes: int
    engine: str
    device: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Entry:
    """One result.

    when: seconds since 1970. target, sources: names of the pictures. controls: those of
    `Controls`, by name. path: the file. thumbnail: a small JPEG; None where none could be made.
    expires: seconds since 1970 after which the file is deleted.
    """

    id: str
    when: float
    target: str
    sources: tuple[str, ...]
    controls: dict[str, Any]
    path: Path
    thumbnail: Path | None
    expires: float
    made: Made


class History:
    """The results of all visitors; thread-safe.

    Args:
        storage: Where the results lie.
        keep_hours: How long it keeps them.
    """

    def __init__(self, storage: Storage, keep_hours: float) -> None:
        self._storage = storage
        self._keep_s = keep_hours * 3600
        self._lock = threading.Lock()
        self._entries: dict[str, list[Entry]] = {}  # of each visitor, oldest first

    def add(self, visitor: str, wish: Wish, fused: Fused) -> Entry:
        """List a finished fusion. A thumbnail that cannot be made is not a failure."""
        result = fused.result
        path = result.request.output.path
        thumbnail = None if fused.preview is None else _make_thumbnail(fused.preview)
        made = Made(
            size=result.size,
            bytes=path.stat().st_size,
            engine=result.engine,
            device=result.device,
            seconds=result.seconds["total"],
        )
        with self._lock:
            now = time.time()  # in here, so that later ones are newer
            entry = Entry(
                id=secrets.token_urlsafe(9),
                when=now,
                target=wish.target.name,
                sources=tuple(source.name for source in wish.sources),
                controls=wish.controls.model_dump(),
                path=path,
                thumbnail=thumbnail,
                expires=now + self._keep_s,
                made=made,
            )
            known = self._entries.pop(visitor, [])
            self._entries[visitor] = [*known, entry][-MOST_ENTRIES:]  # last among the visitors
            while len(self._entries) > MOST_VISITORS:
                del self._entries[next(iter(self._entries))]
        return entry

    def entries(self, visitor: str) -> tuple[Entry, ...]:
        """The visitor's results that still exist, newest first."""
        with self._lock:
            present = [entry for entry in self._entries.get(visitor, []) if entry.path.is_file()]
            if present:
                self._entries[visitor] = present
            else:
                self._entries.pop(visitor, None)
        return tuple(reversed(present))

    def delete(self, visitor: str, name: str) -> None:
        """Delete a result: its file, its preview and its thumbnail.

        Args:
            name: The entry's id.

        Raises:
            OptionError: The visitor has no such result.
        """
        with self._lock:
            known = self._entries.get(visitor, [])
            found = next((entry for entry in known if entry.id == name), None)
            if found is None:
                raise OptionError("this result is not in the history any more")
            known.remove(found)
        self._storage.discard(found.path)


def _make_thumbnail(preview: Path) -> Path | None:
    """A picture of `THUMBNAIL_PX` beside the preview; None if there is no room for it."""
    from PIL import Image

    path = preview.with_name(THUMBNAIL_NAME)
    encoded = io.BytesIO()
    try:
        with storage_errors(), Image.open(preview) as picture:
            picture.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX))
            picture.save(encoded, "JPEG", quality=THUMBNAIL_QUALITY)
            path.write_bytes(encoded.getvalue())
    except StudioError as error:  # the result itself is complete
        LOG.warning("no thumbnail of a result: %s", error)
        path.unlink(missing_ok=True)
        return None
    return path
