"""How much is done at once, by the free memory; how finely, by the face's size."""

import itertools

import pytest

from fusion.engines.unet.devices import Gpu, Machine, Place
from fusion.engines.unet.rooms import Room, choose_boost, choose_enhance, room_on
from fusion.request import BOOSTS

FREE_MB = (500, 2_500, 3_000, 4_500, 7_000, 11_000, 20_000, 24_000, 40_000, 80_000)
LARGE = Room(boost=4, enhance=True, faces=32, jobs=4)


def room(device: str, dtype: str, free: float) -> Room:
    other = Gpu("Other", 1000, 900)
    gpus = (other, Gpu("Big", free + 2000, 2000))
    return room_on(Place(device, dtype, ""), Machine(gpus, "", frozenset(), free))


@pytest.mark.parametrize(
    ("free", "expected"),
    [
        (2_999, Room(1, False, 1, 1)),
        (3_000, Room(2, True, 4, 1)),
        (4_500, Room(4, True, 8, 1)),
        (7_000, Room(4, True, 16, 1)),
        (11_000, Room(4, True, 32, 2)),
        (20_000, Room(4, True, 32, 2)),
        (40_000, Room(4, True, 64, 4)),
    ],
)
def test_a_gpu_s_free_memory_decides(free: float, expected: Room) -> None:
    assert room("cuda:1", "float16", free) == expected
    assert room("cuda:1", "bfloat16", free) == expected
    assert room("cuda:1", "float32", 2 * free) == expected


@pytest.mark.parametrize(
    ("free", "expected"),
    [
        (2_499, Room(1, False, 1, 1)),
        (2_500, Room(2, False, 2, 1)),
        (4_000, Room(2, True, 4, 1)),
        (8_000, Room(2, True, 16, 1)),
        (24_000, Room(2, True, 16, 2)),
    ],
)
def test_the_main_memory_decides_for_the_cpu(free: float, expected: Room) -> None:
    assert room("cpu", "bfloat16", free) == expected
    assert room("cpu", "float32", 2 * free) == expected


@pytest.mark.parametrize("device", ["cpu", "cuda:1"])
def test_more_memory_never_means_less(device: str) -> None:
    rooms = [room(device, "float16", free) for free in FREE_MB]
    for less, more in itertools.pairwise(rooms):
        for name in ("boost", "enhance", "faces", "jobs"):
            assert getattr(less, name) <= getattr(more, name)
    assert {found.boost for found in rooms} <= set(BOOSTS)


@pytest.mark.parametrize(
    ("face_px", "boost"), [(20, 1), (180, 1), (181, 2), (360, 2), (361, 4), (3000, 4)]
)
def test_the_boost_goes_by_the_face_s_size(face_px: float, boost: int) -> None:
    chosen = choose_boost(face_px, None, LARGE)
    assert chosen.n == boost
    assert f"{face_px:.0f} px" in chosen.why


def test_the_memory_limits_the_boost_and_the_reason_says_so() -> None:
    chosen = choose_boost(1000, None, Room(2, True, 4, 1))
    assert chosen.n == 2
    assert chosen.why == (
        "detail boost 2 instead of 4, which is too much for this device unless it is asked for"
    )
    assert choose_boost(200, None, Room(2, True, 4, 1)).n == 2


@pytest.mark.parametrize("wanted", BOOSTS)
def test_a_boost_that_is_asked_for_is_kept(wanted: int) -> None:
    for face_px in (100, 1000):
        chosen = choose_boost(face_px, wanted, Room(1, False, 1, 1))
        assert chosen.n == wanted
        assert "as asked for" in chosen.why


@pytest.mark.parametrize(("face_px", "strength"), [(100, 0), (220, 0), (221, 0.7), (2000, 0.7)])
def test_gpen_is_for_faces_that_it_helps(face_px: float, strength: float) -> None:
    chosen = choose_enhance(face_px, None, LARGE)
    assert chosen.strength == strength
    assert f"{face_px:.0f} px" in chosen.why


def test_without_memory_there_is_no_gpen_and_the_reason_says_so() -> None:
    chosen = choose_enhance(2000, None, Room(1, False, 1, 1))
    assert chosen.strength == 0
    assert "memory" in chosen.why


@pytest.mark.parametrize("wanted", [0.0, 0.4, 1.0])
def test_a_strength_that_is_asked_for_is_kept(wanted: float) -> None:
    chosen = choose_enhance(100, wanted, Room(1, False, 1, 1))
    assert chosen.strength == wanted
    assert chosen.why == f"GPEN at {wanted:g} as asked for"
