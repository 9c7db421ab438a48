"""The mesh's triangles and named contours fit together."""

from collections import Counter
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from common.types import Face
from preprocess import face_topology as topology


def edges() -> Counter[frozenset[int]]:
    return Counter(
        frozenset(pair)
        for triangle in topology.triangles().tolist()
        for pair in combinations(triangle, 2)
    )


def test_the_triangles_use_every_point_and_are_distinct() -> None:
    triangles = topology.triangles()
    assert triangles.shape == (898, 3)
    assert len({frozenset(triangle) for triangle in triangles.tolist()}) == 898
    assert np.array_equal(np.unique(triangles), np.arange(topology.POINTS))


def test_an_edge_belongs_to_two_triangles_or_to_the_oval() -> None:
    counts = edges()
    oval = topology.FACE_OVAL.tolist()
    outline = {frozenset(pair) for pair in zip(oval, [*oval[1:], oval[0]], strict=True)}
    assert {edge for edge, count in counts.items() if count == 1} == outline
    assert set(counts.values()) == {1, 2}


def test_the_mesh_is_one_disc_without_holes() -> None:
    # Euler's formula: points - edges + triangles = 1 for a disc.
    assert topology.POINTS - len(edges()) + len(topology.triangles()) == 1


def test_a_frontal_face_is_covered_once(astronaut_face: Face) -> None:
    points = astronaut_face.landmarks[:, :2].astype(np.float64)
    a, b, c = points[topology.triangles()].transpose(1, 0, 2)
    ab, ac = b - a, c - a
    triangles = np.abs(ab[:, 0] * ac[:, 1] - ab[:, 1] * ac[:, 0]).sum() / 2
    x, y = points[topology.FACE_OVAL].T
    oval = abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2
    assert triangles == pytest.approx(oval, rel=0.02)  # measured 0.003: folds at the lids


@pytest.mark.parametrize(
    ("contour", "count"),
    [
        (topology.FACE_OVAL, 36),
        (topology.INNER_LIPS, 20),
        (topology.OUTER_LIPS, 20),
        (topology.RIGHT_EYE, 16),
        (topology.LEFT_EYE, 16),
    ],
)
def test_contours_are_closed_lines_of_the_mesh(contour: NDArray[Any], count: int) -> None:
    ring = contour.tolist()
    known = edges()
    assert len(set(ring)) == count
    assert all(frozenset(pair) in known for pair in zip(ring, [*ring[1:], ring[0]], strict=True))


def test_eye_regions_are_the_eye_and_its_surroundings() -> None:
    right, left = topology.RIGHT_EYE_REGION.tolist(), topology.LEFT_EYE_REGION.tolist()
    assert len(set(right)) == len(set(left)) == 71
    assert not set(right) & set(left)
    assert set(right[:16]) == set(topology.RIGHT_EYE.tolist())
    assert set(left[:16]) == set(topology.LEFT_EYE.tolist())
    assert set(topology.RIGHT_EYE_CORNERS) <= set(right[:16])
    assert set(topology.LEFT_EYE_CORNERS) <= set(left[:16])


def test_the_mirror_map_is_an_involution_that_keeps_the_midline() -> None:
    mirror = topology.mirrored()
    points = np.arange(topology.POINTS)
    assert np.array_equal(mirror[mirror], points)
    assert np.array_equal(points[mirror == points], topology.MIDLINE)


def test_the_mirror_map_pairs_the_contours() -> None:
    mirror = topology.mirrored()
    assert np.array_equal(mirror[topology.RIGHT_EYE_REGION], topology.LEFT_EYE_REGION)
    assert np.array_equal(mirror[topology.RIGHT_EYE], topology.LEFT_EYE)
    assert set(mirror[topology.RIGHT_BROW]) == set(topology.LEFT_BROW.tolist())
    assert np.array_equal(mirror[topology.FACE_OVAL], np.roll(topology.FACE_OVAL[::-1], 1))
    assert mirror[topology.RIGHT_CHEEK] == topology.LEFT_CHEEK
    assert mirror[topology.MOUTH_CORNERS[0]] == topology.MOUTH_CORNERS[1]
    assert set(mirror[topology.RIGID]) == set(topology.RIGID.tolist())


def test_the_mirror_map_keeps_nearly_all_edges() -> None:
    mirror = topology.mirrored()
    known = set(edges())
    kept = [frozenset(mirror[list(edge)].tolist()) in known for edge in known]
    assert np.mean(kept) > 0.98  # measured 0.985: some diagonals run the other way


def test_mirrored_points_lie_opposite_each_other(astronaut_face: Face) -> None:
    points = astronaut_face.landmarks[:, :2].astype(np.float64)
    apart = points - points[topology.mirrored()]
    across = points[topology.LEFT_CHEEK] - points[topology.RIGHT_CHEEK]
    across /= np.linalg.norm(across)
    beside = topology.mirrored() > np.arange(topology.POINTS)
    assert (apart[beside] @ across < 0).all()  # the right half has the lower numbers


def test_neighbours_share_an_edge() -> None:
    near, known = topology.neighbours(), set(edges())
    for point, around in enumerate(near.tolist()):
        others = set(around) - {point}
        assert others == {other for edge in known if point in edge for other in edge - {point}}


def test_triangles_of_a_frontal_face_run_clockwise(astronaut_face: Face) -> None:
    points = astronaut_face.landmarks[:, :2].astype(np.float64)
    a, b, c = points[topology.triangles()].transpose(1, 0, 2)
    ab, ac = b - a, c - a
    area = ab[:, 0] * ac[:, 1] - ab[:, 1] * ac[:, 0]
    assert (area > 0).mean() > 0.93  # the others are folded under the lips and at the far side


def test_neighbouring_triangles_agree_on_the_direction() -> None:
    directed = Counter(
        (corners[k], corners[(k + 1) % 3])
        for corners in topology.triangles().tolist()
        for k in range(3)
    )
    assert set(directed.values()) == {1}


def test_shared_tables_cannot_be_changed() -> None:
    tables = (topology.triangles(), topology.mirrored(), topology.neighbours())
    for table in (*tables, topology.FACE_OVAL, topology.LEFT_EYE_REGION):
        with pytest.raises(ValueError, match="read-only"):
            table[0] = 0
