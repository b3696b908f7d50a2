# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Makes a folder that looks like MP-16: nested images, some gone, and the table."""

import csv
from pathlib import Path

from PIL import Image

HEADER = (
    'IMG_ID,AUTHOR,LAT,LON,S3_Label,S16_Label,S365_Label,'
    'Prob_indoor,Prob_natural,Prob_urban'
)
ROWS = (
    ('63/a3/5523441.jpg', 48.85, 2.35),
    ('00/ff/1000269.jpg', -33.86, 151.21),
    ('0a/12/9044217.jpg', 64.14, -21.92),
)


def create(root: Path, separator: str = '/', missing: int = 1) -> None:
    """Write the table and all images but the last ones.

    Args:
        root: Folder to write to.
        separator: What folders are separated by in names of files.
        missing: Number of images that are gone.
    """
    for number, (name, _, _) in enumerate(ROWS[: len(ROWS) - missing]):
        path = root / 'mp16' / name.replace('/', separator)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new('RGB', (8, 6), (number, 20, 30)).save(path)
    with (root / 'mp16_places365.csv').open('w', newline='') as file:
        file.write(HEADER + '\n')
        for name, lat, lon in ROWS:
            csv.writer(file).writerow((name, '7@N00', lat, lon, 2, 12, 353, 0, 0, 1))


if __name__ == '__main__':
    create(Path(__file__).parent)
