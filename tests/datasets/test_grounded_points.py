# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

import shutil
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from shapely.geometry import box

from torchgeo_concepts.datasets import GroundedPoints, grounded_points
from torchgeo_concepts.datasets.grounded_points import held_out_blocks
from torchgeo_concepts.datasets.point_sampling import land_points, sample_points
from torchgeo_concepts.layers import GROUPS, PolygonLayer, get_layer
from torchgeo_concepts.models import GeoCLIPLocation


class TestSampling:
    def test_seed(self) -> None:
        assert sample_points(500, 1).equal(sample_points(500, 1))
        assert not sample_points(500, 1).equal(sample_points(500, 2))

    def test_shares(self) -> None:
        points = sample_points(20_000)
        assert points.shape == (20_000, 2)
        land = get_layer('land')(points).mean()
        # All that is drawn on land, half of the coasts, most settlements.
        assert 0.75 < land < 0.95
        near = get_layer('distance-to-coast')(points) < 50
        assert near.mean() > 0.15

    def test_land_is_equally_dense(self) -> None:
        points = land_points(20_000)
        # Rounding to 32 bits may move a point off the shore.
        assert get_layer('land')(points).mean() > 0.999
        # Africa has a fifth of all land, Antarctica a tenth.
        lon, lat = points.T
        africa = (lat < 33) & (lat > -35) & (lon > -18) & (lon < 33)
        assert africa.float().mean() == pytest.approx(0.17, abs=0.05)
        assert (lat < -62).float().mean() == pytest.approx(0.09, abs=0.03)


