"""The engine of ModelScope's UNet face fusion: its networks and weights, at any resolution.

`ModelScopeEngine.prepare` cuts an aligned crop out of each face, lets the networks make the
fused face of all pairs in a few batches, and answers fields: in the studio's composite, or
exactly as ModelScope's own class pastes the face. Nothing but crops ever reaches the device.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from common.progress import Progress
from common.settings import Settings
from fusion.engines.base import Capabilities, Pair, Sight
from fusion.engines.mesh import MeshEngine
from fusion.engines.unet.devices import (
    Attempt,
    Machine,
    Place,
    SingleCropError,
    choose_place,
    first_attempt,
    run_with_fallback,
    this_machine,
)
from fusion.engines.unet.faces import Maker, Networks, Recogniser
from fusion.engines.unet.holder import Holder
from fusion.engines.unet.rooms import Room, room_on
from fusion.engines.unet.weights import require_folder, unusable_packages
from fusion.field import FusionField
from fusion.request import COMPOSITES, MODES, Blend
from preprocess.face_models import model_directory

_STUDIO = Sight(target_px=1024, source_px=300, margin=1.0)
_ALL = 1_000_000
_OFFICIAL = Sight(target_px=_ALL, source_px=_ALL, margin=1.0)
"""Its crops are cut from the pictures' own pixels, however large the faces are."""

_MEMORY_MB = {"float32": 3600, "bfloat16": 3200, "float16": 3200}
"""The most that a process held that fused a face on a CPU; most of it while the files are read."""

Load = Callable[[Path, str, str, bool], Networks]


class ModelScopeEngine:
    """Loads the networks when they are first needed; serves all threads.

    Args:
        settings: Where the weights are, device, numbers and idle time.
        why: A sentence that says why it is used.
        machine: Tells what there is to compute with.
        load: Makes the networks of (folder, device, dtype, compiled).

    Raises:
        EngineUnavailableError: The device that the settings name is not there.
        ModelMissingError: Files of the model are missing.
    """

    def __init__(
        self,
        settings: Settings,
        why: str = "",
        machine: Callable[[], Machine] = this_machine,
        load: Load | None = None,
    ) -> None:
        wanted = settings.modelscope
        self._folder = require_folder(wanted)
        self._compiled = wanted.compile
        self._idle_s = wanted.idle_unload_s
        self._machine = machine
        self._load = load or _load
        found = machine()
        self._place = choose_place(wanted.device, wanted.dtype, found)
        self._room = room_on(self._place, found)
        self._holders: dict[tuple[str, str], Holder[Networks]] = {}
        self._lock = threading.Lock()
        self._recogniser = Recogniser(model_directory(settings.models.directory))
        self._capabilities = Capabilities(
            name="modelscope",
            device=self._place.device,
            modes=MODES,
            expressions=("target",),
            composites=COMPOSITES,
            all_views=True,
            memory_mb=_MEMORY_MB[self._place.dtype],
            why="; ".join(part for part in (why, self._place.why) if part),
        )

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    def sight(self, blend: Blend) -> Sight:
        """See `fusion.engines.base.Engine.sight`."""
        return _OFFICIAL if blend.network.composite == "official" else _STUDIO

    def prepare(
        self, pairs: Sequence[Pair], blend: Blend, progress: Progress
    ) -> tuple[FusionField, ...]:
        """See `fusion.engines.base.Engine.prepare`.

        Where memory runs out less is done at once, then with less detail, then on the CPU; each
        step down is a warning of the fields.
        """
        if blend.ratio == 0:  # nothing of the source shows; where the face is, the mesh knows
            return MeshEngine().prepare(pairs, blend, progress)
        room = self._room_now()
        maker = Maker(pairs, blend, self._recogniser, progress)
        boost = maker.wanted_boost(room)
        warnings: list[str] = []

        def work(attempt: Attempt) -> tuple[FusionField, ...]:
            if attempt.place != self._place:
                self._holder(self._place).close()  # what it holds is of no use any more
            with self._holder(attempt.place).networks(progress) as networks:
                return maker.fields(networks, attempt, room, tuple(warnings))

        batch = min(room.faces, maker.most_crops(room))
        attempt = first_attempt(self._place, batch, boost, self._machine())
        return run_with_fallback(attempt, work, warnings.append)

    def close(self) -> None:
        """Unload the networks; the next use loads them again."""
        with self._lock:
            holders = list(self._holders.values())
        for holder in holders:
            holder.close()

    def _room_now(self) -> Room:
        """What fits; while the networks are loaded it stays, for they fill what was free."""
        holder = self._holder(self._place)
        if not holder.loaded:
            self._room = room_on(self._place, self._machine())
        return self._room

    def _holder(self, place: Place) -> Holder[Networks]:
        key, room = (place.device, place.dtype), self._room
        with self._lock:
            if key not in self._holders:
                self._holders[key] = Holder(
                    lambda: self._loaded(*key),
                    self._idle_s,
                    room.jobs if place == self._place else 1,
                )
            return self._holders[key]

    def _loaded(self, device: str, dtype: str) -> Networks:
        try:
            return self._load(self._folder, device, dtype, self._compiled)
        except MemoryError as error:
            raise SingleCropError from error


def _load(folder: Path, device: str, dtype: str, compiled: bool) -> Networks:
    try:
        from fusion.engines.unet.nets.networks import Networks as Loaded
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        raise unusable_packages(error) from error
    return Loaded.load(folder, device, dtype, compiled)
