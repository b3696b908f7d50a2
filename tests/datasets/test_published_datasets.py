# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

import pickle
import runpy
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torchgeo.datasets import DatasetNotFoundError

from torchgeo_concepts.datasets import (
    MP16,
    OSV5M,
    Im2GPS,
    Im2GPS3k,
    ImagePoints,
    YFCC4k,
    YFCC26k,
)

DATA = Path(__file__).parents[1] / 'data'
DATASETS = (MP16, Im2GPS, Im2GPS3k, YFCC4k, YFCC26k, OSV5M)


def make(name: str, root: Path, **kwargs: Any) -> Path:
    runpy.run_path(str(DATA / name / 'data.py'))['create'](root, **kwargs)
    return root


def names(dataset: ImagePoints) -> list[str]:
    return [path.relative_to(dataset.root).as_posix() for path in dataset.files]


def points(dataset: ImagePoints) -> list[list[float]]:
    return [[round(x, 4) for x in point] for point in dataset.points.tolist()]


def fake_download(
    monkeypatch: pytest.MonkeyPatch, source: Path, refused: str = ''
) -> list[str]:
    """Serve downloads from a folder; return the list of what is asked for."""
    urls: list[str] = []

    def download(url: str, root: Path, filename: str) -> None:
        urls.append(url)
        assert url.rpartition('/')[2] == filename
        root.mkdir(exist_ok=True)
        shutil.copy(source / filename, root / filename)

    module = 'torchgeo_concepts.datasets._published.download_url'
    monkeypatch.setattr(module, download)
    return urls


@pytest.mark.parametrize('dataset', DATASETS)
class TestAll:
    def test_not_found(self, dataset: type[ImagePoints], tmp_path: Path) -> None:
        for root in (tmp_path, tmp_path / 'nowhere'):
            with pytest.raises(
                DatasetNotFoundError, match='Dataset not found in `root='
            ):
                dataset(root)

    def test_table_alone(self, dataset: type[ImagePoints], tmp_path: Path) -> None:
        make(dataset.__name__.lower(), tmp_path / 'whole')
        (tmp_path / 'part').mkdir()
        for path in (tmp_path / 'whole').iterdir():
            if path.is_file():
                shutil.copy(path, tmp_path / 'part')
        with pytest.raises(DatasetNotFoundError, match='not found'):
            dataset(tmp_path / 'part')


