# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import pyplot as plt
from pyproj import Geod
from torch import Tensor

from torchgeo_concepts.geo.splits import (
    Fractions,
    Split,
    block_folds,
    block_split,
    column_split,
    fold_splits,
    random_folds,
    random_split,
    with_buffer,
)
from torchgeo_concepts.layers.regions import region_split
from torchgeo_concepts.plot.point_maps import plot_split

PARTS = ('train', 'val', 'test')


def scattered(number: int, seed: int = 0) -> Tensor:
    """Points spread evenly over the sphere."""
    rng = np.random.default_rng(seed)
    lon = rng.uniform(-180, 180, number)
    lat = np.rad2deg(np.arcsin(rng.uniform(-1, 1, number)))
    return torch.from_numpy(np.column_stack((lon, lat)))


def rows_of(split: Split) -> list[int]:
    rows = np.concatenate([getattr(split, part) for part in PARTS])
    return sorted(rows.tolist())


def kilometres(points: Tensor, first: Any, second: Any) -> np.ndarray[Any, Any]:
    """Distances between all rows of two parts."""
    pairs = np.array([(a, b) for a in first for b in second])
    a, b = points.numpy()[pairs[:, 0]], points.numpy()[pairs[:, 1]]
    metres = Geod(ellps='sphere').inv(*a.T, *b.T)[2]
    return np.asarray(metres).reshape(len(first), len(second)) / 1000


SPLITTERS: list[Callable[[Tensor, int], Split]] = [
    lambda points, seed: random_split(len(points), (0.6, 0.2, 0.2), seed),
    lambda points, seed: block_split(points, (0.6, 0.2, 0.2), seed),
    lambda points, seed: block_split(points, (0.6, 0.2, 0.2), seed, km=1500),
    lambda points, seed: region_split(points, shapely.box(-180, -90, 0, 0), 0.2, seed),
    lambda points, seed: fold_splits(points, block_folds(points, 3, seed), 0.2, seed)[
        1
    ],
]


@pytest.mark.parametrize('split', SPLITTERS)
class TestAll:
    def test_each_row_has_one_purpose(
        self, split: Callable[[Tensor, int], Split]
    ) -> None:
        points = scattered(300)
        parts = split(points, 0)
        assert rows_of(parts) == list(range(300))
        for part in PARTS:
            rows = getattr(parts, part)
            assert len(rows)
            assert rows.tolist() == sorted(rows.tolist())

    def test_depends_on_the_seed_alone(
        self, split: Callable[[Tensor, int], Split]
    ) -> None:
        points = scattered(300)
        first = split(points, 3)
        np.random.default_rng(1).random(5)
        torch.manual_seed(7)
        second, other = split(points, 3), split(points, 4)
        assert all(
            np.array_equal(getattr(first, part), getattr(second, part))
            for part in PARTS
        )
        assert not np.array_equal(first.val, other.val)


class TestRandom:
    @given(
        number=st.integers(30, 400), val=st.floats(0.05, 0.4), test=st.floats(0.05, 0.4)
    )
    def test_shares(self, number: int, val: float, test: float) -> None:
        split = random_split(number, (1 - val - test, val, test))
        assert len(split.test) == round(test * number)
        assert len(split.val) == round(val * number)
        assert rows_of(split) == list(range(number))

    def test_no_validation(self) -> None:
        split = random_split(10, (0.7, 0.0, 0.3))
        assert (len(split.train), len(split.val), len(split.test)) == (7, 0, 3)

    def test_bad_shares(self) -> None:
        bad: list[tuple[Any, str]] = [
            ((0.8, 0.1, 0.2), r'sum to 1; got .*, which sum to 1\.1'),
            ((1.2, -0.1, -0.1), 'three numbers'),
            ((0.0, 0.5, 0.5), 'the first more than 0'),
            ((0.5, 0.5), 'three numbers'),
        ]
        for fractions, message in bad:
            with pytest.raises(ValueError, match=message):
                random_split(100, fractions)
            with pytest.raises(ValueError, match=message):
                block_split(scattered(100), fractions)

    def test_empty_part(self) -> None:
        with pytest.raises(ValueError, match="0.1 of 4 rows leaves 'val' empty"):
            random_split(4)
        with pytest.raises(ValueError, match="leaves 'train' empty"):
            random_split(2, (0.1, 0.5, 0.4))


