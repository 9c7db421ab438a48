"""Names for the 468 points of the face mesh and the triangles between them.

Numbering and contours: MediaPipe face mesh (Apache-2.0). "Right" is the person's right,
on the left in an unmirrored picture.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int32]

POINTS = 468


def indices(text: str) -> IntArray:
    array = np.array(text.split(), np.int32)
    array.flags.writeable = False
    return array


FACE_OVAL = indices(
    "10 338 297 332 284 251 389 356 454 323 361 288 397 365 379 378 400 377 152 148 176 149 "
    "150 136 172 58 132 93 234 127 162 21 54 103 67 109"
)
INNER_LIPS = indices("78 191 80 81 82 13 312 311 310 415 308 324 318 402 317 14 87 178 88 95")
OUTER_LIPS = indices("61 185 40 39 37 0 267 269 270 409 291 375 321 405 314 17 84 181 91 146")
RIGHT_EYE = indices("33 246 161 160 159 158 157 173 133 155 154 153 145 144 163 7")
LEFT_EYE = indices("263 466 388 387 386 385 384 398 362 382 381 380 374 373 390 249")
RIGHT_BROW = indices("46 53 52 65 55 70 63 105 66 107")
LEFT_BROW = indices("276 283 282 295 285 300 293 334 296 336")

# The eye network's 71 contour points in its order, as points of the mesh: the eye itself
# (16), then rings of growing distance up to the brow. Source: MediaPipe's iris tracking.
RIGHT_EYE_REGION = indices(
    "33 7 163 144 145 153 154 155 133 246 161 160 159 158 157 173 130 25 110 24 23 22 26 112 "
    "243 247 30 29 27 28 56 190 226 31 228 229 230 231 232 233 244 113 225 224 223 222 221 "
    "189 35 124 46 53 52 65 143 111 117 118 119 120 121 128 245 156 70 63 105 66 107 55 193"
)
LEFT_EYE_REGION = indices(
    "263 249 390 373 374 380 381 382 362 466 388 387 386 385 384 398 359 255 339 254 253 252 "
    "256 341 463 467 260 259 257 258 286 414 446 261 448 449 450 451 452 453 464 342 445 444 "
    "443 442 441 413 265 353 276 283 282 295 372 340 346 347 348 349 350 357 465 383 300 293 "
    "334 296 336 285 417"
)

CHIN_SKIN = indices("17 83 18 201 208 171 175 396 428 421 313")
"""Around the middle of the chin, in order: where a beard is, or skin."""

RIGHT_EYE_CORNERS = (33, 133)
LEFT_EYE_CORNERS = (263, 362)
FOREHEAD, CHIN, NOSE_TIP = 10, 152, 1
RIGHT_CHEEK, LEFT_CHEEK = 234, 454
UPPER_LIP_INSIDE, LOWER_LIP_INSIDE = 13, 14
MOUTH_CORNERS = (78, 308)

MIDLINE = indices(
    "0 1 2 4 5 6 8 9 10 11 12 13 14 15 16 17 18 19 94 151 152 164 168 175 195 197 199 200"
)
_FIRST_LEFT = 248  # the points beside the midline: the right ones come first, in the same order

# Points over bone, which neither speaking, smiling nor blinking moves: brow ridge to hairline,
# temples, bridge of the nose, corners of the eyes, cheekbones.
RIGID = indices(
    "10 109 67 103 54 21 162 127 338 297 332 284 251 389 356 151 108 69 104 68 71 139 337 299 "
    "333 298 301 368 9 8 168 6 197 195 5 193 417 122 351 196 419 33 133 263 362 143 372 34 264 "
    "227 447 116 345 234 454"
)


@lru_cache(maxsize=1)
def mirrored() -> IntArray:
    """The counterpart of each of the 468 points on the other half of the face.

    Points of the midline are their own. Found by laying an averaged frontal mesh over its
    mirror image; the numbering turns out to run through both halves in the same order.
    """
    array = np.arange(POINTS, dtype=np.int32)
    beside = np.setdiff1d(array, MIDLINE)
    right, left = beside[beside < _FIRST_LEFT], beside[beside >= _FIRST_LEFT]
    array[right], array[left] = left, right
    array.flags.writeable = False
    return array


@lru_cache(maxsize=1)
def neighbours() -> IntArray:
    """468 x 8: the points that share an edge with each, filled up with the point itself."""
    near: list[set[int]] = [set() for _ in range(POINTS)]
    for corners in triangles().tolist():
        for corner in corners:
            near[corner].update(corners)
    longest = max(len(points) for points in near)
    array = np.empty((POINTS, longest - 1), np.int32)
    for point, around in enumerate(near):
        others = sorted(around - {point})
        array[point] = others + [point] * (longest - 1 - len(others))
    array.flags.writeable = False
    return array


@lru_cache(maxsize=1)
def triangles() -> IntArray:
    """898 x 3 landmark indices that cover the face oval once, eyes and mouth closed."""
    array = np.loadtxt(Path(__file__).with_name("face_triangles.txt"), dtype=np.int32)
    array.flags.writeable = False
    return array
