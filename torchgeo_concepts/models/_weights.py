# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Weights whose files are part of Python distributions."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.error import URLError

import torch
from torch import Tensor
from torchvision.models._api import WeightsEnum

from ..utils.distributions import installed_file
from ..utils.names import check_known


class NamedWeights(WeightsEnum):
    """Weights that are selected by name and verified by the SHA-256 of their file."""

    @classmethod
    def verify(cls, obj: Any) -> Any:
        """Look up a member by its name.

        Args:
            obj: A member; its name, with or without the class name; or None.

        Returns:
            The member, or None.

        Raises:
            ValueError: If there is no such member; the message lists members.
        """
        if obj is None or isinstance(obj, cls):
            return obj
        name = str(obj).removeprefix(f'{cls.__name__}.')
        check_known(f'{cls.__name__} has no', name, cls.__members__)
        return cls.__members__[name]

    def _check(self, file: Path, advice: str) -> Path:
        if sha256(file) != self.meta['sha256']:
            raise ValueError(
                f'{file} does not hold {self}: its SHA-256 is not '
                f'{self.meta["sha256"]}. {advice}'
            )
        return file


class PackagedWeights(NamedWeights):
    """Weights whose file is part of this package.

    Each member's ``meta`` holds ``file`` and its ``sha256``, which is checked before
    the file is read.
    """

    def path(self) -> Path:
        """Return the file that holds the weights.

        Returns:
            Path of a file with the right checksum.

        Raises:
            ValueError: If the file has another checksum.
        """
        return self._check(self.meta['file'], 'Reinstall torchgeo-concepts.')


class DistributionWeights(NamedWeights):
    """Weights whose file is part of another Python distribution.

    The file is found in the installed distribution without importing it. A missing file
    is downloaded only if the caller allows it. The SHA-256 is always checked before the
    file is read.

    Each member's ``meta`` holds ``distribution``, ``file`` (the path inside the
    distribution), ``extra`` (the extra of this package that installs the distribution)
    and ``sha256``.
    """

    def path(self, download: bool = False) -> Path:
        """Return the file that holds the weights.

        Args:
            download: Download the file if it is neither installed nor downloaded yet.

        Returns:
            Path of a file with the right checksum.

        Raises:
            FileNotFoundError: If the file is not on this machine and *download* is false.
            ValueError: If the file has another checksum, because it is truncated,
                corrupt or of another version.
        """
        name = Path(self.meta['file'])
        versioned = f'{name.stem}-{self.meta["sha256"][:8]}{name.suffix}'
        cached = Path(torch.hub.get_dir(), 'checkpoints', versioned)
        file = installed_file(self.meta['distribution'], self.meta['file']) or cached
        if file.is_file():
            return self._check(
                file,
                'It is truncated, corrupt or of another version. Delete it, then '
                f'reinstall {self.meta["distribution"]} or download it again.',
            )
        if not download:
            raise FileNotFoundError(
                f'{self} is not on this machine. Install it with '
                f"'pip install torchgeo-concepts[{self.meta['extra']}]', or pass "
                f'download=True to fetch {self.url}.'
            )
        cached.parent.mkdir(parents=True, exist_ok=True)
        try:
            # This writes a temporary file, checks the hash, then renames the file.
            torch.hub.download_url_to_file(
                self.url, str(cached), hash_prefix=self.meta['sha256']
            )
        except URLError as error:
            raise OSError(f'Cannot fetch {self.url}: {error.reason}') from error
        except RuntimeError as error:
            raise ValueError(
                f'{self.url} does not hold {self}: {error}. No file was kept.'
            ) from error
        return cached

    def get_state_dict(
        self, *args: Any, download: bool = False, **kwargs: Any
    ) -> Mapping[str, Tensor]:
        """Read the weights in the layout of this package's model.

        Args:
            *args: Not used; TorchGeo and torchvision pass them.
            download: Download the file if it is not on this machine.
            **kwargs: Not used; TorchGeo and torchvision pass them.

        Returns:
            The model's state dictionary, on the CPU.
        """
        return self._read(self.path(download))

    def _read(self, file: Path) -> Mapping[str, Tensor]:
        state: Mapping[str, Tensor] = torch.load(
            file, map_location='cpu', weights_only=True
        )
        return state


def sha256(file: Path) -> str:
    """Compute the SHA-256 of a file."""
    with file.open('rb') as stream:
        return hashlib.file_digest(stream, 'sha256').hexdigest()
