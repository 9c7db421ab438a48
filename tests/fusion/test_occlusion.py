"""What lies in front of a face stays there, what lies over the source's is left behind."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

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
    Occlusion,
    coefficients,
    in_front,
    over_source,
    refined,
)
from fusion.pipeline import Pipeline
from fusion.request import Detection
from fusion.views import target_view
from preprocess import face_topology as topology
from tests.fusion.pictures import Fusion

Pixels = NDArray[Any]
BLACK, GOLD, SILVER, BLUE = (20, 20, 22), (200, 170, 110), (190, 190, 195), (40, 60, 140)


@dataclass(frozen=True)
class Sight:
    """A portrait, its mesh and a grid of about 200 nodes over the face."""

    pixels: Pixels
    landmarks: FloatArray
    grid: FaceGrid
    width: float

    @property
    def apart(self) -> float:
        """Distance of the eyes, px."""
        return float(np.hypot(*(self.eye(left=True) - self.eye(left=False))))

    def eye(self, *, left: bool) -> FloatArray:
        ring = topology.LEFT_EYE if left else topology.RIGHT_EYE
        return np.asarray(self.landmarks[ring, :2].mean(axis=0))

    def point(self, index: int) -> FloatArray:
        return np.asarray(self.landmarks[index, :2])

    def values(self) -> FloatArray:
        x, y = np.moveaxis(self.grid.positions(), -1, 0)
        pixels = self.pixels.astype(np.float32) / np.float32(255)
        seen = cv2.remap(pixels, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(seen, np.float32)

    def line(self, points: Any, colour: tuple[int, int, int], thickness: float) -> Sight:
        pixels = self.pixels.copy()
        corners = [np.rint(np.asarray(points) * 16).astype(np.int32)]
        cv2.polylines(pixels, corners, False, colour, max(1, round(thickness)), cv2.LINE_AA, 4)
        return replace(self, pixels=pixels)

    def area(self, points: Any, colour: tuple[int, int, int], rough: float = 3.0) -> Sight:
        """A polygon with some grain of its own."""
        inside = np.zeros(self.pixels.shape[:2], np.uint8)
        cv2.fillPoly(inside, [np.rint(points).astype(np.int32)], 1)
        grain = np.random.default_rng(7).normal(0, rough, (*inside.shape, 1))
        painted = np.clip(np.array(colour) + grain, 0, 255).astype(np.uint8)
        return replace(self, pixels=np.where(inside[..., None] > 0, painted, self.pixels))

    def spectacles(self, colour: tuple[int, int, int], thickness: float) -> Sight:
        """Round ones; thickness over the eyes' distance."""
        sight, thick = self, thickness * self.apart
        turn = np.linspace(0, 2 * np.pi, 60)
        for left in (False, True):
            x, y = self.eye(left=left)
            ring = (x + 0.4 * self.apart * np.cos(turn), y + 0.33 * self.apart * np.sin(turn))
            sight = sight.line(np.stack(ring, axis=1), colour, thick)
        right, other = self.eye(left=False), self.eye(left=True)
        across = (other - right) / self.apart
        sight = sight.line(
            [right + 0.4 * self.apart * across, other - 0.4 * self.apart * across], colour, thick
        )
        for eye, ear, way in ((right, 127, -1), (other, 356, 1)):
            start = eye + way * 0.4 * self.apart * across
            sight = sight.line([start, self.point(ear)], colour, thick)
        return sight

    def at(self, matte: FloatArray, points: Any) -> FloatArray:
        """The matte's values next to target pixels."""
        nodes = np.rint(self.grid.nodes_of(np.asarray(points, np.float32))).astype(int)
        return np.asarray(matte[nodes[..., 1], nodes[..., 0]])

    def front(self, *, keep_glasses: bool = True) -> Occlusion:
        return in_front(self.grid, self.landmarks, self.values(), self.width, keep_glasses)

    def over(self) -> Occlusion:
        return over_source(self.grid, self.landmarks, self.values(), self.width)

    def middle(self) -> NDArray[np.bool_]:
        """Nodes well within the face, below the brows: hair hangs into the forehead."""
        oval = self.landmarks[topology.FACE_OVAL, :2]
        centre = oval.mean(axis=0)
        within = self.grid.fill(centre + (oval - centre) * np.float32(0.7)) > 0.5
        below = self.grid.positions()[..., 1] > self.landmarks[[105, 334], 1].mean()
        return np.asarray(within & below)


@pytest.fixture(scope="module")
def sight(fusion: Fusion) -> Sight:
    landmarks = fusion.target.face.landmarks
    oval = landmarks[topology.FACE_OVAL, :2]
    width = float(np.ptp(oval, axis=0).max())
    grid = FaceGrid.over(landmarks[:, :2], 0.14 * width, width / 260)
    return Sight(fusion.pixels, landmarks, grid, width)


def strand(sight: Sight) -> FloatArray:
    """From above the forehead down to the cheek beside the right eye."""
    top, brow = sight.point(103), sight.point(70)
    above = top + (top - brow)
    cheek = sight.point(123) * 0.75 + sight.point(50) * 0.25
    middle = sight.point(63) * 0.4 + sight.point(127) * 0.6
    return np.stack([above, top, middle, cheek])


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
            view = target_view(image, face, 320)
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
