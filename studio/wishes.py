"""The options of the commands that fuse, as a request; the settings say what was left to them.

What is heavy is imported inside the functions, so that --help and a wrong option answer at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.errors import OptionError

if TYPE_CHECKING:
    from common.settings import ModelScopeSettings, Settings
    from fusion.engines.base import Capabilities
    from fusion.request import FusionRequest, Network

Options = dict[str, Any]
"""Values by the names that the groups of `studio.options` give them; None: not said."""


def request(
    target: Path, sources: tuple[Path, ...], output: Path, options: Options, settings: Settings
) -> FusionRequest:
    """One fusion as the options describe it.

    Raises:
        OptionError: A value is unknown or out of range.
    """
    from fusion import request as ask
    from preprocess.resolution import Resolution

    def chosen(group: Any, *names: str) -> dict[str, Any]:
        return {name: given(options[name], getattr(group, name)) for name in names}

    finish = ("smooth", "brightness", "contrast", "saturation", "sharpen", "scope")
    return ask.FusionRequest(
        target=target,
        sources=sources,
        output=ask.Output(
            output,
            Resolution.parse(options["resolution"]),
            options["fit"],
            given(options["quality"], settings.output.quality),
            given(options["jpeg_graft"], settings.output.jpeg_graft),
            options["metadata"],
        ),
        blend=ask.Blend(
            **chosen(settings.fusion, "ratio", "mode", "shape", "expression", "keep_glasses"),
            network=_network(options, settings.modelscope),
        ),
        finish=ask.Finish(**{name: options[name] for name in finish}),
        faces=ask.FaceSelection.parse(options["faces"]),
        detection=ask.Detection(**chosen(settings.detection, "threshold", "min_face")),
        max_memory_mb=given(options["max_memory_mb"], settings.limits.max_memory_mb),
    )


def for_engine(request: FusionRequest, options: Options, engine: Capabilities) -> FusionRequest:
    """The request without what its engine does not have; what was asked for it must have.

    Raises:
        OptionError: An option of neural engines is given for another one.
    """
    if engine.composites:
        return request
    for name in ("composite", "boost", "enhance"):
        if options[name] is not None:
            raise OptionError(
                f"--{name} is for engine modelscope, and this would be engine {engine.name}; "
                "leave it out, or use --engine modelscope"
            )
    from fusion.request import Network

    return replace(request, blend=replace(request.blend, network=Network()))


def given(value: Any, default: Any) -> Any:
    """``value``, or ``default`` where none was given."""
    return default if value is None else value


def look_at_headers(files: Sequence[Path], settings: Settings) -> None:
    """Refuse what a header tells is unusable before the large libraries are loaded.

    Raises:
        InputError: A file cannot be used as a picture.
    """
    from preprocess.image_source import read_header

    for file in files:
        read_header(file, settings.limits.max_megapixels)


def _network(options: Options, own: ModelScopeSettings) -> Network:
    """The options of neural engines."""
    from fusion.engines.registry import network_settings

    default = network_settings(own, options["composite"])
    return replace(
        default,
        boost=_automatic("boost", options["boost"], int, default.boost),
        enhance=_automatic("enhance", options["enhance"], float, default.enhance),
    )


def _automatic(
    name: str, text: str | None, number: Callable[[str], Any], default: float | None
) -> Any:
    """The number that an option says; None for auto, ``default`` where nothing was said."""
    if text is None:
        return default
    if text.strip().lower() == "auto":
        return None
    try:
        return number(text)
    except ValueError as error:
        accepted = "1, 2 or 4" if name == "boost" else "a number from 0 to 1"
        raise OptionError(f"{name} {text!r} is not known; use auto or {accepted}") from error
