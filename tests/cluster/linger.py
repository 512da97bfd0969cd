"""What workers of the tests run: a stage that takes its time, and a kernel."""

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
