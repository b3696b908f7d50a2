# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Maps of encoders, of trained tasks and of any function of points, and an atlas."""

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from tqdm import tqdm

from ..embed.points import Precision, embed_points
from ..evaluate.benchmark.encoders import check_embeds
from ..geo.raster_grid import RasterGrid
from ..io.geotiff import BLOCK, Band, open_geotiff
from ..layers import get_layer
from ..models.loading import DEFAULT_MODEL, DEFAULT_WEIGHTS, find_encoder, load_encoder
from ..plot.maps import plot_map, save_figure
from ..utils.devices import Device
from ..utils.files import check_writable
from ..utils.hashing import hash_state
from ..utils.names import with_unit
from ..utils.version import VERSION
from .bands import ConceptScores, Predictions, PrincipalColours, load_predictions

if TYPE_CHECKING:
    from matplotlib.figure import Figure

type PointFunction = Callable[[Tensor], Tensor | ArrayLike]


def _on_land() -> Callable[[NDArray[np.float64]], NDArray[np.bool_]]:
    land = get_layer('land')
    # Raise early if the mask is not installed.
    land.source.paths()
    return lambda points: land(points) == 1


def map_values(
    function: PointFunction,
    output: Path | str,
    grid: RasterGrid,
    bands: Sequence[Band],
    *,
    land_only: bool = False,
    batch_size: int = 8192,
    tags: Mapping[str, str] | None = None,
    progress: bool | None = None,
) -> Path:
    """Map any function of points, such as the predictions of a trained model.

    Writes a cloud-optimised GeoTIFF file block by block, so memory does not grow with
    the map. A pixel has the value at its centre. Pixels outside the Earth, and pixels at
    sea with *land_only*, are NaN. The file appears only when it is complete.

    Args:
        function: Function from points of shape ``(N, 2)`` as ``(longitude, latitude)`` in
            degrees, in float64, to values of shape ``(N, bands)``, or ``(N,)`` for a
            single band.
        output: GeoTIFF file to write, ending in .tif or .tiff.
        grid: Grid of the pixels.
        bands: Name, unit and kind of each output of the function.
        land_only: Leave out the sea; needs the extra ``cities`` or ``layers``.
        batch_size: Maximum number of points in a call of the function.
        tags: Further metadata besides date and version, such as the origin of the map.
        progress: Show a progress bar. By default, on a terminal only.

    Returns:
        The file.

    Raises:
        OSError: If the output cannot be written.
        ValueError: If the function does not return one value per point and band.
    """
    output = Path(output)
    _check_output(output)
    if batch_size < 1:
        raise ValueError(f'batch_size must be at least 1, got {batch_size}.')
    if not bands:
        raise ValueError('A map needs at least one band.')
    is_wanted = _on_land() if land_only else None
    about = {
        **(tags or {}),
        'date': datetime.now(UTC).isoformat(timespec='seconds'),
        'torchgeo_concepts': VERSION,
    }
    with (
        tqdm(
            total=grid.width * grid.height,
            unit='pixel',
            unit_scale=True,
            # None shows the bar on a terminal only.
            disable=None if progress is None else not progress,
        ) as bar,
        open_geotiff(output, grid, bands, about) as writer,
    ):
        for window in grid.windows(BLOCK):
            points, chosen = grid.points(window)
            if is_wanted is not None:
                chosen[chosen] = is_wanted(points[chosen])
            bar.update(int((~chosen).sum()))
            values = np.full((len(points), len(bands)), np.nan, dtype=np.float32)
            wanted = torch.from_numpy(points[chosen])
            if len(wanted):
                parts = []
                for batch in wanted.split(batch_size):
                    parts.append(_call(function, batch, len(bands)))
                    bar.update(len(batch))
                values[chosen] = np.concatenate(parts)
            shape = len(bands), window.height, window.width
            writer.write(values.T.reshape(shape), window=window)
    return output


