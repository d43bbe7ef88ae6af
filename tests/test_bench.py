from __future__ import annotations

import json

import numpy as np
import pytest

from synesthesia import hub
from synesthesia.evaluate import bench


def test_unknowns_of_quadratic_tetrahedra() -> None:
    """One tetrahedron has 4 corners and 6 edges; a second on one of its faces adds 1 and 3."""
    one = np.array([[0, 1, 2, 3]])
    assert bench._unknowns(one, 4) == 3 * (4 + 6)
    assert bench._unknowns(np.array([[0, 1, 2, 3], [1, 2, 3, 4]]), 5) == 3 * (5 + 9)


def test_timings_as_text_and_json() -> None:
    rows = [bench.Timing("a click", 7.2, 30, 10, 5)]
    assert "7 ms" in bench.table(rows, "a toaster, 1 core")
    assert json.loads(json.dumps(bench.record(rows, "a toaster")))["rows"][0]["median_ms"] == 7.2


@pytest.mark.slow
@pytest.mark.skipif("knock/tiny" not in hub.shipped_models(), reason="knock/tiny is not in this checkout")
def test_everything_that_is_promised_is_timed() -> None:
    rows = bench.knock(repeats=1)
    assert len(rows) == 5
    assert all(0 < row.median_ms < 60_000 for row in rows)
