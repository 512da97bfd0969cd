"""Image cleaning: which pixels of an image hold Cherenkov light."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, NonNegativeFloat, NonNegativeInt

from etendue.dataflow.partition import Partition
from etendue.iact.camera import geometry_of
from etendue.iact.telescopes import ByTelescope, CameraStage, values
from etendue.kernel import kernel
from etendue.lanes import BITS, count, fill, load
from etendue.schema import Columns

#: What is known of a pixel while its image is cleaned, as bits of its level.
ABOVE_BOUNDARY, ABOVE_PICTURE, IN_PICTURE, BESIDE_PICTURE, KEPT = 1, 2, 4, 8, 16


@kernel
def pixels_above(image: np.ndarray, threshold: float, pixels: np.ndarray) -> int:
    """List the pixels with ``image[pixel] >= threshold``; NaN is never above.

    Most lanes of pixels hold none, which one comparison tells.

    Parameters
    ----------
    image : array, shape (n_pixels,)
        Charges, or a mask.
    threshold : scalar of the image's dtype
        Least charge.
    pixels : int32 array, shape (n_pixels,)
        Output: the pixels found, ascending.

    Returns
    -------
    int
        How many were found.
    """
    n_lanes, limit = BITS // (8 * image.itemsize), fill(threshold, image.dtype)
    n_found = 0
    for start in range(0, image.size, n_lanes):
        stop = start + n_lanes
        if stop <= image.size and count(load(image, start, image.dtype) >= limit) == 0:
            continue
        for pixel in range(start, min(stop, image.size)):
            pixels[n_found] = pixel
            n_found += image[pixel] >= threshold
    return n_found


@kernel
def tailcuts_image(
    image: np.ndarray,
    picture: float,
    boundary: float,
    min_neighbors: int,
    keep_isolated: bool,
    indptr: np.ndarray,
    indices: np.ndarray,
    mask: np.ndarray,
    pixels: np.ndarray,
    level: np.ndarray,
) -> int:
    """Clean one image with two thresholds (tail cuts), as ctapipe's ``tailcuts_clean``.

    A picture pixel has q >= picture and at least ``min_neighbors`` neighbours that have so. Kept are
    pixels with q >= boundary next to a picture pixel, and picture pixels next to a pixel with
    q >= boundary. With ``keep_isolated`` every pixel with q >= picture is a picture pixel, and is kept.

    Parameters
    ----------
    image : float array, shape (n_pixels,)
        Charges [pe]; NaN pixels are never kept.
    picture, boundary : scalar of the image's dtype
        Thresholds [pe].
    min_neighbors : int
        Neighbours above the picture threshold that a picture pixel needs.
    keep_isolated : bool
        Whether picture pixels need no neighbours at all.
    indptr, indices : int32 array
        Neighbours of each pixel, see `Geometry`.
    mask : bool array, shape (n_pixels,)
        Output: the pixels that are kept.
    pixels : int32 array, shape (n_pixels,)
        Output: the pixels that are kept, ascending, in the first places.
    level : uint8 array, shape (n_pixels,)
        Scratch: zeros before and after.

    Returns
    -------
    int
        How many pixels are kept.
    """
    mask[:] = False
    candidates = pixels[: pixels_above(image, min(picture, boundary), pixels)]
    for pixel in candidates:
        charge = image[pixel]
        level[pixel] = (charge >= boundary) * ABOVE_BOUNDARY + (charge >= picture) * ABOVE_PICTURE
    for pixel in candidates:
        if level[pixel] & ABOVE_PICTURE:
            n_above = 0
            for other in indices[indptr[pixel] : indptr[pixel + 1]]:
                n_above += (level[other] & ABOVE_PICTURE) != 0
            if keep_isolated or n_above >= min_neighbors:
                level[pixel] |= IN_PICTURE
    for pixel in candidates:
        if level[pixel] & IN_PICTURE:
            beside = 0
            for other in indices[indptr[pixel] : indptr[pixel + 1]]:
                beside |= level[other]
                level[other] |= BESIDE_PICTURE if level[other] else 0
            if keep_isolated or beside & ABOVE_BOUNDARY:
                level[pixel] |= KEPT
    n_kept = 0
    boundary_pixel = ABOVE_BOUNDARY | BESIDE_PICTURE
    for pixel in candidates:
        kept = level[pixel] & KEPT != 0 or level[pixel] & boundary_pixel == boundary_pixel
        level[pixel] = 0
        mask[pixel] = kept
        pixels[n_kept] = pixel
        n_kept += kept
    return n_kept


@kernel
def tailcuts(
    images: np.ndarray,
    picture: np.ndarray,
    boundary: np.ndarray,
    min_neighbors: np.ndarray,
    keep_isolated: bool,
    indptr: np.ndarray,
    indices: np.ndarray,
) -> np.ndarray:
    """Clean images of one camera type, see `tailcuts_image`.

    Parameters
    ----------
    images : float array, shape (n_readouts, n_pixels)
        Charges [pe].
    picture, boundary : array of the images' dtype, shape (n_readouts,)
        Thresholds of each readout [pe].
    min_neighbors : int array, shape (n_readouts,)
        Neighbours that a picture pixel needs, of each readout.
    keep_isolated : bool
        Whether picture pixels need no neighbours at all.
    indptr, indices : int32 array
        Neighbours of each pixel, see `Geometry`.

    Returns
    -------
    bool array, shape (n_readouts, n_pixels)
        The pixels that are kept.
    """
    masks = np.empty(images.shape, dtype=np.bool_)
    pixels = np.empty(images.shape[1], dtype=np.int32)
    level = np.zeros(images.shape[1], dtype=np.uint8)
    for row in range(images.shape[0]):
        tailcuts_image(
            images[row],
            picture[row],
            boundary[row],
            min_neighbors[row],
            keep_isolated,
            indptr,
            indices,
            masks[row],
            pixels,
            level,
        )
    return masks


class Clean(CameraStage):
    """Mark the pixels of each image that hold Cherenkov light.

    Examples
    --------
    >>> Clean("tailcuts", picture={"*": 10, "LST": 8}, boundary=4).picture["LST"]
    8.0
    """

    reads: ClassVar = ("@camera/image", "@camera/tel_id", "events/run")
    writes: ClassVar = {
        "@camera/image_mask": (("readout", "pixel"), "bool", "", "pixels that survived cleaning")
    }

    method: Literal["tailcuts"] = Field("tailcuts", description="two thresholds: picture and boundary")
    picture: ByTelescope[NonNegativeFloat] = Field(
        {"*": 10.0, "LST*": 8.0, "MST*": 8.0, "SST*": 6.0}, description="least charge of a picture pixel, pe"
    )
    boundary: ByTelescope[NonNegativeFloat] = Field(
        {"*": 5.0, "LST*": 4.0, "MST*": 4.0, "SST*": 3.0},
        description="least charge of a pixel that has a picture neighbour, pe",
    )
    min_neighbors: ByTelescope[NonNegativeInt] = Field(
        2, description="neighbours above the picture threshold that a picture pixel needs"
    )
    keep_isolated: bool = Field(False, description="keep picture pixels that have no neighbours")

    def __init__(self, method: str = "tailcuts", **parameters: object) -> None:
        super().__init__(method=method, **parameters)

    def process(self, table: str, columns: Columns, partition: Partition) -> Columns:
        """Clean the images of one camera type."""
        image = np.ascontiguousarray(columns["image"])
        geometry = geometry_of(partition.conditions, table)
        run = partition["events/run"][partition.owners(table)]
        picture, boundary, min_neighbors = (
            values(parameter, partition.conditions, run, columns["tel_id"]).astype(dtype)
            for parameter, dtype in (
                (self.picture, image.dtype),
                (self.boundary, image.dtype),
                (self.min_neighbors, np.int64),
            )
        )
        mask = tailcuts(
            image, picture, boundary, min_neighbors, self.keep_isolated, geometry.indptr, geometry.indices
        )
        return {"image_mask": mask}
