# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Figures of GeoTIFF maps."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from pyproj import CRS
from rasterio.enums import Resampling

from ..geo.raster_grid import RasterGrid
from ..io.geotiff import Band, read_bands
from ..layers import get_layer
from ..utils.files import atomic_path
from ..utils.names import with_unit

# Maximum number of pixels along the longer side of a map, and of its coastline.
MOST_PIXELS, COAST_PIXELS = 1600, 1440

# Inches of the longer side of a single map, of one of many, and of the margin.
LONGER_SIDE, SIDE_OF_MANY, MARGIN = 8.0, 4.5, 1.6

# Maximum number of bands of a figure.
MOST_BANDS = 12

# Percentiles of a quantity at the ends of its colours.
CLIP = (1.0, 99.0)

# Colours of classes that are distinct with any colour vision: Okabe and Ito (2008),
# https://jfly.uni-koeln.de/color/
CLASS_COLOURS = (
    '#e69f00',
    '#56b4e9',
    '#009e73',
    '#f0e442',
    '#0072b2',
    '#d55e00',
    '#cc79a7',
    '#7f7f7f',
)
# Further classes get the same colours mixed with white, then with black.
MIXED_WITH = (None, 1.0, 0.0)

# Colour of missing pixels; colours and widths of the coastline.
NO_DATA = '0.93'
COAST: tuple[tuple[Any, float], ...] = (((1, 1, 1, 0.5), 1.0), ('0.2', 0.4))


def save_figure(path: Path | str, figure: Path | str) -> None:
    """Write a figure of a map as PNG.

    Args:
        path: A GeoTIFF file, such as one that
            :func:`~torchgeo_concepts.maps.encoder_maps.map_values` wrote.
        figure: PNG file to write.
    """
    drawn = plot_map(path)
    try:
        with atomic_path(Path(figure)) as temporary:
            drawn.savefig(temporary, format='png', dpi=150)
    finally:
        plt.close(drawn)


def plot_map(path: Path | str) -> Figure:
    """Draw a map with names, units and the coastline.

    Large maps are read from their overviews, at the resolution of the figure. The coastline
    needs the land mask of the extra ``layers``.

    Args:
        path: A GeoTIFF file, such as one that
            :func:`~torchgeo_concepts.maps.encoder_maps.map_values` wrote.

    Returns:
        The figure, with a map for each of the first 12 bands, or one map for three
        colour bands.
    """
    values, bands, grid, tags = _read(path)
    shown = bands[:MOST_BANDS]
    in_colour = [band.kind for band in bands] == ['colour'] * 3
    figure, panels = _panels(grid, 1 if in_colour else len(shown))
    line = _coastline(grid)
    for panel in panels:
        _prepare(panel, grid)
        _draw_coast(panel, line)
    if in_colour:
        _draw_colours(panels[0], values, bands, grid)
        panels[0].set_title(tags.get('feature', 'colours'))
    else:
        for panel, band, each in zip(panels, shown, values, strict=True):
            _draw_band(panel, each, band, grid)
            panel.set_title(band.name)
    figure.supxlabel(_credit(tags, len(bands) - len(shown)), fontsize=7, color='0.4')
    return figure


def draw_map(axes: Axes, path: Path | str, number: int = 1) -> None:
    """Draw a band of a map on given axes, with legend and coast.

    Args:
        axes: The axes.
        path: A GeoTIFF file, such as one that
            :func:`~torchgeo_concepts.maps.encoder_maps.map_values` wrote.
        number: Number of the band, from 1 to 12.
    """
    values, bands, grid, _ = _read(path)
    _prepare(axes, grid)
    _draw_coast(axes, _coastline(grid))
    _draw_band(axes, values[number - 1], bands[number - 1], grid)
    axes.set_title(bands[number - 1].name)


def _read(
    path: Path | str,
) -> tuple[NDArray[Any], Sequence[Band], RasterGrid, dict[str, str]]:
    """Read the first bands of a file at the resolution of a figure."""
    with rasterio.open(path) as dataset:
        crs = CRS.from_user_input(dataset.crs or 'EPSG:4326')
        grid = RasterGrid(crs, dataset.transform, dataset.width, dataset.height)
        bands = read_bands(dataset)
        number = min(len(bands), MOST_BANDS)
        is_class = any(band.kind == 'class' for band in bands[:number])
        scale = min(1.0, MOST_PIXELS / max(grid.width, grid.height))
        size = [max(1, round(length * scale)) for length in (grid.height, grid.width)]
        values = dataset.read(
            list(range(1, number + 1)),
            out_shape=(number, *size),
            resampling=Resampling.nearest if is_class else Resampling.average,
        )
        return values, bands, grid, dataset.tags()


