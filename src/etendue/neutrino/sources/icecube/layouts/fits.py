"""What reconstructions and cut variables leave: parameters of fits, statistics of hits."""

from __future__ import annotations

from etendue.neutrino.sources.icecube.layout import Layout
from etendue.neutrino.sources.icecube.layouts.parts import (
    BASE,
    OMKEY,
    doubles,
    frame_object,
    numbers,
    position,
)
from etendue.neutrino.sources.icecube.nodes import Class, Node, Number, Since

LIKELIHOOD: tuple[Node, ...] = (*doubles("logl", "rlogl"), *numbers("i4", "ndof", "nmini"))
INERTIA = doubles("mineval", "evalratio", "eval2", "eval3")
#: Slant depths that a muon bundle's loss of energy is given at, in metres.
LOSS_DEPTHS = (1000, 1500, 1600, 1700, 1800, 1900, 2000, 2100, 2200, 2300, 2400, 3000)
#: Distances from the shower axis that snow corrections are given at, in metres.
SNOW_RADII = (30, 50, 80, 100, 125, 150, 200, 300, 500, 1000)


def key(name: str) -> Class:
    """A module, as columns ``<name>_string``, ``_om``, ``_pmt``."""
    dtypes = ("i4", "u4", "u1")
    fields = zip(("string", "om", "pmt"), dtypes, strict=True)
    return Class(
        OMKEY.name, tuple(Number(f"{name}_{field}", dtype) for field, dtype in fields), OMKEY.versions
    )


def hits(name: str) -> tuple[Number, ...]:
    """Counts of direct, early or late hits."""
    return (
        *numbers("u4", f"n_{name}_strings", f"n_{name}_doms"),
        Number(f"n_{name}_pulses", "u8"),
        Number(f"q_{name}_pulses", "f8", "pe"),
    )


PORTIA = (
    *doubles("best_npe", "atwd_npe", "fadc_npe", units="pe"),
    *numbers("i4", "n_channels", "n_atwd_channels", "n_fadc_channels"),
)

