"""What lies in front of a face stays there, what lies over the source's is left behind."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from common.progress import Progress
from common.types import FloatArray
from fusion.compositing import warp
from fusion.compositing.grid import FaceGrid
from fusion.compositing.occlusion import (
    EPSILON,
    RADIUS,
    coefficients,
    in_front,
    refined,
)
from fusion.engines import base
from fusion.pipeline import Pipeline
from fusion.request import Detection
from fusion.views import target_view
from preprocess import face_topology as topology
from tests.fusion.pictures import Fusion
from tests.fusion.sight import Sight, strand

BLACK, GOLD, SILVER, BLUE = (20, 20, 22), (200, 170, 110), (190, 190, 195), (40, 60, 140)


@pytest.fixture(scope="module")
def sight(fusion: Fusion) -> Sight:
    return Sight.of(fusion.pixels, fusion.target.face.landmarks)


def test_nothing_lies_in_front_of_a_plain_face(sight: Sight) -> None:
    front = sight.front()
    assert not front.glasses
    assert front.matte.dtype == np.float32
    assert float(front.matte.min()) >= 0
    assert float(front.matte.max()) <= 1
    assert not front.matte[sight.middle()].any()


def test_what_surrounds_the_face_is_in_front(sight: Sight) -> None:
    outwards = (sight.point(54) - sight.point(284)) / 2
    hair = sight.point(54) + 0.25 * outwards
    assert float(sight.at(sight.front().matte, hair)) > 0.9


@pytest.mark.parametrize("colour", [(25, 18, 15), (60, 120, 70), (205, 205, 200)])
def test_a_strand_over_the_forehead_stays(sight: Sight, colour: tuple[int, int, int]) -> None:
    up = sight.point(topology.FOREHEAD) - sight.point(topology.CHIN)
    start = sight.point(104) * 0.5 + sight.point(103) * 0.5
    end = sight.point(9) * 0.5 + sight.point(104) * 0.5
    haired = sight.line([start + 0.2 * up, start, end], colour, 0.03 * sight.width)
    along = np.linspace(start, end, 12)[1:-1]
    assert float(sight.at(haired.front().matte, along).min()) > 0.75
    below = along - 0.06 * up
    assert float(sight.at(haired.front().matte, below)[4:].max()) < 0.05
    assert float(sight.at(sight.front().matte, along)[4:].max()) < 0.05


def test_a_lock_goes_on_over_the_end_of_a_brow(sight: Sight) -> None:
    way = strand(sight)
    matte = sight.line(way, (40, 28, 20), 0.06 * sight.width).front().matte
    steps = np.concatenate([np.linspace(a, b, 12) for a, b in pairwise(way[1:])])
    assert float((sight.at(matte, steps) > 0.5).mean()) > 0.85


def test_a_hat_and_a_coloured_scarf_stay(sight: Sight) -> None:
    up = sight.point(topology.FOREHEAD) - sight.point(topology.CHIN)
    side = np.array([-up[1], up[0]])
    brim = sight.point(topology.FOREHEAD) - 0.08 * up
    hat = [brim + side, brim - side, brim - side + up, brim + side + up]
    matte = sight.area(hat, (40, 60, 120)).front().matte
    assert float(sight.at(matte, brim + 0.06 * up)) > 0.9
    edge = sight.point(topology.CHIN) + 0.12 * up
    scarf = [edge + side, edge - side, edge - side - up, edge + side - up]
    matte = sight.area(scarf, (180, 30, 40)).front().matte
    assert float(sight.at(matte, edge - 0.06 * up)) > 0.9


def test_a_beard_belongs_to_the_face(sight: Sight) -> None:
    oval = sight.landmarks[topology.FACE_OVAL, :2]
    lower = oval[oval[:, 1] > sight.point(topology.MOUTH_CORNERS[0])[1]]
    beard = np.concatenate([lower, sight.landmarks[[205, 2, 425], :2]])
    bearded = sight.area(cv2.convexHull(beard.astype(np.float32))[:, 0], (45, 35, 30), 14.0)
    for matte in (bearded.front().matte, bearded.over().matte):
        assert float((matte[sight.middle()] > 0.01).mean()) < 0.005  # hair at one temple
        assert not sight.at(matte, sight.landmarks[[205, 425, 18, 2], :2]).any()


@pytest.mark.parametrize("thickness", [0.03, 0.06])
@pytest.mark.parametrize("colour", [BLACK, GOLD, SILVER, BLUE, (90, 50, 30), (180, 30, 30)])
def test_spectacles_are_found_whole(
    sight: Sight, colour: tuple[int, int, int], thickness: float
) -> None:
    worn = sight.spectacles(colour, thickness)
    kept = worn.front()
    assert kept.glasses
    turn = np.radians(np.linspace(15, 165, 30))
    rims = [
        sight.eye(left=left)
        + sight.apart * np.stack([0.4 * np.cos(turn), 0.33 * np.sin(turn)], axis=1)
        for left in (False, True)
    ]
    bridge = [(sight.eye(left=False) + sight.eye(left=True)) / 2]
    frame = sight.at(kept.matte, np.concatenate([*rims, bridge]))
    assert float((frame > 0.9).mean()) > 0.95
    lenses = np.stack([sight.eye(left=left) for left in (False, True)])
    assert not sight.at(kept.matte, lenses).any()


def test_spectacles_that_are_not_kept_count_as_face(sight: Sight) -> None:
    worn = sight.spectacles(BLACK, 0.05).front(keep_glasses=False)
    assert worn.glasses
    assert not worn.matte[sight.middle()].any()


def test_the_sources_spectacles_are_left_behind(sight: Sight) -> None:
    over = sight.spectacles(BLACK, 0.05).over()
    assert over.glasses
    rim = sight.eye(left=True) + np.array([0, 0.33 * sight.apart])
    assert float(sight.at(over.matte, rim)) > 0.95
    assert float(sight.at(over.matte, rim + np.array([0, 0.04 * sight.apart]))) > 0.5


def test_the_sources_hair_is_left_behind_with_its_fringe(sight: Sight) -> None:
    way = strand(sight)
    thickness = 0.06 * sight.width
    over = sight.line(way, (40, 28, 20), thickness).over()
    middle = (way[1] + way[2]) / 2
    fringe = middle + np.array([0.5 * thickness + 0.005 * sight.width, 0])
    assert float(sight.at(over.matte, middle)) > 0.9
    assert float(sight.at(over.matte, fringe)) > 0.5


def test_a_plain_source_is_carried_whole(sight: Sight) -> None:
    over = sight.over()
    assert not over.glasses
    cheeks = sight.landmarks[[50, 280, 205, 425, topology.NOSE_TIP, 199], :2]
    assert not sight.at(over.matte, cheeks).any()
    assert float((over.matte[sight.middle()] > 0.01).mean()) < 0.005  # hair at one temple


def test_black_and_white_faces_are_told_by_their_tone(sight: Sight) -> None:
    grey = np.repeat(sight.pixels.mean(axis=2, keepdims=True), 3, axis=2).astype(np.uint8)
    plain = replace(sight, pixels=grey)
    assert float(plain.front().matte[sight.middle()].max()) < 0.05
    assert plain.spectacles(BLACK, 0.05).front().glasses


def test_the_mattes_do_not_depend_on_the_place_in_memory(sight: Sight) -> None:
    worn = sight.spectacles(GOLD, 0.05)
    kept, seen = [], set()
    for index in range(20):
        front = worn.front().matte
        maps = coefficients(front, worn.values(), RADIUS, EPSILON)
        seen.add((front.tobytes(), maps.tobytes(), worn.over().matte.tobytes()))
        kept.append(bytearray(16 * (index * 37 % 301)))  # shifts what is allocated next
    assert len(seen) == 1


def enlarged(maps: FloatArray, size: tuple[int, int]) -> FloatArray:
    return np.stack([cv2.resize(plane, size, interpolation=cv2.INTER_LINEAR) for plane in maps])


@pytest.fixture(scope="module")
def hairs() -> tuple[FloatArray, NDArray[np.bool_]]:
    """Skin with a grain of 2 % under dark strands 3 px wide, and where the strands are."""
    rng = np.random.default_rng(3)
    picture = np.array([0.8, 0.6, 0.5]) + rng.normal(0, 0.02, (480, 480, 3))
    strands = np.zeros((480, 480), np.uint8)
    for start in (100, 125, 160):
        cv2.line(strands, (start, 0), (start + 40, 479), 1, 3)
    picture = np.where(strands[..., None] > 0, np.array([0.2, 0.14, 0.1]), picture)
    return picture.clip(0, 1).astype(np.float32), strands > 0


def test_thin_strands_are_cut_out_at_the_pictures_resolution(
    hairs: tuple[FloatArray, NDArray[np.bool_]],
) -> None:
    picture, strands = hairs
    nodes = (80, 80)  # six pixels apart: a strand covers half of a node
    guide = np.asarray(cv2.resize(picture, nodes, interpolation=cv2.INTER_AREA), np.float32)
    matte = cv2.resize(strands.astype(np.float32), nodes, interpolation=cv2.INTER_AREA)
    coarse = np.asarray(matte > 0.2, np.float32)
    maps = coefficients(coarse, guide, RADIUS, EPSILON)
    fine = refined(enlarged(maps, (480, 480)), picture)
    assert float(fine[strands].mean()) > 0.9
    beside = cv2.dilate(strands.astype(np.uint8), np.ones((3, 3))) > 0
    near = (cv2.dilate(strands.astype(np.uint8), np.ones((25, 25))) > 0) & ~beside
    assert float(fine[near].mean()) < 0.12
    rough = cv2.resize(coarse, (480, 480), interpolation=cv2.INTER_LINEAR)
    assert float(rough[near].mean()) > 2 * float(fine[near].mean())
    far = np.s_[:, 300:]
    assert not fine[far].any()


def test_a_matte_that_is_linear_in_the_colours_comes_back() -> None:
    rng = np.random.default_rng(5)
    cloud = cv2.GaussianBlur(rng.random((60, 70, 3)).astype(np.float32), (0, 0), 2.0)
    guide = np.asarray((cloud - cloud.min()) / np.ptp(cloud), np.float32)
    matte = np.asarray(guide @ np.array([0.2, 0.5, 0.1], np.float32) + 0.1, np.float32)
    maps = coefficients(matte, guide, 4, 1e-6)
    again = maps[3] + np.einsum("chw,hwc->hw", maps[:3], guide)
    assert float(np.abs(again - matte).max()) < 0.01


def test_nothing_in_front_needs_no_coefficients() -> None:
    guide = np.random.default_rng(1).random((40, 50, 3)).astype(np.float32)
    assert not coefficients(np.zeros((40, 50), np.float32), guide, RADIUS, EPSILON).any()
    assert not refined(np.zeros((4, 40, 50), np.float32), guide).any()


def test_the_middle_of_a_frame_hides_all_whatever_its_colour(sight: Sight) -> None:
    matte = np.zeros((60, 60), np.float32)
    matte[20:40, 20:40] = 1
    guide = np.full((60, 60, 3), 0.7, np.float32)
    guide[20:40, 20:40] = 0.05
    guide[28:32, 28:32] = 0.7  # a highlight as light as the skin
    fine = refined(coefficients(matte, guide, RADIUS, EPSILON), guide)
    assert (fine[22:38, 22:38] == 1).all()
    assert float(fine[:18].max()) < 0.05


def test_only_who_wears_spectacles_wears_them(faces_folder: Path, pipeline: Pipeline) -> None:
    seen: dict[str, bool] = {}
    for path in sorted(faces_folder.glob("*.jpg")):
        image, faces = pipeline.detect(path, Detection(), Progress())
        for face in faces:
            view = target_view(image, face, base.Sight(320))
            landmarks = face.landmarks
            width = float(np.ptp(landmarks[topology.FACE_OVAL, :2], axis=0).max())
            grid = FaceGrid.over(landmarks[:, :2], 0.14 * width, width / min(max(width, 96), 320))
            window = view.window.shrunk(grid.step * view.window.scale)
            wanted = warp.sample(window, grid.positions())
            front = in_front(grid, landmarks, wanted, width, keep_glasses=True)
            seen[f"{path.stem} {face.index}"] = front.glasses
    wearing = {name for name, worn in seen.items() if worn}
    assert len(seen) >= 20
    assert {name.rsplit("_", 1)[0] for name in wearing} == {"h_glasses_beard"}
