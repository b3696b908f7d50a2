# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Order of samples in each epoch, which stays the same if training resumes."""

from collections.abc import Callable, Iterator
from typing import Any, cast

import torch
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    DistributedSampler,
    IterableDataset,
    SequentialSampler,
    default_collate,
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
    """Batch sampler whose epoch Lightning can set."""

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch, on which the order depends.

        Args:
            epoch: The epoch.
        """
        cast(ResumingSampler, self.sampler).set_epoch(epoch)


class StreamLoader(DataLoader[Sample]):
    """Loader that sets the epoch of a stream, whose order may depend on it.

    Workers restart in each epoch, so the stream in a worker cannot count epochs.
    """

    epoch = 0

    def __iter__(self) -> Any:
        """Return the batches of the next epoch."""
        set_epoch = getattr(self.dataset, 'set_epoch', None)
        if set_epoch is not None:
            set_epoch(self.epoch)
        self.epoch += 1
        return super().__iter__()


class ResumingDataModule(NonGeoDataModule):
    """Data module that resumes training with the epoch in which it stopped."""

    seed: int
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
        processes = self._num_processes
        if number < self.batch_size * processes:
            raise ValueError(
                f'{number} training samples do not fill one batch of {self.batch_size} '
                f'for each of {processes} processes. Lower batch_size.'
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

    def _dataloader_factory(self, split: str) -> DataLoader[Sample]:
        dataset = getattr(self, f'{split}_dataset')
        if dataset is None:
            return []  # type: ignore[return-value]
        train, batch_size = split == 'train', self.batch_size
        loader, sampler = DataLoader[Sample], None
        if isinstance(dataset, IterableDataset):
            loader = StreamLoader
        else:
            sampler = self._order(dataset, self.seed) if train else None
            # A dataset smaller than a batch would be dropped as an incomplete batch.
            batch_size = min(batch_size, len(sampler or dataset))
        loaded = loader(
            dataset,
            batch_size=batch_size,
            sampler=sampler,
            num_workers=self.num_workers,
            collate_fn=self._collate_fn(split),
            drop_last=train,
            pin_memory=torch.cuda.is_available(),
        )
        if isinstance(loaded, StreamLoader):
            loaded.epoch = self.first_epoch
        return loaded

    def _collate_fn(self, split: str) -> Callable[[list[Sample]], Sample]:
        return default_collate


class BatchedDataModule(ResumingDataModule):
    """Data module of a dataset that returns a batch for a list of indices."""

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
