# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Makes the YFCC26k test set: slashes of the table are underscores on disk."""

from pathlib import Path

from PIL import Image

TABLE = """\
IMG_ID,LAT,LON,S3_Label,S16_Label,S365_Label,Prob_indoor,Prob_natural,Prob_urban
00_4c_2283161368.jpg,48.85,2.35,2,12,353,0,0,1
00/5d/2283161369.jpg,-34.6,-58.38,2,12,353,0,0,1
"""


def create(root: Path) -> None:
    """Write the table and the images.

    Args:
        root: Folder to write to.
    """
    (root / 'yfcc25600').mkdir(parents=True)
    for name in ('00_4c_2283161368.jpg', '00_5d_2283161369.jpg'):
        Image.new('RGB', (8, 6), (10, 20, 30)).save(root / 'yfcc25600' / name)
    (root / 'yfcc25600_places365.csv').write_text(TABLE)


if __name__ == '__main__':
    create(Path(__file__).parent)
