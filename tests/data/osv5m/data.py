# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Makes OpenStreetView-5M as Hugging Face has it: a table and archives of images."""

import io
import zipfile
from pathlib import Path

from PIL import Image

HEADER = 'id,latitude,longitude,thumb_original_url,country,sequence,captured_at,cell'
ROWS = (
    ('00', 3859149887465501, -43.8, -176.6),
    ('00', 812791752685963, 48.85, 2.35),
    ('01', 123456789012345, 64.14, -21.92),
)


def create(root: Path, split: str = 'test') -> None:
    """Write the table and the archives of a split.

    Args:
        root: Folder to write to.
        split: Name of the split.
    """
    folder = root / 'images' / split
    folder.mkdir(parents=True)
    lines = [HEADER]
    for number, name, lat, lon in ROWS:
        file = io.BytesIO()
        Image.new('RGB', (8, 6), (10, 20, 30)).save(file, 'JPEG')
        with zipfile.ZipFile(folder / f'{number}.zip', 'a') as archive:
            archive.writestr(f'{number}/{name}.jpg', file.getvalue())
        lines.append(f'{name},{lat},{lon},http,FR,"a, b",1500000000000,"(0, 8)"')
    (root / f'{split}.csv').write_text('\n'.join(lines) + '\n')


if __name__ == '__main__':
    create(Path(__file__).parent)
