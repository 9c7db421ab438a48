"""The form of a fused face: the target's, the source's proportions, or that of a known face."""

from typing import Any

import numpy as np
import pytest

from common.types import FloatArray
from fusion.compositing import placing
from fusion.compositing.form import ANALYSIS_PX, Form, width_of
from fusion.request import Blend
from preprocess import face_topology as topology
from tests.fusion.pictures import Fusion


@pytest.fixture(scope="module")
def form(fusion: Fusion) -> Form:
    return Form.between(fusion.source, fusion.target, Blend(1.0))


def of(fusion: Fusion, ratio: float = 1.0, **blend: Any) -> Form:
    return Form.between(fusion.source, fusion.target, Blend(ratio, **blend))


def test_at_ratio_0_it_is_the_targets(fusion: Fusion) -> None:
    still = of(fusion, 0.0)
    assert np.array_equal(still.landmarks, still.before)
    assert np.array_equal(still.irises, fusion.target.face.irises)
    assert still.moves(1.0, ()).longest == 0


def test_points_move_in_proportion_to_the_ratio(fusion: Fusion, form: Form) -> None:
    quarter = of(fusion, 0.25)
    whole, part = (each.landmarks - each.before for each in (form, quarter))
    assert np.abs(whole).max() > 3
    assert part == pytest.approx(whole / 4, abs=1e-3)


def test_landmarks_may_be_moved(form: Form) -> None:
    """The irises stay in their eyes; what the target and the source show stays what it was."""
    moves = np.zeros((468, 3), np.float32)
    moves[:, 0] = 5
    moves[topology.LEFT_EYE, 1] = -3
    moved = form.moved_by(moves)
    assert moved.landmarks - form.landmarks == pytest.approx(moves, abs=1e-3)
    assert moved.irises[0] - form.irises[0] == pytest.approx(np.tile([5, 0], (5, 1)), abs=1e-3)
    assert moved.irises[1] - form.irises[1] == pytest.approx(np.tile([5, -3], (5, 1)), abs=1e-3)
    assert moved.landmarks.dtype == moved.irises.dtype == np.float32
    for name in ("before", "mouth"):
        assert np.array_equal(getattr(moved, name), getattr(form, name))
    assert moved.source is form.source
    still = form.moved_by(np.zeros_like(moves))
    assert np.array_equal(still.landmarks, form.landmarks)
    assert np.array_equal(still.irises, form.irises)


def test_the_width_is_the_ovals_longer_side(fusion: Fusion, form: Form) -> None:
    oval = form.landmarks[topology.FACE_OVAL, :2]
    assert form.width == width_of(form.landmarks) == float(np.ptp(oval, axis=0).max())
    assert width_of(2 * form.landmarks) == pytest.approx(2 * form.width)


@pytest.mark.parametrize(("scale", "nodes"), [(0.2, 96), (1.0, None), (4.0, ANALYSIS_PX)])
def test_the_grid_has_as_many_nodes_as_the_face_needs(
    form: Form, scale: float, nodes: int | None
) -> None:
    """One per pixel, but at least 96 across the face and at most `ANALYSIS_PX`."""
    scaled = form.moved_by(np.asarray(form.landmarks * (scale - 1), np.float32))
    grid = scaled.grid()
    across = scaled.width / grid.step
    assert across == pytest.approx(nodes or form.width, rel=1e-4)
    low, high = covered(grid.positions())
    oval = scaled.landmarks[topology.FACE_OVAL, :2]
    assert (low < oval.min(axis=0)).all()
    assert (high > oval.max(axis=0)).all()


def covered(positions: FloatArray) -> tuple[FloatArray, FloatArray]:
    flat = positions.reshape(-1, 2)
    return flat.min(axis=0), flat.max(axis=0)


def test_the_surroundings_follow_but_for_a_nearer_face(form: Form) -> None:
    grid = form.grid()
    free = form.moves(grid.step, ())
    assert free.longest > 2
    ahead = form.before.copy()  # a face just over this one
    held = form.moves(grid.step, (ahead,))
    x, y = np.rint(form.landmarks[topology.CHIN, :2]).astype(int)
    for moves, moving in ((free, True), (held, False)):
        columns, rows = (
            np.rint(each).astype(int)
            for each in moves.grid.nodes_of(np.array([[x, y]], np.float32)).T
        )
        inside = (0 <= rows[0] < moves.maps.shape[1]) and (0 <= columns[0] < moves.maps.shape[2])
        there = np.hypot(*moves.maps[:, rows[0], columns[0]]) if inside else 0.0
        assert (there > 0.5) == moving


def test_a_smiling_targets_mouth_stays(fusion: Fusion, form: Form) -> None:
    grid = form.grid()
    wanted = placing.moved(grid, form.moves(grid.step, ()), fusion.target.window)
    mouth, holes = form.mouth_hole(grid, wanted, form.mouth), form.holes(grid, wanted)
    for matte in (mouth, holes):
        assert matte.shape == grid.shape
        assert matte.min() >= 0
        assert matte.max() <= 1
    assert (holes >= mouth).all()
    inner = grid.fill(form.landmarks[topology.INNER_LIPS, :2])
    assert mouth[inner > 0.9].mean() > 0.4
    assert mouth[inner == 0].mean() < 0.01
