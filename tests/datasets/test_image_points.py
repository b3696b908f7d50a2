# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib import pyplot as plt
from PIL import ExifTags, Image
from torch.utils.data import DataLoader
from torchgeo.datasets.utils import Sample

from torchgeo_concepts.datasets import ImagePoints
from torchgeo_concepts.io.images import UnreadableImageError

POINTS = [[2.35, 48.85], [151.2, -33.9], [-21.9, 64.1], [179.5, 0.0]]
NAMES = ['a.jpg', 'b/c.JPG', 'b/d.png', 'e.webp']


def exif(lon: float, lat: float, orientation: int = 1) -> Image.Exif:
    data = Image.Exif()
    data[ExifTags.Base.Orientation] = orientation
    gps = {1: 'S' if lat < 0 else 'N', 2: (abs(lat), 0.0, 0.0)}
    gps |= {3: 'W' if lon < 0 else 'E', 4: (abs(lon), 0.0, 0.0)}
    data.get_ifd(ExifTags.IFD.GPSInfo).update(gps)
    # Without this TIFF files get none.
    data[ExifTags.IFD.GPSInfo] = data.get_ifd(ExifTags.IFD.GPSInfo)
    return data


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    (tmp_path / 'photos/b').mkdir(parents=True)
    for name, (lon, lat), red in zip(NAMES, POINTS, range(0, 200, 50), strict=True):
        image = Image.new('RGB', (20, 10), (red, 20, 30))
        image.save(tmp_path / 'photos' / name, exif=exif(lon, lat))
    return tmp_path / 'photos'


@pytest.fixture
def table(photos: Path) -> Path:
    path = photos / 'photos.csv'
    frame().to_csv(path, index=False)
    return path


def frame() -> pd.DataFrame:
    lon, lat = np.array(POINTS).T
    return pd.DataFrame({'image': NAMES, 'lat': lat, 'lon': lon, 'note': 'x'})


class TestFolder:
    def test_photos_whose_place_is_not_known(self, photos: Path) -> None:
        known = len(ImagePoints(photos))
        Image.new('RGB', (8, 6)).save(photos / 'z.png')
        with pytest.raises(ValueError, match='has no point'):
            ImagePoints(photos)
        dataset = ImagePoints(photos, require_points=False)
        assert len(dataset) == known + 1
        assert dataset[-1]['point'].isnan().all()
        assert dataset[-1]['image'].shape == (3, 6, 8)
        assert dataset[0]['point'].isfinite().all()

    def test_positions_from_exif(self, photos: Path) -> None:
        (photos / 'notes.txt').write_text('no image')
        (photos / '.hidden.jpg').write_bytes(b'')
        (photos / '.trash').mkdir()
        (photos / '.trash/x.jpg').write_bytes(b'')
        dataset = ImagePoints(photos)
        assert list(dataset.files) == [photos / name for name in NAMES]
        torch.testing.assert_close(dataset.points, torch.tensor(POINTS))
        sample = dataset[1]
        assert sample['image'].shape == (3, 10, 20)
        assert sample['image'].dtype == sample['point'].dtype == torch.float32
        assert sample['point'].equal(dataset.points[1])
        assert (
            sample['image'].mean(dim=(1, 2)) - torch.tensor([50, 20, 30])
        ).abs().max() < 3

    def test_without_position(self, photos: Path) -> None:
        Image.new('RGB', (8, 6)).save(photos / 'f.jpg')
        broken = exif(1, 2)
        broken.get_ifd(ExifTags.IFD.GPSInfo)[2] = (1.0, 61.0, 0.0)
        Image.new('RGB', (8, 6)).save(photos / 'g.jpg', exif=broken)
        (photos / 'h.png').write_bytes(b'no image')
        with pytest.raises(ValueError, match=r'f\.jpg has no position .* 3 rows') as e:
            ImagePoints(photos)
        assert "on_error='skip'" in str(e.value)
        with pytest.warns(
            UserWarning, match='left out 3 of 7 images; .* 3 have no point'
        ):
            assert len(ImagePoints(photos, on_error='skip')) == 4

    def test_no_folder_and_no_images(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match='No folder .*nowhere'):
            ImagePoints(tmp_path / 'nowhere')
        with pytest.raises(FileNotFoundError, match='No images in'):
            ImagePoints(tmp_path)

    def test_bad_on_error(self, photos: Path) -> None:
        with pytest.raises(ValueError, match=r"'raise', 'skip'.*'ignore'"):
            ImagePoints(photos, on_error='ignore')  # type: ignore[arg-type]


