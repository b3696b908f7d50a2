# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Makes the Im2GPS test set: names with a place before them in either of two ways."""

from pathlib import Path

from PIL import Image

TABLE = """\
IMG_ID,AUTHOR,LAT,LON,S3_Label,S16_Label,S365_Label,Prob_indoor,Prob_natural,Prob_urban
104123223_7410c654ba_19_19355699@N00.jpg,19355699@N00,-16.66,145.56,1,8,150,0,0.8,0.2
Ankara_00003_601190107_9f05b2251e_1292_8504005@N07.jpg,9f05b2251e,39.93,32.85,2,15,332,0,0,1
Athens_00016_516320955_2f7c0642b4_212_36764971@N00.jpg,2f7c0642b4,37.97,23.72,2,15,1,0,0,1
"""
FILES = (
    'Australia_00077_104123223_7410c654ba_19_19355699@N00.jpg',
    'Ankara_00003_601190107_9f05b2251e_1292_8504005@N07.jpg',
    'Athens_00016_516320955_2f7c0642b4_212_36764971@N00.jpg',
)


def create(root: Path) -> None:
    """Write the table and the images.

    Args:
        root: Folder to write to.
    """
    (root / 'gps_query_imgs').mkdir(parents=True)
    for number, name in enumerate(FILES):
        image = Image.new('RGB', (8, 6), (number, 20, 30))
        image.save(root / 'gps_query_imgs' / name)
    (root / 'im2gps_places365.csv').write_text(TABLE)


if __name__ == '__main__':
    create(Path(__file__).parent)
