"""Where on the sky reconstructed particles come from."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from etendue.dataflow.partition import Partition
from etendue.dataflow.stage import Stage
from etendue.neutrino import sky
from etendue.schema import Schema, Variable

_VECTOR = ("dir_x", "dir_y", "dir_z")
_ANGLES = ("zenith", "azimuth")


class PointToSky(Stage):
    """Equatorial and galactic coordinates of where a particle of each event comes from.

    Events whose direction is not known get NaN.
    """

    particle: str = Field("muon", description="prefix of its columns: muon_dir_x... or LineFit_zenith...")
    site: Literal["arca", "orca", "antares", "icecube"] = Field("arca", description="where the detector is")

    def requires(self, schema: Schema) -> list[str]:
        """The event's time and the components of the direction, whichever the particle has."""
        columns = schema["events"].variables if "events" in schema else {}
        parts = _ANGLES if f"{self.particle}_zenith" in columns else _VECTOR
        return ["events/time", *(f"events/{self.particle}_{part}" for part in parts)]

    def provides(self, schema: Schema) -> dict[str, Variable]:
        """Columns ``<particle>_ra``, ``_dec``, ``_gal_lon``, ``_gal_lat``."""
        meanings = {
            "ra": "right ascension (ICRS) that it comes from",
            "dec": "declination (ICRS) that it comes from",
            "gal_lon": "galactic longitude that it comes from",
            "gal_lat": "galactic latitude that it comes from",
        }
        return {
            f"events/{self.particle}_{name}": Variable(
                f"{self.particle}_{name}", ("event",), "float64", "deg", meaning
            )
            for name, meaning in meanings.items()
        }

    def __call__(self, partition: Partition) -> dict[str, np.ndarray]:
        """Compute the coordinates of all events at once."""
        _, *names = self.requires(partition.schema)
        parts = [np.asarray(partition[name], dtype=np.float64) for name in names]
        known = np.all(np.isfinite(parts), axis=0)
        direction = [part[known] for part in parts]
        vectors = sky.angles_to_vectors(*direction) if len(direction) == 2 else tuple(direction)
        time, where = partition["events/time"][known], sky.site(self.site)
        found = (*sky.to_equatorial(vectors, time, where), *sky.to_galactic(vectors, time, where))
        made = {}
        for name, values in zip(self.provides(partition.schema), found, strict=True):
            made[name] = np.full(len(known), np.nan)
            made[name][known] = values
        return made