def _credit(tags: dict[str, str], hidden: int) -> str:
    """Return the origin of a map, and the number of bands that are not shown."""
    keys = ('encoder', 'weights', 'task', 'checkpoint')
    parts = [tags[key] for key in keys if key in tags]
    if hidden:
        parts.append(f'bands not shown: {hidden}')
    return ', '.join(parts)


def _panels(grid: RasterGrid, number: int) -> tuple[Figure, Sequence[Axes]]:
    west, south, east, north = grid.extent
    ratio = _stretch(grid) * (north - south) / (east - west)
    # The grid of panels is about as high as it is wide.
    columns = min(number, int(np.ceil(np.sqrt(number * min(max(ratio, 0.3), 3)))))
    rows = -(-number // columns)
    longer = LONGER_SIDE if number == 1 else SIDE_OF_MANY
    wide, high = longer / max(1.0, ratio), longer * min(1.0, ratio)
    size = columns * (max(wide, 2.0) + MARGIN), rows * (max(high, 1.5) + 1)
    # No gaps between panels of a fixed aspect.
    figure, panels = plt.subplots(
        rows, columns, figsize=size, squeeze=False, layout='compressed'
    )
    flat: list[Axes] = panels.ravel().tolist()
    for panel in flat[number:]:
        panel.remove()
    return figure, flat[:number]


def _stretch(grid: RasterGrid) -> float:
    """Return the ratio of the vertical to the horizontal scale."""
    if grid.crs.is_projected:
        return 1.0
    _, south, _, north = grid.extent
    # Longitudes are to scale in the middle of the map.
    return float(1 / max(0.2, np.cos(np.deg2rad((south + north) / 2))))


def _prepare(panel: Axes, grid: RasterGrid) -> None:
    west, south, east, north = grid.extent
    panel.set_xlim(west, east)
    panel.set_ylim(south, north)
    panel.set_aspect(_stretch(grid))
    panel.set_facecolor(NO_DATA)
    panel.tick_params(labelsize=8)
    if grid.crs.is_projected:
        unit = grid.crs.axis_info[0].unit_name
        in_km = unit == 'metre' and max(east - west, north - south) > 20_000
        panel.set_xlabel(f'easting [{"km" if in_km else unit}]')
        panel.set_ylabel(f'northing [{"km" if in_km else unit}]')
        labels: Any = [_kilometres if in_km else '{x:,.10g}'] * 2
    else:
        panel.set_xlabel('longitude')
        panel.set_ylabel('latitude')
        labels = [_longitude, _latitude]
        _set_degrees(panel)
    panel.xaxis.set_major_formatter(labels[0])
    panel.yaxis.set_major_formatter(labels[1])


def _set_degrees(panel: Axes) -> None:
    for axis, bins, limits in (
        (panel.xaxis, 8, panel.get_xlim()),
        (panel.yaxis, 6, panel.get_ylim()),
    ):
        # Ticks of large areas have steps of 10, 15, 30 or 45 degrees.
        is_large = limits[1] - limits[0] > 60
        steps = [1, 1.5, 3, 4.5, 9, 10] if is_large else [1, 2, 5, 10]
        axis.set_major_locator(MaxNLocator(bins, steps=steps))


def _kilometres(value: float, _: object = None) -> str:
    return f'{value / 1000:,.10g}'


def _longitude(value: float, _: object = None) -> str:
    lon = (value + 180) % 360 - 180
    if abs(lon) == 180:
        return '180°'
    return _degrees(lon, 'E' if lon > 0 else 'W')


def _latitude(value: float, _: object = None) -> str:
    return _degrees(value, 'N' if value > 0 else 'S')


def _degrees(value: float, side: str) -> str:
    text = f'{abs(value):.6g}'
    return '0°' if text == '0' else f'{text}°{side}'


def _coastline(
    grid: RasterGrid,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float32]] | None:
    """Return x, y and a mask of land (NaN outside the Earth), or None without a coast."""
    land = get_layer('land')
    if not land.is_installed:
        return None
    scale = COAST_PIXELS / max(grid.width, grid.height)
    size = (max(2, round(length * scale)) for length in (grid.width, grid.height))
    fine = grid.resized(*size)
    points, on_earth = fine.points()
    is_land = np.full(len(points), np.nan, dtype=np.float32)
    is_land[on_earth] = land(points[on_earth])
    known = is_land[on_earth]
    if not len(known) or known.min() == known.max():
        return None
    west, south, east, north = fine.extent
    x = west + (np.arange(fine.width) + 0.5) * (east - west) / fine.width
    y = north - (np.arange(fine.height) + 0.5) * (north - south) / fine.height
    return x, y, is_land.reshape(fine.height, fine.width)


