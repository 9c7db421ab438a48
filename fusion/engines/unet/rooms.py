"""How much is done at once, and how finely, by the memory that is free and the face's size.

The tables are for networks in 16-bit numbers; in float32 the same memory does for half. Measured
on one H100 in float16 (docs/modelscope.md): the networks 1.1 GB, CUDA 0.7 GB, GPEN 0.8 GB, and
besides 0.1 GB for one crop of 256 px at once, 2.8 GB for 16, 5.1 GB for 64; cuDNN does with less
where there is less. Every row was enough for what it allows.
"""

from __future__ import annotations

from dataclasses import dataclass

from fusion.engines.unet.devices import Machine, Place

NATIVE_PX = 180.0
"""Height of the face's oval in the crop of 256 px that the network is trained on."""
ENHANCE_FROM_PX = 220.0
"""Height of the oval in the output above which GPEN has something to add."""
ENHANCE = 0.7
"""Its strength where nobody has chosen one: 1 replaces the skin's own texture."""


@dataclass(frozen=True, slots=True)
class Room:
    """What fits a device's memory.

    boost: the largest detail boost. enhance: whether there is room for GPEN. faces: crops that
    the other networks take at once. jobs: fusions that may use them at the same time.
    """

    boost: int
    enhance: bool
    faces: int
    jobs: int


@dataclass(frozen=True, slots=True)
class Boost:
    """The detail boost chosen, and why."""

    n: int
    why: str


@dataclass(frozen=True, slots=True)
class Enhance:
    """GPEN's strength chosen, 0-1, and why."""

    strength: float
    why: str


_LEAST = Room(boost=1, enhance=False, faces=1, jobs=1)
ROOMS_ON_GPU: tuple[tuple[int, Room], ...] = (
    (40_000, Room(boost=4, enhance=True, faces=64, jobs=4)),
    (20_000, Room(boost=4, enhance=True, faces=32, jobs=2)),
    (11_000, Room(boost=4, enhance=True, faces=32, jobs=2)),
    (7_000, Room(boost=4, enhance=True, faces=16, jobs=1)),
    (4_500, Room(boost=4, enhance=True, faces=8, jobs=1)),
    (3_000, Room(boost=2, enhance=True, faces=4, jobs=1)),
)
_ON_CPU: tuple[tuple[int, Room], ...] = (
    (24_000, Room(boost=2, enhance=True, faces=16, jobs=2)),
    (8_000, Room(boost=2, enhance=True, faces=16, jobs=1)),
    (4_000, Room(boost=2, enhance=True, faces=4, jobs=1)),
    (2_500, Room(boost=2, enhance=False, faces=2, jobs=1)),
)
"""Rows of free MiB and what fits; below the last one `_LEAST` is tried.

For boost 4, which is sixteen runs of the network, a CPU lacks time rather than memory.
"""


def room_on(place: Place, machine: Machine) -> Room:
    """What fits the memory that is free on ``place``."""
    if place.device == "cpu":
        table, free = _ON_CPU, machine.free_mb
    else:
        table, free = ROOMS_ON_GPU, machine.gpus[int(place.device.partition(":")[2])].free_mb
    if place.dtype == "float32":
        free /= 2
    return next((room for needed, room in table if free >= needed), _LEAST)


def choose_boost(face_px: float, wanted: int | None, room: Room) -> Boost:
    """How many times finer than the network's own 256 px the face is computed.

    Args:
        face_px: Height of the face's oval in the output, px.
        wanted: 1, 2 or 4, which is taken as it is; None chooses by the size and ``room``.
    """
    if wanted is not None:
        return Boost(wanted, f"detail boost {wanted} as asked for")
    needed = 1 if face_px <= NATIVE_PX else 2 if face_px <= 2 * NATIVE_PX else 4
    size = f"for the face is {face_px:.0f} px high in the result and {NATIVE_PX:.0f} in the network"
    if needed > room.boost:
        return Boost(
            room.boost,
            f"detail boost {room.boost} instead of {needed}, which is too much for this device "
            "unless it is asked for",
        )
    return Boost(needed, f"detail boost {needed}, {size}")


def choose_enhance(face_px: float, wanted: float | None, room: Room) -> Enhance:
    """How much of GPEN's restoration is shown; it computes faces at 1024 px.

    Args:
        face_px: Height of the face's oval in the output, px.
        wanted: 0-1, which is taken as it is; None chooses by the size and ``room``.
    """
    if wanted is not None:
        return Enhance(wanted, f"GPEN at {wanted:g} as asked for")
    if face_px <= ENHANCE_FROM_PX:
        return Enhance(
            0.0,
            f"no GPEN, for the face is {face_px:.0f} px high in the result, and up to "
            f"{ENHANCE_FROM_PX:.0f} px it adds nothing",
        )
    if not room.enhance:
        return Enhance(0.0, "no GPEN, for the free memory is not enough for it")
    return Enhance(ENHANCE, f"GPEN at {ENHANCE:g}, for the face is {face_px:.0f} px high")
