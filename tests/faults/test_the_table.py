"""docs/faults.md says what the tests do."""

from __future__ import annotations

import pytest
from causing import table

from switchboard.settings import ROOT


@pytest.mark.faults
def test_the_table_names_every_fault_that_is_caused() -> None:
    written = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")
    assert written == table(), "run `make faults-table`"
