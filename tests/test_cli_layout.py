"""Tables and facts on screens of any width: nothing is cut off, nothing sticks out, and names cannot do harm."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from procshare.cli import layout, text
from procshare.cli.layout import Cell, Column, width_of

COLUMNS = [Column("name"), Column("kind"), Column("size", right=True, spare=1), Column("age", right=True, spare=2)]
WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z", "M"]), min_size=1, max_size=30)


def plain(lines: list[layout.Line]) -> list[str]:
    """Lines as text."""
    return ["".join(cell.text for cell in line).rstrip() for line in lines]


def test_a_table_is_as_wide_as_it_needs_to_be() -> None:
    """Text stands at the left, figures at the right, two blanks between."""
    rows = [["jobs", "queue", "64 KiB", "3 s"], ["n", "counter", "8 KiB", "12 min"]]
    assert plain(layout.table(COLUMNS, rows, 80)) == [
        "name  kind       size     age",
        "jobs  queue    64 KiB     3 s",
        "n     counter   8 KiB  12 min",
    ]
    assert layout.needs(COLUMNS, rows) == 29


def test_the_least_important_column_goes_first() -> None:
    """One after the other, as the screen gets narrower; what is essential becomes a block."""
    rows = [["jobs", "queue", "64 KiB", "3 s"]]
    assert plain(layout.table(COLUMNS, rows, 20))[0] == "name  kind     size"
    assert plain(layout.table(COLUMNS, rows, 12))[0] == "name  kind"
    assert plain(layout.table(COLUMNS, rows, 10)) == ["jobs", "  kind  queue", "  size  64 KiB", "  age   3 s"]


@settings(max_examples=40, deadline=None)
@given(
    rows=st.lists(st.tuples(WORDS, WORDS, WORDS, WORDS), min_size=1, max_size=5),
    width=st.one_of(st.none(), st.integers(30, 100)),
)
def test_nothing_sticks_out_and_nothing_is_lost(rows: list[tuple[str, ...]], width: int | None) -> None:
    """Whatever the cells hold, each line fits, and each row's name and kind are there."""
    lines = plain(layout.table(COLUMNS, rows, width))
    if width is not None:
        assert max(map(width_of, lines)) <= width
    shown = "".join(lines).replace(" ", "")
    for row in rows:
        assert row[0] in shown
        assert row[1] in shown


def test_a_last_column_may_be_cut_short() -> None:
    """Of a command line, say, the beginning has to do, on a screen; in a pipe all of it is there."""
    columns = [Column("name"), Column("command", cut=True)]
    assert plain(layout.table(columns, [["jobs", "python " * 9]], 30))[1] == "jobs  python python python py…"
    assert plain(layout.table(columns, [["jobs", "python " * 9]], 20)) == [
        "jobs",
        "  command  python",
        *["           python"] * 8,
    ]
    assert plain(layout.table(columns, [["jobs", "python " * 9]], None))[1].count("python") == 9


def test_long_text_goes_on_below_its_beginning() -> None:
    """Facts are broken between words, and within one that is longer than the line."""
    lines = plain(layout.facts([("what", "one two three"), ("n", "x" * 20)], 18))
    assert lines == ["what  one two", "      three", "n     xxxxxxxxxxxx", "      xxxxxxxx"]


@pytest.mark.parametrize(
    ("name", "shown", "word"),
    [
        ("a b", "a b", r"a\x20b"),
        ("a\x1b[31mb", r"a\x1b[31mb", r"a\x1b[31mb"),
        ("a\nb\tc", r"a\nb\tc", r"a\nb\tc"),
        ("a\\b", "a\\b", r"a\\b"),
        ("a\u202eb", r"a\u202eb", r"a\u202eb"),
        ("a\udc80b", r"a\udc80b", r"a\udc80b"),
        ("größe", "größe", "größe"),
    ],
)
def test_names_cannot_do_harm(name: str, shown: str, word: str) -> None:
    """What would move the cursor, or not show, is printed as an escape; in a pipe a name is one word."""
    assert layout.visible(name) == shown
    assert layout.visible(name, blanks=False) == word


def test_wide_characters_take_two_columns() -> None:
    """Columns stay straight below names in other scripts."""
    rows = [["数据", "dict", "1", "2"], ["data", "list", "3", "4"]]
    assert len(set(map(width_of, plain(layout.table(COLUMNS, rows, 80))[1:]))) == 1


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0.0004, "0 ms"),
        (0.35, "350 ms"),
        (4.21, "4.2 s"),
        (59.4, "59 s"),
        (90, "1.5 min"),
        (5400, "1.5 h"),
        (1e6, "12 d"),
    ],
)
def test_times_have_a_telling_unit(seconds: float, told: str) -> None:
    """Two or three digits, whatever the length."""
    assert text.duration(seconds) == told


@pytest.mark.parametrize(
    ("count", "told"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1 KiB"), (8256, "8.06 KiB"), (1 << 20, "1 MiB"), (3 << 40, "3 TiB")],
)
def test_sizes_have_a_telling_unit(count: int, told: str) -> None:
    """Bytes in units of 1024s."""
    assert text.size(count) == told


def test_what_has_no_tone_has_its_text() -> None:
    """A cell is made of either."""
    assert layout.cell("x") == Cell("x")
    assert layout.cell(Cell("x", "bad")).tone == "bad"
