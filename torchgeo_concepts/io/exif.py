# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Positions in the Exif data of photos."""

import math
import struct
from collections.abc import Sequence
from typing import Any

from PIL import ExifTags, Image

# Errors that Pillow raises on Exif data that it cannot parse.
EXIF_ERRORS = (SyntaxError, ValueError, KeyError, TypeError, OSError, struct.error)


def read_exif_point(image: Image.Image) -> tuple[float, float] | None:
    """Read the position of a photo from its Exif data.

    Args:
        image: An image that Pillow opened.

    Returns:
        Longitude and latitude in degrees, None if the photo has no position.

    Raises:
        ValueError: If the photo has a position that is incomplete or impossible.
    """
    try:
        gps = image.getexif().get_ifd(ExifTags.IFD.GPSInfo)
    except EXIF_ERRORS as error:
        raise ValueError(f'Its Exif data cannot be read: {error}.') from error
    tags = ExifTags.GPS
    if tags.GPSLongitude not in gps and tags.GPSLatitude not in gps:
        return None
    lon = _degrees(gps, tags.GPSLongitude, tags.GPSLongitudeRef, ('E', 'W'), 180)
    lat = _degrees(gps, tags.GPSLatitude, tags.GPSLatitudeRef, ('N', 'S'), 90)
    return lon, lat


def _degrees(
    gps: dict[int, Any],
    tag: ExifTags.GPS,
    reference_tag: ExifTags.GPS,
    signs: tuple[str, str],
    limit: int,
) -> float:
    """Read one coordinate. A separate tag holds the hemisphere."""
    if tag not in gps:
        raise ValueError(f'It has no {tag.name}.')
    positive, negative = signs
    reference = gps.get(reference_tag, '')
    if isinstance(reference, bytes):
        reference = reference.decode('ascii', 'replace')
    sign = str(reference).strip('\0 ').upper()[:1]
    if sign not in (positive, negative):
        raise ValueError(
            f'Its {reference_tag.name} is {reference!r}, neither {positive} nor '
            f'{negative}.'
        )
    value = _sum_of_parts(gps[tag], tag.name)
    if value > limit:
        raise ValueError(f'Its {tag.name} is {value:.9g}, more than {limit}.')
    return -value if sign == negative else value


def _sum_of_parts(value: Any, name: str) -> float:
    """Add degrees, minutes and seconds; minutes and seconds may be missing."""
    try:
        many = isinstance(value, Sequence) and not isinstance(value, str | bytes)
        parts = [float(part) for part in (value if many else [value])]
    except (TypeError, ValueError, ZeroDivisionError) as error:
        raise ValueError(f'Its {name} is {value!r}, not a number.') from error
    if not 1 <= len(parts) <= 3:
        raise ValueError(f'Its {name} has {len(parts)} parts, not 1 to 3.')
    if not all(map(math.isfinite, parts)):
        raise ValueError(f'Its {name} is {value!r}: a denominator is zero.')
    if min(parts) < 0 or any(part >= 60 for part in parts[1:]):
        raise ValueError(
            f'Its {name} is {parts}, not degrees with minutes and seconds below 60.'
        )
    return math.fsum(part / 60**power for power, part in enumerate(parts))