def _call(
    function: PointFunction, points: Tensor, num_bands: int
) -> NDArray[np.float32]:
    with torch.no_grad():
        values = torch.as_tensor(function(points)).detach().cpu().float()
    if values.ndim == 1:
        values = values[:, None]
    if values.shape != (len(points), num_bands):
        raise ValueError(
            f'The function must return shape {(len(points), num_bands)} for '
            f'{len(points)} points and {num_bands} bands, got {tuple(values.shape)}.'
        )
    return values.numpy()


def _check_output(output: Path) -> None:
    if output.suffix.lower() not in ('.tif', '.tiff'):
        raise ValueError(f'{output} must end in .tif or .tiff; the map is a GeoTIFF.')
    check_writable(output)


def map_encoder(
    output: Path,
    model: str = DEFAULT_MODEL,
    weights: str | None = DEFAULT_WEIGHTS,
    truncate_dim: int | None = None,
    checkpoint: Path | None = None,
    concept: Sequence[str] = (),
    calibrated: bool = True,
    bounds: Sequence[float] | None = None,
    crs: str = 'EPSG:4326',
    resolution: float | None = None,
    width: int | None = None,
    land_only: bool = False,
    png: bool = True,
    precision: Precision = 'float32',
    device: Device = 'auto',
    batch_size: int = 8192,
    download: bool = False,
    progress: bool | None = None,
) -> 'MapReport':
    """Map an encoder or the predictions of a trained task over an area.

    Writes a cloud-optimised GeoTIFF file of any size, and a figure of it.

    Args:
        output: GeoTIFF file to write, ending in .tif or .tiff.
        model: Name of a location encoder in TorchGeo's registry, or a safetensors file of
            this package.
        weights: Name of its weights, a safetensors file of this package, or None for
            random weights.
        truncate_dim: Number of principal components of the embedding to map.
        checkpoint: Checkpoint of LocationRegression or LocationClassification to map
            instead of an encoder: the prediction of each target, with the bounds of its
            interval if there is one, or the most likely class.
        concept: Names or ids of concepts, one for each band. By default, the first
            three principal components of the embedding, as colours.
        calibrated: Map probabilities of classes, and quantities in their units, instead
            of standardised scores.
        bounds: West, south, east and north of the area in degrees. If west > east,
            the area crosses the antimeridian. By default, the area of use of the CRS.
        crs: Coordinate reference system of the map, such as EPSG:6933.
        resolution: Size of a pixel in units of the CRS.
        width: Number of columns, instead of a resolution. Without both, the longer side
            has 720 pixels.
        land_only: Leave out the sea.
        png: Write a figure next to the map.
        precision: Data type of the matrix products. bfloat16 is faster and less exact.
        device: Device to compute on. By default, a GPU if there is one.
        batch_size: Number of points per batch.
        download: Download the weights if they are not on this machine.
        progress: Show a progress bar. By default, on a terminal only.

    Returns:
        The report.

    Raises:
        OSError: If the output cannot be written.
        ValueError: If an encoder, weights, a concept, the area or the CRS is unknown or
            invalid, or the checkpoint needs inputs other than points.
    """
    start = time.perf_counter()
    output = Path(output)
    figure = output.with_suffix('.png') if png else None
    _check_output(output)
    if figure is not None:
        check_writable(figure)
    grid = RasterGrid.over(bounds, crs, resolution=resolution, width=width)
    settings: dict[str, Any] = {
        'device': device,
        'precision': precision,
        'batch_size': batch_size,
    }
    mapped: ConceptScores | PrincipalColours | Predictions
    if checkpoint is not None:
        chosen = model, weights, truncate_dim, tuple(concept), calibrated
        if chosen != (DEFAULT_MODEL, DEFAULT_WEIGHTS, None, (), True):
            raise ValueError(
                'model=, weights=, truncate_dim=, concept= and calibrated= cannot be used '
                'with checkpoint=; leave them out.'
            )
        mapped, about = load_predictions(Path(checkpoint))
    else:
        name = find_encoder(model, weights)
        encoder = load_encoder(name, truncate_dim=truncate_dim, download=download)
        check_embeds(encoder, name.model)
        about = {'encoder': name.model, 'weights': name.weights_name}
        if isinstance(name.weights, Path):
            about['weights_sha256'] = hash_state(encoder.state_dict())
        if concept:
            mapped = ConceptScores(encoder, concept, calibrated)
            kind = 'calibrated' if calibrated else 'standardised'
            about['feature'] = f'concepts, {kind}'
        else:
            is_wanted = _on_land() if land_only else None
            mapped = PrincipalColours.fit(encoder, grid, is_wanted, **settings)
            about['feature'] = 'embedding, first three principal components'
    map_values(
        partial(embed_points, mapped, **settings, progress=False),
        output,
        grid,
        mapped.bands,
        land_only=land_only,
        batch_size=batch_size,
        tags=about,
        progress=progress,
    )
    if figure is not None:
        save_figure(output, figure)
    return MapReport(
        output, figure, grid, tuple(mapped.bands), about, time.perf_counter() - start
    )


