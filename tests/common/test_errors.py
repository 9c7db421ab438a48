"""The tree of errors: codes and exit codes are a contract with scripts and workers."""

from collections.abc import Iterator

import pytest

from common import errors
from common.errors import StudioError


def tree(root: type[StudioError] = StudioError) -> Iterator[type[StudioError]]:
    yield root
    for child in root.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from tree(child)


@pytest.mark.parametrize(
    ("error", "exit_code"),
    [
        (errors.OptionError, 2),
        (errors.SettingsError, 2),
        (errors.FileMissingError, 2),
        (errors.UnreadableImageError, 2),
        (errors.UnsupportedFormatError, 2),
        (errors.ImageSizeError, 2),
        (errors.OutputError, 2),
        (errors.NoFaceError, 3),
        (errors.EngineUnavailableError, 4),
        (errors.ModelMissingError, 4),
        (errors.DeadlineError, 5),
        (errors.CancelledError, 5),
        (errors.BusyError, 5),
        (errors.MemoryLimitError, 6),
        (errors.DiskFullError, 6),
    ],
)
def test_exit_codes(error: type[StudioError], exit_code: int) -> None:
    assert error.exit_code == exit_code


def test_each_error_has_a_code_of_its_own() -> None:
    codes = [error.code for error in tree()]
    assert len(codes) == len(set(codes)) > 15


def test_an_error_becomes_the_line_of_the_command_line() -> None:
    error = errors.NoFaceError("there is no face in a.jpg")
    assert str(error) == error.message == "there is no face in a.jpg"
    assert error.as_dict() == {"error": "no_face", "message": "there is no face in a.jpg"}
