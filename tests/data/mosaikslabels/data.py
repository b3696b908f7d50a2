# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Makes the labels of MOSAIKS as TorchGeo's USAVars has them beside its images."""

from pathlib import Path

PLACES = {
    '1227,3125': (-97.5, 30.25),
    '641,450': (-120.25, 47.5),
    '2000,99': (-80.125, 26.75),
}
# Cells drawn by population are others than those drawn uniformly.
POPULAR = {'15,15': (-73.5, 40.75), '2000,99': (-80.125, 26.75)}

VALUES = {
    'treecover': ('treecover', (10.5, 80.0, -999)),
    'elevation': ('elevation', (150.0, 700.0, 2.0)),
    'population': ('population', (0.0, 3.5, 1200.0)),
    'nightlights': ('y', (55.0, 12.0)),
    'roads': ('length', (9000.0, 4000.0)),
    'income': ('income', (81000.0, 52000.0)),
    'housing': ('price_per_sqft', (410.0, 199.0)),
}
SPLITS = {'train': ('1227,3125',), 'val': ('641,450',), 'test': ('2000,99',)}


def create(root: Path, splits: bool = True) -> None:
    """Write a table for each label, and the lists of the split.

    Args:
        root: Folder to write to.
        splits: Write the lists.
    """
    root.mkdir(parents=True, exist_ok=True)
    for label, (column, values) in VALUES.items():
        places = PLACES if len(values) == 3 else POPULAR
        # These two have no coordinates of their own.
        has_places = label not in ('income', 'housing')
        lines = [f'ID,lon,lat,{column}' if has_places else f'ID,{column}']
        for (cell, (lon, lat)), value in zip(places.items(), values, strict=True):
            where = f'{lon},{lat},' if has_places else ''
            lines.append(f'"{cell}",{where}{value}')
        (root / f'{label}.csv').write_text('\n'.join(lines) + '\n')
    for name, cells in SPLITS.items() if splits else ():
        lines = [f'tile_{cell}.tif' for cell in cells]
        (root / f'{name}_split.txt').write_text('\n'.join(lines) + '\n')


if __name__ == '__main__':
    create(Path(__file__).parent)
