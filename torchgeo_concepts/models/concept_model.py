# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Location encoders with a concept basis, and the files that hold them."""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Self

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ..concepts.bank import ConceptBank
from ..utils.files import atomic_path
from ..utils.version import VERSION
from .alignment import ConceptBasis


def read_metadata(path: Path | str) -> dict[str, str]:
    """Read the metadata of a safetensors file.

    Args:
        path: The file.

    Returns:
        The metadata, whose ``'model'`` is the name of the model.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a safetensors file.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f'No file {path}.')
    try:
        with safe_open(path, 'pt') as file:
            return file.metadata() or {}
    except SafetensorError as error:
        raise ValueError(f'Cannot read {path} as safetensors: {error}.') from error


class ConceptModel(nn.Module):
    """Location encoder with a concept basis.

    A saved file is complete: it contains the weights, and everything else as metadata.
    """

    model_name: ClassVar[str]
    basis: ConceptBasis

    @property
    def bank(self) -> ConceptBank:
        """The concepts, in the order of scores and projections."""
        return self.basis.bank

    def metadata(self) -> dict[str, str]:
        """Return the metadata that :meth:`from_metadata` takes."""
        return {
            'model': self.model_name,
            'version': VERSION,
            'bank': self.bank.to_json(),
            'basis_source': self.basis.source,
        }

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> Self:
        """Build a model, without loading its weights.

        Args:
            metadata: Returned by :meth:`metadata`.

        Returns:
            The model.
        """
        raise NotImplementedError

    def save(self, path: Path | str) -> None:
        """Write the model to a file that :meth:`load` reads.

        Args:
            path: A safetensors file.
        """
        self._write(path, self.state_dict())

    def _write(self, path: Path | str, state: Mapping[str, Tensor]) -> None:
        contiguous = {name: value.contiguous() for name, value in state.items()}
        with atomic_path(Path(path)) as temporary:
            save_file(contiguous, temporary, self.metadata())

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Read a model that :meth:`save` wrote.

        Args:
            path: The file.

        Returns:
            The model in eval mode, in float32.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If the file holds another model.
        """
        metadata = read_metadata(path)
        if metadata.get('model') != cls.model_name:
            raise ValueError(f'{path} holds no {cls.model_name} model.')
        model = cls.from_metadata(metadata)
        state = load_file(path)
        # Files of ConceptEarth contain final directions, which need no offset.
        state.setdefault('basis.offset', torch.zeros_like(model.basis.offset))
        model.load_state_dict(state)
        return model.eval()
