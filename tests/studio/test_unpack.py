"""Archives that people upload: only their pictures come out, and only into our folder."""

import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from common.errors import CancelledError, DiskFullError, InputError
from common.progress import Progress
from studio.service import unpack as module
from studio.service.unpack import Unpacked, UnpackLimits, unpack

LIMITS = UnpackLimits(files=4, file_bytes=2_000_000)


@pytest.fixture(scope="module")
def jpeg(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("jpeg") / "a.jpg"
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(path)
    return path.read_bytes()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "unpacked"
    made.mkdir()
    return made


@pytest.fixture
def packed(tmp_path: Path) -> Callable[[dict[str, bytes]], Path]:
    def pack(files: dict[str, bytes]) -> Path:
        path = tmp_path / "photos.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as zipped:
            for name, data in files.items():
                zipped.writestr(name, data)
        return path

    return pack


Packed = Callable[[dict[str, bytes]], Path]


def unpacked(archive: Path, folder: Path, limits: UnpackLimits = LIMITS) -> Unpacked:
    return unpack(archive, folder, limits, Progress())


def refusal(archive: Path, folder: Path, limits: UnpackLimits = LIMITS) -> str:
    with pytest.raises(InputError) as refused:
        unpacked(archive, folder, limits)
    return refused.value.message


def test_pictures_come_out_unchanged_under_flat_names(
    packed: Packed, folder: Path, jpeg: bytes
) -> None:
    archive = packed({"相册/2024/微笑.jpg": jpeg, "b/photo one.JPG": jpeg, "a.jpg": jpeg})
    found = unpacked(archive, folder)
    assert [file.name for file in found.files] == ["相册/2024/微笑.jpg", "b/photo one.JPG", "a.jpg"]
    assert [file.path.name for file in found.files] == ["微笑.jpg", "photo-one.JPG", "a.jpg"]
    assert all(file.path.parent == folder for file in found.files)
    assert all(file.path.read_bytes() == jpeg for file in found.files)
    assert found.left_out == ()


def test_names_that_are_one_file_on_some_systems_are_told_apart(
    packed: Packed, folder: Path, jpeg: bytes
) -> None:
    archive = packed({"one/a.jpg": jpeg, "two/a.jpg": jpeg, "A.JPG": jpeg})
    found = unpacked(archive, folder)
    assert [file.path.name for file in found.files] == ["a.jpg", "a-2.jpg", "A-3.JPG"]
    assert [file.name for file in found.files] == ["one/a.jpg", "two/a.jpg", "A.JPG"]


@pytest.mark.parametrize(
    ("name", "shown", "written"),
    [
        ("../../evil.jpg", "evil.jpg", "evil.jpg"),
        ("/etc/evil.jpg", "etc/evil.jpg", "evil.jpg"),
        ("..\\..\\evil.jpg", "evil.jpg", "evil.jpg"),
        ("a/../b/evil.jpg", "a/b/evil.jpg", "evil.jpg"),
        ("a\nb\u202e.jpg", "ab.jpg", "ab.jpg"),
        ("=cmd|' '!A1.jpg", "=cmd|' '!A1.jpg", "cmd-A1.jpg"),
        (f"{'长' * 150}.jpg", f"{'长' * 150}.jpg", f"{'长' * 60}.jpg"),
    ],
)
def test_no_name_leads_out_of_the_folder(
    packed: Packed, folder: Path, jpeg: bytes, name: str, shown: str, written: str
) -> None:
    (file,) = unpacked(packed({name: jpeg}), folder).files
    assert (file.name, file.path) == (shown, folder / written)
    assert [path.name for path in folder.iterdir()] == [written]
    assert {path.name for path in folder.parent.iterdir()} == {"unpacked", "photos.zip"}


@pytest.mark.parametrize("encoding", ["gbk", "utf-8"])
def test_names_of_archives_that_do_not_say_their_encoding(
    tmp_path: Path, folder: Path, jpeg: bytes, encoding: str
) -> None:
    archive = tmp_path / "windows.zip"
    raw = "相册/微笑.jpg".encode(encoding)
    placeholder = "x" * len(raw)
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr(placeholder, jpeg)
    archive.write_bytes(archive.read_bytes().replace(placeholder.encode(), raw))
    assert [file.name for file in unpacked(archive, folder).files] == ["相册/微笑.jpg"]


def test_what_is_left_out_is_said_and_what_is_hidden_is_not(
    packed: Packed, folder: Path, jpeg: bytes
) -> None:
    archive = packed(
        {
            "a.jpg": jpeg,
            "notes.txt": b"hello",
            "fake.jpg": b"no picture at all",
            "inner.zip": b"PK\3\4 and so on",
            "__MACOSX/._a.jpg": jpeg,
            ".hidden/b.jpg": jpeg,
            "sub/.DS_Store": b"x",
            "Thumbs.db": b"x",
            "large.jpg": jpeg + bytes(2_000_000),
        }
    )
    found = unpacked(archive, folder)
    assert [file.name for file in found.files] == ["a.jpg"]
    notes, fake, inner, large = found.left_out
    assert notes.startswith("notes.txt is not a picture")
    assert fake.startswith("fake.jpg is not a picture")
    assert inner.startswith("inner.zip is an archive inside the archive")
    assert large == "large.jpg is larger than the 2 MB that a file may have; it was left out"
    assert len(list(folder.iterdir())) == 1


def test_links_are_not_followed_nor_made(tmp_path: Path, folder: Path, jpeg: bytes) -> None:
    archive = tmp_path / "links.zip"
    link = zipfile.ZipInfo("link.jpg")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr(link, "/etc/passwd")
        zipped.writestr("a.jpg", jpeg)
    found = unpacked(archive, folder)
    assert [file.name for file in found.files] == ["a.jpg"]
    assert found.left_out == ("link.jpg is a link or a device and not a file; it was left out",)


def test_a_damaged_file_is_left_out_and_the_others_come(
    tmp_path: Path, folder: Path, jpeg: bytes
) -> None:
    archive = tmp_path / "photos.zip"
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr("broken.jpg", jpeg)
        zipped.writestr("whole.jpg", jpeg)
    data = bytearray(archive.read_bytes())
    at = data.index(jpeg) + len(jpeg) - 40  # behind the head that tells the format
    data[at] ^= 0xFF
    archive.write_bytes(data)
    found = unpacked(archive, folder)
    assert [file.name for file in found.files] == ["whole.jpg"]
    assert found.left_out == ("broken.jpg is damaged in the archive; it was left out",)
    assert [path.name for path in folder.iterdir()] == ["whole.jpg"]


def test_an_entry_gives_no_more_than_the_size_it_says_it_has(
    packed: Packed, folder: Path, jpeg: bytes
) -> None:
    archive = packed({"a.jpg": jpeg + bytes(5_000_000)})
    data = bytearray(archive.read_bytes())
    entry = data.index(b"PK\1\2")
    struct.pack_into("<I", data, entry + 24, 1000)
    archive.write_bytes(data)
    assert refusal(archive, folder).startswith("no photograph in photos.zip can be used")
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("cut", [0, 10, 100])
def test_a_cut_off_archive_is_refused(packed: Packed, folder: Path, jpeg: bytes, cut: int) -> None:
    archive = packed({"a.jpg": jpeg})
    archive.write_bytes(archive.read_bytes()[: -cut - 12] if cut else b"no archive")
    assert "photos.zip is not a ZIP archive, or it is damaged" in refusal(archive, folder)


def test_an_encrypted_archive_is_refused(packed: Packed, folder: Path, jpeg: bytes) -> None:
    archive = packed({"a.jpg": jpeg})
    data = bytearray(archive.read_bytes())
    data[data.index(b"PK\1\2") + 8] |= 1
    archive.write_bytes(data)
    assert "is protected by a password" in refusal(archive, folder)


def test_an_unknown_packing_method_is_left_out(packed: Packed, folder: Path, jpeg: bytes) -> None:
    archive = packed({"a.jpg": jpeg})
    data = bytearray(archive.read_bytes())
    struct.pack_into("<H", data, data.index(b"PK\1\2") + 10, 9)
    struct.pack_into("<H", data, 8, 9)
    archive.write_bytes(data)
    assert "a.jpg is packed in a way that is not known here" in refusal(archive, folder)


def test_more_photographs_than_a_batch_takes_are_refused(
    packed: Packed, folder: Path, jpeg: bytes
) -> None:
    archive = packed({f"{number}.jpg": jpeg for number in range(5)})
    assert "holds 5 photographs, and a batch takes at most 4" in refusal(archive, folder)
    assert list(folder.iterdir()) == []


def test_a_bomb_is_refused_before_it_is_unpacked(packed: Packed, folder: Path, jpeg: bytes) -> None:
    archive = packed({"a.jpg": jpeg + bytes(40_000_000)})
    limits = UnpackLimits(files=4, file_bytes=100_000_000)
    assert "would grow to 40 MB" in refusal(archive, folder, limits)
    assert list(folder.iterdir()) == []


def test_entries_that_share_their_packed_bytes_are_a_bomb(
    packed: Packed, folder: Path, jpeg: bytes
) -> None:
    archive = packed({"a.jpg": jpeg, "b.jpg": jpeg})
    data = bytearray(archive.read_bytes())
    first = data.index(b"PK\1\2")
    for entry in (first, data.index(b"PK\1\2", first + 4)):
        struct.pack_into("<I", data, entry + 24, 1_900_000)
    archive.write_bytes(data)
    assert "would grow to 4 MB" in refusal(archive, folder)


def test_a_list_of_files_that_would_fill_the_memory_is_not_read(
    packed: Packed, folder: Path, jpeg: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MOST_DIRECTORY", 100)
    archive = packed({f"{number}.txt": b"x" for number in range(20)})
    assert "photos.zip holds too many files" in refusal(archive, folder)


def test_a_full_disk_is_told_before_anything_is_written(
    packed: Packed, folder: Path, jpeg: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_KEPT_FREE", 10**18)
    with pytest.raises(DiskFullError, match=r"no room to unpack photos\.zip"):
        unpacked(packed({"a.jpg": jpeg}), folder)
    assert list(folder.iterdir()) == []


def test_an_archive_without_pictures_is_refused(packed: Packed, folder: Path) -> None:
    assert refusal(packed({"notes.txt": b"hello"}), folder) == (
        "no photograph in photos.zip can be used; choose another archive; notes.txt is not a "
        "picture; use a JPEG, PNG, WebP, TIFF, AVIF, HEIC or GIF file"
    )
    empty = packed({})
    assert refusal(empty, folder) == "photos.zip holds no photograph; choose another archive"


def test_it_can_be_cancelled(packed: Packed, folder: Path, jpeg: bytes) -> None:
    progress = Progress()
    progress.cancel()
    with pytest.raises(CancelledError):
        unpack(packed({"a.jpg": jpeg}), folder, LIMITS, progress)


def test_a_large_archive_with_its_own_records_is_read(
    tmp_path: Path, folder: Path, jpeg: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 1)  # so that it writes ZIP64 records
    archive = tmp_path / "photos.zip"
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr("a.jpg", jpeg)
        zipped.writestr("b.jpg", jpeg)
    assert b"PK\6\6" in archive.read_bytes()
    assert len(unpacked(archive, folder).files) == 2
