"""Reading after a fork, with real ones: at once an answer, or what to do."""

import gc
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from etendue.store.fetch import get_each
from etendue.store.repository import create_repository, set_keys

from .events import cut, make_events, write_events

SCRIPT = Path(__file__).with_name("forking.py")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_is_told_at_once_and_a_fresh_one_reads(tmp_path):
    events = make_events(60)
    write_events(tmp_path / "s.etendue", "p", cut(events, [0, 30, 60]))
    ended = subprocess.run(
        [sys.executable, SCRIPT, tmp_path / "s.etendue"], capture_output=True, text=True, timeout=120
    )
    assert ended.returncode == 0, ended.stderr
    before, here, anew, inherited, pool, fresh = ended.stdout.splitlines()
    expected = np.float64(events["hits"]["charge"].mean())
    np.testing.assert_allclose([float(v) for v in (before, here, fresh)], expected, rtol=1e-6)
    for said in (anew, inherited, pool):
        assert said.startswith("refused: process ")
        assert "multiprocessing_context='spawn'" in said


def test_ctrl_c_before_a_question_is_put_leaves_no_coroutine(tmp_path, monkeypatch):
    repository = create_repository(str(tmp_path / "s"))
    store = repository.writable_session("main").store
    root = b'{"zarr_format": 3, "node_type": "group"}'

    def interrupted():
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        patch.setattr("zarr.core.sync._get_loop", interrupted)
        for ask in (lambda: set_keys(store, {"zarr.json": root}), lambda: get_each(store, ["zarr.json"])):
            with pytest.raises(KeyboardInterrupt):
                ask()
        gc.collect()
    assert not [str(warning.message) for warning in told if "never awaited" in str(warning.message)]
    set_keys(store, {"zarr.json": root})
    (found,) = get_each(store, ["zarr.json"])
    assert b'"group"' in found.tobytes()
