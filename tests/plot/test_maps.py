# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
import rasterio
import torch
from matplotlib import pyplot as plt
from torch import Tensor

from torchgeo_concepts.geo.raster_grid import RasterGrid
from torchgeo_concepts.io.geotiff import Band
from torchgeo_concepts.maps.encoder_maps import map_values
from torchgeo_concepts.plot import maps as plot
from torchgeo_concepts.plot.maps import draw_map, plot_map, save_figure


@pytest.fixture(autouse=True)
def no_windows() -> Iterator[None]:
    mpl.use('agg')
    yield
    plt.close('all')
    # Parts of figures refer to each other, and coastlines are large.
    gc.collect()


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / 'map.tif'


def latitudes(points: Tensor) -> Tensor:
    return points[:, 1]


def draw(path: Path, grid: RasterGrid, *bands: Band, **tags: str) -> Any:
    map_values(
        lambda points: latitudes(points)[:, None].repeat(1, len(bands)),
        path,
        grid,
        bands,
        tags=tags,
    )
    figure = plot_map(path)
    figure.canvas.draw()
    return figure


def labels(axis: Any) -> list[str]:
    return [label.get_text() for label in axis.get_ticklabels()]


def test_names_units_and_credit(out: Path) -> None:
    grid = RasterGrid.over(width=40)
    band = Band('mean temperature', '°C')
    figure = draw(out, grid, band, encoder='some_encoder')
    axes, bar = figure.axes
    assert axes.get_title() == 'mean temperature'
    assert bar.get_ylabel() == 'mean temperature [°C]'
    assert axes.images[0].get_cmap().name == 'viridis'
    assert labels(axes.yaxis)[-1] == '90°N'
    assert '0°' in labels(axes.xaxis)
    assert figure.get_supxlabel() == 'some_encoder'


def test_probabilities_go_from_0_to_1(out: Path) -> None:
    grid = RasterGrid.over((0, 0, 1, 0.5), width=20)
    figure = draw(out, grid, Band('forest', kind='probability'))
    axes, bar = figure.axes
    assert axes.images[0].get_clim() == (0, 1)
    assert axes.images[0].get_cmap().name == 'cividis'
    assert bar.get_ylabel() == 'probability'


def test_antimeridian_and_pixels_are_where_they_belong(out: Path) -> None:
    grid = RasterGrid.over((170, -25, -170, -15), width=20)
    axes = draw(out, grid, Band('a')).axes[0]
    assert axes.images[0].get_extent() == [170, 190, -25, -15]
    assert {'175°E', '180°', '175°W'} <= set(labels(axes.xaxis))


def test_coast_is_in_the_crs(out: Path) -> None:
    grid = RasterGrid.over((-10, 35, 20, 60), 'EPSG:3035', width=40)
    axes = draw(out, grid, Band('a')).axes[0]
    assert axes.get_xlabel() == 'easting [km]'
    x, y, is_land = plot._coastline(grid) or pytest.fail('no coastline')
    assert x.shape == (is_land.shape[1],)
    # Paris and the Bay of Biscay, in metres.
    for east, north, expected in ((3_757_000, 2_889_000, 1), (3_350_000, 2_500_000, 0)):
        row, column = np.abs(y - north).argmin(), np.abs(x - east).argmin()
        assert is_land[row, column] == expected


def test_no_coast_without_the_layers(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    land = type('Missing', (), {'is_installed': False})
    monkeypatch.setattr(plot, 'get_layer', lambda name: land())
    grid = RasterGrid.over(width=20)
    axes = draw(out, grid, Band('a')).axes[0]
    assert len(axes.collections) == 0


def test_open_sea_and_a_single_value(out: Path) -> None:
    grid = RasterGrid.over((-30, -30.2, -29.8, -30), width=1)
    assert len(draw(out, grid, Band('a')).axes[0].collections) == 0


def test_off_the_earth_everywhere(out: Path) -> None:
    grid = RasterGrid.over(width=8)
    map_values(lambda p: p[:, 0] * torch.nan, out, grid, [Band('a')])
    image: Any = plot_map(out).axes[0].images[0].get_array()
    assert image.mask.all()


def test_classes_have_a_legend(out: Path) -> None:
    names = ('no', 'yes', 'never')
    grid = RasterGrid.over(width=20)
    band = Band('land', kind='class', classes=names)
    map_values(lambda p: (p[:, 1] > 0).float(), out, grid, [band])
    axes: Any = plot_map(out).axes[0]
    shown = [text.get_text() for text in axes.get_legend().get_texts()]
    assert shown == ['no', 'yes']


def test_colours_of_classes_differ() -> None:
    assert len(set(plot._class_colours(24))) == 24
    assert len(plot._class_colours(30)) == 30


def test_colours_are_one_panel(out: Path) -> None:
    grid = RasterGrid.over(None, 'ESRI:54009', width=20)
    bands = [Band(f'component {i}', kind='colour') for i in range(3)]
    [axes] = draw(out, grid, *bands, feature='embedding').axes
    assert axes.get_title() == 'embedding'
    image = axes.images[0].get_array()
    assert image.shape == (10, 20, 4)
    assert image[0, 0, 3] == 0
    assert image[5, 10, 3] == 1
    assert len(axes.get_legend().get_texts()) == 3


def test_many_bands(out: Path) -> None:
    bands = [Band(f'band {i}', kind='score') for i in range(14)]
    figure = draw(out, RasterGrid.over(width=8), *bands)
    assert len(figure.axes) == 24
    assert figure.get_supxlabel() == 'bands not shown: 2'


def test_panels_that_do_not_fill_their_grid(out: Path) -> None:
    bands = [Band(f'band {i}') for i in range(5)]
    figure = draw(out, RasterGrid.over((0, -5, 10, 5), width=4), *bands)
    assert len([axes for axes in figure.axes if axes.images]) == 5
    assert len(figure.axes) == 10


def test_large_maps_are_read_small(out: Path) -> None:
    grid = RasterGrid.over((0, 0, 10, 1), width=4000)
    axes = draw(out, grid, Band('a')).axes[0]
    assert axes.images[0].get_array().shape == (160, 1600)


def test_any_geotiff(out: Path) -> None:
    with rasterio.open(
        out, 'w', driver='GTiff', width=4, height=2, count=1, dtype='uint8',
        transform=rasterio.Affine(90, 0, -180, 0, -90, 90),
    ) as dataset:  # fmt: skip
        dataset.write(np.ones((1, 2, 4), dtype=np.uint8))
    axes = plot_map(out).axes[0]
    assert axes.get_title() == 'band 1'


def test_saved_figure(out: Path, tmp_path: Path) -> None:
    map_values(latitudes, out, RasterGrid.over(width=8), [Band('a')])
    save_figure(out, tmp_path / 'map.png')
    assert (tmp_path / 'map.png').read_bytes().startswith(b'\x89PNG')
    assert not plt.get_fignums()


def test_one_band_on_axes_of_another_figure(out: Path) -> None:
    draw(out, RasterGrid.over(width=40), Band('first', 'm'), Band('second', '°C'))
    figure, (left, right) = plt.subplots(1, 2)
    draw_map(right, out, 2)
    assert right.get_title() == 'second'
    assert not left.images
    assert figure.axes[-1].get_ylabel() == 'second [°C]'