LAYOUTS: tuple[Layout, ...] = (
    frame_object("I3LogLikelihoodFitParams", 0, *LIKELIHOOD),
    frame_object(
        "I3LineFitParams", 1, *doubles("v", "v_x", "v_y", "v_z", units="m ns-1"), Number("n_hits", "i4")
    ),
    frame_object("I3TensorOfInertiaFitParams", 0, *INERTIA),
    frame_object("I3CLastFitParams", 0, *INERTIA),
    frame_object(
        "I3DipoleFitParams",
        0,
        *doubles("magnet", "magnet_x", "magnet_y", "magnet_z", "amp_sum"),
        *numbers("i4", "n_hits", "n_pairs"),
        Number("max_amp", "f8"),
    ),
    frame_object(
        "CramerRaoParams",
        2,
        *doubles("cramer_rao_theta", "cramer_rao_phi"),
        Number("status", "i4"),
        *doubles("variance_theta", "variance_phi", "variance_x", "variance_y", "covariance_theta_phi"),
        *doubles("covariance_theta_x", "covariance_theta_y", "covariance_phi_x", "covariance_phi_y"),
        *doubles("covariance_x_y"),
    ),
    frame_object(
        "I3CscdLlhFitParams",
        0,
        *numbers("i4", "hit_count", "hit_om_count", "unhit_om_count", "status"),
        *doubles("err_t", "err_x", "err_y", "err_z", "err_theta", "err_phi", "err_energy"),
        *doubles("neg_llh", "reduced_llh"),
    ),
    Layout(
        "I3ParaboloidFitParams",
        Class(
            "I3ParaboloidFitParams",
            (
                Class("I3LogLikelihoodFitParams", (BASE, *LIKELIHOOD)),
                *doubles("pbf_zen", "pbf_azi", "pbf_err_1", "pbf_err_2", "pbf_rotang", units="rad"),
                *doubles("pbf_center_llh", "pbf_llh"),
                *doubles("pbf_zen_off", "pbf_azi_off", units="rad"),
                *doubles("pbf_curv_11", "pbf_curv_12", "pbf_curv_22", "pbf_chi_2", "pbf_detcurvm"),
                *doubles("pbf_sigma_zen", "pbf_sigma_azi", units="rad"),
                *doubles("pbf_covar", units="rad2"),
                Since(
                    "I3ParaboloidFitParams",
                    1,
                    doubles("pbf_tr_off_zen", "pbf_tr_off_azi", "pbf_tr_zen", "pbf_tr_azi", units="rad"),
                ),
                Since(
                    "I3ParaboloidFitParams",
                    2,
                    (Number("pbf_status", "i4", about="0 for a good fit"),),
                ),
            ),
            (0, 2),
        ),
    ),
    Layout(
        "MillipedeFitParams",
        Class(
            "MillipedeFitParams",
            (
                Class("I3LogLikelihoodFitParams", (BASE, *LIKELIHOOD)),
                *doubles("q_total", "predicted_q_total", "squared_residuals"),
                *doubles("chi_squared", "chi_squared_dof", "logl_ratio"),
            ),
            (2, 2),
        ),
    ),
    frame_object(
        "I3StartStopParams", 1, *doubles("llh_starting_track", "llh_stopping_track", "llh_inf_track")
    ),
    frame_object(
        "I3FiniteCuts", 1, *doubles("length", "lend", "lstart", "s_det", "finite_cut", "detector_length")
    ),
    frame_object(
        "I3MuonEnergyParams",
        0,
        *doubles("N", "N_err", "b", "b_err", "gamma", "gamma_err", "n_doms", "rllh", "chi2", "chi2_ndof"),
        *doubles("peak_energy", "peak_sigma", "mean", "median", "bin_width"),
        Number("status", "i4"),
    ),
    frame_object(
        "I3MuonEnergyCascadeParams",
        0,
        *doubles("n_doms_cascade", "cascade_energy", "cascade_energy_sigma"),
        position("cascade_pos"),
        *doubles("cascade_slant_depth"),
    ),
    frame_object(
        "I3TopRecoPlaneFitParams",
        1,
        Number("et", "i8"),
        Number("delta_t", "f8"),
        *numbers("f4", "t0", "x0", "y0", "chi2"),
        Number("n_pulses", "i4"),
    ),
    frame_object(
        "I3HitMultiplicityValues",
        0,
        *numbers("u4", "n_hit_strings", "n_hit_doms", "n_hit_doms_one_pulse"),
        Number("n_pulses", "u8"),
    ),
    frame_object(
        "I3HitStatisticsValues",
        0,
        position("cog"),
        *doubles("cog_z_sigma", units="m"),
        *doubles("min_pulse_time", "max_pulse_time", units="ns"),
        *doubles("q_max_doms", "q_tot_pulses", units="pe"),
        *doubles("z_min", "z_max", "z_mean", "z_sigma", "z_travel", units="m"),
    ),
    frame_object(
        "I3DirectHitsValues",
        0,
        *hits("dir"),
        *hits("early"),
        *hits("late"),
        *doubles("dir_track_length", units="m"),
        *doubles("dir_track_hit_distribution_smoothness"),
    ),
    frame_object(
        "I3TrackCharacteristicsValues",
        0,
        *doubles(
            "avg_dom_dist_q_tot_dom", "empty_hits_track_length", "track_hits_separation_length", units="m"
        ),
        *doubles("track_hits_distribution_smoothness"),
    ),
    frame_object(
        "I3TimeCharacteristicsValues",
        0,
        *doubles("timelength_fwhm", units="ns"),
        *numbers("i4", "timelength_last_first", "timelength_maxgap", units="ns"),
        *numbers("i4", "zpattern"),
    ),
    frame_object(
        "I3PortiaEvent",
        2,
        *PORTIA,
        key("first"),
        key("last"),
        *(Number(f"{number.name}_btw", number.dtype, number.units) for number in PORTIA),
        key("largest"),
        key("first_btw"),
        key("last_btw"),
    ),
    frame_object("I3RUsage", 0, *doubles("system_time", "user_time", "wall_time", units="ns")),
    frame_object(
        "I3Veto",
        0,
        *numbers("i2", "earliest_containment", "max_dom_charge_containment", "n_unhit_top_layers", "n_layer"),
        *numbers("i2", "earliest_layer", "earliest_om", "latest_layer", "latest_om", "latest_containment"),
        *numbers("i2", "most_outer_layer"),
        *doubles("depth_highest_hit", "depth_first_hit", units="m"),
        *numbers("i2", "max_dom_charge_layer", "max_dom_charge_layer_xy", "max_dom_charge_layer_z"),
        *numbers("i2", "max_dom_charge_string", "max_dom_charge_om", "n_doms_before_max_dom"),
    ),
    frame_object(
        "I3EnergyLoss",
        1,
        *doubles(*(f"eloss_{depth}" for depth in LOSS_DEPTHS)),
        *doubles("prim_mass_estimate", "prim_energy_estimate"),
        *doubles("prim_mass_estimate_err", "prim_energy_estimate_err"),
        Number("n_he_stoch", "i4"),
        *doubles("av_stoch_energy", "total_stoch_energy", "highest_stoch_energy"),
        *doubles("av_rel_stoch_energy", "total_rel_stoch_energy", "highest_rel_stoch_energy"),
        *doubles("chi2", "chi2_red", "av_stoch_depth"),
        Number("status", "i4"),
    ),
    frame_object(
        "I3FillRatioInfo",
        0,
        *doubles("mean_distance", "rms_distance", "n_ch_distance", "energy_distance", units="m"),
        *doubles("fill_radius_from_rms", "fill_radius_from_mean", "fill_radius_from_energy", units="m"),
        *doubles("fill_radius_from_n_ch", "fill_radius_from_mean_plus_rms", units="m"),
        *doubles("fill_ratio_from_rms", "fill_ratio_from_mean", "fill_ratio_from_mean_plus_rms"),
        *doubles("fill_ratio_from_n_ch", "fill_ratio_from_energy"),
        Number("hit_count", "i4"),
    ),
    frame_object(
        "SnowCorrectionDiagnostics",
        0,
        *doubles("tstage", "tstage_restricted"),
        *doubles(*(f"f_em_{radius}m" for radius in SNOW_RADII)),
        *doubles(*(f"lambda_em_{radius}m" for radius in SNOW_RADII)),
        *doubles(*(f"lambda_{radius}m" for radius in SNOW_RADII)),
    ),
)
