"""Kernels compiled before they are called: what the lists hold, and that nothing is left to compile after."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest
from click.testing import CliRunner

from etendue.cli import main
from etendue.dataflow.registry import ConfigError, find_pipeline, shipped_pipelines, stage_reference
from etendue.dataflow.warm import KernelList, kernel_lists, wanted_by
from etendue.kernel_list import decoded, encoded

LISTS = {name: one for family in kernel_lists().values() for name, one in family.items()}

RUN = (
    "import json, sys\nfrom etendue.cli import main\nfrom etendue.kernel_list import used\n"
    "from etendue.compiler import asked\n"
    "try:\n    main(sys.argv[1:], standalone_mode=False)\n"
    "finally:\n    compiled = sum(sum(k._cache_misses.values()) for k in {k for k, _ in asked})\n"
    "    print('USED', json.dumps([compiled, [[o.kernel, o.signature] for o in used()]]))\n"
)


def run(folder, *arguments, **environment):
    """Kernels that a call compiled, and those that it asked for, with its standard error."""
    done = subprocess.run(
        [sys.executable, "-c", RUN, *map(str, arguments)], cwd=folder, capture_output=True, text=True,
        check=False, timeout=400, env=os.environ | environment,
    )  # fmt: skip
    line = next(line for line in done.stdout.splitlines() if line.startswith("USED "))
    compiled, used = json.loads(line.removeprefix("USED "))
    return compiled, used, done.stderr


def test_every_shipped_pipeline_has_a_list_of_its_stages():
    assert LISTS.keys() == shipped_pipelines().keys()
    for name, one in LISTS.items():
        assert one.stages == tuple(stage_reference(type(s)) for s in find_pipeline(name).stages)
        assert KernelList.parse(one.text()) == one


def test_lists_name_kernels_that_there_are():
    for one in wanted_by([]):
        assert one.find().py_func
        assert [encoded(kind) for kind in one.types] == one.signature


def test_types_travel_as_text():
    record = np.zeros(3, np.dtype([("a", np.int32), ("b", np.float64)], align=True))
    frozen = np.zeros((2, 3), np.uint8)
    frozen.flags.writeable = False
    values = (record, frozen, np.zeros((4, 4))[:, ::2], 1, 1.5, True, None, (1, 2), (1, 2.0), np.float32(1))
    for value in values:
        kind = numba.typeof(value)
        assert decoded(json.loads(json.dumps(encoded(kind)))) == kind


def test_families_and_pipelines_are_named():
    assert {one.kernel for one in wanted_by(["icecube"])} < {one.kernel for one in wanted_by(["neutrino"])}
    with pytest.raises(ConfigError, match="iact"):
        wanted_by(["iactt"])


def test_the_command_compiles_what_is_asked_for(monkeypatch):
    (one, *_) = wanted_by(["iact"])
    monkeypatch.setattr("etendue.dataflow.warm.wanted_by", lambda names: [one] if names == ("iact",) else [])
    told = CliRunner().invoke(main, ["warm", "iact", "--workers", "1"])
    assert (told.exit_code, told.stdout) in [
        (0, f"{n} kernels compiled, {1 - n} were there\n") for n in (0, 1)
    ]
    again = CliRunner().invoke(main, ["warm", "iact", "--workers", "1"])
    assert (again.exit_code, again.stdout) == (0, "0 kernels compiled, 1 were there\n")
    assert CliRunner().invoke(main, ["warm", "iact", "--quiet"]).output == ""


def test_the_command_names_what_it_does_not_know():
    told = CliRunner().invoke(main, ["warm", "iactt"])
    assert told.exit_code
    assert "iactt" in f"{told.output}{told.exception}"
    assert CliRunner().invoke(main, ["warm", "--workers", "0"]).exit_code == 2


def test_a_run_asks_for_what_its_list_holds(tmp_path):
    """Else lists are to be made anew: benchmarks/kernel_lists.py."""
    flow = ("run", "iact", "simulated://gamma?n_showers=200&seed=4", "--into", "a.etendue", "--pass", "a")
    _, used, said = run(tmp_path, *flow)
    assert (tmp_path / "a.etendue").exists(), said
    listed = [[one.kernel, one.signature] for one in LISTS["iact"].every]
    assert [one for one in used if one not in listed] == []
    always = [[one.kernel, one.signature] for one in LISTS["iact"].always["simulated"]]
    assert [one for one in always if one not in used] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("iact", "*.simtel"), "matches no file"),
        (("iact", "none.simtel"), "none.simtel"),
        (("km3net", "none.root"), "detector"),
        (("icecube", "none.i3", "--set", "pulsess=a"), "pulsess"),
        (("icecube", "FILE"), "brings no geometry"),
        (("icecube", "FILE", "--set", "geometry=none.parquet"), "none.parquet"),
    ],
)
def test_a_wrong_run_compiles_nothing(tmp_path, shared, arguments, message):
    file = shared / "data/icecube/i3/oscNext_genie_level3_v02_first_5_frames.i3.gz"
    arguments = [str(file) if one == "FILE" else one for one in arguments]
    cache = {"NUMBA_CACHE_DIR": str(tmp_path / "numba")}
    compiled, used, said = run(tmp_path, "run", *arguments, "--into", "a.etendue", "--pass", "a", **cache)
    assert message in said
    assert (compiled, used) == (0, [])
    assert not list(Path(tmp_path).rglob("*.nbi"))


@pytest.mark.heavy
@pytest.mark.parametrize("name", ["iact", "icecube", "km3net"])
def test_nothing_is_left_to_compile(name, tmp_path, shared):
    from km3net_testdata import data_path

    i3 = shared / "data/icecube/i3/oscNext_genie_level3_v02_first_5_frames.i3.gz"
    inputs = {
        "iact": [shared / "data/simtel/ctapipe-extra__lst_muons.simtel.zst"],
        "icecube": [i3, "--set", f"geometry={shared / 'data/icecube/geometry/icecube86.parquet'}"],
        "km3net": [
            data_path("online/KM3NeT_00000133_JDAQEvent.root"),
            *("--set", f"detector={data_path('detx/KM3NeT_00000133_20221025.detx')}"),
        ],
    }[name]
    cache = {"NUMBA_CACHE_DIR": str(tmp_path / "numba")}
    _, _, said = run(tmp_path, "warm", name, **cache)
    assert "kernels, once:" in said
    compiled, used, said = run(tmp_path, "run", name, *inputs, "--into", "a.etendue", "--pass", "a", **cache)
    assert used, said
    assert compiled == 0