def _draw_coast(
    panel: Axes,
    line: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float32]] | None,
) -> None:
    if line is None:
        return
    # A dark line on a light one is visible on any colour.
    for colour, width in COAST:
        panel.contour(*line, [0.5], colors=colour, linewidths=width)


def _draw_image(panel: Axes, image: Any, grid: RasterGrid, **options: Any) -> Any:
    west, south, east, north = grid.extent
    return panel.imshow(
        image,
        extent=(west, east, south, north),
        aspect=_stretch(grid),
        interpolation='nearest',
        zorder=0,
        **options,
    )


def _draw_colours(
    panel: Axes, values: NDArray[Any], bands: Sequence[Band], grid: RasterGrid
) -> None:
    known = np.isfinite(values).all(axis=0)
    colours = np.where(known, np.clip(values, 0, 1), 0)
    image = np.concatenate((colours, known[None])).transpose(1, 2, 0)
    _draw_image(panel, image, grid)
    names = {'red': '#ff0000', 'green': '#00ff00', 'blue': '#0000ff'}
    patches = [
        Patch(color=colour, label=f'{name}: {band.name}')
        for (name, colour), band in zip(names.items(), bands, strict=True)
    ]
    _legend(panel, patches, 1)


def _legend(panel: Axes, patches: Sequence[Any], columns: int) -> None:
    panel.legend(
        handles=patches,
        loc='upper center',
        bbox_to_anchor=(0.5, -0.14),
        fontsize=7,
        frameon=False,
        ncols=columns,
    )


def _draw_band(panel: Axes, values: NDArray[Any], band: Band, grid: RasterGrid) -> None:
    if band.kind == 'class':
        _draw_classes(panel, values, band, grid)
        return
    limits, colours, label = _scale(values, band)
    image = np.ma.masked_invalid(values)
    drawn = _draw_image(
        panel, image, grid, cmap=colours, vmin=limits[0], vmax=limits[1]
    )
    known = values[np.isfinite(values)]
    below, above = (known < limits[0]).any(), (known > limits[1]).any()
    extend = ('neither', 'min', 'max', 'both')[below + 2 * above]
    bar = panel.figure.colorbar(drawn, ax=panel, extend=extend, shrink=0.8, pad=0.02)
    bar.set_label(label, fontsize=8)


def _draw_classes(
    panel: Axes, values: NDArray[Any], band: Band, grid: RasterGrid
) -> None:
    number = len(band.classes) or int(np.nanmax(values, initial=0)) + 1
    names = band.classes or tuple(f'class {code}' for code in range(number))
    colours = _class_colours(number)
    image, cmap = np.ma.masked_invalid(values), ListedColormap(colours)
    _draw_image(panel, image, grid, cmap=cmap, vmin=-0.5, vmax=number - 0.5)
    present = np.unique(values[np.isfinite(values)]).astype(int)
    patches = [
        Patch(color=colours[code], label=names[code])
        for code in present
        if 0 <= code < number
    ]
    _legend(panel, patches, min(4, max(1, len(patches))))


def _class_colours(number: int) -> list[tuple[float, ...]]:
    colours = []
    for code in range(number):
        colour = np.array(to_rgb(CLASS_COLOURS[code % len(CLASS_COLOURS)]))
        mixed_with = MIXED_WITH[code // len(CLASS_COLOURS) % len(MIXED_WITH)]
        if mixed_with is not None:
            colour = (colour + mixed_with) / 2
        colours.append(tuple(colour.tolist()))
    return colours


def _scale(values: NDArray[Any], band: Band) -> tuple[tuple[float, float], str, str]:
    """Return the value range, the colormap and the label of a band."""
    if band.kind == 'probability':
        return (0.0, 1.0), 'cividis', 'probability'
    known = values[np.isfinite(values)]
    low, high = np.percentile(known, CLIP) if len(known) else (0.0, 1.0)
    if low == high:
        low, high = low - 0.5, high + 0.5
    label = with_unit(band.name, '' if band.unit == '1' else band.unit)
    if band.kind == 'score':
        label = 'standardised score'
    return (float(low), float(high)), 'viridis', label
