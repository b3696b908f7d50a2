# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

import hashlib
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torchvision.models._api import Weights

from torchgeo_concepts.models import GeoCLIPLocation_Weights, geoclip_location
from torchgeo_concepts.models._weights import DistributionWeights


def not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def raises(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, 'distribution', raises)


@pytest.fixture
def weights(tmp_path: Path) -> DistributionWeights:
    """Weights behind a link that leads to a file of this machine."""
    source = tmp_path / 'source.pth'
    torch.save({'a': torch.arange(1000)}, source)
    weights: Any = DistributionWeights(
        'Fake_Weights',
        {
            'V1': Weights(
                url=source.as_uri(),
                transforms=nn.Identity,
                meta={
                    'distribution': 'no-such-distribution',
                    'extra': 'fake',
                    'file': 'fake/source.pth',
                    'sha256': hashlib.sha256(source.read_bytes()).hexdigest(),
                },
            )
        },
    )
    member: DistributionWeights = weights['V1']
    return member


def test_neither_installed_nor_asked_to_download(
    monkeypatch: pytest.MonkeyPatch, hub_dir: Path
) -> None:
    not_installed(monkeypatch)
    with pytest.raises(
        FileNotFoundError, match=r'pip install torchgeo-concepts\[geoclip\]'
    ):
        geoclip_location(weights=GeoCLIPLocation_Weights.MP16)
    assert not hub_dir.exists()


def test_installed_distribution_without_the_file(
    weights: DistributionWeights, monkeypatch: pytest.MonkeyPatch, hub_dir: Path
) -> None:
    monkeypatch.setitem(weights.meta, 'distribution', 'torch')
    with pytest.raises(FileNotFoundError, match=r'torchgeo-concepts\[fake\]'):
        weights.path()


def test_download_on_request_then_from_the_cache(
    weights: DistributionWeights, hub_dir: Path
) -> None:
    state = weights.get_state_dict(download=True)
    assert state['a'].equal(torch.arange(1000))
    assert weights.path().is_relative_to(hub_dir)
    Path(weights.url.removeprefix('file://')).unlink()
    assert weights.get_state_dict()['a'].equal(state['a'])


def test_truncated_download_leaves_nothing(
    weights: DistributionWeights, hub_dir: Path
) -> None:
    source = Path(weights.url.removeprefix('file://'))
    source.write_bytes(source.read_bytes()[:-100])
    with pytest.raises(ValueError, match='invalid hash value.*No file was kept'):
        weights.path(download=True)
    assert [file for file in hub_dir.rglob('*') if file.is_file()] == []


def test_link_that_leads_nowhere(weights: DistributionWeights, hub_dir: Path) -> None:
    Path(weights.url.removeprefix('file://')).unlink()
    with pytest.raises(OSError, match='Cannot fetch file://'):
        weights.path(download=True)


def test_truncated_file(weights: DistributionWeights, hub_dir: Path) -> None:
    file = weights.path(download=True)
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ValueError, match='SHA-256.*truncated'):
        weights.get_state_dict(download=True)
