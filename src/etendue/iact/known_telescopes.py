"""Types of telescopes that are known: for files that do not name theirs, and for what people write."""

from __future__ import annotations

#: Pixels, focal length [m], mirror tiles (0: any), and size class, optics, camera. From ctapipe's
#: ``instrument/guess.py``.
KNOWN_TELESCOPES = (
    (2048, 2.28, 0, "SST", "GCT", "CHEC"),
    (2368, 2.15, 0, "SST", "ASTRI", "ASTRICam"),
    (2048, 2.15, 0, "SST", "ASTRI", "CHEC"),
    (1296, 5.60, 0, "SST", "1M", "DigiCam"),
    (1764, 16.0, 0, "MST", "MST", "FlashCam"),
    (1855, 16.0, 0, "MST", "MST", "NectarCam"),
    (1855, 28.0, 0, "LST", "LST", "LSTCam"),
    (11328, 5.59, 0, "MST", "SCT", "SCTCam"),
    (1039, 16.97, 964, "LST", "MAGIC-1", "MAGICCam"),
    (1039, 16.97, 247, "LST", "MAGIC-2", "MAGICCam"),
    (1039, 17.0, 964, "LST", "MAGIC-1", "MAGICCam"),
    (1039, 17.0, 247, "LST", "MAGIC-2", "MAGICCam"),
    (960, 15.0, 0, "MST", "HESS-I", "HESS-I"),
    (2048, 36.0, 0, "LST", "HESS-II", "HESS-II"),
    (1440, 4.89, 0, "SST", "FACT", "FACT"),
)

#: Size classes, types and cameras of these, as parameters by telescope may name them.
KNOWN_NAMES = tuple(
    dict.fromkeys(
        name
        for _, _, _, size, optics, camera in KNOWN_TELESCOPES
        for name in (size, f"{size}_{optics}_{camera}", camera)
    )
)
