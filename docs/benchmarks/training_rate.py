# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Measure how fast ConceptAlignment trains from cached features, and what bounds it.

Run as ``python docs/benchmarks/training_rate.py``. Writes features of random numbers to
a temporary folder, since only their size matters here, and times loading alone, the
model alone on one batch, and both together. The model is GeoCLIP's, trained in all its
parts, with the curated bank.
"""

import argparse
import itertools
import os
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader, Dataset
from torchgeo.datasets.utils import Sample

from torchgeo_concepts.datamodules import ImagePointsDataModule
from torchgeo_concepts.datasets import CachedFeatures, cache_features
from torchgeo_concepts.models import ImageTower
from torchgeo_concepts.tasks import ConceptAlignment


class RandomFeatures(Dataset[Sample]):
    """Random numbers in the place of the features of CLIP ViT-L/14."""

    def __init__(self, number: int) -> None:
        """Initialize a new RandomFeatures instance."""
        self.number = number

    def __len__(self) -> int:
        """Return the number of samples."""
        return self.number

    def __getitem__(self, index: int) -> Sample:
        """Return a sample."""
        generator = torch.Generator().manual_seed(index)
        lon, lat = (torch.rand(2, generator=generator) - 0.5).tolist()
        point = torch.tensor([360 * lon, 170 * lat])
        return {'image': torch.randn(768, generator=generator), 'point': point}


def rate(step: Callable[[Sample], object], batches: Iterable[Sample]) -> float:
    """Return images per second over the batches, the first left out."""
    start, images = 0.0, 0
    for number, batch in enumerate(batches):
        step(batch)
        if number == 0:
            start = time.perf_counter()
        else:
            images += len(batch['point'])
    return images / (time.perf_counter() - start)


def trainer_of(task: ConceptAlignment) -> Callable[[Sample], None]:
    """Return the function that trains on a batch."""
    [optimizer], _ = cast(tuple[list[Optimizer], Any], task.configure_optimizers())

    def step(batch: Sample) -> None:
        optimizer.zero_grad()
        loss: Tensor = task.losses(batch['image'], batch['point'])['loss']
        loss.backward()
        optimizer.step()
        task.queue.push(batch['point'])

    return step


def loader_of(cached: CachedFeatures, batch_size: int) -> DataLoader[Sample]:
    """Return the loader of the data module."""
    datamodule = ImagePointsDataModule(cached, batch_size=batch_size)
    datamodule.setup('fit')
    loader: DataLoader[Sample] = datamodule.train_dataloader()
    return loader


def main() -> None:
    """Print the three rates."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--images', type=int, default=40_000)
    parser.add_argument('--batch-size', type=int, default=512)
    parser.add_argument('--batches', type=int, default=12, help='Batches to train on.')
    options = parser.parse_args()
    warnings.simplefilter('ignore')
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        cached = cache_features(
            RandomFeatures(options.images),
            ImageTower(nn.Identity(), nn.Linear(768, 512)),
            folder,
            batch_size=1024,
        )
        size = sum(file.stat().st_size for file in os.scandir(folder)) / 1e6
        print(f'{len(cached):,} images as 768 features in float16: {size:.0f} MB')
        loading = rate(lambda batch: None, loader_of(cached, options.batch_size))
        print(f'loading alone:   {loading:10,.0f} images/s')
        step = trainer_of(
            ConceptAlignment(
                'features/768',
                head_weights='GeoCLIPImageMLP_Weights.MP16',
                location_encoder='geoclip_location',
                location_weights='GeoCLIPLocation_Weights.MP16',
                align='z',
                image_projection='mlp',
                loss={'divergence_weight': 1.0},
            )
        )
        loader = loader_of(cached, options.batch_size)
        batches = list(itertools.islice(loader, options.batches))
        # The queue is full, as it is for all but the first batches of a training.
        for _ in range(4096 // options.batch_size):
            step(batches[0])
        model = rate(step, batches)
        print(f'model alone:     {model:10,.0f} images/s')
        both = rate(step, itertools.islice(loader, options.batches))
        print(f'training:        {both:10,.0f} images/s')
        share = both / loading
        print(f'loading takes {share:.1%} of the time of training')


if __name__ == '__main__':
    main()
