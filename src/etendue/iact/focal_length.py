"""The choice of a focal length: one for all cameras of a run, the same in all stages, kept with the pass."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from etendue.dataflow.registry import ConfigError
from etendue.iact.camera import FocalLength
from etendue.iact.schema import CAMERA
from etendue.schema import Columns, Schema, Table, variables

#: What stages bring into a run that make angles: the choice.
TELESCOPE_FRAME = Table(
    name="telescope_frame",
    dim="frame",
    role="static",
    description="how angles in the cameras were made",
    variables=variables("frame", focal_length=("str", "", "focal length used: effective or equivalent")),
)
DESCRIPTION = "focal length that angles are made with: effective (ray tracing) or equivalent (the mirror's)"


def choice(focal_length: FocalLength) -> dict[str, tuple[Table, Columns]]:
    """The static table that says which focal length was chosen, as a stage brings it."""
    return {TELESCOPE_FRAME.name: (TELESCOPE_FRAME, {"focal_length": np.array([focal_length])})}


def chosen(conditions: Mapping[str, Mapping[str, object]]) -> FocalLength | None:
    """The focal length that a run was made with; None if it does not say."""
    known = conditions.get(TELESCOPE_FRAME.name)
    return str(np.asarray(known["focal_length"])[0]) if known else None


def check_choice(focal_length: FocalLength, schema: Schema, static: Mapping[str, Columns]) -> None:
    """See that all cameras have the chosen focal length, and that stages before have chosen the same.

    Raises
    ------
    ConfigError
        If not; names the cameras.
    """
    missing, other = [], {"effective": "equivalent", "equivalent": "effective"}[focal_length]
    for table in schema.matching(f"@{CAMERA}"):
        optics = static.get(f"optics/{table.name}")
        if optics is not None and not np.isfinite(optics[f"{focal_length}_focal_length"]).all():
            missing.append(table.name)
    if missing:
        raise ConfigError(
            f"focal_length = {focal_length!r}, but the inputs have none for the cameras "
            f"{', '.join(missing)}; set focal_length = {other!r} in all stages that have it, if the inputs "
            "have that for all cameras, or process the inputs with these cameras by themselves"
        )
    before = static.get(TELESCOPE_FRAME.name, {}).get("focal_length", ())
    if differing := sorted(set(map(str, before)) - {focal_length}):
        raise ConfigError(
            f"focal_length = {focal_length!r}, but the image parameters were made with the {differing[0]} "
            f"one; set focal_length = {differing[0]!r} here, or make the parameters anew"
        )
