"""What workers of the tests run: stages that take their time, and a kernel."""

import os
from pathlib import Path
from time import sleep
from typing import ClassVar

from pydantic import Field

from etendue import Stage
from etendue.kernel import kernel


@kernel
def _double(x):
    return 2 * x


def double(x):
    """Twice as much, by a kernel; kernels themselves are pickled whole, and then not kept."""
    return _double(x)


class Linger(Stage):
    reads: ClassVar = ("events/event_id",)
    writes: ClassVar = {"events/lingered": ("event", "float32", "s", "seconds waited")}

    seconds: float = Field(0.1, description="to wait")

    def __call__(self, partition):
        sleep(self.seconds)
        return {"events/lingered": 0 * partition["events/event_id"].astype("float32") + self.seconds}


class Gate(Linger):
    """Waits for a file ``open``, and lingers; notes which job waits with which partition, and has it done."""

    address: str = Field(
        description="of the folder of the file and the notes: a path would be part of the pass"
    )

    def __call__(self, partition):
        folder = Path(self.address.removeprefix("gate:"))
        name = f"{os.environ['SLURM_JOB_ID']}-{partition.number}"
        (folder / f"{name}.waits").touch()
        while not (folder / "open").exists():
            sleep(0.1)
        lingered = super().__call__(partition)
        (folder / f"{name}.done").touch()
        return lingered
