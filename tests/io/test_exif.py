# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

from pathlib import Path
from typing import Any

import pytest
from PIL import ExifTags, Image, TiffImagePlugin

from torchgeo_concepts.io.exif import read_exif_point

GPS = ExifTags.GPS
PARIS = {
    GPS.GPSLatitudeRef: 'N',
    GPS.GPSLatitude: (48.0, 51.0, 24.0),
    GPS.GPSLongitudeRef: 'E',
    GPS.GPSLongitude: (2.0, 21.0, 0.0),
}


class Photo(Image.Image):
    """An image whose Exif data hold what no library would write."""

    def __init__(self, gps: dict[Any, Any]) -> None:
        super().__init__()
        self.gps = gps

    def getexif(self) -> Any:
        return self

    def get_ifd(self, tag: int) -> dict[Any, Any]:
        assert tag == ExifTags.IFD.GPSInfo
        return self.gps


def write(path: Path, gps: dict[GPS, Any] | None) -> Path:
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = 'Camera'
    if gps is not None:
        exif.get_ifd(ExifTags.IFD.GPSInfo).update(
            {int(tag): value for tag, value in gps.items()}
        )
        # Without this TIFF files get none.
        exif[ExifTags.IFD.GPSInfo] = exif.get_ifd(ExifTags.IFD.GPSInfo)
    Image.new('RGB', (8, 6)).save(path, exif=exif)
    return path


@pytest.mark.parametrize('suffix', ['jpg', 'png', 'webp', 'tif'])
def test_file(tmp_path: Path, suffix: str) -> None:
    with Image.open(write(tmp_path / f'photo.{suffix}', PARIS)) as image:
        point = read_exif_point(image)
    assert point == pytest.approx((2.35, 48.856667), abs=1e-5)


@pytest.mark.parametrize('gps', [None, {}, {GPS.GPSAltitude: 35.0}])
def test_no_position(tmp_path: Path, gps: dict[GPS, Any] | None) -> None:
    with Image.open(write(tmp_path / 'photo.jpg', gps)) as image:
        assert read_exif_point(image) is None
    with Image.open(write(tmp_path / 'photo.png', gps)) as image:
        assert read_exif_point(image) is None


def test_no_exif_at_all() -> None:
    assert read_exif_point(Image.new('RGB', (2, 2))) is None


def test_zero_denominator_in_a_file(tmp_path: Path) -> None:
    zero = TiffImagePlugin.IFDRational(0, 0)
    path = write(tmp_path / 'photo.jpg', PARIS | {GPS.GPSLatitude: (48.0, 51.0, zero)})
    with (
        Image.open(path) as image,
        pytest.raises(ValueError, match=r'GPSLatitude is .*: a denominator is zero'),
    ):
        read_exif_point(image)


@pytest.mark.parametrize(
    ('change', 'point'),
    [
        ({GPS.GPSLatitudeRef: 'S', GPS.GPSLongitudeRef: 'W'}, (-2.35, -48.856667)),
        ({GPS.GPSLatitudeRef: b's\0', GPS.GPSLongitudeRef: 'w'}, (-2.35, -48.856667)),
        ({GPS.GPSLatitudeRef: 'North'}, (2.35, 48.856667)),
        ({GPS.GPSLatitude: 48.5}, (2.35, 48.5)),
        ({GPS.GPSLatitude: (48.5,)}, (2.35, 48.5)),
        ({GPS.GPSLatitude: (48, 30)}, (2.35, 48.5)),
        ({GPS.GPSLatitude: (90, 0, 0), GPS.GPSLongitude: (180, 0, 0)}, (180, 90)),
    ],
)
def test_ways_to_write_it(change: dict[GPS, Any], point: tuple[float, float]) -> None:
    assert read_exif_point(Photo(PARIS | change)) == pytest.approx(point, abs=1e-5)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({GPS.GPSLatitude: (91, 0, 0)}, 'GPSLatitude is 91, more than 90'),
        (
            {GPS.GPSLongitude: (180, 0, 1)},
            r'GPSLongitude is 180\.000278, more than 180',
        ),
        ({GPS.GPSLatitude: (48, 60, 0)}, 'below 60'),
        ({GPS.GPSLatitude: (48, 0, 75.5)}, 'below 60'),
        ({GPS.GPSLatitude: (-48, 0, 0)}, 'GPSLatitude is .*, not degrees'),
        ({GPS.GPSLatitude: (48, float('nan'), 0)}, 'denominator is zero'),
        ({GPS.GPSLatitude: ()}, '0 parts'),
        ({GPS.GPSLatitude: (1, 2, 3, 4)}, '4 parts'),
        ({GPS.GPSLatitude: b'N'}, 'not a number'),
        ({GPS.GPSLatitude: ('N', 2)}, 'not a number'),
        ({GPS.GPSLatitudeRef: ''}, "GPSLatitudeRef is '', neither N nor S"),
        ({GPS.GPSLongitudeRef: 'N'}, "GPSLongitudeRef is 'N', neither E nor W"),
    ],
)
def test_malformed(change: dict[GPS, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_exif_point(Photo(PARIS | change))


@pytest.mark.parametrize('tag', PARIS)
def test_incomplete(tag: GPS) -> None:
    gps = {key: value for key, value in PARIS.items() if key != tag}
    with pytest.raises(ValueError, match=tag.name):
        read_exif_point(Photo(gps))


def test_exif_that_cannot_be_parsed() -> None:
    image = Image.new('RGB', (2, 2))
    image.info['exif'] = b'Exif\0\0no TIFF header'
    with pytest.raises(ValueError, match='Exif data cannot be read'):
        read_exif_point(image)
