# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Measure what importing the package costs beyond importing torchgeo.models.

Run as ``python docs/benchmarks/import_time.py``. Each run reads the cumulative times
of ``python -X importtime``, both from one process, so that the drift of a machine does
not blur the difference.
"""

import argparse
import statistics
import subprocess
import sys

CODE = 'import torchgeo.models; import torchgeo_concepts'


def import_times() -> dict[str, int]:
    """Cumulative microseconds of each module imported at the top level."""
    process = subprocess.run(
        [sys.executable, '-X', 'importtime', '-c', CODE],
        check=True,
        capture_output=True,
        text=True,
    )
    times = {}
    for line in process.stderr.splitlines():
        if line.startswith('import time:') and line.count('|') == 2:
            _, cumulative, name = line.removeprefix('import time:').split('|')
            if cumulative.strip().isdigit() and not name.startswith('  '):
                times[name.strip()] = int(cumulative)
    return times


def main() -> None:
    """Print the cost of each import and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--repeats', type=int, default=5)
    runs = [import_times() for _ in range(parser.parse_args().repeats + 1)][1:]
    torchgeo = [run['torchgeo.models'] for run in runs]
    concepts = [run['torchgeo_concepts'] for run in runs]
    ratio = statistics.median(c / t for c, t in zip(concepts, torchgeo, strict=True))
    print(
        f'import torchgeo.models: {statistics.median(torchgeo) / 1e3:,.0f} ms\n'
        f'import torchgeo_concepts after it: {statistics.median(concepts) / 1e3:,.1f} '
        f'ms, {ratio:.2%} more (median of {len(runs)})'
    )


if __name__ == '__main__':
    main()