def concept_atlas(
    encoder: nn.Module,
    concepts: Sequence[str],
    bounds: Sequence[float] | None = None,
    *,
    width: int = 360,
    calibrated: bool = True,
    land_only: bool = False,
) -> 'Figure':
    """Draw maps of several concepts side by side.

    Args:
        encoder: An encoder with concept scores.
        concepts: Names, ids or aliases of up to twelve concepts.
        bounds: West, south, east and north of the area in degrees. By default, the Earth.
        width: Number of pixel columns of each map.
        calibrated: Draw probabilities, and quantities in their units, instead of
            standardised scores.
        land_only: Leave out the sea.

    Returns:
        The figure.

    Raises:
        ValueError: If the encoder has no concept scores, a concept is unknown, the number
            of concepts is not from one to twelve, or the bounds are invalid.
    """
    if not 1 <= len(concepts) <= 12:
        raise ValueError(f'Expected one to twelve concepts, got {len(concepts)}.')
    scores = ConceptScores(encoder, concepts, calibrated)
    grid = RasterGrid.over(bounds, width=width)
    with tempfile.TemporaryDirectory() as folder:
        path = map_values(
            partial(embed_points, scores, progress=False),
            Path(folder) / 'atlas.tif',
            grid,
            scores.bands,
            land_only=land_only,
            progress=False,
        )
        return plot_map(path)


@dataclass(frozen=True)
class MapReport:
    """Report of :func:`map_encoder`.

    Attributes:
        output: The map.
        figure: Its figure, or None.
        grid: Grid of its pixels.
        bands: Its bands.
        about: Origin of the map.
        seconds: Wall-clock time of the run.
    """

    output: Path
    figure: Path | None
    grid: RasterGrid
    bands: tuple[Band, ...]
    about: Mapping[str, str]
    seconds: float

    def __str__(self) -> str:
        """Return a summary in a few lines."""
        grid, size = self.grid, self.output.stat().st_size / 1e6
        names = [with_unit(b.name, b.unit) for b in self.bands]
        if self.bands[0].kind == 'colour':
            names = [self.about['feature']]
        keys = ('encoder', 'task', 'weights', 'checkpoint')
        maker, file = (self.about[key] for key in keys if key in self.about)
        made_by = f'{maker} ({file})'
        rate = grid.width * grid.height / self.seconds
        pixels = f'{grid.width:,} x {grid.height:,} pixels'
        lines = [
            f'{"; ".join(names)} by {made_by}',
            f'{pixels} in {grid.crs.name}, {size:,.2f} MB: {self.output}',
            f'{self.seconds:.1f} s, {rate:,.0f} pixels/s with writing',
        ]
        if self.figure is not None:
            lines.insert(2, f'figure: {self.figure}')
        return '\n'.join(lines)
