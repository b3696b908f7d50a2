# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""The order of samples in each epoch, also of one that training resumes with."""

from collections.abc import Iterator
from typing import Any, cast

import torch
from lightning.pytorch import LightningDataModule
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    DistributedSampler,
    IterableDataset,
    SequentialSampler,
)
from torchgeo.datamodules import NonGeoDataModule
from torchgeo.datasets.utils import Sample


class ResumingSampler(DistributedSampler[Sample]):
    """Sampler that knows the epoch when Lightning does not yet.

    When training resumes, loaders begin before they are told the epoch.
    """

    first_epoch = 0

    def __iter__(self) -> Iterator[Any]:
        """Return the numbers of the samples of an epoch."""
        self.epoch = max(self.epoch, self.first_epoch)
        return super().__iter__()


class EpochBatches(BatchSampler):
    """Batches of numbers of samples, whose order Lightning can tell the epoch."""

    def set_epoch(self, epoch: int) -> None:
        """Choose the order.

        Args:
            epoch: The epoch.
        """
        cast(ResumingSampler, self.sampler).set_epoch(epoch)


class ResumingDataModule(LightningDataModule):
    """Data module whose training goes on with the epoch it was stopped in."""

    first_epoch = 0
    _resumed_epoch = 0

    def state_dict(self) -> dict[str, Any]:
        """Return the epoch that training goes on with.

        Returns:
            The epoch.
        """
        if self.trainer is None:
            return {}
        return {'epoch': self.trainer.current_epoch + self.trainer.is_last_batch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with an epoch.

        Args:
            state_dict: What :meth:`state_dict` returned.
        """
        self._resumed_epoch = state_dict.get('epoch', 0)
        self.first_epoch = self._resumed_epoch

    def _order(self, dataset: Dataset[Sample], seed: int) -> ResumingSampler:
        """Shuffle a dataset in each epoch.

        There is one order for each seed and epoch, whatever came before, and for any
        number of processes.
        """
        sampler = ResumingSampler(
            dataset,
            num_replicas=self.trainer.world_size if self.trainer else 1,
            rank=self.trainer.global_rank if self.trainer else 0,
            seed=seed,
            drop_last=True,
        )
        sampler.first_epoch = self.first_epoch
        return sampler


class BatchedDataModule(ResumingDataModule, NonGeoDataModule):
    """Data module of a dataset that makes a batch at once, not sample by sample."""

    seed: int

    def _dataloader_factory(self, split: str) -> DataLoader[Sample]:
        dataset = self._valid_attribute(f'{split}_dataset')
        batches: BatchSampler
        if split == 'train':
            order = self._order(dataset, self.seed)
            batches = EpochBatches(order, self.batch_size, drop_last=True)
        else:
            batches = BatchSampler(SequentialSampler(dataset), self.batch_size, False)
        return DataLoader(
            dataset,
            batch_size=None,
            sampler=batches,
            num_workers=self.num_workers,
            pin_memory=torch.cuda.is_available(),
        )


class StreamEpochs(IterableDataset[Sample]):
    """A stream that begins each epoch in an order of its own.

    Workers are started anew for each, and would all begin with the first.
    """

    def __init__(self, stream: IterableDataset[Sample], epoch: int) -> None:
        """Initialize a new StreamEpochs instance.

        Args:
            stream: The stream, with ``set_epoch`` if it has epochs.
            epoch: The first epoch.
        """
        self.stream = stream
        self.epoch = epoch

    def __iter__(self) -> Iterator[Sample]:
        """Return the samples of the epoch."""
        set_epoch = getattr(self.stream, 'set_epoch', None)
        if set_epoch is not None:
            set_epoch(self.epoch)
        return iter(self.stream)


class StreamLoader(DataLoader[Sample]):
    """Loader that counts the epochs of a stream."""

    def __iter__(self) -> Any:
        """Return the batches of the next epoch."""
        epochs = cast(StreamEpochs, self.dataset)
        batches = super().__iter__()
        epochs.epoch += 1
        return batches
