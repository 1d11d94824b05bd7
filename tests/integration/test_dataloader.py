"""PyTorch: the workers of `examples/dataloader` read one data set in shared memory."""

from __future__ import annotations

import pytest

from example_support import run, shown
from scripts import entries, until
from server_support import EXAMPLES

pytest.importorskip("torch", reason="`make install-integration-torch` installs it")


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_the_data_set_is_in_memory_once(method: str) -> None:
    """Two persistent workers, three epochs: their memory does not grow by the data, whose pages are there once."""
    before = entries()
    printed, measured = run(EXAMPLES / "dataloader", "train.py", method, warnings="")

    assert printed == shown("dataloader")["train.py"], measured
    assert until(lambda: entries() <= before)
