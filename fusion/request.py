"""What is asked of a fusion and what it answers: small frozen groups."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from common.errors import OptionError
from common.settings import MAX_MEMORY_RANGE, MIN_FACE_RANGE
from common.types import Face, Size
from preprocess.resolution import FITS, ORIGINAL, Resolution

_INDEX_DIGITS = 6  # of the number of a face

MODES = ("normal", "blend", "overlay")
EXPRESSIONS = ("target", "source")
COMPOSITES = ("studio", "official")
BOOSTS = (1, 2, 4)
SCOPES = ("image", "face")
GRAFTS = ("auto", "always", "never")
"""auto: where it is possible and its memory fits; always: an error where it is not."""
METADATA = ("keep", "remove")
"""Whether EXIF, XMP and IPTC of the target come along; profile and DPI always do."""


def check_choice(name: str, value: str, accepted: tuple[str, ...]) -> None:
    """Reject a value that is not one of ``accepted``, naming both.

    Raises:
        OptionError: The value is not accepted.
    """
    if value not in accepted:
        raise OptionError(f"{name} {value!r} is not known; use one of: {', '.join(accepted)}")


def check_range(name: str, value: float, low: float, high: float) -> None:
    """Reject a number outside [low, high] (NaN included), naming the option and the range.

    Raises:
        OptionError: The number is outside.
    """
    if not low <= value <= high:
        raise OptionError(f"{name} {value:.9g} is outside {low:.9g} to {high:.9g}")


@dataclass(frozen=True, slots=True)
class FaceSelection:
    """Which target faces are replaced, and by which face of the source pictures.

    Text form (command line and page): ``largest``; ``all``; target indices ``0,2``; or pairs
    ``SOURCE:TARGET`` such as ``1:0,0:2``. An index counts faces from the largest, from 0; those
    of several source pictures are numbered on: all of the first picture, then the second's.

    every: replace every target face. pairs: (source index, target index); a source index of None
    stands for the largest face of the source picture that suits the target face best. Empty
    with ``every`` false means that for the largest target face.
    """

    every: bool = False
    pairs: tuple[tuple[int | None, int], ...] = ()

    @classmethod
    def parse(cls, text: str) -> FaceSelection:
        """Read the text form.

        Raises:
            OptionError: It is none of the four forms, or names a target face twice.
        """
        word = text.strip().lower()
        if word in ("largest", ""):
            return cls()
        if word == "all":
            return cls(every=True)
        pairs: list[tuple[int | None, int]] = []
        for part in word.split(","):
            source, colon, target = part.strip().rpartition(":")
            if not (_is_index(target) and (_is_index(source) or not colon)):
                raise OptionError(
                    f"faces {text!r} is not understood; use largest, all, target indices such as "
                    "0,2, or source:target pairs such as 1:0"
                )
            pairs.append((int(source) if colon else None, int(target)))
        if len({target for _, target in pairs}) != len(pairs):
            raise OptionError(f"faces {text!r} names a target face twice")
        return cls(pairs=tuple(pairs))


def _is_index(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= _INDEX_DIGITS


@dataclass(frozen=True, slots=True)
class Detection:
    """How faces are looked for.

    threshold: lowest detection score, 0.1-0.9.
    min_face: smallest face in pixels of the picture; None for a fiftieth of the longer side.
    """

    threshold: float = 0.5
    min_face: int | None = None

    def __post_init__(self) -> None:
        check_range("threshold", self.threshold, 0.1, 0.9)
        if self.min_face is not None:
            check_range("min-face", self.min_face, *MIN_FACE_RANGE)


@dataclass(frozen=True, slots=True)
class Network:
    """What a neural engine is asked for besides.

    composite: studio lays the network's face in by our mattes, light and detail; official gives
    what ModelScope's own pipeline gives. boost: the network sees the face boost x boost times,
    each time shifted by a fraction of its pixel, for that much more detail; None chooses by the
    face's size. enhance: strength of the face restoration after it, 0-1; None likewise.
    """

    composite: str = "studio"
    boost: int | None = None
    enhance: float | None = None

    def __post_init__(self) -> None:
        check_choice("composite", self.composite, COMPOSITES)
        if self.boost is not None and self.boost not in BOOSTS:
            accepted = ", ".join(str(boost) for boost in BOOSTS)
            raise OptionError(f"boost {self.boost} is not possible; use one of: auto, {accepted}")
        if self.enhance is not None:
            check_range("enhance", self.enhance, 0.0, 1.0)
        if self.composite == "official" and (self.boost, self.enhance) != (None, None):
            raise OptionError(
                "composite official has no boost and no strength of enhance; leave both out, or "
                "use composite studio"
            )


@dataclass(frozen=True, slots=True)
class Blend:
    """How strongly and how the source is laid over the target.

    shape: how far the target's outline moves toward the source's proportions, and features the rest
    of their way, 0-1.
    expression: whose mouth and lids are shown, one of `EXPRESSIONS`. keep_glasses: spectacles
    that the target wears stay in front of the fused face. network: for neural engines.
    """

    ratio: float = 0.6
    mode: str = "normal"
    shape: float = 0.35
    expression: str = "target"
    keep_glasses: bool = True
    network: Network = Network()

    def __post_init__(self) -> None:
        check_range("ratio", self.ratio, 0.0, 1.0)
        check_choice("mode", self.mode, MODES)
        check_range("shape", self.shape, 0.0, 1.0)
        check_choice("expression", self.expression, EXPRESSIONS)

    def at(self, ratio: float) -> Blend:
        """The same with another ratio."""
        return replace(self, ratio=ratio)


@dataclass(frozen=True, slots=True)
class Finish:
    """What is done to the fused picture; at 0 each leaves every number as it is.

    smooth: of skin only, 0-1. brightness, contrast, saturation: -0.5 to 0.5. sharpen: 0-1, its
    radius grows with the enlargement. scope: whether the last four act on the whole image or
    on the fused faces alone, one of `SCOPES`.
    """

    smooth: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    sharpen: float = 0.0
    scope: str = "image"

    def __post_init__(self) -> None:
        for name in ("smooth", "sharpen"):
            check_range(name, getattr(self, name), 0.0, 1.0)
        for name in ("brightness", "contrast", "saturation"):
            check_range(name, getattr(self, name), -0.5, 0.5)
        check_choice("scope", self.scope, SCOPES)


@dataclass(frozen=True, slots=True)
class Output:
    """Where the result goes, in which size and how it is encoded.

    path: its suffix decides the format. fit: how the target fills the size, one of `FITS`.
    quality: 1-100, for lossy formats; None for that of a JPEG target, else 95. graft: whether
    only the changed blocks of a JPEG are replaced, one of `GRAFTS`.
    """

    path: Path
    resolution: Resolution = ORIGINAL
    fit: str = "keep"
    quality: int | None = None
    graft: str = "auto"
    metadata: str = "keep"

    def __post_init__(self) -> None:
        check_choice("fit", self.fit, FITS)
        check_choice("metadata", self.metadata, METADATA)
        check_choice("jpeg-graft", self.graft, GRAFTS)
        if self.quality is not None:
            check_range("quality", self.quality, 1, 100)
            if self.graft == "always":
                raise OptionError(
                    "jpeg-graft always keeps the target's quality; use it without a quality, or "
                    "jpeg-graft auto"
                )


@dataclass(frozen=True, slots=True)
class FusionRequest:
    """One fusion: a face of ``sources`` into ``target``.

    sources: at least one picture. Several are views of one person, of which the best suited is
    taken for each target face, unless ``faces`` names pairs: then their faces are numbered on
    from picture to picture.
    max_memory_mb: what all processes of the fusion may hold together, MiB; None leaves it to
    the memory that is free.
    """

    target: Path
    sources: tuple[Path, ...]
    output: Output
    blend: Blend = field(default_factory=Blend)
    finish: Finish = field(default_factory=Finish)
    faces: FaceSelection = field(default_factory=FaceSelection)
    detection: Detection = field(default_factory=Detection)
    max_memory_mb: int | None = None

    def __post_init__(self) -> None:
        if not self.sources:
            raise OptionError("a fusion needs at least one source picture")
        if self.max_memory_mb is not None:
            check_range("max-memory-mb", self.max_memory_mb, *MAX_MEMORY_RANGE)


@dataclass(frozen=True, slots=True)
class FusionResult:
    """What was done; ``as_dict`` is the command line's JSON line.

    engine_reason: why that engine, and how to get the other. written: how the file came about:
    'copied' byte for byte, 'stripped' (copied without its metadata), 'grafted' (only the JPEG
    blocks under the faces are new) or 'encoded'.
    notes: what was decided on the person's behalf, and why; warnings: what may disappoint.
    """

    request: FusionRequest
    size: Size
    format: str
    engine: str
    device: str
    engine_reason: str
    faces: tuple[tuple[Face, bool], ...]
    seconds: dict[str, float]
    peak_rss_mb: float
    written: str
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        return {
            "output": str(self.request.output.path),
            "width": self.size.width,
            "height": self.size.height,
            "format": self.format,
            "engine": self.engine,
            "device": self.device,
            "engine_reason": self.engine_reason,
            "ratio": self.request.blend.ratio,
            "mode": self.request.blend.mode,
            "shape": self.request.blend.shape,
            "expression": self.request.blend.expression,
            "sources": [str(path) for path in self.request.sources],
            "faces": [face_report(face) | {"used": used} for face, used in self.faces],
            "seconds": {name: round(value, 4) for name, value in self.seconds.items()},
            "peak_rss_mb": round(self.peak_rss_mb, 1),
            "written": self.written,
            "notes": list(self.notes),
            "warnings": list(self.warnings),
        }


def face_report(face: Face) -> dict[str, Any]:
    """A face as JSON: index, box [x, y, w, h] in target pixels, score, pose in degrees."""
    return {
        "index": face.index,
        "box": face.box.as_list(),
        "score": round(face.score, 3),
        "yaw": round(face.pose.yaw, 1),
        "pitch": round(face.pose.pitch, 1),
        "roll": round(face.pose.roll, 1),
    }
