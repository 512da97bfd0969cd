"""What made a file: the jobs that each left an I3TrayInfo, once for all its frames."""

from __future__ import annotations

import numpy as np

from etendue.kernel import owners
from etendue.neutrino.sources.icecube.decode import decode_blobs
from etendue.neutrino.sources.icecube.layouts import LAYOUTS
from etendue.neutrino.sources.icecube.objects import Blobs
from etendue.schema import Columns, Table, variables

#: The type that jobs leave.
TRAY_INFO = "I3TrayInfo"
#: What is kept of the facts that a job notes of itself: names there, names of our columns.
FACTS = {"hostname": "host", "username": "user", "platform": "platform", "start_time": "started"}

TABLE = Table(
    name="tray_info",
    dim="job",
    role="static",
    description="one row a job that was run on the data, in the order of the file",
    variables=variables(
        "job",
        run=("uint32", "", "row of /observation: the input that the row describes"),
        key=("str", "", "key of the job's I3TrayInfo: when it was run"),
        url=("str", "", "where its software is kept"),
        revision=("uint32", "", "revision of its software"),
        host=("str", "", "machine"),
        user=("str", "", "who ran it"),
        platform=("str", "", "operating system and compiler"),
        started=("str", "", "local time of its start"),
        modules=("str", "", "its modules in order, separated by commas"),
    ),
)


def jobs(blobs: Blobs, key: str) -> Columns:
    """What the job of a key noted of itself, once; no row if it cannot be decoded."""
    decoded = decode_blobs(LAYOUTS[TRAY_INFO], blobs.data, blobs.starts, blobs.stops)
    good = np.flatnonzero(decoded.faults[:, 0] == 0)[:1]
    top, facts = decoded.levels[""], decoded.levels["facts"]
    texts: dict[str, list[str]] = {name: [""] * len(blobs) for name in (*FACTS.values(), "modules")}
    for job, fact, value in zip(owners(decoded.counts["facts"]), facts["fact"], facts["value"], strict=True):
        if fact in FACTS:
            texts[FACTS[fact]][job] = str(value).strip()
    for job, module in zip(
        owners(decoded.counts["modules"]), decoded.levels["modules"]["module"], strict=True
    ):
        texts["modules"][job] += f"{',' if texts['modules'][job] else ''}{module}"
    columns = {name: np.array([*values, ""], np.dtypes.StringDType())[good] for name, values in texts.items()}
    return columns | {
        "run": np.zeros(len(good), np.uint32),
        "key": np.array([key] * len(good), np.dtypes.StringDType()),
        "url": top["url"][good],
        "revision": top["revision"][good].astype(np.uint32),
    }
