# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Data module of points with labels of concepts and teacher embeddings."""

from pathlib import Path
from typing import Any

from torch import nn

from ..datasets.grounded_points import Blocks, GroundedPoints
from ._epochs import BatchedDataModule


class GroundedPointsDataModule(BatchedDataModule):
    """Data module of :class:`GroundedPoints`, with another seed for validation."""

    def __init__(
        self,
        root: Path | str = 'data/grounded-points',
        number: int = 1_000_000,
        val_number: int = 20_000,
        *,
        batch_size: int = 4096,
        num_workers: int = 0,
        blocks: Blocks = 'all',
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        """Initialize a new GroundedPointsDataModule instance.

        Args:
            root: Folder of the training points. The folder of the validation points has
                the same name with ``-val`` at the end.
            number: Number of training points.
            val_number: Number of validation points.
            batch_size: Number of points in a batch.
            num_workers: Number of processes that load points.
            blocks: ``'train'`` to train outside of held-out blocks and to validate inside
                them; ``'all'`` to train and validate everywhere.
            seed: Seed of the points to train on, and of their order.
            **kwargs: Additional keyword arguments passed to
                :class:`~torchgeo_concepts.datasets.GroundedPoints`.
        """
        super().__init__(GroundedPoints, batch_size, num_workers)
        self.root = Path(root)
        self.number, self.val_number = number, val_number
        self.blocks: Blocks = blocks
        self.seed = seed
        self.options: dict[str, Any] = kwargs
        # Points have no images to augment.
        self.aug = nn.Identity()

    def prepare_data(self) -> None:
        """Compute labels and embeddings of the points."""
        self._load()

    def setup(self, stage: str) -> None:
        """Set up datasets.

        Args:
            stage: Either 'fit', 'validate', 'test', or 'predict'.

        Raises:
            ValueError: If there are fewer points than in a batch.
        """
        self.train_dataset, self.val_dataset = self._load()
        self._check_batch(len(self.train_dataset))

    def _load(self) -> tuple[GroundedPoints, GroundedPoints]:
        val_root = self.root.with_name(f'{self.root.name}-val')
        val_blocks: Blocks = 'all' if self.blocks == 'all' else 'test'
        train = GroundedPoints(
            self.root, self.number, self.seed, blocks=self.blocks, **self.options
        )
        # A seed that no training set is likely to have.
        val = GroundedPoints(
            val_root, self.val_number, 1_000_003, blocks=val_blocks, **self.options
        )
        return train, val