class TestTable:
    @pytest.mark.parametrize(
        'name',
        ['t.csv', 't.tsv', 't.csv.gz', 't.parquet', 'g.parquet', 't.gpkg', 't.geojson'],
    )
    def test_formats(self, photos: Path, name: str) -> None:
        path = photos / name
        points = gpd.GeoDataFrame(
            frame(), geometry=gpd.points_from_xy(*np.array(POINTS).T)
        )
        points = points.drop(columns=['lon', 'lat']).set_crs('OGC:CRS84')
        if '.csv' in name or '.tsv' in name:
            frame().to_csv(path, index=False, sep='\t' if '.tsv' in name else ',')
        elif name == 't.parquet':
            frame().to_parquet(path)
        elif name == 'g.parquet':
            points.to_parquet(path)
        else:
            points.to_file(path)
        dataset = ImagePoints(photos, path)
        assert list(dataset.files) == [photos / name for name in NAMES]
        torch.testing.assert_close(dataset.points, torch.tensor(POINTS))

    def test_named_columns(self, photos: Path, table: Path) -> None:
        data = frame().rename(columns={'image': 'Foto', 'lon': 'L', 'lat': 'B'})
        data.to_csv(table)
        dataset = ImagePoints(photos, table, image_column='Foto', lon='L', lat='B')
        assert len(dataset) == 4

    @pytest.mark.parametrize(
        ('kwargs', 'message'),
        [
            (
                {'image_column': 'imgae'},
                r"photos.csv has no column 'imgae'. Did you mean 'image'",
            ),
            ({'lon': 'long'}, r"photos.csv: No column 'long'; the columns are .*'lon'"),
        ],
    )
    def test_wrong_names(
        self, photos: Path, table: Path, kwargs: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(ValueError, match=message):
            ImagePoints(photos, table, **kwargs)

    @pytest.mark.parametrize(
        ('header', 'message'),
        [
            ('a,b,c', 'No two columns are clearly the longitudes.*a.*b.*c'),
            ('a,lon,lat', r"No column clearly has image names.*'a'.*image_column="),
            ('image,path,lon,lat', r"Several columns.*'image', 'path'.*image_column="),
            ('image,image,lon,lat', 'several columns named'),
        ],
    )
    def test_wrong_columns(self, photos: Path, header: str, message: str) -> None:
        (photos / 'wrong.csv').write_text(f'{header}\n')
        with pytest.raises(ValueError, match=message) as e:
            ImagePoints(photos, photos / 'wrong.csv')
        assert 'wrong.csv' in str(e.value)

    def test_unreadable_tables(self, photos: Path) -> None:
        with pytest.raises(FileNotFoundError, match=r'none\.csv'):
            ImagePoints(photos, photos / 'none.csv')
        (photos / 'empty.csv').write_text('')
        with pytest.raises(ValueError, match=r'empty\.csv is empty'):
            ImagePoints(photos, photos / 'empty.csv')
        (photos / 'latin.csv').write_bytes(
            'image,lon,lat\nM\xfcnchen,1,2\n'.encode('latin1')
        )
        with pytest.raises(ValueError, match=r'latin\.csv'):
            ImagePoints(photos, photos / 'latin.csv')

    def test_missing_files(self, photos: Path, table: Path) -> None:
        for name in ('a.jpg', 'b/d.png'):
            (photos / name).unlink()
        with pytest.raises(FileNotFoundError, match=r'2 of 4 images.*a\.jpg, b/d\.png'):
            ImagePoints(photos, table)
        with pytest.warns(
            UserWarning, match='left out 2 of 4 images; 2 are not'
        ) as caught:
            dataset = ImagePoints(photos, table, on_error='skip')
        assert len(caught) == 1
        assert list(dataset.files) == [photos / NAMES[1], photos / NAMES[3]]
        torch.testing.assert_close(dataset.points, torch.tensor(POINTS)[[1, 3]])

    def test_all_missing(self, tmp_path: Path) -> None:
        frame().to_csv(tmp_path / 't.csv')
        with pytest.raises(
            FileNotFoundError, match='none of 4 images can be used; 4 are not in'
        ):
            ImagePoints(tmp_path, tmp_path / 't.csv', on_error='skip')

    @pytest.mark.parametrize('value', ['', 'north', '91', 'nan'])
    def test_rows_without_a_point(self, photos: Path, value: str) -> None:
        lines = ['image,lat,lon', 'a.jpg,1,2', f'e.webp,{value},2', ',1,2']
        (photos / 'rows.csv').write_text('\n'.join(lines))
        with pytest.raises(ValueError, match='row 1, counted from 0.*2 rows'):
            ImagePoints(photos, photos / 'rows.csv')
        with pytest.warns(UserWarning, match='left out 2 of 3 images; 0 are not'):
            dataset = ImagePoints(photos, photos / 'rows.csv', on_error='skip')
        assert dataset.points.tolist() == [[2, 1]]

    def test_absolute_and_odd_paths(self, photos: Path, table: Path) -> None:
        data = frame().assign(
            image=[str(photos / 'a.jpg'), './b/c.JPG', 'b/../b/d.png', 'e.webp']
        )
        data.to_csv(table, index=False)
        dataset = ImagePoints(photos, table)
        assert all(path.is_file() for path in dataset.files)

    def test_names_that_are_numbers_stay_text(self, photos: Path) -> None:
        Image.new('RGB', (8, 6)).save(photos / '007', 'PNG')
        (photos / 'n.csv').write_text('image,lat,lon\n007,1,2\n')
        assert ImagePoints(photos, photos / 'n.csv').files[0] == photos / '007'


class TestLabels:
    SPECIES = ('Falco tinnunculus', 'Corvus corax', '', 'Falco tinnunculus')

    @pytest.fixture
    def labelled(self, photos: Path) -> Path:
        path = photos / 'labelled.csv'
        frame().assign(species=self.SPECIES, taxon=[10, 2, 10, 9]).to_csv(path)
        return path

    def test_classes(self, photos: Path, labelled: Path) -> None:
        dataset = ImagePoints(photos, labelled, label='species')
        assert dataset.classes == ('Corvus corax', 'Falco tinnunculus')
        assert dataset.labels is not None
        assert dataset.labels.tolist() == [1, 0, -1, 1]
        assert dataset[0].keys() == {'image', 'point', 'label'}
        assert dataset[1]['label'].shape == ()
        assert dataset[1]['label'].dtype == torch.int64
        batch = next(iter(DataLoader(dataset, batch_size=4)))
        assert batch['label'].tolist() == [1, 0, -1, 1]

    def test_numbers(self, photos: Path, labelled: Path) -> None:
        dataset = ImagePoints(photos, labelled, label='taxon')
        assert dataset.classes == ('2', '9', '10')
        pd.read_csv(labelled).to_parquet(photos / 'labelled.parquet')
        path = photos / 'labelled.parquet'
        again = ImagePoints(photos, path, label='taxon')
        assert again.classes == dataset.classes
        given = ImagePoints(photos, path, label='taxon', classes=[10, 9, 2])
        assert given.labels is not None
        assert given.labels.tolist() == [0, 2, 0, 1]

    def test_follow_their_images(self, photos: Path, labelled: Path) -> None:
        (photos / NAMES[0]).unlink()
        with pytest.warns(UserWarning, match='left out 1 of 4'):
            dataset = ImagePoints(photos, labelled, label='taxon', on_error='skip')
        assert [dataset.classes[int(s['label'])] for s in dataset] == ['2', '10', '9']
        chosen = dataset.select(np.array([False, True, True]))
        assert [dataset.classes[int(s['label'])] for s in chosen] == ['10', '9']

    def test_title(self, photos: Path, labelled: Path) -> None:
        dataset = ImagePoints(photos, labelled, label='species')
        titles = []
        for index in (1, 2):
            figure = dataset.plot(dataset[index])
            titles.append(figure.axes[0].get_title())
            plt.close(figure)
        assert titles == ['Corvus corax (151.2000, -33.9000)', '(-21.9000, 64.1000)']

    def test_errors(self, photos: Path, labelled: Path) -> None:
        with pytest.raises(ValueError, match="no column 'specie'.* mean 'species'"):
            ImagePoints(photos, labelled, label='specie')
        with pytest.raises(
            ValueError, match="row 1, counted from 0, has 'Corvus corax' in 'species'"
        ):
            ImagePoints(
                photos, labelled, label='species', classes=['Falco tinnunculus']
            )
        with pytest.raises(ValueError, match='label needs a table'):
            ImagePoints(photos, label='species')
        path = photos / 'none.csv'
        frame().assign(species=None).to_csv(path)
        with pytest.raises(ValueError, match="'species' is missing in all 4 rows"):
            ImagePoints(photos, path, label='species')


class TestUnreadable:
    def test_raise(self, photos: Path, table: Path) -> None:
        truncate(photos / 'b/c.JPG')
        dataset = ImagePoints(photos, table)
        with pytest.raises(
            UnreadableImageError, match=r'image 1, .*c\.JPG: (?i:.*truncated)'
        ):
            dataset[1]
        with pytest.raises(OSError, match=r'image 1, .*c\.JPG'):
            dataset.load(-3)

    @pytest.mark.parametrize(
        'content', [b'', b'no image', b'\x89PNG\r\n\x1a\n\0\0\0\rIHDR']
    )
    def test_skip(self, photos: Path, table: Path, content: bytes) -> None:
        for name in NAMES[2:]:
            (photos / name).write_bytes(content)
        dataset = ImagePoints(photos, table, on_error='skip')
        with pytest.warns(
            UserWarning, match='The next image takes its place'
        ) as caught:
            sample = dataset[2]
        assert len(caught) == 2
        assert sample['point'].equal(dataset.points[0])
        # Known by now, so not warned about again.
        assert dataset[3]['point'].equal(dataset.points[0])
        with pytest.raises(UnreadableImageError, match='image 2'):
            dataset.load(2)

    @pytest.mark.filterwarnings('ignore:Cannot read')
    def test_none_is_readable(self, photos: Path, table: Path) -> None:
        for name in NAMES:
            truncate(photos / name)
        dataset = ImagePoints(photos, table, on_error='skip')
        for _ in range(2):
            with pytest.raises(UnreadableImageError, match='image 2'):
                dataset[2]

    def test_without_unreadable(self, photos: Path, table: Path) -> None:
        dataset = ImagePoints(photos, table)
        assert len(dataset.without_unreadable()) == 4
        truncate(photos / 'a.jpg')
        with pytest.warns(UserWarning, match='Left out 1 of 4 images'):
            rest = dataset.without_unreadable(progress=False)
        assert [file.name for file in rest.files] == ['c.JPG', 'd.png', 'e.webp']
        assert rest.points.equal(dataset.points[1:])
        assert len(dataset) == 4

    def test_decompression_bomb(
        self, photos: Path, table: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 10)
        with pytest.raises(UnreadableImageError, match='decompression bomb'):
            ImagePoints(photos, table)[0]


class TestImages:
    @pytest.mark.parametrize('name', ['t.jpg', 't.png', 't.tif', 't.webp'])
    def test_upright(self, tmp_path: Path, name: str) -> None:
        image = Image.new('RGB', (20, 10))
        image.paste((255, 255, 255), (0, 0, 20, 5))
        # 6: the camera was turned, so the first row is on the right.
        image.save(tmp_path / name, exif=exif(1, 2, orientation=6))
        pixels = ImagePoints(tmp_path)[0]['image']
        assert pixels.shape == (3, 20, 10)
        assert pixels[:, :, 7:].mean() > 240
        assert pixels[:, :, :3].mean() < 15

    @pytest.mark.parametrize('mode', ['L', '1', 'P', 'RGBA', 'LA', 'CMYK'])
    def test_modes(self, tmp_path: Path, mode: str) -> None:
        suffix = 'tif' if mode == 'CMYK' else 'png'
        Image.new('RGB', (8, 6), (255, 255, 255)).convert(mode).save(
            tmp_path / f't.{suffix}', exif=exif(1, 2)
        )
        pixels = ImagePoints(tmp_path)[0]['image']
        assert pixels.shape == (3, 6, 8)
        assert pixels.min() == 255

    def test_palette_with_transparency(self, tmp_path: Path) -> None:
        image = Image.new('P', (8, 6))
        image.putpalette([10, 20, 30, 40, 50, 60])
        image.save(tmp_path / 't.png', transparency=b'\0\xff', exif=exif(1, 2))
        assert ImagePoints(tmp_path)[0]['image'][:, 0, 0].tolist() == [10, 20, 30]

    def test_sixteen_bits(self, tmp_path: Path) -> None:
        Image.new('I;16', (8, 6)).save(tmp_path / 't.png', exif=exif(1, 2))
        with pytest.raises(UnreadableImageError, match='8 bits per channel'):
            ImagePoints(tmp_path)[0]


def brighten(sample: Sample) -> Sample:
    return {**sample, 'image': sample['image'] + 1}


class TestSequence:
    def test_index(self, photos: Path, table: Path) -> None:
        dataset = ImagePoints(photos, table)
        assert dataset[-1]['point'].equal(dataset[3]['point'])
        assert dataset[np.int64(1)]['point'].equal(dataset.points[1])  # type: ignore[index]
        assert len(list(iter(dataset))) == 4
        for index in (4, -5):
            with pytest.raises(IndexError, match=f'No image {index}: there are 4'):
                dataset[index]
        assert list(dataset.files[1:3]) == [photos / 'b/c.JPG', photos / 'b/d.png']
        dataset[0]['point'].zero_()
        assert dataset.points[0].tolist() != [0, 0]

    def test_transforms(self, photos: Path, table: Path) -> None:
        dataset = ImagePoints(photos, table, transforms=brighten)
        assert dataset[0]['image'].equal(dataset.load(0)['image'] + 1)

    def test_pickle_and_workers(self, photos: Path, table: Path) -> None:
        dataset = ImagePoints(photos, table, transforms=brighten)
        copy = pickle.loads(pickle.dumps(dataset))
        assert copy.fingerprint == dataset.fingerprint
        loader: DataLoader[Sample] = DataLoader(
            dataset, 2, num_workers=1, multiprocessing_context='fork'
        )
        points = torch.cat([batch['point'] for batch in loader])
        assert points.equal(dataset.points)

    def test_fingerprint(self, photos: Path, table: Path, tmp_path: Path) -> None:
        fingerprint = ImagePoints(photos, table).fingerprint
        assert len(fingerprint) == 64
        photos.rename(tmp_path / 'moved')
        moved = tmp_path / 'moved'
        assert ImagePoints(moved, moved / table.name).fingerprint == fingerprint
        changes: list[Callable[[pd.DataFrame], pd.DataFrame]] = [
            lambda data: data[::-1],
            lambda data: data[:3],
            lambda data: data.assign(lat=data['lat'] + 0.001),
        ]
        for change in changes:
            change(frame()).to_csv(moved / table.name)
            assert ImagePoints(moved, moved / table.name).fingerprint != fingerprint

    def test_plot(self, photos: Path, table: Path) -> None:
        dataset = ImagePoints(photos, table)
        figure = dataset.plot(dataset[2], suptitle='Iceland')
        assert figure.axes[0].get_title() == '(-21.9000, 64.1000)'
        assert figure.get_suptitle() == 'Iceland'
        figure = dataset.plot(dataset[2], show_titles=False)
        assert not figure.axes[0].get_title()
        plt.close('all')
