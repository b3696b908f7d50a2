# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

import runpy
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import rasterio
import torch
from lightning.pytorch import Trainer
from rasterio.transform import from_origin
from torch import nn
from torch.utils.data import IterableDataset
from torchgeo.datasets import DatasetNotFoundError
from torchgeo.datasets.utils import Sample

from torchgeo_concepts.datamodules import (
    ImagePointsDataModule,
    MP16DataModule,
    S2100kDataModule,
)
from torchgeo_concepts.datasets import ImagePoints, cache_features
from torchgeo_concepts.layers.grounding import Groundings, load_groundings
from torchgeo_concepts.models import ImageTower
from torchgeo_concepts.models.image_transforms import CenterCrop

DATA = Path(__file__).parents[1] / 'data'


def create(name: str, root: Path, **kwargs: Any) -> None:
    runpy.run_path(str(DATA / name / 'data.py'))['create'](root, **kwargs)


@pytest.fixture
def photos(tmp_path: Path) -> ImagePoints:
    create('regional_photos', tmp_path / 'photos', number=64)
    return ImagePoints(tmp_path / 'photos', tmp_path / 'photos' / 'photos.csv')


@pytest.fixture(scope='module')
def not_climate() -> Groundings:
    return load_groundings(exclude_groups=['climate'])


def points_of(datamodule: ImagePointsDataModule, split: str) -> set[tuple[float, ...]]:
    loader = getattr(datamodule, f'{split}_dataloader')()
    return {tuple(point.tolist()) for batch in loader for point in batch['point']}


def batch_of(datamodule: ImagePointsDataModule) -> Sample:
    batch: Sample = next(iter(datamodule.train_dataloader()))
    return batch


