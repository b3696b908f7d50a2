# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Compare readers of CSV files on a table of points with a bad value late in it.

Each reader runs in a process of its own and reads all columns, typed by all of their
values, a batch at a time. ``duckdb`` and ``polars`` have to be installed.
"""

import argparse
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

# A name over two lines, so that lines of the file are not rows of the table.
ROW_OF_NEWLINE = 10

BATCH_ROWS = 16_384

# Number of rows, types of the columns, and what finds the place of the bad value.
type Result = tuple[int, str, Callable[[], str]]


def write_table(path: Path, rows: int, bad_row: int) -> None:
    """Write a CSV file of points with a longitude that is not a number."""
    rng = np.random.default_rng(0)
    names = np.array(['forest', 'town', 'lake', 'desert'])[rng.integers(4, size=rows)]
    table = pd.DataFrame(
        {
            'id': np.arange(rows),
            'lon': rng.uniform(-180, 180, rows).round(6).astype(str),
            'lat': rng.uniform(-90, 90, rows).round(6),
            'name': names,
            'value': rng.normal(size=rows).round(4),
        }
    )
    table.loc[ROW_OF_NEWLINE, 'name'] = 'two\nlines'
    table.loc[bad_row, 'lon'] = 'abc'
    table.to_csv(path, index=False)


def read_with_package(path: Path) -> Result:
    """Read with this package, which finds types and points."""
    from torchgeo_concepts.io.tables import open_table

    table = open_table(path, batch_rows=BATCH_ROWS)
    rows, problems = 0, []
    for batch in table:
        problems += [batch.first_row + row for row in batch.problems]
        rows += batch.rows.num_rows
    types = ', '.join(map(str, table.schema.types))
    return rows, types, lambda: f'row {problems[0]}'


def read_with_pandas(path: Path) -> Result:
    """Read with pandas, which types all at once."""
    table = pd.read_csv(path, low_memory=False)

    def place() -> str:
        numbers = pd.to_numeric(table.lon, errors='coerce')
        return f'row {np.flatnonzero(numbers.isna())[0]}'

    return len(table), ', '.join(map(str, table.dtypes)), place


def read_with_duckdb(path: Path) -> Result:
    """Read with DuckDB, which types by all rows."""
    import duckdb

    table = duckdb.read_csv(str(path), sample_size=-1)
    types = ', '.join(map(str, table.types))
    rows = sum(batch.num_rows for batch in table.to_arrow_reader(BATCH_ROWS))

    def place() -> str:
        numbers = duckdb.read_csv(str(path), dtype={'lon': 'DOUBLE', 'lat': 'DOUBLE'})
        try:
            for _ in numbers.to_arrow_reader(BATCH_ROWS):
                pass
        except (duckdb.Error, OSError) as error:
            return _named_place(str(error))
        return 'nothing'

    return rows, types, place


def read_with_polars(path: Path) -> Result:
    """Read with polars, which types by all rows."""
    import polars as pl

    table = pl.scan_csv(path, infer_schema_length=None)
    types = ', '.join(map(str, table.collect_schema().dtypes()))
    rows = sum(batch.height for batch in table.collect_batches(chunk_size=BATCH_ROWS))

    def place() -> str:
        floats = {'lon': pl.Float64, 'lat': pl.Float64}
        numbers = pl.scan_csv(path, schema_overrides=floats)
        try:
            for _ in numbers.collect_batches(chunk_size=BATCH_ROWS):
                pass
        except pl.exceptions.PolarsError as error:
            return _named_place(str(error))
        return 'nothing'

    return rows, types, place


def _named_place(message: str) -> str:
    """Find the row, line or byte that an error names."""
    place = re.search(r'(?:row|line)\W*(\d+)', message, re.IGNORECASE)
    if place is None:
        place = re.search(r'offset[^\d]*(\d+) bytes', message, re.IGNORECASE)
    return 'no place' if place is None else place.group(0).lower()


READERS: dict[str, Callable[[Path], Result]] = {
    'open_table': read_with_package,
    'pandas': read_with_pandas,
    'duckdb': read_with_duckdb,
    'polars': read_with_polars,
}


def peak_mb() -> float:
    """Return the largest memory that this process has had, in MB."""
    status = Path('/proc/self/status').read_text()
    return int(status.partition('VmHWM:')[2].split()[0]) / 1024


def measure(reader: str, path: Path) -> None:
    """Read a table and print the time and the memory that it took."""
    READERS[reader](path.with_name('warm-up.csv'))
    before, start, cpu = peak_mb(), time.perf_counter(), time.process_time()
    rows, types, find_place = READERS[reader](path)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    print(
        f'{reader:10} {rows:,} rows: {seconds:4.1f} s ({cpu:4.1f} s of CPU), peak '
        f'{peak_mb():5,.0f} MB ({before:,.0f} MB before), bad value at {find_place()}; '
        f'{types}',
        flush=True,
    )


def main() -> None:
    """Write a table and read it with each reader."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--rows', type=int, default=2_000_000)
    parser.add_argument('--reader', choices=READERS, help=argparse.SUPPRESS)
    parser.add_argument('--path', type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.reader:
        measure(options.reader, options.path)
        return
    with TemporaryDirectory() as folder:
        path, bad_row = Path(folder, 'points.csv'), options.rows * 3 // 4
        write_table(path, options.rows, bad_row)
        write_table(path.with_name('warm-up.csv'), 100, 50)
        size = path.stat().st_size / 1e6
        print(
            f'{options.rows:,} rows, {size:.0f} MB, bad value at row {bad_row}',
            flush=True,
        )
        for reader in READERS:
            command = [
                sys.executable,
                __file__,
                '--reader',
                reader,
                '--path',
                str(path),
            ]
            subprocess.run(command, check=True)


if __name__ == '__main__':
    main()
