# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Makes the YFCC4k test set: images and a table without header."""

from pathlib import Path

from PIL import Image

ROWS = ((25935894, 2.35, 48.85), (3184217, -58.38, -34.6))


def create(root: Path) -> None:
    """Write the table and the images.

    Args:
        root: Folder to write to.
    """
    (root / 'images').mkdir(parents=True)
    lines = []
    for photo, lon, lat in ROWS:
        Image.new('RGB', (8, 6), (10, 20, 30)).save(root / 'images' / f'{photo}.jpg')
        # A title with a quotation mark that nothing closes.
        columns = ['0', photo, '7@N00', 'A', '2008', '1', 'x', '5" of snow', *'abcd']
        lines.append('\t'.join(map(str, [*columns, lon, lat, 16, 'http', 'jpg'])))
    (root / 'info.txt').write_text('\n'.join(lines) + '\n')


if __name__ == '__main__':
    create(Path(__file__).parent)
