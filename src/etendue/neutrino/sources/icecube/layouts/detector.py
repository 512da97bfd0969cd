"""What holds for a while: geometry, calibration, status of the detector, and how the file was made.

Of these objects only the first part is decoded, which is what is used of them. No public file has an
I3Geometry: its layout follows icetray-public's ``I3Geometry.cxx``, ``I3OMGeo.cxx`` and ``I3Orientation.cxx``.
The ``Diff`` classes of real-time messages hold what differs from a baseline file.
"""

from __future__ import annotations

from etendue.neutrino.sources.icecube.layout import Layout
from etendue.neutrino.sources.icecube.layouts.parts import (
    BASE,
    OMKEY,
    doubles,
    keyed,
    position,
    time,
)
from etendue.neutrino.sources.icecube.nodes import Class, Exactly, Items, Marked, Node, Number, Since, Text


def beginning(name: str, version: int, *members: Node, since: int | None = None) -> Layout:
    """A type of which only the first part is decoded."""
    first = version if since is None else since
    return Layout(name, Class(name, (BASE, *members), (first, version)), whole=False)


def linear(name: str) -> Class:
    """A straight line."""
    return Class("LinearFit", doubles(f"{name}_slope", f"{name}_intercept"))


OM = Class(
    "I3OMGeo",
    (
        position("pos"),
        Class(
            "I3Orientation",
            (BASE, Class("I3Quaternion", (BASE, *doubles("rot_x", "rot_y", "rot_z", "rot_w")))),
        ),
        Number(
            "om_type",
            "i4",
            about="10 AMANDA, 20 IceCube, 30 IceTop, 40 scintillator, 110 PDOM, 120 D-Egg, 130 mDOM",
        ),
        Number("area", "f8", "m2", "effective area of the photomultiplier"),
        Since("I3OMGeo", 2, (Number("pmt_type", "i4", about="type of the photomultiplier"),)),
    ),
    (1, 2),
)

SPE = "SPEChargeDistribution"
#: Amplifiers and samples of each of a module's two ATWDs.
CHANNELS, SAMPLES = 3, 128


def each(name: str, n: int) -> Exactly:
    """An array of numbers, as columns ``<name>_0``, ``<name>_1``..."""
    return Exactly(n, doubles(*(f"{name}_{i}" for i in range(n))))


CALIBRATION = Class(
    "I3DOMCalibrationDiff",
    (
        Marked(
            "present",
            (
                (each("droop_time_constant", 2),),
                doubles("temperature"),
                doubles("fadc_gain"),
                (linear("fadc_baseline_fit"),),
                doubles("fadc_beacon_baseline"),
                doubles("fadc_delta_t", units="ns"),
                doubles("front_end_impedance"),
                (Class("TauParam", doubles(*(f"tau_p{i}" for i in range(6)), "tau_frac")),),
                (each("amp_gain", CHANNELS),),
                (
                    Exactly(
                        2,
                        tuple(
                            Class("QuadraticFit", doubles(*(f"atwd_freq_{chip}_{k}" for k in "abc")))
                            for chip in range(2)
                        ),
                    ),
                ),
                (
                    Exactly(
                        2,
                        2
                        * (
                            Exactly(
                                CHANNELS, CHANNELS * (Exactly(SAMPLES, (Number("", f"V{8 * SAMPLES}"),)),)
                            ),
                        ),
                    ),
                ),
                (linear("pmt_transit_time"),),
                (linear("hv_gain_relation"),),
                (Text("domcal_version"),),
                (Exactly(2, tuple(each(f"atwd_beacon_baseline_{chip}", CHANNELS) for chip in range(2))),),
                (each("atwd_delta_t", 2),),
                (linear("spe_discriminator"),),
                (linear("mpe_discriminator"),),
                (linear("pmt_discriminator"),),
                doubles("relative_dom_efficiency"),
                doubles("noise_rate"),
                doubles("noise_thermal_rate"),
                doubles("noise_decay_rate"),
                doubles("noise_scintillation_mean"),
                doubles("noise_scintillation_sigma"),
                doubles("noise_scintillation_hits"),
                (
                    Class(
                        SPE,
                        (
                            Since(SPE, 2, doubles("spe_exp_2_amp", "spe_exp_2_width")),
                            *doubles("spe_exp_amp", "spe_exp_width"),
                            Since(SPE, 2, doubles("spe_compensation_factor", "spe_slc_gaus_mean")),
                            *doubles("spe_gaus_amp", "spe_gaus_mean", "spe_gaus_width"),
                        ),
                        (1, 2),
                    ),
                ),
                doubles("mean_atwd_charge"),
                doubles("mean_fadc_charge"),
            ),
        ),
    ),
)

LAYOUTS = (
    beginning(
        "I3CalibrationDiff",
        0,
        Text("base_filename"),
        time("start"),
        time("end"),
        Class("I3DOMCalibrationMapDiff", (keyed("modules", (OMKEY,), CALIBRATION),)),
    ),
    beginning("I3Geometry", 3, Class("I3OMGeoMap", (BASE, keyed("modules", (OMKEY,), OM))), since=1),
    beginning("I3GeometryDiff", 0, Text("base_filename")),
    beginning(
        "I3TrayInfo",
        2,
        keyed("facts", (Text("fact"),), Text("value")),
        Text("url"),
        Text("externals"),
        Number("revision", "u4"),
        Items("modules", (Text("module"),), "vector of names"),
    ),
    beginning("I3DetectorStatusDiff", 0, Text("base_filename"), time("start"), time("end")),
)
