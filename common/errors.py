"""The one tree of errors.

Each class fixes a machine-readable ``code`` and the process ``exit_code`` of the
command line; the message is a sentence for the person who asked. Backend errors
(libvips, LiteRT, the operating system) are translated where they are caught.
"""

from __future__ import annotations

from typing import ClassVar


class StudioError(Exception):
    """Base of all expected failures.

    Args:
        message: One sentence that names the file or value and what would be accepted.
    """

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def as_dict(self) -> dict[str, str]:
        """The error as the command line prints it: ``{"error": code, "message": ...}``."""
        return {"error": self.code, "message": self.message}


class InputError(StudioError):
    """What was given cannot be used (exit code 2)."""

    code = "bad_input"
    exit_code = 2


class OptionError(InputError):
    """An option or request value is unknown or out of range."""

    code = "bad_option"


class SettingsError(InputError):
    """config.yaml or an environment variable holds an unknown key or a wrong value."""

    code = "bad_settings"


class FileMissingError(InputError):
    """A named file does not exist or may not be read."""

    code = "file_not_found"


class UnreadableImageError(InputError):
    """A file exists but is not a complete picture."""

    code = "unreadable_image"


class UnsupportedFormatError(InputError):
    """The picture's or the output's format is not one that the studio handles."""

    code = "unsupported_format"


class ImageSizeError(InputError):
    """A picture is larger than the configured limit, or too small to hold a face."""

    code = "image_size"


class OutputError(InputError):
    """The output cannot be written where it was asked for."""

    code = "output_unwritable"


class NoFaceError(StudioError):
    """No usable face in one of the pictures (exit code 3)."""

    code = "no_face"
    exit_code = 3


class EngineUnavailableError(StudioError):
    """The requested engine cannot run here (exit code 4)."""

    code = "engine_unavailable"
    exit_code = 4


class ModelMissingError(EngineUnavailableError):
    """A model file is absent, incomplete or not the expected one."""

    code = "model_missing"


class StoppedError(StudioError):
    """The work was ended before it was done (exit code 5)."""

    code = "stopped"
    exit_code = 5


class DeadlineError(StoppedError):
    """The time allowed for one request is over."""

    code = "timed_out"


class CancelledError(StoppedError):
    """The person who asked withdrew the request."""

    code = "cancelled"


class BusyError(StoppedError):
    """The queue is full; nothing was started."""

    code = "busy"


class ResourceError(StudioError):
    """Memory or disk ran out (exit code 6)."""

    code = "out_of_resources"
    exit_code = 6


class MemoryLimitError(ResourceError):
    """The working set does not fit the memory there is."""

    code = "out_of_memory"


class DiskFullError(ResourceError):
    """The disk that the output or its temporary file goes to is full."""

    code = "disk_full"
