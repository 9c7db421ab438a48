"""config.yaml and the environment become one frozen `Settings` value."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from common.errors import SettingsError

DEFAULT_FILE = Path(__file__).resolve().parent.parent / "config.yaml"
PREFIX = "STUDIO_"
SEPARATOR = "__"
MAX_MEMORY_RANGE = (300, 1_000_000)
"""MiB that a fusion may be limited to; below that the libraries alone do not fit."""
MIN_FACE_RANGE = (24, 100_000)
"""Pixels that the smallest face may be set to."""


class Group(BaseModel):
    """A section of config.yaml: unknown keys are errors, values cannot change later."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False, allow_inf_nan=False)


class Server(Group):
    host: str = "127.0.0.1"
    port: int = Field(7860, ge=1, le=65535)
    names: tuple[str, ...] = ()
    max_upload_mb: int = Field(512, ge=1)
    mcp: bool = False


class Limits(Group):
    max_megapixels: float = Field(390.0, gt=0)
    max_memory_mb: int | None = Field(None, ge=MAX_MEMORY_RANGE[0], le=MAX_MEMORY_RANGE[1])
    concurrent: int = Field(2, ge=1, le=3)
    queue: int = Field(16, ge=0)
    deadline_s: float = Field(120.0, gt=0)
    batch_files: int = Field(500, ge=1, le=100_000)


class DetectionSettings(Group):
    threshold: float = Field(0.5, ge=0.1, le=0.9)
    min_face: int | None = Field(None, ge=MIN_FACE_RANGE[0], le=MIN_FACE_RANGE[1])


class FusionSettings(Group):
    ratio: float = Field(0.6, ge=0, le=1)
    mode: Literal["normal", "blend", "overlay"] = "normal"
    shape: float = Field(0.35, ge=0, le=1)
    expression: Literal["target", "source"] = "target"
    keep_glasses: bool = True
    engine: Literal["auto", "mesh", "modelscope"] = "auto"


class OutputSettings(Group):
    quality: int | None = Field(None, ge=1, le=100)
    jpeg_graft: Literal["auto", "always", "never"] = "auto"


class PageSettings(Group):
    preview_px: int = Field(1600, ge=256, le=4096)


class StorageSettings(Group):
    directory: Path | None = None
    keep_hours: float = Field(24.0, gt=0)


class ModelSettings(Group):
    directory: Path | None = None


class ModelScopeSettings(Group):
    """The engine modelscope: its model, where it runs, and what its options start with."""

    model: str = Field("damo/cv_unet-image-face-fusion_damo", pattern=r"^[\w.-]+/[\w.-]+$")
    revision: str = Field("v1.3", pattern=r"^[\w./-]+$")
    folder: Path | None = None
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d{1,3})?)$")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    compile: bool = False
    idle_unload_s: float = Field(600.0, gt=0, le=1_000_000)
    composite: Literal["studio", "official"] = "studio"
    boost: Literal[1, 2, 4] | None = None
    enhance: float | None = Field(None, ge=0, le=1)


class Settings(Group):
    """All settings; each group is a section of config.yaml."""

    server: Server = Field(default_factory=Server)
    limits: Limits = Field(default_factory=Limits)
    detection: DetectionSettings = Field(default_factory=DetectionSettings)
    fusion: FusionSettings = Field(default_factory=FusionSettings)
    output: OutputSettings = Field(default_factory=OutputSettings)
    page: PageSettings = Field(default_factory=PageSettings)
    storage: StorageSettings = Field(default_factory=StorageSettings)
    models: ModelSettings = Field(default_factory=ModelSettings)
    modelscope: ModelScopeSettings = Field(default_factory=ModelScopeSettings)


def load_settings(
    file: Path | None = None, environment: Mapping[str, str] | None = None
) -> Settings:
    """Read the settings.

    Args:
        file: A YAML file; None takes the one that STUDIO_CONFIG names, else config.yaml
            beside the program.
        environment: Variables such as ``STUDIO_SERVER__PORT``; None takes the process's.

    Raises:
        SettingsError: The file cannot be read or is not YAML, or a key or value is wrong;
            the message names the file or variable and the key.
    """
    environment = os.environ if environment is None else environment
    if file is None:
        file = Path(environment.get("STUDIO_CONFIG") or DEFAULT_FILE)
    values = _read_yaml(file)
    origin = _apply_environment(values, environment)
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        lines = []
        for detail in error.errors():
            key = ".".join(str(part) for part in detail["loc"])
            where = origin.get(key, str(file))
            reason = (
                "is not a known setting"
                if detail["type"] == "extra_forbidden"
                else f"is {detail['input']!r}: {detail['msg'].lower()}"
            )
            lines.append(f"{key} {reason} (from {where})")
        raise SettingsError("; ".join(lines)) from error


def _read_yaml(file: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"cannot read the settings file {file}: {error}") from error
    except yaml.YAMLError as error:
        raise SettingsError(f"the settings file {file} is not valid YAML: {error}") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise SettingsError(
            f"the settings file {file} must hold sections, not a {type(values).__name__}"
        )
    return values


def _apply_environment(values: dict[str, Any], environment: Mapping[str, str]) -> dict[str, str]:
    """Write variables over ``values``; answers which key came from which variable."""
    origin = {}
    for name, text in environment.items():
        if not name.startswith(PREFIX):
            continue
        if SEPARATOR not in name:
            _refuse_single_underscore(name)
            continue
        section, _, key = name[len(PREFIX) :].lower().partition(SEPARATOR)
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise SettingsError(f"the variable {name} is not a valid value: {text!r}") from error
        if section not in values:
            origin[section] = name
        group = values.setdefault(section, {})
        if not isinstance(group, dict):
            raise SettingsError(f"{section} must be a section of settings, not {group!r}")
        group[key] = value
        origin[f"{section}.{key}"] = name
    return origin


def _refuse_single_underscore(name: str) -> None:
    """STUDIO_SERVER_PORT is surely meant as STUDIO_SERVER__PORT; other names are not ours."""
    section, _, key = name[len(PREFIX) :].partition("_")
    if key and section.lower() in Settings.model_fields:
        raise SettingsError(
            f"the variable {name} is not a setting; did you mean {PREFIX}{section}{SEPARATOR}{key}?"
        )
