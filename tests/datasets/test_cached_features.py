# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import Subset
from torchgeo.datasets.utils import Sample

from torchgeo_concepts.datasets import CachedFeatures, ImagePoints, cache_features
from torchgeo_concepts.io.images import UnreadableImageError
from torchgeo_concepts.models import ImageTower
from torchgeo_concepts.models.image_transforms import CenterCrop, Normalize


class Counting(nn.Module):
    """A backbone that counts the images it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(192, 5)
        self.seen: list[int] = []

    def forward(self, images: Tensor) -> Tensor:
        self.seen.append(len(images))
        features: Tensor = self.linear(images.flatten(1))
        return features


@pytest.fixture
def backbone() -> Counting:
    torch.manual_seed(0)
    return Counting()


@pytest.fixture
def tower(backbone: Counting) -> ImageTower:
    return ImageTower(backbone, nn.Linear(5, 4))


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., ImagePoints]:
    rng = np.random.default_rng(0)
    rows = ['image,lon,lat']
    for index in range(23):
        pixels = rng.integers(0, 255, (10, 12, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f'{index:02}.png')
        rows.append(f'{index:02}.png,{index},{-index}')
    (tmp_path / 'table.csv').write_text('\n'.join(rows))

    def make(**kwargs: Any) -> ImagePoints:
        kwargs = {'transforms': CenterCrop(8)} | kwargs
        return ImagePoints(tmp_path, tmp_path / 'table.csv', **kwargs)

    return make


def expected(dataset: ImagePoints, tower: ImageTower) -> Tensor:
    images = torch.stack([dataset[i]['image'] for i in range(len(dataset))])
    with torch.no_grad():
        return tower.features(Normalize()({'image': images})['image'])


class TestPass:
    @pytest.mark.parametrize('part_size', [1, 7, 23, 1000])
    def test_features_of_all_images(
        self, make: Callable[..., ImagePoints], tower: ImageTower, tmp_path: Path, part_size: int
    ) -> None:  # fmt: skip
        dataset = make()
        cached = cache_features(
            dataset, tower, tmp_path / 'cache', prepare=Normalize(),
            batch_size=4, part_size=part_size,
        )  # fmt: skip
        assert len(cached) == 23
        assert cached.num_features == 5
        assert cached.points.equal(dataset.points)
        features = torch.stack([cached[i]['image'] for i in range(23)])
        assert features.dtype == torch.float32
        reference = expected(dataset, tower)
        torch.testing.assert_close(features, reference, atol=2e-3, rtol=2e-3)
        assert cached[-1]['point'].tolist() == [22, -22]
        with pytest.raises(IndexError, match='No image 23: there are 23'):
            cached[23]

    def test_the_head_goes_on_from_there(
        self, make: Callable[..., ImagePoints], tower: ImageTower, tmp_path: Path
    ) -> None:
        dataset = make()
        cached = cache_features(dataset, tower, tmp_path / 'cache')
        images = torch.stack([dataset[i]['image'] for i in range(3)])
        features = torch.stack([cached[i]['image'] for i in range(3)])
        torch.testing.assert_close(tower(features), tower(images), atol=0.1, rtol=1e-2)

    def test_goes_on_where_it_stopped(
        self,
        make: Callable[..., ImagePoints],
        tower: ImageTower,
        backbone: Counting,
        tmp_path: Path,
    ) -> None:
        dataset = make()
        options = {'batch_size': 5, 'part_size': 5}
        whole = cache_features(dataset, tower, tmp_path / 'whole', **options)  # type: ignore[arg-type]
        (tmp_path / '17.png').rename(tmp_path / 'away.png')
        with pytest.raises(UnreadableImageError, match=r'17.png'):
            cache_features(dataset, tower, tmp_path / 'cache', **options)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match='is not complete'):
            CachedFeatures(tmp_path / 'cache')
        (tmp_path / 'away.png').rename(tmp_path / '17.png')
        backbone.seen.clear()
        cached = cache_features(dataset, tower, tmp_path / 'cache', **options)  # type: ignore[arg-type]
        # Three parts of five were there.
        assert sum(backbone.seen) == 8
        for index in range(23):
            assert cached[index]['image'].equal(whole[index]['image'])
        backbone.seen.clear()
        cache_features(dataset, tower, tmp_path / 'cache', **options)  # type: ignore[arg-type]
        assert sum(backbone.seen) == 0

    def test_unreadable_images_are_left_out_and_counted(
        self, make: Callable[..., ImagePoints], tower: ImageTower, tmp_path: Path
    ) -> None:
        for index in (0, 5, 6, 22):
            (tmp_path / f'{index:02}.png').write_bytes(b'\x89PNG, cut short')
        cached = cache_features(
            make(),
            tower,
            tmp_path / 'cache',
            batch_size=2,
            part_size=2,
            on_error='skip',
        )
        assert len(cached) == 19
        assert cached.info['unreadable'] == 4
        assert cached.points[:, 0].tolist() == [
            i for i in range(23) if i not in (0, 5, 6, 22)
        ]
        assert cached[4]['point'].tolist() == [7, -7]

    def test_nothing_readable(
        self, make: Callable[..., ImagePoints], tower: ImageTower, tmp_path: Path
    ) -> None:
        dataset = make()
        for file in tmp_path.glob('*.png'):
            file.write_bytes(b'')
        with pytest.raises(ValueError, match='No image could be read'):
            cache_features(dataset, tower, tmp_path / 'cache', on_error='skip')

    def test_workers(
        self, make: Callable[..., ImagePoints], tower: ImageTower, tmp_path: Path
    ) -> None:
        one = cache_features(make(), tower, tmp_path / 'one', batch_size=4)
        two = cache_features(
            make(), tower, tmp_path / 'two', batch_size=4, num_workers=2
        )
        assert two.points.equal(one.points)
        assert two[9]['image'].equal(one[9]['image'])


class TestMadeOfSomethingElse:
    def test_another_model(
        self, make: Callable[..., ImagePoints], tower: ImageTower, tmp_path: Path
    ) -> None:
        cache_features(make(), tower, tmp_path / 'cache')
        other = ImageTower(Counting(), nn.Linear(5, 4))
        with pytest.raises(ValueError, match='another backbone or other weights'):
            cache_features(make(), other, tmp_path / 'cache')
        with pytest.raises(ValueError, match='come from another backbone'):
            CachedFeatures(tmp_path / 'cache', tower=other)
        assert len(CachedFeatures(tmp_path / 'cache', tower=tower)) == 23
        # A tower without a backbone takes features of any.
        headed = ImageTower(nn.Identity(), tower.head)
        assert len(CachedFeatures(tmp_path / 'cache', tower=headed)) == 23

    def test_another_head(
        self, make: Callable[..., ImagePoints], tower: ImageTower, tmp_path: Path
    ) -> None:
        cache_features(make(), tower, tmp_path / 'cache')
        tower.head = nn.Linear(5, 9)
        assert len(CachedFeatures(tmp_path / 'cache', tower=tower)) == 23

    def test_other_transforms(
        self, make: Callable[..., ImagePoints], tower: ImageTower, tmp_path: Path
    ) -> None:
        cache_features(make(), tower, tmp_path / 'cache')
        # The same, made anew.
        cache_features(make(transforms=CenterCrop(8)), tower, tmp_path / 'cache')
        for changed in (
            {'dataset': make(transforms=CenterCrop(9))},
            {'dataset': make(), 'prepare': Normalize()},
        ):
            with pytest.raises(ValueError, match='was computed with other transforms'):
                cache_features(tower=tower, root=tmp_path / 'cache', **changed)
        normalized = Normalize(), Normalize(mean=(0.0, 0.0, 0.0))
        cache_features(make(), tower, tmp_path / 'norm', prepare=normalized[0])
        with pytest.raises(ValueError, match='was computed with other transforms'):
            cache_features(make(), tower, tmp_path / 'norm', prepare=normalized[1])

    def test_other_images(
        self, make: Callable[..., ImagePoints], tower: ImageTower, tmp_path: Path
    ) -> None:
        cache_features(make(), tower, tmp_path / 'cache')
        fewer = make().select(np.arange(23) < 20)
        with pytest.raises(ValueError, match='was computed with other images'):
            cache_features(fewer, tower, tmp_path / 'cache')

    def test_trained_backbone(
        self, make: Callable[..., ImagePoints], tower: ImageTower, tmp_path: Path
    ) -> None:
        tower = ImageTower(tower.backbone, tower.head, frozen=False)
        with pytest.raises(
            ValueError, match='features of a frozen backbone can be cached'
        ):
            cache_features(make(), tower, tmp_path / 'cache')

    def test_too_large_for_float16(
        self, make: Callable[..., ImagePoints], tower: ImageTower, tmp_path: Path
    ) -> None:
        nn.init.constant_(next(tower.backbone.parameters()), 1e5)
        with pytest.raises(ValueError, match='too large for float16'):
            cache_features(make(), tower, tmp_path / 'cache')


class TestFolder:
    def test_without_features(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match='has no cached features'):
            CachedFeatures(tmp_path)

    def test_says_what_it_was_made_of(
        self, make: Callable[..., ImagePoints], tower: ImageTower, tmp_path: Path
    ) -> None:
        cache_features(make(), tower, tmp_path / 'cache')
        info = json.loads((tmp_path / 'cache' / 'features.json').read_text())
        assert info['images'] == 23
        assert 'CenterCrop' in info['made']['transforms']
        assert np.load(tmp_path / 'cache' / '00000.features.npy').dtype == np.float16


def identity(sample: Sample) -> Sample:
    return sample


class TestRefused:
    def test_functions_without_a_name(
        self, make: Callable[..., ImagePoints], tower: ImageTower, tmp_path: Path
    ) -> None:
        with pytest.raises(ValueError, match='a function that can be imported'):
            cache_features(
                make(), tower, tmp_path / 'cache', prepare=lambda sample: sample
            )
        cache_features(make(), tower, tmp_path / 'cache', prepare=identity)

    def test_another_activation(
        self, make: Callable[..., ImagePoints], tmp_path: Path
    ) -> None:
        linear = nn.Linear(192, 5)
        towers = [
            ImageTower(nn.Sequential(nn.Flatten(), linear, activation), nn.Linear(5, 4))
            for activation in (nn.ReLU(), nn.GELU())
        ]
        cache_features(make(), towers[0], tmp_path / 'cache')
        with pytest.raises(ValueError, match='come from another backbone'):
            CachedFeatures(tmp_path / 'cache', tower=towers[1])

    def test_another_part_of_the_images(
        self, make: Callable[..., ImagePoints], tower: ImageTower, tmp_path: Path
    ) -> None:
        dataset = make()
        cache_features(Subset(dataset, [1, 2, 3]), tower, tmp_path / 'cache')
        with pytest.raises(ValueError, match='was computed with other images'):
            cache_features(Subset(dataset, [1, 2, 4]), tower, tmp_path / 'cache')