class TestBlocks:
    @pytest.mark.parametrize('km', [None, 1500])
    def test_blocks_stay_whole(self, km: float | None) -> None:
        points = scattered(500)
        folds = block_folds(points, 5, km=km)
        assert sorted(np.concatenate(folds).tolist()) == list(range(500))
        split = block_split(points, km=km)
        lon, lat = points.numpy().T
        if km is None:
            key = np.floor(lat / 10) * 1000 + np.floor(lon / 10)
            parts = [set(key[getattr(split, part)].tolist()) for part in PARTS]
            assert not parts[0] & parts[1]
            assert not parts[0] & parts[2]
            assert not parts[1] & parts[2]
        for part, share in zip(PARTS, (0.8, 0.1, 0.1), strict=True):
            assert len(getattr(split, part)) == pytest.approx(share * 500, abs=20)

    def test_probes_have_the_same_folds(self) -> None:
        points = scattered(200)
        keys = [
            int(np.floor(lat / 10)) * 100_003 + int(np.floor(lon / 10))
            for lon, lat in points.tolist()
        ]
        unique = sorted(set(keys))
        order = np.random.default_rng(0).permutation(len(unique))
        for fold, rows in enumerate(block_folds(points)):
            assert rows.tolist() == [
                row
                for row, key in enumerate(keys)
                if order[unique.index(key)] % 5 == fold
            ]

    @settings(deadline=None, max_examples=30)
    @given(km=st.floats(300, 8000))
    def test_blocks_of_kilometres_have_one_area(self, km: float) -> None:
        from torchgeo_concepts.geo.splits import _equal_area_cells

        # Evenly spread points fall into equal areas equally often.
        index = np.arange(200_000)
        lat = np.rad2deg(np.arcsin(1 - (2 * index + 1) / len(index)))
        lon = 360 * np.mod(index * (5**0.5 - 1) / 2, 1) - 180
        _, counts = np.unique(_equal_area_cells(lon, lat, km), return_counts=True)
        sphere = 4 * np.pi * 6371.0088**2
        assert sphere / len(counts) == pytest.approx(km**2, rel=0.2)
        if counts.mean() > 300:
            assert counts.std() / counts.mean() < 0.1

    def test_antimeridian(self) -> None:
        from torchgeo_concepts.geo.splits import _equal_area_cells

        lon, lat = np.array([180.0, -180.0, -179.99]), np.array([10.0, 10.0, 10.0])
        assert len(np.unique(_equal_area_cells(lon, lat, 500))) == 1
        poles = _equal_area_cells(np.array([0.0, 0.0]), np.array([90.0, -90.0]), 500)
        assert poles[0] < 10
        assert poles[1] > 2000

    def test_too_few_blocks(self) -> None:
        points = torch.tensor([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]])
        with pytest.raises(
            ValueError, match='All 3 points lie in 1 block of 10 degrees'
        ):
            block_split(points)
        two = torch.cat((points, torch.tensor([[50.0, 50.0]])))
        with pytest.raises(
            ValueError, match='lie in 2 blocks of 500 km, too few for 3'
        ):
            block_split(two, km=500)
        split = block_split(two, (0.7, 0.0, 0.3))
        assert split.test.tolist() == [3]
        with pytest.raises(ValueError, match='Fold 0 of 2 has 3 of the 3 points'):
            fold_splits(points, block_folds(points, 2))

    def test_every_part_gets_a_block(self) -> None:
        # One block has nearly everything, whichever comes first.
        crowd = torch.tensor([[5.0, 5.0]]).expand(98, 2)
        points = torch.cat((crowd, torch.tensor([[50.0, 50.0], [-50.0, -50.0]])))
        for seed in range(6):
            split = block_split(points, (0.4, 0.3, 0.3), seed)
            assert all(len(getattr(split, part)) for part in PARTS)

    def test_bad_sides(self) -> None:
        for side in (0, -1, float('nan')):
            with pytest.raises(ValueError, match='must be positive'):
                block_folds(scattered(9), km=side)
        with pytest.raises(ValueError, match='no points'):
            block_folds(torch.empty(0, 2))


