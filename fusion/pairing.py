"""Which source face is laid on which target face, and in which order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.errors import OptionError
from common.types import Face, FloatArray, Pose, Size
from fusion.compositing.masks import mouth_gap
from fusion.request import FaceSelection
from fusion.views import surroundings

BLURRED = 2.0
"""`FaceQuality.sharpness` below which a face counts as blurred."""

# What a view lacks, as degrees of turn that would be as bad.
_PER_HALVING = (
    10.0  # each time it is half as large as the target's face, or half as sharp as wanted
)
_SHARP = 2 * BLURRED  # beyond this, sharper is no better
_PER_MOUTH = 40.0  # a gap between the lips of a quarter of the mouth's width: 10 degrees


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """A source picture and its faces, the largest first; at least one."""

    path: Path
    size: Size
    faces: tuple[Face, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Match:
    """A source face for a target face.

    view: index of the source picture among those of the request. path, picture: of it. suited:
    whether it was taken because it suits the target face best, not because it was named.
    """

    view: int
    path: Path
    picture: Size
    source: Face
    target: Face
    suited: bool = False


def choose_matches(
    selection: FaceSelection, targets: Sequence[Face], views: Sequence[View]
) -> tuple[Match, ...]:
    """A source face for every target face that was asked for, in the order asked.

    Target faces without a source face of their own get the largest face of the view that suits
    them best: several pictures then show one person.

    Args:
        targets: All faces of the target, the largest first.
        views: The source pictures; their faces are numbered on from picture to picture.

    Raises:
        OptionError: An index that no face has.
    """
    numbered = [(index, face) for index, view in enumerate(views) for face in view.faces]
    wanted = selection.pairs or ((None, 0),)
    if selection.every:
        wanted = tuple((None, target.index) for target in targets)
    chosen = []
    for number, index in wanted:
        _check_index("target picture has", index, len(targets))
        target = targets[index]
        if number is None:
            best = best_view(target, [view.faces[0] for view in views])
            source = views[best].faces[0]
        else:
            role = "source picture has" if len(views) == 1 else "source pictures have"
            _check_index(role, number, len(numbered))
            best, source = numbered[number]
        view = views[best]
        chosen.append(Match(best, view.path, view.size, source, target, number is None))
    return tuple(chosen)


def best_view(target: Face, views: Sequence[Face]) -> int:
    """The index of the face that suits a target face best; the first of equals."""
    return int(np.argmin([mismatch(view, target) for view in views]))


def mismatch(source: Face, target: Face) -> float:
    """How badly a view suits a target face, in degrees of turn; at least 0.

    The angle between the heads counts as it is: what a turned head hides cannot be brought back.
    A mouth that is open where the other is closed costs the lips' shape, a small or blurred face
    detail; both matter less than the side from which a face is seen.
    """
    small = max(0.0, float(np.log2(target.quality.size / source.quality.size)))
    soft = max(0.0, float(np.log2(_SHARP / max(source.quality.sharpness, 1e-3))))
    mouths = abs(mouth_gap(source.landmarks) - mouth_gap(target.landmarks))
    apart = degrees_apart(source.pose, target.pose)
    return apart + _PER_MOUTH * mouths + _PER_HALVING * (small + soft)


def degrees_apart(one: Pose, other: Pose) -> float:
    """The angle between the directions in which two heads look; a tilt of the head is none."""
    a, b = _direction(one), _direction(other)
    return float(np.degrees(np.arctan2(np.linalg.norm(np.cross(a, b)), (a * b).sum())))


def laying_order(matches: Sequence[Match]) -> tuple[Match, ...]:
    """The farther face first: of two that overlap, the larger one is the nearer."""
    return tuple(sorted(matches, key=lambda match: -match.target.index))


def faces_in_front(face: Face, others: Sequence[Face]) -> tuple[FloatArray, ...]:
    """Landmarks of the larger faces that reach into the surroundings of ``face``."""
    around = surroundings(face)
    return tuple(
        other.landmarks
        for other in others
        if other.index < face.index and not other.box.intersect(around).is_empty
    )


def notes_on_views(matches: Sequence[Match], views: Sequence[View]) -> tuple[str, ...]:
    """Which picture was taken, for those who gave several and named none of their faces."""
    notes = []
    for match in matches:
        if len(views) == 1 or not match.suited:
            continue
        which = f" for the face at {match.target.box.x}, {match.target.box.y}"
        apart = degrees_apart(match.source.pose, match.target.pose)
        notes.append(
            f"of the {len(views)} source pictures, {match.path} was taken"
            f"{which if len(matches) > 1 else ''}: the heads are turned {apart:.0f} degrees apart"
        )
    return tuple(notes)


def _check_index(role: str, index: int, count: int) -> None:
    if index >= count:
        shows = "it shows" if role.endswith("has") else "they show"
        raise OptionError(
            f"faces: the {role} no face {index}; {shows} {count}, numbered from 0 (the largest"
            f"{'' if role.endswith('has') else ' of the first'}) to {count - 1}"
        )


def _direction(pose: Pose) -> FloatArray:
    yaw, pitch = np.radians(pose.yaw), np.radians(pose.pitch)
    return np.array(
        [np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)], np.float32
    )
