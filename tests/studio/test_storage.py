import errno
import os
import stat
import time
from pathlib import Path

import pytest

from common.errors import DiskFullError, FileMissingError, ResourceError, SettingsError
from studio.service import storage as storage_module
from studio.service.storage import Storage, download_name


def age(path: Path, hours: float) -> None:
    then = time.time() - hours * 3600
    os.utime(path, (then, then))


def test_the_folder_is_private(tmp_path: Path) -> None:
    storage = Storage(tmp_path, 24)
    for folder in (storage.directory, storage.directory.parent):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert storage.directory.parent.parent == tmp_path


def test_new_files_lie_in_folders_that_cannot_be_guessed(tmp_path: Path) -> None:
    storage = Storage(tmp_path, 24)
    files = [storage.new_file("portrait-fused.jpg") for _ in range(20)]
    assert len({file.parent for file in files}) == 20
    assert all(len(file.parent.name) >= 32 for file in files)
    assert all(file.name == "portrait-fused.jpg" for file in files)
    assert all(stat.S_IMODE(file.parent.stat().st_mode) == 0o700 for file in files)


@pytest.mark.parametrize("name", ["", "a/b.jpg", "../b.jpg", "/etc/passwd", ".."])
def test_new_files_are_named_not_placed(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="plain file name"):
        Storage(tmp_path, 24).new_file(name)


def test_only_files_of_this_run_may_be_named(tmp_path: Path) -> None:
    storage = Storage(tmp_path, 24)
    inside = storage.new_file("a.jpg")
    inside.write_bytes(b"x")
    assert storage.require(str(inside)) == inside
    outside = tmp_path / "outside.jpg"
    outside.write_bytes(b"x")
    link = storage.new_file("link.jpg")
    link.symlink_to(outside)
    other = Storage(tmp_path, 24).new_file("b.jpg")
    other.write_bytes(b"x")
    gone = storage.new_file("gone.jpg")
    sneaky = inside.parent / ".." / ".." / ".." / ".." / "outside.jpg"
    for path in (outside, link, other, gone, sneaky, inside.parent):
        with pytest.raises(FileMissingError, match="add it again"):
            storage.require(path)


@pytest.mark.parametrize("name", ["nul\0.jpg", "half\ud800.jpg", "n" * 5000, "", "loop"])
def test_a_name_that_no_file_has_is_refused_like_any_other(tmp_path: Path, name: str) -> None:
    storage = Storage(tmp_path, 24)
    (storage.directory / "loop").symlink_to("loop")
    with pytest.raises(FileMissingError, match="add it again") as caught:
        storage.require(f"{storage.directory}/{name}")
    caught.value.message.encode()  # it can be sent to a browser


@pytest.mark.parametrize(
    ("number", "error"), [(errno.ENOSPC, DiskFullError), (errno.EACCES, ResourceError)]
)
def test_failures_to_write_name_no_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, error: type[ResourceError]
) -> None:
    storage = Storage(tmp_path, 24)

    def refuse(self: Path, **_: object) -> None:
        raise OSError(number, os.strerror(number), str(self))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(ResourceError) as caught:
        storage.new_file("a.jpg")
    assert type(caught.value) is error
    assert str(tmp_path) not in caught.value.message


def test_the_home_folder_can_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    storage = Storage(Path("~/studio"), 24)
    assert storage.directory.is_relative_to(tmp_path / "studio")
    with pytest.raises(SettingsError, match=r"storage\.directory.*~nobody-of-that-name"):
        Storage(Path("~nobody-of-that-name/studio"), 24)


def test_what_is_old_is_deleted_and_what_is_new_stays(tmp_path: Path) -> None:
    storage = Storage(tmp_path, keep_hours=2)
    old, new = storage.new_file("old.jpg"), storage.new_file("new.jpg")
    for file, hours in ((old, 2.1), (new, 1.9)):
        file.write_bytes(b"x")
        age(file, hours)
    assert storage.sweep() == 1
    assert not old.exists()
    assert new.exists()
    age(old.parent, 3)
    storage.sweep()
    assert not old.parent.exists()
    assert storage.directory.exists()


def test_what_an_earlier_run_left_goes_too(tmp_path: Path) -> None:
    earlier = Storage(tmp_path, 1)
    left = earlier.new_file("left.jpg")
    left.write_bytes(b"x")
    age(left, 5)
    Storage(tmp_path, 1).sweep()
    assert not left.exists()


def test_nothing_outside_our_own_folder_is_touched(tmp_path: Path) -> None:
    family = tmp_path / "holiday.jpg"
    family.write_bytes(b"x")
    age(family, 1000)
    Storage(tmp_path, 1).sweep()
    assert family.exists()


def test_closing_deletes_the_files_of_the_run(tmp_path: Path) -> None:
    storage = Storage(tmp_path, 24)
    storage.start_sweeping()
    storage.new_file("a.jpg").write_bytes(b"x")
    storage.close()
    assert not storage.directory.exists()
    assert storage.directory.parent.exists()


def test_a_result_can_be_discarded_and_nothing_else(tmp_path: Path) -> None:
    storage = Storage(tmp_path, 24)
    file = storage.new_file("a.jpg")
    file.write_bytes(b"x")
    storage.discard(tmp_path / "not" / "ours.jpg")
    storage.discard(file)
    storage.discard(file)
    assert not file.parent.exists()
    assert storage.directory.exists()


def test_a_place_that_cannot_be_used_names_the_setting(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_bytes(b"x")
    with pytest.raises(SettingsError, match=r"storage\.directory.*file"):
        Storage(blocked, 24)


def test_a_folder_of_somebody_else_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage_module, "_user_id", lambda: os.getuid() + 1)
    with pytest.raises(SettingsError, match="another user"):
        Storage(tmp_path, 24)


def test_a_link_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    target = tmp_path / "elsewhere"
    target.mkdir()
    (tmp_path / storage_module.FOLDER_NAME).symlink_to(target)
    with pytest.raises(SettingsError):
        Storage(tmp_path, 24)


@pytest.mark.parametrize(
    ("target", "suffix", "expected"),
    [
        ("portrait.jpeg", ".jpg", "portrait-fused.jpg"),
        ("My Photo (1).PNG", ".png", "My-Photo-1-fused.png"),
        ("/home/ann/secret/me.jpg", ".jpg", "me-fused.jpg"),
        ("C:\\Users\\ann\\me.jpg", ".jpg", "me-fused.jpg"),
        ("照片.webp", ".webp", "照片-fused.webp"),
        ("..jpg", ".jpg", "photo-fused.jpg"),
        ("-rf $(x);`y`.jpg", ".jpg", "rf-x-y-fused.jpg"),
        ("x" * 300 + ".jpg", ".jpg", "x" * 60 + "-fused.jpg"),
        ("", ".png", "photo-fused.png"),
    ],
)
def test_download_names(target: str, suffix: str, expected: str) -> None:
    assert download_name(target, suffix) == expected
