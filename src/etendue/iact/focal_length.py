"""The choice of a focal length: one for all telescopes of a run, the same in all stages, and in the pass."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from etendue.dataflow.registry import ConfigError
from etendue.iact.camera import FocalLength, warn_of_equivalent_focal_length
from etendue.iact.schema import CAMERA
from etendue.schema import Columns, Schema, Table, variables

#: What stages bring into a run that make angles: the choice.
TELESCOPE_FRAME = Table(
    name="telescope_frame",
    dim="frame",
    role="static",
    description="how angles in the cameras were made",
    variables=variables(
        "frame",
        focal_length=("str", "", "focal length of /optics used: effective, equivalent, or auto (effective "
                                 "if the telescopes of a run have that, equivalent if none has)"),
    ),
)  # fmt: skip
DESCRIPTION = (
    "focal length that angles are made with: effective (ray tracing), equivalent (the mirror's), or auto: "
    "effective if the telescopes of a run have that, equivalent if none has"
)
_OTHER = {"effective": "equivalent", "equivalent": "effective"}


def choice(focal_length: FocalLength) -> dict[str, tuple[Table, Columns]]:
    """The static table that says which focal length was chosen, as a stage brings it."""
    return {TELESCOPE_FRAME.name: (TELESCOPE_FRAME, {"focal_length": np.array([focal_length])})}


def chosen(conditions: Mapping[str, Mapping[str, object]]) -> FocalLength:
    """The focal length that a run was made with."""
    known = conditions.get(TELESCOPE_FRAME.name)
    return str(np.asarray(known["focal_length"])[0]) if known else "auto"


def check_choice(focal_length: FocalLength, schema: Schema, static: Mapping[str, Columns]) -> None:
    """See that all cameras have the chosen focal length, and that stages before have chosen the same.

    Raises
    ------
    ConfigError
        If not, or if it is left open and a run has some telescopes with an effective one and some without.
    """
    known = {
        label: {kind: _has(static[f"optics/{label}"], kind) for kind in _OTHER}
        for label in (table.name for table in schema.matching(f"@{CAMERA}"))
        if f"optics/{label}" in static
    }
    before = set(map(str, static.get(TELESCOPE_FRAME.name, {}).get("focal_length", ())))
    if focal_length == "auto":
        if before <= {"auto"}:
            _refuse_mixed(known, static.get("array", {}))
            for label in (label for label, has in known.items() if not has["effective"]):
                warn_of_equivalent_focal_length(label)
        return
    if missing := [label for label, has in known.items() if not has[focal_length]]:
        raise ConfigError(
            f"focal_length = {focal_length!r}, but the inputs have none for the cameras "
            f"{', '.join(missing)}; set focal_length = {_OTHER[focal_length]!r} if the inputs have that for "
            "all cameras, or process the inputs with these cameras by themselves"
        )
    meant = "effective" if any(has["effective"] for has in known.values()) else "equivalent"
    before = {meant if kind == "auto" else kind for kind in before}
    if differing := sorted(before - {focal_length}):
        raise ConfigError(
            f"focal_length = {focal_length!r}, but the image parameters were made with the {differing[0]} "
            f"one; set focal_length = {differing[0]!r} here, or make the parameters anew"
        )


def _has(optics: Columns, kind: str) -> bool:
    return bool(np.isfinite(optics[f"{kind}_focal_length"]).all())


def _refuse_mixed(known: Mapping[str, Mapping[str, bool]], array: Columns) -> None:
    """See that each run has effective focal lengths of all its telescopes or of none."""
    advice = (
        "angles made with one and the other do not fit together: set focal_length = 'equivalent', or give "
        "the inputs effective focal lengths of all telescopes"
    )
    if "effective_focal_length" not in array:  # a pass of an earlier version, which does not say by run
        with_one, without = (
            [n for n, has in known.items() if has["effective"] == is_one] for is_one in (1, 0)
        )
        if with_one and without:
            raise ConfigError(
                f"there is an effective focal length of the cameras {', '.join(with_one)}, and none of "
                f"{', '.join(without)}; {advice}"
            )
        return
    has = np.isfinite(array["effective_focal_length"])
    for run in np.unique(array["run"]):
        mine = array["run"] == run
        if has[mine].any() and not has[mine].all():
            without = array["tel_id"][mine & ~has].tolist()
            raise ConfigError(
                f"the telescopes {without} of run {run} have no effective focal length, and the others have "
                f"one; {advice}"
            )