class TestMP16:
    @pytest.mark.parametrize('separator', ['/', '_'])
    def test_layouts(self, tmp_path: Path, separator: str) -> None:
        make('mp16', tmp_path, separator=separator)
        with pytest.warns(UserWarning, match='left out 1 of 3 images'):
            dataset = MP16(tmp_path)
        assert points(dataset) == [[2.35, 48.85], [151.21, -33.86]]
        assert names(dataset)[0] == f'mp16/63{separator}a3{separator}5523441.jpg'
        assert dataset[1]['image'][0].mean() < 5
        assert pickle.loads(pickle.dumps(dataset))[0].keys() == {'image', 'point'}
        with pytest.raises(FileNotFoundError, match=r'1 of 3 .*0a/12/9044217\.jpg'):
            MP16(tmp_path, on_error='raise')

    def test_images_in_root(self, tmp_path: Path) -> None:
        make('mp16', tmp_path, missing=0)
        for folder in (tmp_path / 'mp16').iterdir():
            folder.rename(tmp_path / folder.name)
        (tmp_path / 'mp16').rmdir()
        assert names(MP16(tmp_path))[2] == '0a/12/9044217.jpg'

    def test_tables(self, tmp_path: Path) -> None:
        make('mp16', tmp_path, missing=0)
        table = (tmp_path / 'mp16_places365.csv').read_text()
        (tmp_path / 'mp16_places365.csv').unlink()
        (tmp_path / 'own.csv').write_text(table.replace('IMG_ID', 'IMG_FILE'))
        with pytest.raises(DatasetNotFoundError, match='not found'):
            MP16(tmp_path)
        (tmp_path / 'metadata').mkdir()
        (tmp_path / 'own.csv').rename(tmp_path / 'metadata/MP16_Pro_filtered.csv')
        assert len(MP16(tmp_path)) == 3

    def test_download_of_the_table(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        source = tmp_path / 'source'
        make('mp16', source, missing=0)
        urls = fake_download(monkeypatch, source)
        shutil.copytree(source / 'mp16', tmp_path / 'root/mp16')
        assert len(MP16(tmp_path / 'root', download=True)) == 3
        assert len(MP16(tmp_path / 'root', download=True)) == 3
        assert len(urls) == 1
        with pytest.raises(DatasetNotFoundError, match='cannot be automatically'):
            MP16(tmp_path / 'empty', download=True)


class TestIm2GPS:
    def test_names_with_and_without_place(self, tmp_path: Path) -> None:
        dataset = Im2GPS(make('im2gps', tmp_path))
        assert names(dataset)[0].startswith('gps_query_imgs/Australia_00077_104123223_')
        assert names(dataset)[1].startswith('gps_query_imgs/Ankara_00003_601190107_')
        assert points(dataset)[0] == [145.56, -16.66]

    def test_ambiguous_end(self, tmp_path: Path) -> None:
        folder = make('im2gps', tmp_path) / 'gps_query_imgs'
        [image] = folder.glob('Australia*')
        shutil.copy(image, folder / image.name.replace('Australia', 'Austria'))
        with pytest.raises(FileNotFoundError, match='1 of 3 images .* 104123223_'):
            Im2GPS(tmp_path)

    def test_download(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        source = tmp_path / 'source'
        make('im2gps', source)
        with zipfile.ZipFile(source / 'gps_query_imgs.zip', 'w') as archive:
            for path in (source / 'gps_query_imgs').iterdir():
                archive.write(path, f'gps_query_imgs/{path.name}')
        urls = fake_download(monkeypatch, source)
        root = tmp_path / 'root'
        # What an extraction left that was interrupted.
        (root / '.gps_query_imgs.partial').mkdir(parents=True)
        dataset = Im2GPS(root, download=True)
        assert len(urls) == 2
        assert len(dataset) == 3
        assert dataset[0]['image'].shape == (3, 6, 8)
        assert {path.name for path in root.iterdir()} == {
            'gps_query_imgs',
            'gps_query_imgs.zip',
            'im2gps_places365.csv',
        }
        assert len(Im2GPS(root)) == 3

    def test_broken_archive(self, tmp_path: Path) -> None:
        make('im2gps', tmp_path)
        shutil.rmtree(tmp_path / 'gps_query_imgs')
        (tmp_path / 'gps_query_imgs.zip').write_bytes(b'no archive')
        for _ in range(2):
            with pytest.raises(zipfile.BadZipFile, match='not a zip file'):
                Im2GPS(tmp_path)


class TestIm2GPS3k:
    BERMUDA = torch.tensor([-64.764404, 32.325436])

    def test_corrected_table(self, tmp_path: Path) -> None:
        dataset = Im2GPS3k(make('im2gps3k', tmp_path))
        torch.testing.assert_close(dataset[0]['point'], self.BERMUDA)

    def test_table_with_swapped_names(self, tmp_path: Path) -> None:
        make('im2gps3k', tmp_path, coordinates='LON,LAT')
        with pytest.warns(UserWarning, match='LAT and LON swapped'):
            dataset = Im2GPS3k(tmp_path)
        torch.testing.assert_close(dataset[0]['point'], self.BERMUDA)
        corrected = Im2GPS3k(make('im2gps3k', tmp_path / 'corrected'))
        assert dataset.points.equal(corrected.points)

    def test_table_with_columns_in_another_order(self, tmp_path: Path) -> None:
        right = Im2GPS3k(make('im2gps3k', tmp_path / 'right'))
        make('im2gps3k', tmp_path / 'other')
        file = tmp_path / 'other' / 'im2gps3k_places365.csv'
        frame = pd.read_csv(file)
        order = ['IMG_ID', 'AUTHOR', 'LON', 'LAT']
        frame[order + list(frame.columns[4:])].to_csv(file, index=False)
        assert Im2GPS3k(tmp_path / 'other').points.equal(right.points)


class TestYFCC4k:
    POINTS = ([2.35, 48.85], [-58.38, -34.6])

    def test_info(self, tmp_path: Path) -> None:
        dataset = YFCC4k(make('yfcc4k', tmp_path))
        assert names(dataset) == ['images/25935894.jpg', 'images/3184217.jpg']
        assert points(dataset) == [*self.POINTS]

    def test_archive(self, tmp_path: Path) -> None:
        make('yfcc4k', tmp_path / 'yfcc4k')
        with zipfile.ZipFile(tmp_path / 'yfcc4k.zip', 'w') as archive:
            for path in sorted((tmp_path / 'yfcc4k').rglob('*')):
                archive.write(path, path.relative_to(tmp_path / 'yfcc4k'))
        shutil.rmtree(tmp_path / 'yfcc4k')
        assert points(YFCC4k(tmp_path)) == [*self.POINTS]
        assert points(YFCC4k(tmp_path)) == [*self.POINTS]

    def test_other_table(self, tmp_path: Path) -> None:
        make('yfcc4k', tmp_path)
        (tmp_path / 'info.txt').unlink()
        rows = 'IMG_ID,LAT,LON\n3184217.jpg,-34.6,-58.38\n'
        (tmp_path / 'yfcc4k_places365.csv').write_text(rows)
        assert points(YFCC4k(tmp_path)) == [[-58.38, -34.6]]

    def test_broken_info(self, tmp_path: Path) -> None:
        make('yfcc4k', tmp_path)
        text = (tmp_path / 'info.txt').read_text()
        (tmp_path / 'info.txt').write_text(text.replace('48.85', '948.85'))
        with pytest.raises(ValueError, match=r'info\.txt: row 0, .* 948\.85'):
            YFCC4k(tmp_path)
        (tmp_path / 'info.txt').write_text('a\tb\n')
        with pytest.raises(ValueError, match=r'info\.txt as 14 or more columns'):
            YFCC4k(tmp_path)


def test_yfcc26k(tmp_path: Path) -> None:
    dataset = YFCC26k(make('yfcc26k', tmp_path))
    assert names(dataset)[1] == 'yfcc25600/00_5d_2283161369.jpg'
    assert points(dataset) == [[2.35, 48.85], [-58.38, -34.6]]


class TestOSV5M:
    def test_download(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        asked: list[dict[str, Any]] = []

        def download(repo_id: str, local_dir: Path, **kwargs: Any) -> None:
            assert repo_id == 'osv5m/osv5m'
            asked.append(kwargs)
            make('osv5m', local_dir)

        monkeypatch.setattr('huggingface_hub.snapshot_download', download)
        dataset = OSV5M(tmp_path, 'test', download=True)
        assert names(dataset)[0] == 'images/test/00/3859149887465501.jpg'
        assert points(dataset)[2] == [-21.92, 64.14]
        assert dataset[2]['image'].shape == (3, 6, 8)
        assert not list(tmp_path.rglob('*.zip'))
        assert len(OSV5M(tmp_path, 'test', download=True)) == 3
        assert asked == [
            {
                'repo_type': 'dataset',
                'allow_patterns': ['test.csv', 'images/test/*.zip'],
            }
        ]

    def test_train(self, tmp_path: Path) -> None:
        folder = make('osv5m', tmp_path, split='train') / 'images/train'
        for path in folder.glob('*.zip'):
            with zipfile.ZipFile(path) as archive:
                archive.extractall(folder)
        assert len(OSV5M(tmp_path)) == 3
        shutil.rmtree(folder / '01')
        with pytest.raises(
            FileNotFoundError, match='1 of 3 .* such as 123456789012345'
        ):
            OSV5M(tmp_path)

    def test_bad_split(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="'train', 'test'.*'val'"):
            OSV5M(tmp_path, 'val')  # type: ignore[arg-type]
