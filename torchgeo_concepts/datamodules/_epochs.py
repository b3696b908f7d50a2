# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Order of samples in each epoch, the same after training resumes."""

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
    """Sampler that starts with the epoch in which training resumes.

    Lightning starts loaders before it sets the epoch of their samplers.
    """

    first_epoch = 0

    def __iter__(self) -> Iterator[Any]:
        """Return the indices of the samples of an epoch."""
        self.epoch = max(self.epoch, self.first_epoch)
        return super().__iter__()


class EpochBatches(BatchSampler):
    """Batches of indices, in an order for which Lightning sets the epoch."""

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch, on which the order depends.

        Args:
            epoch: The epoch.
        """
        cast(ResumingSampler, self.sampler).set_epoch(epoch)


class ResumingDataModule(LightningDataModule):
    """Data module whose training resumes with the epoch in which it was stopped."""

    first_epoch = 0

    def state_dict(self) -> dict[str, Any]:
        """Return the epoch in which to resume."""
        if self.trainer is None:
            return {}
        return {'epoch': self.trainer.current_epoch + self.trainer.is_last_batch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Set the epoch in which to resume.

        Args:
            state_dict: Value that :meth:`state_dict` returned.
        """
        self.first_epoch = state_dict.get('epoch', 0)

    @property
    def _num_processes(self) -> int:
        return self.trainer.world_size if self.trainer else 1

    def _check_batch(self, number: int) -> None:
        """Validate that the training samples fill a batch of each process."""
        processes, batch_size = self._num_processes, cast(Any, self).batch_size
        if number < batch_size * processes:
            raise ValueError(
                f'{number} training samples do not fill one batch of {batch_size} for '
                f'each of {processes} processes. Lower batch_size.'
            )

    def _order(self, dataset: Dataset[Sample], seed: int) -> ResumingSampler:
        """Shuffle a dataset in each epoch.

        The order depends on the seed and on the epoch only.
        """
        sampler = ResumingSampler(
            dataset,
            num_replicas=self._num_processes,
            rank=self.trainer.global_rank if self.trainer else 0,
            seed=seed,
            drop_last=True,
        )
        sampler.first_epoch = self.first_epoch
        return sampler


class BatchedDataModule(ResumingDataModule, NonGeoDataModule):
    """Data module of a dataset that returns a batch for a list of indices."""

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
    """Stream whose order depends on the epoch.

    Workers start anew in each epoch, so the stream in them cannot count epochs.
    """

    def __init__(self, stream: IterableDataset[Sample], epoch: int) -> None:
        """Initialize a new StreamEpochs instance.

        Args:
            stream: The stream. Its ``set_epoch`` is called if it has one.
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