class TestRegion:
    CITIES = torch.tensor(
        [
            [36.82, -1.29],  # Nairobi
            [2.35, 48.85],  # Paris
            [-74.0, 40.7],  # New York
            [139.7, 35.7],  # Tokyo
            [18.42, -33.95],  # Cape Town
            [178.44, -18.12],  # Suva
            [-171.8, -13.83],  # Apia
        ]
    )

    def test_polygon(self) -> None:
        split = region_split(self.CITIES, shapely.box(0, -40, 60, 10), 0)
        assert split.test.tolist() == [0, 4]
        assert split.train.tolist() == [1, 2, 3, 5, 6]

    @pytest.mark.parametrize(
        'region',
        [
            shapely.box(170, -30, 195, 0),
            shapely.box(-190, -30, -165, 0),
            [shapely.box(170, -30, 180, 0), shapely.box(-180, -30, -165, 0)],
        ],
    )
    def test_across_the_antimeridian(self, region: Any) -> None:
        assert region_split(self.CITIES, region, 0).test.tolist() == [5, 6]

    @pytest.mark.parametrize(
        ('region', 'rows'),
        [
            ('Africa', [0, 4]),
            ('africa', [0, 4]),
            ('France', [1]),
            ('FR', [1]),
            (['FR', 'Japan'], [1, 3]),
            (['Africa', shapely.box(-80, 35, -70, 45)], [0, 2, 4]),
        ],
    )
    def test_names(self, region: Any, rows: list[int]) -> None:
        assert region_split(self.CITIES, region, 0).test.tolist() == rows

    def test_no_such_name(self) -> None:
        with pytest.raises(
            ValueError, match="'Afrika' is not .* Did you mean 'Africa'"
        ):
            region_split(self.CITIES, 'Afrika')

    @pytest.mark.parametrize(
        ('region', 'rows'),
        [
            ('POLYGON ((0 -40, 60 -40, 60 10, 0 10, 0 -40))', [0, 4]),
            ('polygon((170 -30, 195 -30, 195 0, 170 0, 170 -30))', [5, 6]),
            (
                ' MULTIPOLYGON (((0 -40, 60 10, 0 10, 0 -40), (1 9, 2 9, 2 8, 1 9)))',
                [0],
            ),
            (['FR', 'POLYGON ((0 -40, 60 -40, 60 10, 0 10, 0 -40))'], [0, 1, 4]),
        ],
    )
    def test_text_of_polygons(self, region: Any, rows: list[int]) -> None:
        assert region_split(self.CITIES, region, 0).test.tolist() == rows

    @pytest.mark.parametrize(
        'name', ['two.gpkg', 'two.geojson', 'two.shp', 'two.polygons']
    )
    def test_file(self, tmp_path: Path, name: str) -> None:
        boxes = [shapely.box(0, -40, 60, 10), shapely.box(130, 30, 140, 40)]
        frame = gpd.GeoDataFrame({'n': [1, 2]}, geometry=boxes, crs=4326)
        path = tmp_path / name
        if name == 'two.polygons':
            # Any other name of a file that is there will do.
            frame.to_file(path, driver='GeoJSON')
        else:
            frame.to_crs(3857).to_file(path)
        for region in (path, str(path), [str(path)]):
            assert region_split(self.CITIES, region, 0).test.tolist() == [0, 3, 4]
        both = region_split(self.CITIES, [str(path), 'France'], 0)
        assert both.test.tolist() == [0, 1, 3, 4]

    def test_neither_polygons_nor_file(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=r"'POLYGON \(\(0 0, 1' is not the WKT"):
            region_split(self.CITIES, 'POLYGON ((0 0, 1')
        for missing in (tmp_path / 'none.gpkg', str(tmp_path / 'none.gpkg')):
            with pytest.raises(ValueError, match=r'none.gpkg cannot be read as polyg'):
                region_split(self.CITIES, missing)
        points = gpd.GeoDataFrame(geometry=[shapely.Point(1, 2)], crs=4326)
        points.to_file(tmp_path / 'points.gpkg')
        with pytest.raises(ValueError, match='points.gpkg has no polygons'):
            region_split(self.CITIES, str(tmp_path / 'points.gpkg'))
        with pytest.raises(ValueError, match=r"'polygons' is not .*Known names:"):
            region_split(self.CITIES, 'polygons')
        far = shapely.box(0, 60, 1, 61).segmentize(0.1).wkt
        with pytest.raises(ValueError, match=r"region 'POLYGON .*\.\.\. has none"):
            region_split(self.CITIES, far)

    def test_without_points_or_with_all(self) -> None:
        with pytest.raises(ValueError, match="region 'Antarctica' has none of the 7"):
            region_split(self.CITIES, 'Antarctica')
        with pytest.raises(ValueError, match='a Polygon has all of the 7 points'):
            region_split(self.CITIES, shapely.box(-180, -90, 180, 90))
        with pytest.raises(ValueError, match='val_fraction must be'):
            region_split(self.CITIES, 'Africa', 1.0)


