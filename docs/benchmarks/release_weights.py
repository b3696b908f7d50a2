# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Write the weights of a training run as a file of the package.

Run as ``python docs/benchmarks/release_weights.py CHECKPOINT NAME`` with the last
checkpoint of ``torchgeo fit --config docs/configs/concept_earth.yaml``; it prints the
SHA-256 that ConceptEarth_Weights needs.
"""

import argparse
import subprocess
from pathlib import Path

import torchgeo_concepts.models
from torchgeo_concepts.models._weights import sha256
from torchgeo_concepts.tasks import ConceptDistillation

FOLDER = Path(torchgeo_concepts.models.__file__).parent / 'data'


def present_commit() -> str:
    """Ask git for the commit of the working tree."""
    process = subprocess.run(
        ['git', 'rev-parse', 'HEAD'], capture_output=True, text=True, check=True
    )
    return process.stdout.strip()


def main() -> None:
    """Write the file and print its size and hash."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('checkpoint', type=Path)
    parser.add_argument('name', help='such as grounded')
    parser.add_argument(
        '--commit', help='the commit that trained it; by default, the present one'
    )
    options = parser.parse_args()
    task = ConceptDistillation.load_from_checkpoint(
        options.checkpoint, map_location='cpu'
    )
    if task.model is None:
        raise SystemExit(f'{options.checkpoint} holds no model.')
    task.model.provenance['commit'] = options.commit or present_commit()
    file = FOLDER / f'concept_earth_{options.name}.safetensors'
    task.model.save(file)
    print(f'{file}: {file.stat().st_size / 1e6:.2f} MB, SHA-256 {sha256(file)}')


if __name__ == '__main__':
    main()
