"""Numbers that KM3NeT's data formats give to triggers, reconstructions and fit parameters.

From KM3NeT-Dataformat 3.6.2 (git.km3net.de/common/km3net-dataformat).
"""

from __future__ import annotations

#: Bits of ``trigger_mask``.
TRIGGER_BITS = {"3DShower": 1, "MXShower": 2, "3DMuon": 4, "NB": 5, "factory_limit": 31}

#: ``rec_type`` of the reconstruction chains.
REC_TYPES = {"Jpp": 4000, "aanet": 101, "DUSJ": 200}

#: First and last number that the stages of a chain may have.
STAGE_RANGES = {
    "jmuon": (0, 99),
    "jshower": (100, 199),
    "dusjshower": (200, 299),
    "aashower": (300, 399),
}

#: Stages of the chains, as in ``rec_stages``.
STAGES = {
    "jmuon_prefit": 1,
    "jmuon_simplex": 2,
    "jmuon_gandalf": 3,
    "jmuon_energy": 4,
    "jmuon_start": 5,
    "jlinefit": 6,
    "jmuon_features": 7,
    "jshower_prefit": 101,
    "jshower_position": 102,
    "jshower_complete": 103,
    "jshower_bjorken_y": 104,
    "jshower_energy_prefit": 105,
    "jshower_point_simplex": 106,
    "jshower_direction_prefit": 107,
    "dusjshower_prefit": 201,
    "dusjshower_position": 202,
    "dusjshower_complete": 203,
    "aashower_prefit": 302,
    "aashower_position": 303,
    "aashower_direction_energy": 304,
}

#: Places in ``fitinf``; the same place means another thing for another chain.
FIT_PARAMETERS = {
    "jgandalf_beta0_rad": 0,
    "jgandalf_beta1_rad": 1,
    "jgandalf_chi2": 2,
    "jgandalf_number_of_hits": 3,
    "jenergy_energy": 4,
    "jenergy_chi2": 5,
    "jgandalf_lambda": 6,
    "jgandalf_number_of_iterations": 7,
    "jstart_npe_mip": 8,
    "jstart_npe_mip_total": 9,
    "jstart_length_metres": 10,
    "jveto_npe": 11,
    "jveto_number_of_hits": 12,
    "jenergy_muon_range_metres": 13,
    "jenergy_noise_likelihood": 14,
    "jenergy_ndf": 15,
    "jenergy_number_of_hits": 16,
    "jcopy_z_m": 17,
    "jpp_coverage_orientation": 18,
    "jpp_coverage_position": 19,
    "jenergy_minimal_energy": 20,
    "jenergy_maximal_energy": 21,
    "jstart_npe_mip_missed": 22,
    "jmuonfeatures_number_of_doms": 23,
    "jmuonfeatures_number_of_lines": 24,
    "jmuonfeatures_number_of_hits": 25,
    "jshowerfit_energy": 4,
    "aashowerfit_energy": 0,
    "aashowerfit_number_of_hits": 1,
}
