"""Calls of the History tab: what the visitor has made, and deleting it."""

from __future__ import annotations

import time
from typing import Any

from studio.page.calls import Asked, Data, read
from studio.page.views import device_name, file_link
from studio.page.visits import Visit, Visits
from studio.service.controls import Controls
from studio.service.fusion_service import FusionService
from studio.service.history import Entry


class DeleteAsked(Asked):
    id: str


class HistoryCalls:
    """See the module.

    Args:
        service: Keeps the history, which all pages of a visitor share.
    """

    names = ("history_list", "history_delete")

    def __init__(self, service: FusionService, _: Visits) -> None:
        self._history = service.history
        self._defaults = Controls.defaults(service.settings).model_dump()

    def history_list(self, visit: Visit, data: Data) -> Data:
        """The results, newest first."""
        read(Asked, data)
        now = time.time()
        entries = self._history.entries(visit.visitor)
        return {"entries": [entry_view(entry, self._defaults, now) for entry in entries]}

    def history_delete(self, visit: Visit, data: Data) -> Data:
        """Delete one; answers those that are left."""
        self._history.delete(visit.visitor, read(DeleteAsked, data).id)
        return self.history_list(visit, {})


def entry_view(entry: Entry, defaults: dict[str, Any], now: float) -> Data:
    """A result as its card shows it.

    Times count from now, in seconds: the browser's clock may differ. changed: names of the controls
    that were not as ``defaults`` say.
    """
    made = entry.made
    return {
        "id": entry.id,
        "ago": round(now - entry.when),
        "left": round(max(0.0, entry.expires - now)),
        "target": entry.target,
        "sources": list(entry.sources),
        "file": {
            "name": entry.path.name,
            "url": file_link(entry.path),
            "bytes": made.bytes,
        },
        "thumbnail": None if entry.thumbnail is None else file_link(entry.thumbnail),
        "size": [made.size.width, made.size.height],
        "engine": made.engine,
        "device": device_name(made.device),
        "seconds": round(made.seconds, 2),
        "controls": entry.controls,
        "changed": [name for name, value in entry.controls.items() if value != defaults[name]],
    }
