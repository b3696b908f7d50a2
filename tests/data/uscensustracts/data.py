# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Makes the Gazetteer of census tracts and tables of the American Community Survey."""

import zipfile
from pathlib import Path

# Alabama's codes begin with a zero.
TRACTS = {
    '01001020100': ('AL', 32.481959, -86.491338),
    '06037101110': ('CA', 34.259564, -118.292986),
    '36061000100': ('NY', 40.689474, -74.019329),
}
COLUMNS = ('ALAND', 'AWATER', 'ALAND_SQMI', 'AWATER_SQMI')
INCOMES = ('60563', '250001', '-666666666')
# People of 25 years and over, and those with each of the four degrees.
PEOPLE = ((1000, 150, 60, 30, 10), (2000, 500, 300, 60, 40), (0, 0, 0, 0, 0))


def create(root: Path, year: int = 2021, sign: str = '\t', zipped: bool = True) -> None:
    """Write the Gazetteer and the tables of income and education.

    Args:
        root: Folder to write to.
        year: Last year of the estimates.
        sign: Separates the columns of the Gazetteer.
        zipped: Write the Gazetteer as a zip file.
    """
    root.mkdir(parents=True, exist_ok=True)
    # The last name of the header is padded with spaces.
    header = ['USPS', 'GEOID', *COLUMNS, 'INTPTLAT', 'INTPTLONG' + 20 * ' ']
    lines = [sign.join(header)]
    for code, (state, lat, lon) in TRACTS.items():
        row = (state, code, '9825304', '28435', '3.794', '0.011', str(lat), str(lon))
        lines.append(sign.join(row))
    name, text = f'{year}_Gaz_tracts_national', '\n'.join(lines) + '\n'
    if zipped:
        with zipfile.ZipFile(root / f'{name}.zip', 'w') as archive:
            archive.writestr(f'{name}.txt', text)
    else:
        (root / f'{name}.txt').write_text(text)
    _write(root / f'acsdt5y{year}-b19013.dat', 'B19013', [1], [(i,) for i in INCOMES])
    _write(root / f'acsdt5y{year}-b15003.dat', 'B15003', [1, 22, 23, 24, 25], PEOPLE)


def _write(path: Path, table: str, lines: list[int], values: object) -> None:
    """Write a table that has the whole country and a county before the tracts."""
    header = ['GEO_ID', *(f'{table}_{kind}{n:03}' for n in lines for kind in 'EM')]
    codes = ['0100000US', '0500000US01001', *(f'1400000US{code}' for code in TRACTS)]
    whole = [tuple(99 for _ in lines)] * 2
    rows = [
        '|'.join((code, *(f'{value}|12' for value in row)))
        for code, row in zip(codes, [*whole, *values], strict=True)  # type: ignore[misc]
    ]
    path.write_text('\n'.join(['|'.join(header), *rows]) + '\n')


if __name__ == '__main__':
    create(Path(__file__).parent)
