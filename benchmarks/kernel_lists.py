"""Write the lists of kernels that shipped pipelines need (`etendue.dataflow.warm`), from runs on test data.

python benchmarks/kernel_lists.py

To be called after a change of what kernels are called with; ``tests/dataflow/test_warm.py`` says when.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

from etendue.dataflow.registry import find_pipeline, stage_reference
from etendue.dataflow.warm import SUFFIX, KernelList
from etendue.kernel_list import Wanted

SHARED = Path(os.environ.get("ETENDUE_TEST_DATA", "../shared")).resolve() / "data"
_SIMTEL = ("ctapipe-extra__lst_muons.simtel.zst", "simtools__run202*")
_SIMULATED = ("simulated://gamma?n_showers=300&seed=1", "simulated://proton?n_showers=1000&seed=1")
_I3 = ("oscNext_genie_level3_v02*", "oscNext_muongun_level3*", "oscNext_noise_level3*")


def inputs(pipeline: str) -> dict[str, list[list[str]]]:
    """Arguments of the runs that a list is made from, by source."""
    if pipeline in ("iact", "ctapipe"):
        simtel = [[str(found(f"simtel/{name}"))] for name in _SIMTEL]
        return {"simtel": simtel, "simulated": [[one] for one in _SIMULATED]}
    if pipeline == "icecube":
        geometry = f"geometry={SHARED / 'icecube/geometry/icecube86.parquet'}"
        return {"icecube": [[str(found(f"icecube/i3/{name}")), "--set", geometry] for name in _I3]}
    from km3net_testdata import data_path

    online = data_path("online/KM3NeT_00000133_JDAQEvent.root")
    detector = data_path("detx/KM3NeT_00000133_20221025.detx")
    return {"km3net": [[online, "--set", f"detector={detector}"]]}


def found(pattern: str) -> Path:
    """The first file of the test data that a pattern names."""
    return next(iter(sorted(SHARED.glob(pattern))))


def used_by(pipeline: str, arguments: list[str]) -> list[Wanted]:
    """What a run in a process of its own asks for, in the order of use."""
    code = (
        "import json, sys\nfrom etendue.cli import main\nfrom etendue.kernel_list import used\n"
        "main(sys.argv[2:], standalone_mode=False)\n"
        "json.dump([[one.kernel, one.signature] for one in used()], open(sys.argv[1], 'w'))\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        out = ["--into", "out.etendue", "--pass", "a", "--quiet"]
        call = [sys.executable, "-c", code, "used.json", "run", pipeline, *arguments, *out]
        subprocess.run(call, cwd=folder, check=True)
        return [Wanted(*one) for one in json.loads((Path(folder) / "used.json").read_text())]


def made(pipeline: str) -> KernelList:
    """The list of one pipeline."""
    always, sometimes = {}, {}
    for source, runs in inputs(pipeline).items():
        each = [used_by(pipeline, arguments) for arguments in runs]
        every = list({str(one): one for used in each for one in used}.values())
        always[source] = [one for one in every if all(one in used for used in each)]
        sometimes[source] = [one for one in every if one not in always[source]]
    stages = tuple(stage_reference(type(stage)) for stage in find_pipeline(pipeline).stages)
    return KernelList(stages, always, sometimes)


def main(*names: str) -> None:
    """Write the lists beside the pipelines."""
    for package in ("etendue.iact.pipelines", "etendue.neutrino.pipelines"):
        for file in sorted(Path(str(files(package))).glob("*.toml")):
            if not names or file.stem in names:
                text = made(file.stem).text()
                file.with_suffix("").with_name(file.stem + SUFFIX).write_text(text)
                print(file.stem, text.count("\n"))


if __name__ == "__main__":
    main(*sys.argv[1:])
