# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Measure rate and peak memory of ``torchgeo-concepts embed`` on files of any size.

Run as ``python docs/benchmarks/embed_memory.py``. Makes CSV files of random points in a
temporary folder, embeds each in a process of its own and prints what it took.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

CODE = """
import resource
from torchgeo_concepts.cli import main
status = main()
print('peak', resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
exit(status)
"""


def write_points(path: Path, num_rows: int) -> None:
    """Write random points, equally dense everywhere, with an identifier."""
    generator = np.random.default_rng(0)
    z = generator.uniform(-1, 1, num_rows)
    frame = pd.DataFrame(
        {
            'id': np.arange(num_rows),
            'lon': generator.uniform(-180, 180, num_rows).round(6),
            'lat': np.rad2deg(np.arcsin(z)).round(6),
        }
    )
    frame.to_csv(path, index=False)


def embed(source: Path, output: Path, options: list[str]) -> tuple[float, float]:
    """Embed a file; return seconds and peak memory in GB."""
    start = time.perf_counter()
    process = subprocess.run(
        [sys.executable, '-c', CODE, 'embed', source, '-o', output, *options],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    peak = int(process.stdout.split()[-1]) * 1024 / 1e9
    return time.perf_counter() - start, peak


def main() -> None:
    """Print a line for each number of rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        '--rows', type=int, nargs='+', default=[20_000, 200_000, 2_000_000]
    )
    parser.add_argument('--dtype', default='float16')
    parser.add_argument('--precision', default='float32')
    arguments = parser.parse_args()
    options = [f'--dtype={arguments.dtype}', f'--precision={arguments.precision}']
    for num_rows in arguments.rows:
        with tempfile.TemporaryDirectory() as folder:
            source, output = Path(folder, 'points.csv'), Path(folder, 'out.parquet')
            write_points(source, num_rows)
            seconds, peak = embed(source, output, options)
            assert pq.read_metadata(output).num_rows == num_rows
            print(
                f'{num_rows:>9,} rows, {" ".join(options)}: {seconds:6.1f} s, '
                f'{num_rows / seconds:7,.0f} points/s, peak memory {peak:.2f} GB, '
                f'output {output.stat().st_size / 1e9:.2f} GB',
                flush=True,
            )


if __name__ == '__main__':
    main()
