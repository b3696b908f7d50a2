# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Weights that travel inside Python distributions."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.error import URLError

import torch
from torch import Tensor
from torchvision.models._api import WeightsEnum

from ..utils.distributions import installed_file


class NamedWeights(WeightsEnum):
    """Weights that are known by the names of their members."""

    @classmethod
    def verify(cls, obj: Any) -> Any:
        """Turn the name of a member into the member.

        Args:
            obj: A member, its name with or without that of the class, or None.

        Returns:
            The member, or None.

        Raises:
            ValueError: If there is no such member; the message lists all.
        """
        if obj is None or isinstance(obj, cls):
            return obj
        name = str(obj).removeprefix(f'{cls.__name__}.')
        if name not in cls.__members__:
            known = ', '.join(map(str, cls))
            raise ValueError(f'{obj!r} are no weights of this model; it has {known}.')
        return cls.__members__[name]


class PackagedWeights(NamedWeights):
    """Weights whose file is part of this package.

    Each member's ``meta`` holds ``file`` and its ``sha256``, which is checked before
    the file is read.
    """

    def path(self) -> Path:
        """Find the file that holds the weights.

        Returns:
            Path of a file with the right checksum.

        Raises:
            FileNotFoundError: If the file is not in the package.
            ValueError: If the file has another checksum.
        """
        file: Path = self.meta['file']
        if not file.is_file():
            raise FileNotFoundError(
                f'{file} is missing. It is part of torchgeo-concepts: reinstall it.'
            )
        if sha256(file) != self.meta['sha256']:
            raise ValueError(
                f'{file} does not hold {self}: its SHA-256 is not '
                f'{self.meta["sha256"]}. Reinstall torchgeo-concepts.'
            )
        return file


class DistributionWeights(NamedWeights):
    """Weights whose file is part of a Python distribution.

    The file is found in the installed distribution without importing it. Otherwise it
    is downloaded, if and only if that is asked for. Either way its SHA-256 is checked
    before it is read.

    Each member's ``meta`` holds ``distribution``, ``file`` (the path inside the
    distribution), ``extra`` (of this package, that installs the distribution) and
    ``sha256``.
    """

    def path(self, download: bool = False) -> Path:
        """Find the file that holds the weights.

        Args:
            download: Download the file if it is neither installed nor downloaded yet.

        Returns:
            Path of a file with the right checksum.

        Raises:
            FileNotFoundError: If the file is nowhere and *download* is false.
            ValueError: If the file has another checksum, because it is truncated,
                corrupt or of another version.
        """
        file = (
            installed_file(self.meta['distribution'], self.meta['file'])
            or self._cached_path()
        )
        if file is None:
            if not download:
                raise FileNotFoundError(
                    f'{self} is not on this machine. Install it with '
                    f"'pip install torchgeo-concepts[{self.meta['extra']}]', or pass "
                    f'download=True to fetch {self.url}.'
                )
            return self._download()
        if sha256(file) != self.meta['sha256']:
            raise ValueError(
                f'{file} does not hold {self}: its SHA-256 is not '
                f'{self.meta["sha256"]}. It is truncated, corrupt or of another '
                f'version. Delete it, then reinstall {self.meta["distribution"]} or '
                'download it again.'
            )
        return file

    def get_state_dict(
        self, *args: Any, download: bool = False, **kwargs: Any
    ) -> Mapping[str, Tensor]:
        """Read the weights in the layout that the model of this package has.

        Args:
            *args: Accepted as TorchGeo and torchvision pass them, without effect.
            download: Download the file if it is not on this machine.
            **kwargs: Accepted as TorchGeo and torchvision pass them, without effect.

        Returns:
            The model's state dictionary, on the CPU.
        """
        return self._read(self.path(download))

    def _read(self, file: Path) -> Mapping[str, Tensor]:
        state: Mapping[str, Tensor] = torch.load(
            file, map_location='cpu', weights_only=True
        )
        return state

    def _cache_target(self) -> Path:
        name = Path(self.meta['file'])
        return Path(
            torch.hub.get_dir(),
            'checkpoints',
            f'{name.stem}-{self.meta["sha256"][:8]}{name.suffix}',
        )

    def _cached_path(self) -> Path | None:
        file = self._cache_target()
        return file if file.is_file() else None

    def _download(self) -> Path:
        file = self._cache_target()
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            # Writes beside the target, checks the hash, and only then renames.
            torch.hub.download_url_to_file(
                self.url, str(file), hash_prefix=self.meta['sha256']
            )
        except URLError as error:
            raise OSError(f'Cannot fetch {self.url}: {error.reason}') from error
        except RuntimeError as error:
            raise ValueError(
                f'{self.url} does not hold {self}: {error}. Nothing was kept.'
            ) from error
        return file


def sha256(file: Path) -> str:
    """Compute the SHA-256 of a file."""
    with file.open('rb') as stream:
        return hashlib.file_digest(stream, 'sha256').hexdigest()
