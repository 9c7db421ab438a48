import argparse
import json
import sys
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
from PIL import Image

from benchmarks.measuring import (
    canvases,
    picture,
    plot,
    points68,
    portraits,
    processes,
    report,
)
from benchmarks.measuring.in_memory import Portrait, Workbench
from benchmarks.measuring.picture import Compared
from benchmarks.measuring.studio_runs import Studio
from common.types import Face, FaceQuality, Pose, Region, Size
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


MEMORY = """
import subprocess, sys, time
mine = bytearray(100 * 2**20)
child = "import time; its = bytearray(150 * 2**20); time.sleep(0.4)"
subprocess.run([sys.executable, "-c", child])
print("done")
"""


def test_a_program_is_measured_with_its_children(tmp_path):
    found = processes.run([sys.executable, "-c", MEMORY], tmp_path)
    assert found.out == "done\n"
    assert found.wall > 0.4
    assert 260 < found.peak_mb < 320  # and twice the interpreter


def test_a_program_that_fails_ends_the_benchmark(tmp_path):
    with pytest.raises(SystemExit, match="ended with 1: no room"):
        processes.run([sys.executable, "-c", "raise SystemExit('no room')"], tmp_path)


@pytest.fixture
def portrait(tmp_path: Path, astronaut: np.ndarray) -> Path:
    file = tmp_path / "portrait.png"
    Image.fromarray(astronaut[:300]).save(file)
    return file


def test_a_canvas_has_the_portrait_in_its_middle_and_is_busy(portrait, tmp_path):
    file = canvases.write_canvas(portrait, Size(1100, 600), tmp_path / "canvas.jpg")
    with Image.open(file) as made:
        assert made.size == (1100, 600)
        pixels = np.asarray(made, float)
    with Image.open(portrait) as picture:
        wanted = np.asarray(picture.resize((1024, 600), Image.Resampling.BICUBIC), float)
    assert np.abs(pixels[:, 38:1062] - wanted).mean() < 4
    assert pixels[:, :30].std() > 10
    again = canvases.write_canvas(portrait, Size(1100, 600), tmp_path / "again.jpg")
    assert again.read_bytes() == file.read_bytes()


@pytest.mark.parametrize(
    ("longer", "most", "size"), [(1024, 1e9, (1024, 600)), (1024, 38_400, (256, 150))]
)
def test_a_portrait_is_enlarged_to_a_side_or_a_number_of_pixels(
    portrait, tmp_path, longer, most, size
):
    file = canvases.write_scaled(portrait, longer, most, tmp_path / "large.png")
    with Image.open(file) as made:
        assert made.size == size


def test_a_plot_places_points_on_logarithmic_axes():
    curves = [plot.Curve("one & all", [(1, 1), (10, 10), (100, 100)]), plot.Curve("none", [])]
    text = plot.draw("Time", [plot.Panel("seconds", "megapixels", curves)] * 2)
    picture = ElementTree.fromstring(text)
    assert picture.get("aria-label") == "Time"
    marks = [
        (float(one.get("cx")), float(one.get("cy"))) for one in picture.iter() if one.get("cx")
    ]
    legend, points = marks[0], marks[1:]
    assert len(points) == 6
    (x0, y0), (x1, y1), (x2, y2) = points[:3]
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.2)
    assert y0 - y1 == pytest.approx(y1 - y2, abs=0.2)
    assert x0 < x2
    assert y0 > y2 > legend[1]
    words = [one.text for one in picture.iter() if one.tag.endswith("text")]
    assert {"one & all", "seconds", "megapixels", "1", "10", "100"} <= set(words)


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


@pytest.fixture
def fused_pair(tmp_path: Path, model_directory: Path) -> list[Portrait]:
    """The demo pair, ready to be fused."""
    bench = Workbench(Studio(), tmp_path)
    return [bench.portrait(file) for file in portraits.demo_portraits(tmp_path)]


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
    kept, lost = (_compared(one, photo, face, 20) for one in (photo, blurred))
    assert picture.detail_over_crop(lost) < 0.6 * picture.detail_over_crop(kept)
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


def test_light_on_skin_leaves_out_what_is_not_skin(fused_pair):
    """A dark beard changes the face's light, but not that of its skin; a warmer skin does."""
    target, _ = fused_pair
    whole, face = Region.whole(target.size), target.face
    pixels = target.read(whole)
    opacity = np.ones(pixels.shape[:2], np.float32)
    bearded, warmer = pixels.copy(), pixels.astype(int) + np.array([12, 0, -12])
    chin = face.landmarks[[topology.LOWER_LIP_INSIDE, topology.CHIN], 1].astype(int)
    bearded[chin[0] + 10 : chin[1], face.box.x : face.box.right] //= 4
    same, beard, warm = (
        Compared(np.clip(one, 0, 255).astype(np.uint8), pixels, whole, opacity, face)
        for one in (pixels, bearded, warmer)
    )
    assert picture.skin_light_distance(same) == 0
    assert picture.light_distance(beard) > 4
    assert picture.skin_light_distance(beard) < 0.2
    assert picture.skin_light_distance(warm) == pytest.approx(picture.light_distance(warm), abs=0.5)


def points_68(mouth: float = 0.0, lids: float = 0.1) -> np.ndarray:
    """A face whose eyes are 1 apart, with gaps between lips and lids."""
    points = np.zeros((68, 2), np.float32)
    points[36], points[45] = (-0.5, 0), (0.5, 0)
    for upper, lower in ((37, 41), (38, 40), (43, 47), (44, 46)):
        points[upper, 1], points[lower, 1] = -lids / 2, lids / 2
    for upper, lower in ((61, 67), (62, 66), (63, 65)):
        points[upper, 1], points[lower, 1] = 0.7, 0.7 + mouth
    return points


def test_drift_and_openings_are_in_distances_of_the_eyes():
    before = 200 * points_68()
    assert points68.inter_ocular(before) == pytest.approx(200)
    assert points68.drift(before, before) == 0
    moved = before + np.array([6, 8], np.float32)
    assert points68.drift(before, moved) == pytest.approx(0.05)
    for scale in (1.0, 300.0):
        opened = scale * points_68(mouth=0.2, lids=0.06)
        assert points68.mouth_opening(opened) == pytest.approx(0.2, abs=1e-5)
        assert points68.lid_opening(opened) == pytest.approx(0.06, abs=1e-5)


def test_points_are_found_where_the_face_is(fused_pair):
    """Independent networks agree on eyes and mouth; a shifted picture shifts the points."""
    target, _ = fused_pair
    landmarker = points68.Landmarker()
    whole = Region.whole(target.size)
    found = landmarker.find(target.read(whole), whole, target.face)
    mesh = target.face.landmarks[:, :2]
    apart = points68.inter_ocular(found)
    for ours, theirs in ((33, 36), (263, 45), (61, 48), (291, 54), (152, 8), (1, 30)):
        assert np.hypot(*(mesh[ours] - found[theirs])) < 0.2 * apart
    part = target.face.box.grow(60).clip(target.size)
    again = landmarker.find(target.read(part), part, target.face)
    assert points68.drift(found, again) < 0.02
