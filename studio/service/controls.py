"""Every control of the page and of the named endpoints as one checked value.

What comes from outside arrives here as plain data; what leaves are the request's own groups.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from common.errors import OptionError
from common.settings import Settings
from fusion.request import METADATA, Blend, Detection, Finish, Network, Output, check_choice
from preprocess.resolution import FITS, Resolution

SUFFIXES = {
    "jpeg": ".jpg",
    "png": ".png",
    "webp": ".webp",
    "tiff": ".tif",
    "avif": ".avif",
    "heic": ".heic",
    "gif": ".png",  # 256 colours would not do for a face
}
"""File suffix of a result by the format of its target."""
SAME = "same"
FORMATS = (SAME, *(name for name in SUFFIXES if name != "gif"))
"""Formats that can be asked for; ``same`` is the target's."""


class Controls(BaseModel):
    """What can be set about a fusion besides its pictures and faces.

    The meanings are those of `fusion.request.Blend`, `Network`, `Finish`, `Output` and `Detection`,
    which also check the ranges. format: one of `FORMATS`. resolution: a text that
    `Resolution.parse` reads.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    ratio: float = 0.6
    mode: str = "normal"
    shape: float = 0.35
    expression: str = "target"
    keep_glasses: bool = True
    smooth: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    sharpen: float = 0.0
    scope: str = "image"
    resolution: str = "original"
    fit: str = "keep"
    format: str = SAME
    quality: int | None = None
    metadata: str = "keep"
    threshold: float = 0.5
    engine: str = "auto"
    composite: str = "studio"
    boost: Literal[1, 2, 4] | None = None
    enhance: float | None = None

    @classmethod
    def defaults(cls, settings: Settings) -> Controls:
        """What the page starts with: what the settings say."""
        own, network = settings.fusion, settings.modelscope
        studio = network.composite == "studio"  # the other one has neither boost nor enhance
        return cls(
            ratio=own.ratio,
            mode=own.mode,
            shape=own.shape,
            expression=own.expression,
            keep_glasses=own.keep_glasses,
            quality=settings.output.quality,
            threshold=settings.detection.threshold,
            engine=own.engine,
            composite=network.composite,
            boost=network.boost if studio else None,
            enhance=network.enhance if studio else None,
        )

    @classmethod
    def read(cls, values: Mapping[str, Any], settings: Settings) -> Controls:
        """Controls from outside; what is not named is as the settings say.

        Raises:
            OptionError: A name is unknown, or a value is out of range.
        """
        try:
            controls = cls.model_validate(cls.defaults(settings).model_dump() | dict(values))
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(str(part) for part in first["loc"])
            if first["type"] == "extra_forbidden":
                known = ", ".join(cls.model_fields)
                raise OptionError(f"there is no control {name!r}; there are: {known}") from error
            raise OptionError(f"{name} {first['input']!r}: {first['msg'].lower()}") from error
        controls.check()
        return controls

    def check(self) -> None:
        """Check every value.

        Raises:
            OptionError: One is out of range.
        """
        self.blend(neural=True)
        self.finish()
        check_choice("format", self.format, FORMATS)
        self.output(Path("any.jpg"))
        Detection(self.threshold)

    def blend(self, neural: bool) -> Blend:
        """How the faces are mixed.

        Args:
            neural: Whether the engine takes a `Network`; one that does not gets none.
        """
        network = Network(self.composite, self.boost, self.enhance) if neural else Network()
        return Blend(self.ratio, self.mode, self.shape, self.expression, self.keep_glasses, network)

    def finish(self) -> Finish:
        return Finish(
            self.smooth,
            self.brightness,
            self.contrast,
            self.saturation,
            self.sharpen,
            self.scope,
        )

    def output(self, path: Path, graft: str = "auto") -> Output:
        """How the file is written to ``path``; a quality of one's own needs a whole encoding."""
        check_choice("fit", self.fit, FITS)
        check_choice("metadata", self.metadata, METADATA)
        resolution = Resolution.parse(self.resolution)
        return Output(path, resolution, self.fit, self.quality, graft, self.metadata)

    def suffix(self, target_format: str) -> str:
        """The result's file suffix for a target of that format."""
        return SUFFIXES[target_format if self.format == SAME else self.format]
