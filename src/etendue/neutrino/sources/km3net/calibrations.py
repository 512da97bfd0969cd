"""Files of KM3NeT that say how a detector hangs in the water: orientations of modules, and acoustic signals.

``ORIENTATION`` has one entry a measurement of a module's compass, as Jpp's JBallarat writes it; ``ACOUSTICS``
one entry an acoustic event, whose signal receivers heard, as JAcousticsEventBuilder writes it.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ClassVar

from etendue.dataflow.partition import Failure
from etendue.neutrino.sources.km3net.branches import branches_of
from etendue.neutrino.sources.km3net.columnar import TOP, Part, TreeReader, declared
from etendue.neutrino.sources.km3net.observation import META, meta
from etendue.neutrino.sources.km3net.offline import OfflineStream, Static, unless_broken
from etendue.neutrino.sources.km3net.tree_head import tree_head

if TYPE_CHECKING:
    from uproot import ReadOnlyDirectory

_SIGNALS = "ACOUSTICS/vector<JACOUSTICS::JTransmission>"
_COUNTER = "ACOUSTICS/JACOUSTICS::JCounter/counter"
_SIGNAL = f"{_SIGNALS}/vector<JACOUSTICS::JTransmission>"


class TreeStream(OfflineStream):
    """A stream that is one tree, with tables of fixed columns."""

    tree: ClassVar[str]
    parts: ClassVar[tuple[Part, ...]]

    def entries(self, file: ReadOnlyDirectory) -> int | None:
        """Entries of the tree; None if there is none."""
        if file.classnames(recursive=False, cycle=False).get(self.tree) != "TTree":
            return None
        head = tree_head(file, self.tree)
        return head.n_entries if head else branches_of(file, self.tree).n_entries

    def readers(self, path: str, file: ReadOnlyDirectory) -> list[TreeReader]:
        """What reads the tree."""
        return [TreeReader(branches_of(file, self.tree), self.parts)]

    def static(self, path: str, file: ReadOnlyDirectory, broken: list[Failure] | None) -> Static:
        """The programs that made the file."""
        return {META.name: (META, unless_broken(META, partial(meta, path, file), broken))}


class CompassStream(TreeStream):
    """Orientations of modules (``#compass``): a quaternion and a time each."""

    name: ClassVar[str] = "compass"
    tree: ClassVar[str] = "ORIENTATION"
    parts: ClassVar[tuple[Part, ...]] = (
        Part(
            TOP,
            declared(
                TOP,
                "event",
                {
                    "dom_id": ("ORIENTATION/id", ">i4", "int32", "", "module number"),
                    "t": ("ORIENTATION/t", ">f8", "float64", "s", "time since 1970-01-01 UTC"),
                    **{
                        name: (
                            f"ORIENTATION/JCOMPASS::JQuaternion/{part}",
                            ">f8",
                            "float64",
                            "",
                            "orientation, a quaternion",
                        )
                        for name, part in (("q0", "a"), ("qx", "b"), ("qy", "c"), ("qz", "d"))
                    },
                },
            ),
        ),
    )


class AcousticsStream(TreeStream):
    """Acoustic events (``#acoustics``), each with the signals that receivers heard of an emitter."""

    name: ClassVar[str] = "acoustics"
    tree: ClassVar[str] = "ACOUSTICS"
    parts: ClassVar[tuple[Part, ...]] = (
        Part(
            TOP,
            declared(
                TOP,
                "event",
                {
                    "counter": (
                        "ACOUSTICS/JACOUSTICS::JCounter/counter",
                        ">i4",
                        "int32",
                        "",
                        "number of the event",
                    ),
                    "det_id": ("ACOUSTICS/detid", ">i4", "int32", "", "detector number"),
                    "overlays": ("ACOUSTICS/overlays", ">i4", "int32", "", "events that overlap with it"),
                    "emitter_id": ("ACOUSTICS/id", ">i4", "int32", "", "number of the emitter"),
                },
            ),
        ),
        Part(
            "transmissions",
            declared(
                "transmissions",
                "transmission",
                {
                    "run_id": (f"{_SIGNAL}.run", ">i4", "int32", "", "run number"),
                    "receiver_id": (f"{_SIGNAL}.id", ">i4", "int32", "", "number of the receiver"),
                    "q": (f"{_SIGNAL}.q", ">f8", "float64", "", "quality of the signal"),
                    "w": (f"{_SIGNAL}.w", ">f8", "float64", "", "weight: normalisation of the signal"),
                    "toa": (f"{_SIGNAL}.toa", ">f8", "float64", "s", "time of arrival since 1970-01-01 UTC"),
                    "toe": (f"{_SIGNAL}.toe", ">f8", "float64", "s", "time of emission since 1970-01-01 UTC"),
                },
            ),
            TOP,
            _SIGNALS,
        ),
    )