class TestPoints:
    @pytest.fixture(scope='class')
    def root(self, tmp_path_factory: pytest.TempPathFactory) -> Path:
        return tmp_path_factory.mktemp('grounded')

    @pytest.fixture(scope='class')
    def dataset(self, root: Path) -> GroundedPoints:
        return GroundedPoints(root / 'points', 600, part_size=250, progress=False)

    def test_samples(self, dataset: GroundedPoints, geoclip: GeoCLIPLocation) -> None:
        batch = dataset[[0, 599, 300]]
        assert batch['concepts'].shape == (3, len(dataset.bank))
        with torch.no_grad():
            expected = geoclip(batch['point'])
        torch.testing.assert_close(batch['embedding'], expected, atol=1e-4, rtol=2e-3)
        labels = dataset.groundings.labels(batch['point'])
        np.testing.assert_allclose(batch['concepts'], labels, rtol=2e-3, atol=2e-3)
        one = dataset[599]
        assert one['point'].equal(batch['point'][1])
        assert one['concepts'].shape == (len(dataset.bank),)

    def test_goes_on_where_it_stopped(self, dataset: GroundedPoints) -> None:
        before = dataset[range(600)]
        times = {f.name: f.stat().st_mtime_ns for f in dataset.root.iterdir()}
        (dataset.root / '0001.points.npy').unlink()
        again = GroundedPoints(dataset.root, 600, part_size=250, progress=False)
        for name, values in again[range(600)].items():
            assert values.nan_to_num().equal(before[name].nan_to_num())
        after = {f.name: f.stat().st_mtime_ns for f in dataset.root.iterdir()}
        made = {name for name in times if times[name] != after[name]}
        assert made == {f'0001.{n}.npy' for n in ('points', 'concepts', 'embeddings')}

    def test_made_of_something_else(self, dataset: GroundedPoints) -> None:
        for changed, name in (({'seed': 1}, 'seed'), ({'number': 601}, 'number')):
            options: Any = {'number': 600, 'part_size': 250} | changed
            with pytest.raises(ValueError, match=f'was computed with another {name}'):
                GroundedPoints(dataset.root, progress=False, **options)

    def test_groups_are_left_out(self, dataset: GroundedPoints) -> None:
        some = GroundedPoints(
            dataset.root, 600, part_size=250, exclude_groups=['climate']
        )
        assert 0 < len(some.bank) < len(dataset.bank)
        assert 'hot-desert-climate' not in some.bank.ids
        column = dataset.bank.ids.index(some.bank.ids[-1])
        ours, theirs = some[range(600)], dataset[range(600)]
        assert (
            ours['concepts'][:, -1]
            .nan_to_num()
            .equal(theirs['concepts'][:, column].nan_to_num())
        )

    def test_blocks(self, dataset: GroundedPoints) -> None:
        parts = [
            GroundedPoints(dataset.root, 600, part_size=250, blocks=blocks)
            for blocks in ('train', 'test')
        ]
        assert sum(map(len, parts)) == 600
        for part, held_out in zip(parts, (False, True), strict=True):
            points = part[range(len(part))]['point']
            assert (held_out_blocks(points) == held_out).all()
        with pytest.raises(ValueError, match="not 'val'"):
            GroundedPoints(dataset.root, blocks='val')  # type: ignore[arg-type]

    def test_scale(self, dataset: GroundedPoints) -> None:
        scale = dataset.scale()
        labels = dataset[range(600)]['concepts']
        standardised = (labels - torch.tensor(scale.mean)) / torch.tensor(scale.std)
        known = standardised.nanmean(dim=0)
        assert known.abs().max() < 1e-2
        assert min(scale.std) >= 0.03
        mean, std, components = dataset.embedding_scale()
        embeddings = dataset[range(600)]['embedding']
        torch.testing.assert_close(mean, embeddings.mean(dim=0))
        assert ((embeddings - mean) / std).square().mean().item() == pytest.approx(1)
        # Columns of unit length, at right angles, and in the order of their variance.
        torch.testing.assert_close(
            components.T @ components, torch.eye(512), atol=1e-4, rtol=0
        )
        variances = ((embeddings - mean) @ components).var(dim=0)
        assert (variances.diff() <= 1e-3 * variances[0]).all()

    def test_a_layer_of_ones_own(self, tmp_path: Path) -> None:
        frame = gpd.GeoDataFrame(geometry=[box(-20, -35, 52, 37)], crs='EPSG:4326')
        frame.to_file(tmp_path / 'africa.gpkg')
        layer = PolygonLayer(tmp_path / 'africa.gpkg', name='around-africa')
        dataset = GroundedPoints(
            tmp_path / 'points', 300, layers=[layer], progress=False
        )
        assert dataset.bank.ids[-1] == 'around-africa'
        batch = dataset[range(300)]
        inside = batch['concepts'][:, -1]
        lon, lat = batch['point'].T
        expected = (lon > -20) & (lon < 52) & (lat > -35) & (lat < 37)
        assert inside.bool().equal(expected)
        assert 0.1 < inside.mean() < 0.5
        with pytest.raises(ValueError, match='was computed with another bank'):
            GroundedPoints(tmp_path / 'points', 300, progress=False)

    def test_labels_must_fit_float16(self, tmp_path: Path) -> None:
        shapes = [box(-180, -90, 0, 90), box(0, -90, 180, 90)]
        frame = gpd.GeoDataFrame({'v': [0, 200_000]}, geometry=shapes, crs='EPSG:4326')
        frame.to_file(tmp_path / 'large.gpkg')
        layer = PolygonLayer(tmp_path / 'large.gpkg', 'large', column='v', unit='g')
        with pytest.raises(ValueError, match="'large' has labels up to 200,000 g"):
            GroundedPoints(tmp_path / 'points', 50, layers=[layer], progress=False)

    def test_what_is_wrong_is_said(self, dataset: GroundedPoints) -> None:
        options: list[dict[str, Any]] = [{'number': 0}, {'part_size': 0}]
        for option in options:
            with pytest.raises(
                ValueError, match=f'{next(iter(option))} must be at least'
            ):
                GroundedPoints(dataset.root, **option)

    def test_damaged_part(self, dataset: GroundedPoints, tmp_path: Path) -> None:
        root = tmp_path / 'points'
        shutil.copytree(dataset.root, root)
        part = root / '0001.concepts.npy'
        content = part.read_bytes()
        part.write_bytes(content[:-1])
        with pytest.raises(ValueError, match=r'0001.concepts.npy is missing or dam'):
            GroundedPoints(root, 600, part_size=250, progress=False)
        for damaged in (b'', b'nonsense'):
            part.write_bytes(damaged)
            with pytest.raises(
                ValueError, match=r'0001.concepts.npy is missing or dam'
            ):
                grounded_points._load(root, 1, 'concepts')
        part.unlink()
        with pytest.raises(ValueError, match=r'Remove 0001.points.npy beside it'):
            grounded_points._load(root, 1, 'concepts')

    def test_damaged_info(self, tmp_path: Path) -> None:
        made = {'number': 1, 'seed': 0}
        grounded_points._start(tmp_path, made)
        grounded_points._start(tmp_path, made)
        info = tmp_path / 'points.json'
        for text, reason in (
            (b'', 'Expecting value'),
            (b'\xff', 'decode'),
            (b'{"number": 1}', "no 'seed'"),
            (b'[]', "no 'number'"),
        ):
            info.write_bytes(text)
            with pytest.raises(ValueError, match=f'points.json is damaged: .*{reason}'):
                grounded_points._start(tmp_path, made)

    def test_plot(self, dataset: GroundedPoints) -> None:
        figure = dataset.plot('annual mean temperature', suptitle='Maps')
        axes, bar = figure.axes
        assert axes.get_title() == 'annual mean temperature'
        assert bar.get_ylabel() == '°C'
        coloured: Any = axes.collections[-1]
        column = dataset.bank.ids.index('annual-mean-temperature')
        labels = dataset[range(600)]['concepts'][:, column]
        known = labels[labels.isfinite()]
        np.testing.assert_array_equal(coloured.get_array(), known)
        plt.close(figure)
        with pytest.raises(ValueError, match='annual mean temperature'):
            dataset.plot('annual mean temprature')

    def test_without_concepts(self, dataset: GroundedPoints) -> None:
        none = GroundedPoints(dataset.root, 600, part_size=250, exclude_groups=GROUPS)
        assert len(none.bank) == 0
        assert none[[0, 5]]['concepts'].shape == (2, 0)
        assert none.scale().mean == []
