# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

import os

import pytest


@pytest.fixture
def cache(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One folder for all tests, unless somebody offers theirs."""
    if 'TORCHGEO_CONCEPTS_CACHE' not in os.environ:
        folder = tmp_path_factory.getbasetemp() / 'layers'
        monkeypatch.setenv('TORCHGEO_CONCEPTS_CACHE', str(folder))
