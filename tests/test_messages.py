"""Every message says what happened, to which name, and what to do; the page that lists them lists all, as they are."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import messages_more
import messages_uses
import procshare
from message_texts import CORE, UNSEEN, pattern, texts
from messages import ROWS

if TYPE_CHECKING:
    from messages import Row

assert messages_uses.__doc__  # whose rows are in the table too
assert messages_more.__doc__
PAGE = Path(__file__).parent.parent / "docs/reference/errors.md"
BEGIN, END = "<!-- messages -->\n", "<!-- end of messages -->\n"


def table() -> str:
    """The rows, as the page shows them."""
    lines = ["| message | cause | what to do |", "|---|---|---|"]
    for row in ROWS:
        message = row.message.replace("{}", "…").replace("`", "")
        lines.append(f"| {row.error}: `{message}` | {row.cause} | {row.remedy} |")
    return "\n".join(lines) + "\n"


def raised(row: Row) -> Any:
    """What a row brings about."""
    with pytest.raises(Exception) as caught:
        row.provoke()
    return caught.value


def words(error: Any) -> str:
    """What an error says."""
    return str(error.args[0]) if isinstance(error, KeyError) else str(error)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.error}-{row.message[:40]}")
def test_a_message_is_what_the_table_says(row: Row) -> None:
    """Word for word, but for names, pids and figures; it travels between processes with all its facts."""
    error = raised(row)
    said = words(error)

    assert type(error).__name__ == row.error
    assert re.fullmatch(".+".join(re.escape(part) for part in row.message.split("{}")), said, re.DOTALL), said
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    if isinstance(error, procshare.ProcshareError):
        assert vars(copy) == vars(error)


def test_every_error_is_in_the_table() -> None:
    """None was added without its message being read."""
    ours = {
        name
        for name in procshare.__all__
        if isinstance(each := getattr(procshare, name), type) and issubclass(each, procshare.ProcshareError)
    }
    assert ours - {"ProcshareError"} <= {row.error for row in ROWS}


def test_every_text_is_in_the_table_or_is_known_to_be_rare() -> None:
    """So that none is written that nobody has read as its reader would."""
    said = [words(raised(row)) for row in ROWS]
    unsaid = {text for text in texts() if not any(map(pattern(text).search, said))}

    assert unsaid <= UNSEEN
    if CORE.is_dir():
        assert unsaid >= UNSEEN, "these are said, or nowhere, by now"


def test_the_page_shows_the_table() -> None:
    """To write it anew: `python tests/test_messages.py`."""
    _, _, rest = PAGE.read_text().partition(BEGIN)
    assert rest.partition(END)[0] == table()


if __name__ == "__main__":
    before, _, rest = PAGE.read_text().partition(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}{table()}{END}{rest.partition(END)[2]}")