class TestImagePoints:
    def test_splits(self, photos: ImagePoints) -> None:
        datamodule = ImagePointsDataModule(
            photos, photos, batch_size=8, image_size=16, val_fraction=0.25
        )
        for stage in ('fit', 'test', 'predict'):
            datamodule.setup(stage)
        train, val = points_of(datamodule, 'train'), points_of(datamodule, 'val')
        assert len(train) == 48 - 48 % 8
        assert len(val) == 16
        assert not train & val
        assert len(points_of(datamodule, 'test')) == 64
        assert points_of(datamodule, 'predict') == points_of(datamodule, 'test')
        batch = next(iter(datamodule.val_dataloader()))
        assert batch['image'].shape == (8, 3, 16, 16)
        assert batch['point'].dtype == torch.float32

    def test_blocks_are_held_out_whole(self, photos: ImagePoints) -> None:
        datamodule = ImagePointsDataModule(
            photos, batch_size=4, image_size=16, val_fraction=0.3, val_split='blocks'
        )
        datamodule.setup('fit')
        train, val = points_of(datamodule, 'train'), points_of(datamodule, 'val')
        blocks = [
            {(np.floor(lon / 10), np.floor(lat / 10)) for lon, lat in points}
            for points in (train, val)
        ]
        assert not blocks[0] & blocks[1]
        # As near to 19 as whole blocks allow.
        assert 12 <= len(val) <= 26

    def test_seed(self, photos: ImagePoints) -> None:
        orders = []
        for seed in (0, 0, 1):
            datamodule = ImagePointsDataModule(
                photos, batch_size=8, image_size=16, seed=seed
            )
            datamodule.setup('fit')
            loader = datamodule.train_dataloader()
            orders.append(torch.cat([batch['point'] for batch in loader]))
        assert orders[0].equal(orders[1])
        assert not orders[0].equal(orders[2])

    def test_augments_training_alone(self, photos: ImagePoints) -> None:
        datamodule = ImagePointsDataModule(photos, photos, image_size=16, batch_size=8)
        datamodule.setup('fit')
        datamodule.setup('test')
        for split, same in (('train', False), ('test', True)):
            dataset: Any = getattr(datamodule, f'{split}_dataset')
            assert dataset[0]['image'].equal(dataset[0]['image']) == same
        # The dataset that was passed is not changed.
        assert photos.transforms is None

    @pytest.mark.parametrize('val_split', ['random', 'blocks'])
    def test_maps_label_points(
        self,
        photos: ImagePoints,
        not_climate: Groundings,
        val_split: Any,
        tmp_path: Path,
    ) -> None:
        tower = ImageTower(nn.Flatten(), nn.Linear(48, 4))
        cut = photos.select(np.arange(64) < 60)
        cut.transforms = CenterCrop(4)
        for source in (photos, cache_features(cut, tower, tmp_path / 'features')):
            datamodule = ImagePointsDataModule(
                source,
                source,
                batch_size=8,
                image_size=16,
                val_fraction=0.3,
                val_split=val_split,
                concepts=True,
                exclude_groups=['climate'],
                num_workers=1,
            )
            datamodule.setup('fit')
            datamodule.setup('test')
            known = datamodule.map_labels
            assert known is not None
            assert 'warm-summer-mediterranean-climate' not in known.bank.ids
            for split in ('train', 'val'):
                batch = next(iter(getattr(datamodule, f'{split}_dataloader')()))
                assert known.bank == not_climate.bank
                np.testing.assert_array_equal(
                    batch['concepts'].numpy(), not_climate.labels(batch['point'])
                )
            assert 'concepts' not in next(iter(datamodule.test_dataloader()))
            # As those that are trained on vary.
            dataset: Any = datamodule.train_dataset
            assert len(known.points) == len(dataset)
            labels = not_climate.labels(known.points)
            mean = np.nanmean(labels[:, 0], dtype=np.float64)
            assert known.scale().mean[0] == pytest.approx(mean)

    def test_points_that_are_not_told(self) -> None:
        class Stream(IterableDataset[Sample]):
            def __iter__(self) -> Iterator[Sample]:
                yield from ()

        datamodule = ImagePointsDataModule(Stream(), concepts=True)
        with pytest.raises(
            ValueError, match='needs points, which Stream does not have'
        ):
            datamodule.setup('fit')

    def test_own_validation_set(self, photos: ImagePoints) -> None:
        datamodule = ImagePointsDataModule(
            photos.select(np.arange(64) < 40),
            val=photos.select(np.arange(64) >= 40),
            batch_size=8,
            image_size=16,
        )
        datamodule.setup('fit')
        assert len(points_of(datamodule, 'train')) == 40
        assert len(points_of(datamodule, 'val')) == 24

    def test_unreadable_images_are_not_tested_on(self, photos: ImagePoints) -> None:
        photos.files[3].write_bytes(b'cut short')
        skipping = ImagePoints(photos.root, photos.root / 'photos.csv', on_error='skip')
        datamodule = ImagePointsDataModule(test=skipping, image_size=16)
        with pytest.warns(UserWarning, match='Left out 1 of 64'):
            datamodule.setup('test')
        assert len(points_of(datamodule, 'test')) == 63

    def test_nothing_is_validated_that_is_trained_on(self, photos: ImagePoints) -> None:
        for index in range(0, 64, 3):
            photos.files[index].write_bytes(b'cut short')
        skipping = ImagePoints(photos.root, photos.root / 'photos.csv', on_error='skip')
        datamodule = ImagePointsDataModule(
            skipping, batch_size=4, image_size=16, val_fraction=0.25
        )
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            datamodule.setup('fit')
            train = points_of(datamodule, 'train')
            val = points_of(datamodule, 'val')
        assert len(train) > 20
        assert not train & val

    def test_lopsided_blocks(self, photos: ImagePoints) -> None:
        # All of one region but for a few: the region cannot be a twentieth.
        rows = (np.arange(64) % 8 == 0) | (np.arange(64) < 3)
        for seed in range(4):
            datamodule = ImagePointsDataModule(
                photos.select(rows),
                batch_size=2,
                image_size=16,
                val_split='blocks',
                val_fraction=0.05,
                seed=seed,
            )
            datamodule.setup('fit')
            assert 1 <= len(points_of(datamodule, 'val')) <= 3

    @pytest.mark.parametrize(
        'wrong', [{'val_split': 'block'}, {'val_fraction': 0}, {'val_fraction': 1.5}]
    )
    def test_wrong_split(self, wrong: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match='val_'):
            ImagePointsDataModule(**wrong)

    def test_cached_features(self, photos: ImagePoints, tmp_path: Path) -> None:
        tower = ImageTower(nn.Flatten(), nn.Linear(192, 4))
        photos.transforms = CenterCrop(8)
        cached = cache_features(photos, tower, tmp_path / 'cache')
        datamodule = ImagePointsDataModule(cached, cached, batch_size=8)
        datamodule.setup('fit')
        batch = next(iter(datamodule.train_dataloader()))
        assert batch['image'].shape == (8, 192)
        # No normalisation either.
        assert datamodule.aug(batch)['image'] is batch['image']

    def test_normalises(self, photos: ImagePoints) -> None:
        datamodule = ImagePointsDataModule(photos, mean=(0.5,), std=(0.5,))
        image = torch.tensor([0.0, 127.5, 255.0]).expand(1, 3, 1, 3)
        batch = datamodule.aug({'image': image, 'point': torch.zeros(1, 2)})
        assert batch['image'][0, 0, 0].tolist() == [-1, 0, 1]

    def test_stream(self) -> None:
        class Stream(IterableDataset[Sample]):
            def __iter__(self) -> Iterator[Sample]:
                for index in range(20):
                    yield {'image': torch.zeros(4), 'point': torch.tensor([index, 0.0])}

        datamodule = ImagePointsDataModule(Stream(), batch_size=8, image_size=None)
        datamodule.setup('fit')
        assert len(points_of(datamodule, 'train')) == 16
        assert list(datamodule.val_dataloader()) == []
        datamodule.trainer = Trainer(logger=False)
        with (
            patch.object(Trainer, 'world_size', 2),
            pytest.raises(ValueError, match='Pass samples_per_epoch'),
        ):
            datamodule.setup('fit')

    def test_stream_in_epochs(self, tmp_path: Path) -> None:
        class Epochs(IterableDataset[Sample]):
            epoch = 0

            def set_epoch(self, epoch: int) -> None:
                self.epoch = epoch

            def __iter__(self) -> Iterator[Sample]:
                for _ in range(4):
                    point = torch.tensor([float(self.epoch), 0.0])
                    yield {'image': torch.zeros(4), 'point': point}

        for num_workers in (0, 1):
            datamodule = ImagePointsDataModule(
                Epochs(), batch_size=4, image_size=None, num_workers=num_workers
            )
            datamodule.load_state_dict({'epoch': 3})
            datamodule.setup('fit')
            loader = datamodule.train_dataloader()
            epochs = [next(iter(loader))['point'][0, 0].item() for _ in range(3)]
            assert epochs == [3, 4, 5]

    @pytest.mark.parametrize('stage', ['fit', 'test', 'predict'])
    def test_no_dataset(self, stage: str) -> None:
        with pytest.raises(ValueError, match='There is no .*dataset'):
            ImagePointsDataModule().setup(stage)

    def test_fewer_than_a_batch(self, photos: ImagePoints) -> None:
        with pytest.raises(ValueError, match='61 training samples do not fill one'):
            ImagePointsDataModule(photos, batch_size=62).setup('fit')

    def test_nothing_to_split(self, photos: ImagePoints) -> None:
        one = photos.select(np.arange(64) == 0)
        with pytest.raises(
            ValueError, match=r'1 training sample cannot be split. Pass val'
        ):
            ImagePointsDataModule(one).setup('fit')


