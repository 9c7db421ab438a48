"""Tables of pairs as spreadsheets save them."""

import pytest

from common.errors import InputError
from studio.service.pairs import read_pairs


def pairs(data: bytes) -> list[tuple[str, str]]:
    return [(pair.target, pair.source) for pair in read_pairs(data, "pairs.csv")]


TWO = [("a.jpg", "x.jpg"), ("目标.jpg", "来源.jpg")]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gb18030"])
@pytest.mark.parametrize("between", [",", ";", "\t"])
def test_every_usual_way_to_save_a_table_is_read(encoding: str, between: str) -> None:
    text = f"target{between}source\r\na.jpg{between}x.jpg\r\n\r\n目标.jpg{between}来源.jpg\r\n"
    assert pairs(text.encode(encoding)) == TWO


def test_without_names_of_columns_the_target_comes_first() -> None:
    assert pairs("a.jpg,x.jpg\n目标.jpg , 来源.jpg".encode()) == TWO


def test_named_columns_come_in_any_order_with_others() -> None:
    assert pairs(b"Name,Source,TARGET\n1,x.jpg,a.jpg\n") == [("a.jpg", "x.jpg")]
    assert pairs("来源照片,目标照片\nx.jpg,a.jpg".encode()) == [("a.jpg", "x.jpg")]


def test_cells_in_quotes_hold_the_separator() -> None:
    assert pairs(b'"a, b.jpg","x ""y"".jpg"') == [("a, b.jpg", 'x "y".jpg')]


def test_lines_are_counted_as_an_editor_does() -> None:
    found = read_pairs(b"target,source\n\na.jpg,x.jpg\n", "pairs.csv")
    assert [pair.line for pair in found] == [3]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "pairs.csv holds no pairs; write a target and its source in each line"),
        (
            b"target,source\n",
            "pairs.csv holds no pairs; write a target and its source in each line",
        ),
        (
            b"target,source\na.jpg\n",
            "line 2 of pairs.csv does not name a target and a source; write both, with a comma "
            "between them",
        ),
        (
            b"a.jpg,x.jpg\nb.jpg,\n",
            "line 2 of pairs.csv does not name a target and a source; write both, with a comma "
            "between them",
        ),
        (
            b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
            "pairs.csv is not a table of text; save it as CSV in UTF-8",
        ),
    ],
)
def test_what_is_no_table_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(InputError) as refused:
        pairs(data)
    assert refused.value.message == message


def test_an_open_quote_names_the_line() -> None:
    with pytest.raises(InputError, match=r"line 2 of pairs\.csv cannot be read as a table"):
        pairs(b'a.jpg,x.jpg\n"b.jpg,x.jpg\n')