class TestColumn:
    def test_names(self) -> None:
        names = ['Train', 'TEST', 'val', None, 'training', float('nan'), 'test']
        split = column_split(names, scattered(7))
        assert [getattr(split, part).tolist() for part in PARTS] == [
            [0, 4],
            [2],
            [1, 6],
        ]

    def test_validation_is_taken_from_training(self) -> None:
        names = ['trainval'] * 20 + ['test'] * 5
        split = column_split(names, scattered(25), 0.25)
        assert (len(split.train), len(split.val), len(split.test)) == (15, 5, 5)
        assert not set(split.train) & set(split.val)

    def test_errors(self) -> None:
        points = scattered(2)
        with pytest.raises(ValueError, match="Row 1, .* 'tset'. Did you mean 'test'"):
            column_split(['train', 'tset'], points)
        with pytest.raises(ValueError, match="has no 'test' row, only"):
            column_split(['train', 'val'], points)
        with pytest.raises(ValueError, match='Expected 2 names, got 1'):
            column_split(['train'], points)


class TestBuffer:
    @given(seed=st.integers(0, 20), buffer_km=st.floats(10, 2500))
    def test_distances(self, seed: int, buffer_km: float) -> None:
        points = scattered(60, seed)
        split = random_split(60, (0.6, 0.2, 0.2), seed)
        try:
            apart = with_buffer(points, split, buffer_km)
        except ValueError:
            near = kilometres(points, split.train, split.test).min(axis=1)
            # Pyproj's sphere has another radius.
            assert near.max() < buffer_km * 1.001
            return
        left_out = np.setdiff1d(split.train, apart.train)
        assert kilometres(points, apart.train, apart.test).min() > buffer_km * 0.999
        if len(left_out):
            near = kilometres(points, left_out, apart.test).min(axis=1)
            assert near.max() < buffer_km * 1.001
        assert apart.test.tolist() == split.test.tolist()
        assert apart.val.tolist() == split.val.tolist()

    def test_antimeridian_and_poles(self) -> None:
        points = torch.tensor(
            [[179.9, 0.0], [-179.9, 0.0], [0.0, 89.9], [180.0, 89.9], [90.0, 0.0]]
        )
        split = Split(np.array([1, 3, 4]), np.array([], int), np.array([0, 2]))
        assert with_buffer(points, split, 50).train.tolist() == [4]
        assert with_buffer(points, split, 20).train.tolist() == [1, 3, 4]

    def test_in_every_way_to_split(self) -> None:
        points = scattered(400)
        folds = fold_splits(points, random_folds(400), buffer_km=800)
        names = ['train', 'train', 'train', 'test'] * 100
        for split in (
            block_split(points, buffer_km=800),
            region_split(points, shapely.box(0, 0, 90, 50), buffer_km=800),
            column_split(names, points, buffer_km=800),
            *folds,
        ):
            assert kilometres(points, split.train, split.test).min() > 799
            assert len(rows_of(split)) < 400

    def test_nothing_left(self) -> None:
        points = scattered(50)
        with pytest.raises(
            ValueError, match='All 40 training points lie within 20000 km'
        ):
            with_buffer(points, random_split(50), 20_000)
        with pytest.raises(ValueError, match='buffer_km must be 0 or more, not -1'):
            with_buffer(points, random_split(50), -1)


def test_folds_become_splits() -> None:
    points = scattered(100)
    folds = block_folds(points, 4)
    splits = fold_splits(points, folds, val_fraction=0)
    assert [split.test.tolist() for split in splits] == [
        fold.tolist() for fold in folds
    ]
    assert all(rows_of(split) == list(range(100)) for split in splits)


def test_plot() -> None:
    points = scattered(200)
    fractions: Fractions = (0.6, 0.2, 0.2)
    split = block_split(points, fractions, buffer_km=500)
    figure = plot_split(points, split)
    [legend] = figure.legends
    names = [text.get_text().split()[0] for text in legend.get_texts()]
    assert names == ['left', 'train', 'val', 'test']
    drawn = {
        c.get_label(): np.shape(c.get_offsets())[0] for c in figure.axes[0].collections
    }
    assert drawn[f'train ({len(split.train)})'] == len(split.train)
    plt.close(figure)