class TestPublished:
    def test_mp16(self, not_climate: Groundings, tmp_path: Path) -> None:
        create('mp16', tmp_path / 'mp16', missing=0)
        create('im2gps3k', tmp_path / 'im2gps3k')
        datamodule = MP16DataModule(
            tmp_path / 'mp16', tmp_path / 'im2gps3k', batch_size=1, image_size=8,
            val_fraction=0.4, on_error='raise', concepts=True,
            exclude_groups=['climate'],
        )  # fmt: skip
        datamodule.setup('fit')
        datamodule.setup('test')
        for split in ('train', 'val', 'test'):
            assert points_of(datamodule, split)
        expected = (1, len(not_climate.bank))
        assert batch_of(datamodule)['concepts'].shape == expected

    def test_mp16_not_found(self, tmp_path: Path) -> None:
        with pytest.raises(DatasetNotFoundError):
            MP16DataModule(tmp_path / 'none').setup('fit')
        with pytest.raises(DatasetNotFoundError):
            MP16DataModule(test_root=tmp_path / 'none').setup('test')

    def test_s2_100k(self, tmp_path: Path) -> None:
        rng = np.random.default_rng(0)
        (tmp_path / 'images').mkdir()
        rows = ['fn,lon,lat']
        for index in range(12):
            rows.append(f'patch_{index}.tif,{30 * index - 175},{5 * index}')
            with rasterio.open(
                tmp_path / 'images' / f'patch_{index}.tif', 'w', driver='GTiff',
                width=16, height=16, count=12, dtype='uint16',
                transform=from_origin(0, 0, 10, 10),
            ) as file:  # fmt: skip
                file.write(rng.integers(0, 10_000, (12, 16, 16), np.uint16))
        (tmp_path / 'index.csv').write_text('\n'.join(rows))
        datamodule = S2100kDataModule(
            tmp_path, batch_size=4, val_fraction=0.25, concepts=True
        )
        datamodule.prepare_data()
        datamodule.setup('fit')
        batch = datamodule.aug(batch_of(datamodule))
        assert batch['image'].shape == (4, 12, 16, 16)
        assert batch['concepts'].shape[0] == 4
        assert 0.5 < batch['image'].max() <= 1
        assert batch['point'].dtype == torch.float32
        train, val = points_of(datamodule, 'train'), points_of(datamodule, 'val')
        assert not train & val
        assert points_of(datamodule, 'test') == val
