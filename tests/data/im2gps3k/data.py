# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Makes the Im2GPS3k test set, whose first table has its coordinates misnamed."""

from pathlib import Path

from PIL import Image

HEADER = (
    'IMG_ID,AUTHOR,{},S3_Label,S16_Label,S365_Label,Prob_indoor,Prob_natural,Prob_urban'
)
ROWS = """
1000269685_e60e9cdfb4_1125_78841376@N00.jpg,78841376@N00,32.325436,-64.764404,2,12,353,0,0,1
1005977048_5ccf8b05d3_1201_91728102@N00.jpg,91728102@N00,29.976052,122.390356,2,6,273,0,0,1
"""


def create(root: Path, coordinates: str = 'LAT,LON') -> None:
    """Write the table and the images.

    Args:
        root: Folder to write to.
        coordinates: Names of the columns of coordinates, in the order of the header.
    """
    (root / 'im2gps3ktest').mkdir(parents=True)
    for row in ROWS.split():
        image = Image.new('RGB', (8, 6), (10, 20, 30))
        image.save(root / 'im2gps3ktest' / row.partition(',')[0])
    table = HEADER.format(coordinates) + ROWS
    (root / 'im2gps3k_places365.csv').write_text(table)


if __name__ == '__main__':
    create(Path(__file__).parent)
