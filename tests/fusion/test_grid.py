"""The grid over the face: nodes, coverage, and maps between them at any size."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.types import Region, Size
from fusion.compositing.grid import FaceGrid, averages

TARGET = Size(640, 480)
GRID = FaceGrid(x=100.25, y=60.5, step=1.75, columns=80, rows=64)
SIZES = [Size(640, 480), Size(320, 240), Size(1280, 960), Size(613, 477)]


def ramps(grid: FaceGrid) -> np.ndarray:
    """Maps of each node's own position in the target."""
    return np.ascontiguousarray(np.moveaxis(grid.positions(), -1, 0))


def test_a_grid_covers_the_points_and_their_margin() -> None:
    points = np.array([[10.5, 20.0], [90.0, 33.3]], np.float32)
    grid = FaceGrid.over(points, 5.0, 0.7)
    last = grid.positions()[-1, -1]
    assert (grid.x, grid.y) == (5.5, 15.0)
    assert (last >= [95.0, 38.3]).all()
    assert (last - [95.0, 38.3] <= 2 * 0.7).all()


def test_positions_and_nodes_are_inverse() -> None:
    column, row = np.meshgrid(np.arange(GRID.columns), np.arange(GRID.rows))
    expected = np.stack([column, row], axis=-1)
    assert GRID.nodes_of(GRID.positions()) == pytest.approx(expected, abs=1e-3)
    assert GRID.positions().shape == (*GRID.shape, 2)


@pytest.mark.parametrize("at", SIZES, ids=str)
def test_a_straight_map_is_reproduced_at_any_size(at: Size) -> None:
    bounds = GRID.extent(TARGET, at)
    x, y = GRID.sample(ramps(GRID), bounds, TARGET, at)
    columns = (np.arange(bounds.x, bounds.right) + 0.5) * TARGET.width / at.width - 0.5
    rows = (np.arange(bounds.y, bounds.bottom) + 0.5) * TARGET.height / at.height - 0.5
    assert x == pytest.approx(np.broadcast_to(columns, x.shape), abs=1e-3)
    assert y == pytest.approx(np.broadcast_to(rows[:, None], y.shape), abs=1e-3)


@pytest.mark.parametrize("at", SIZES, ids=str)
def test_the_extent_is_what_lies_between_the_nodes(at: Size) -> None:
    bounds = GRID.extent(TARGET, at)
    left = (bounds.x + 0.5) * TARGET.width / at.width - 0.5
    right = (bounds.right - 1 + 0.5) * TARGET.width / at.width - 0.5
    last = GRID.x + GRID.step * (GRID.columns - 1)
    pixel = TARGET.width / at.width
    assert GRID.x <= left < GRID.x + pixel
    assert last - pixel < right <= last


def test_the_extent_stays_in_the_picture() -> None:
    over = FaceGrid(x=-40, y=400, step=2, columns=60, rows=60)
    assert over.extent(TARGET, TARGET) == Region(0, 400, 79, 80)
    assert FaceGrid(x=700, y=0, step=1, columns=9, rows=9).extent(TARGET, TARGET).is_empty


def test_outside_the_nodes_the_edge_continues() -> None:
    block = Region(0, 0, 128, 128)
    x, _ = GRID.sample(ramps(GRID), block, TARGET, TARGET)
    assert x[0, 0] == pytest.approx(GRID.x)


@settings(max_examples=30)
@given(side=st.integers(20, 60), x=st.floats(105, 150), y=st.floats(65, 105))
def test_coverage_is_the_polygons_area(side: int, x: float, y: float) -> None:
    corners = [[x, y], [x + side, y], [x + side, y + side], [x, y + side]]
    coverage = GRID.fill(np.array(corners, np.float32))
    assert 0 <= coverage.min() <= coverage.max() <= 1
    # cv2.fillPoly draws the outline too: a quarter of a node more on each side.
    area = float(coverage.sum()) * GRID.step**2
    assert side**2 * 0.98 < area < (side + 0.75 * GRID.step) ** 2
    centre = (coverage[..., None] * GRID.positions()).sum(axis=(0, 1)) / coverage.sum()
    assert centre == pytest.approx([x + side / 2, y + side / 2], abs=0.35 * GRID.step)


def test_a_coarser_grid_has_the_same_nodes() -> None:
    coarse = GRID.coarser(8)
    assert np.array_equal(coarse.positions(), GRID.positions()[::8, ::8])
    assert coarse.shape == GRID.positions()[::8, ::8].shape[:2]


@pytest.mark.parametrize(("columns", "rows"), [(80, 64), (81, 67), (9, 5), (2, 3)])
def test_means_lie_in_the_middle_of_their_nodes(columns: int, rows: int) -> None:
    grid = FaceGrid(x=10.5, y=-3.0, step=1.5, columns=columns, rows=rows)
    few = grid.averaged(4)
    means = averages(grid.positions(), 4)
    assert means.shape[:2] == few.shape
    whole = np.s_[: rows // 4, : columns // 4]
    assert means[whole] == pytest.approx(few.positions()[whole], abs=1e-3)
    assert averages(np.ones(grid.shape, np.float32), 4) == pytest.approx(1.0)


def test_between_two_grids_a_straight_map_is_reproduced() -> None:
    few = GRID.averaged(4)
    again = few.at_nodes(np.ascontiguousarray(np.moveaxis(few.positions(), -1, 0)), GRID)
    inner = np.s_[:, 2:-2, 2:-2]
    assert again[inner] == pytest.approx(ramps(GRID)[inner], abs=1e-3)
    low, high = few.positions()[0, 0], few.positions()[-1, -1]
    assert again[:, 0, 0] == pytest.approx(low)
    assert (again.max(axis=(1, 2)) <= high + 1e-3).all()


def test_at_its_own_nodes_a_map_is_itself() -> None:
    maps = np.random.default_rng(2).random((3, *GRID.shape), dtype=np.float32)
    assert GRID.at_nodes(maps, GRID) == pytest.approx(maps, abs=1e-4)
