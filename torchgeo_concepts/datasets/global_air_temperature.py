# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Mean air temperature at weather stations."""

import pathlib
from collections.abc import Sequence

from torchgeo.datasets.utils import Path

from ._published import find_file
from .point_table import PointTable, as_names
from .target_transforms import TargetTransformOption

FILE = 'stationDataAll.csv'
URL = 'https://springernature.figshare.com/ndownloader/files/12609182'
UNITS = {'meanT': '°C', 'meanP': 'mm'}


class GlobalAirTemperature(PointTable):
    """Global air temperature dataset.

    Mean air temperature at weather stations all over the world, on which the location
    encoders PE-GAT and SatCLIP were evaluated.

    Dataset features:

    * 3,076 stations
    * ``meanT``, the mean air temperature in °C, and ``meanP``, the mean annual
      precipitation in mm

    Dataset format:

    * ``stationDataAll.csv`` has the columns ``Lon``, ``Lat``, ``nObs``, ``SG_rmsep``,
      ``meanT``, ``meanP``, ``G_rmsep``, ``C_rmsep`` and ``PerMod_RMSEP``; those that end
      in ``rmsep`` are errors of models, the others describe the station

    Columns and number of rows come from ``figures/ssl4eo/stationDataAll.csv`` in
    https://github.com/microsoft/satclip at commit 7c2cbd3. The link comes from public
    code that reads the same columns. Units are not stated there; they follow from the
    values. Neither source states a checksum or a licence, so the file is not verified.

    If you use this dataset in your research, please cite the following paper:

    * https://doi.org/10.1038/sdata.2018.246
    """

    def __init__(
        self,
        root: Path = 'data',
        targets: str | Sequence[str] = 'meanT',
        *,
        target_transform: TargetTransformOption = None,
        extra: Sequence[str] = (),
        download: bool = False,
    ) -> None:
        """Initialize a new GlobalAirTemperature instance.

        Args:
            root: Folder of the table.
            targets: ``'meanT'``, ``'meanP'`` or both.
            target_transform: As in :class:`PointTable`.
            extra: Columns that are model inputs in addition to the point, such as
                ``'meanP'``.
            download: Download the table into *root* if it is missing.

        Raises:
            DatasetNotFoundError: If the table is neither found nor downloaded.
        """
        self.root = pathlib.Path(root)
        self.download = download
        super().__init__(
            find_file(self, (FILE,), {FILE: URL}),
            targets,
            task='regression',
            target_transform=target_transform,
            extra=extra,
            units={
                name: unit for name, unit in UNITS.items() if name in as_names(targets)
            },
            lon='Lon',
            lat='Lat',
        )
