import argparse
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.measuring import picture, portraits, report
from benchmarks.measuring.picture import Compared
from common.types import Face, FaceQuality, Pose, Region
from preprocess import face_topology as topology

SIDE = 400
CENTRE, RADIUS = 200.0, 120.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a_front_1152.jpg", "a_smile_10.png", "b_front.jpg", "notes.txt"):
        (tmp_path / name).touch()
    return tmp_path


def test_portraits_are_pictures_by_name_and_know_their_person(folder):
    files = portraits.portraits(folder)
    assert [file.name for file in files] == ["a_front_1152.jpg", "a_smile_10.png", "b_front.jpg"]
    assert [portraits.person(file) for file in files] == ["a", "a", "b"]
    assert [file.stem for file in portraits.one_of_each(files)] == ["a_front_1152", "b_front"]


def test_pairs_join_different_people_in_both_orders(folder):
    pairs = portraits.pairs_of_people(portraits.portraits(folder))
    assert {str(pair) for pair in pairs} == {
        "a_front_1152 <- b_front",
        "b_front <- a_front_1152",
        "a_smile_10 <- b_front",
        "b_front <- a_smile_10",
    }


def test_a_pair_is_named_by_beginnings(folder):
    (pair,) = portraits.parse_pairs(folder, ["a_f:b"])
    assert (pair.target.name, pair.source.name) == ("a_front_1152.jpg", "b_front.jpg")


@pytest.mark.parametrize("text", ["a_front", "a:b", "a_front:c", ":b", "b:"])
def test_a_pair_that_is_unclear_is_refused(folder, text):
    with pytest.raises(SystemExit, match=r"pair|beginning"):
        portraits.parse_pairs(folder, [text])


def test_a_folder_has_to_be_named(folder, capsys):
    parser = argparse.ArgumentParser()
    assert portraits.require_folder(parser, folder) == folder
    for wrong in (None, folder / "none"):
        with pytest.raises(SystemExit):
            portraits.require_folder(parser, wrong)
    assert "STUDIO_FACES" in capsys.readouterr().err


def test_table_aligns_names_left_and_figures_right():
    text = report.table(("pair", "s"), [("long name", "1.0"), ("x", report.number(None))])
    assert text.splitlines() == ["pair         s", "long name  1.0", "x            -"]


def test_report_holds_the_figures_and_the_machine(tmp_path):
    file = tmp_path / "out.json"
    report.write_report(file, "speed", {"cases": [1]})
    found = json.loads(file.read_text(encoding="utf-8"))
    assert found["benchmark"] == "speed"
    assert found["cases"] == [1]
    assert set(found["machine"]) == {"system", "processor", "cores", "load", "python"}


@pytest.fixture
def face() -> Face:
    """A round face: all points on a circle, in the order of the oval where they are of it."""
    angle = np.linspace(0, 2 * np.pi, topology.POINTS, endpoint=False)
    points = np.stack([CENTRE + RADIUS * np.cos(angle), CENTRE + RADIUS * np.sin(angle)], axis=1)
    turn = np.linspace(0, 2 * np.pi, len(topology.FACE_OVAL), endpoint=False)
    points[topology.FACE_OVAL] = CENTRE + RADIUS * np.stack([np.cos(turn), np.sin(turn)], axis=1)
    landmarks = np.column_stack([points, np.zeros(topology.POINTS)]).astype(np.float32)
    box = Region.around(landmarks)
    irises = np.zeros((2, 5, 2), np.float32)
    return Face(0, box, 1.0, landmarks, irises, Pose(0, 0, 0), FaceQuality(2 * RADIUS, 10.0))


def _compared(fused, target, face, feather: float) -> Compared:
    y, x = np.mgrid[:SIDE, :SIDE]
    inward = RADIUS - np.hypot(x - CENTRE, y - CENTRE)
    opacity = np.clip(inward / feather, 0, 1).astype(np.float32)
    mixed = target + opacity[..., None] * (fused.astype(np.float32) - target)
    return Compared(
        np.rint(mixed).astype(np.uint8), target, Region(0, 0, SIDE, SIDE), opacity, face
    )


@pytest.fixture
def photo() -> np.ndarray:
    grain = np.random.default_rng(3).normal(0, 6, (SIDE, SIDE, 1))
    ramp = np.linspace(90, 150, SIDE)[None, :, None]
    return np.clip(np.repeat(ramp + grain, 3, axis=2), 0, 255).astype(np.uint8)


def test_an_unchanged_face_scores_as_the_target_itself(photo, face):
    same = _compared(photo, photo, face, 20)
    assert picture.light_distance(same) == 0
    assert picture.seam_ratio(same) == pytest.approx(1)
    assert picture.blown_increase(same) == 0
    assert picture.detail_ratio(same) == pytest.approx(1)
    assert picture.drift(face, face) == 0


def test_light_distance_grows_with_the_tone_and_ignores_grain(photo, face):
    brighter = np.clip(photo.astype(int) + 25, 0, 255).astype(np.uint8)
    other_grain = np.clip(
        photo + np.random.default_rng(4).normal(0, 6, photo.shape), 0, 255
    ).astype(np.uint8)
    assert picture.light_distance(_compared(brighter, photo, face, 20)) > 5
    assert picture.light_distance(_compared(other_grain, photo, face, 20)) < 0.5


def test_a_hard_edge_is_a_seam_and_a_soft_one_is_not(photo, face):
    brighter = np.clip(photo.astype(int) + 60, 0, 255).astype(np.uint8)
    hard = picture.seam_ratio(_compared(brighter, photo, face, 2))
    soft = picture.seam_ratio(_compared(brighter, photo, face, 40))
    assert hard > 2
    assert soft < 1.15


def test_blown_counts_percentage_points_of_the_face(photo, face):
    white = np.full_like(photo, 255)
    assert picture.blown_increase(_compared(white, photo, face, 1)) == pytest.approx(100, abs=2)


def test_blur_costs_detail_and_a_small_crop_costs_it_all(photo, face):
    blurred = cv2.GaussianBlur(photo, (0, 0), 3)
    assert picture.detail_ratio(_compared(blurred, photo, face, 20)) < 0.3
    large = Compared(
        *(_large(array) for array in (photo, photo)),
        Region(0, 0, 1600, 1600),
        np.ones((1600, 1600), np.float32),
        _enlarged(face, 4),
    )
    grain = np.random.default_rng(5).normal(0, 8, large.fused.shape)
    sharp = Compared(
        np.clip(large.fused + grain, 0, 255).astype(np.uint8),
        large.target,
        large.region,
        large.opacity,
        large.face,
    )
    assert picture.detail_over_crop(sharp) > 4


def _large(array: np.ndarray) -> np.ndarray:
    return cv2.resize(array, (1600, 1600), interpolation=cv2.INTER_CUBIC)


def _enlarged(face: Face, factor: int) -> Face:
    landmarks = face.landmarks * np.float32(factor)
    return Face(0, Region.around(landmarks), 1.0, landmarks, face.irises, face.pose, face.quality)


def test_drift_is_in_percent_of_the_width(face):
    moved = face.landmarks + np.array([face.box.width / 50, 0, 0], np.float32)
    other = Face(0, face.box, 1.0, moved, face.irises, face.pose, face.quality)
    assert picture.drift(face, other) == pytest.approx(2, abs=0.01)
