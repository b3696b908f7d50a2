# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

import bz2
import gzip
import io
import itertools
import json
import lzma
import pickle
import sys
import tarfile
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchgeo.datasets.utils import Sample
from webdataset import TarWriter

from torchgeo_concepts.datasets import ImagePointShards, UnreadableShardError
from torchgeo_concepts.io.images import UnreadableImageError


def picture(number: int, kind: str = 'JPEG') -> bytes:
    file = io.BytesIO()
    Image.new('RGB', (20, 10), (number, 20, 30)).save(file, kind)
    return file.getvalue()


def add(archive: tarfile.TarFile, name: str, content: bytes | str) -> None:
    data = content.encode() if isinstance(content, str) else content
    info = tarfile.TarInfo(name)
    info.size = len(data)
    archive.addfile(info, io.BytesIO(data))


def write(path: Path, **members: bytes | str) -> Path:
    """Write a shard of members whose names have ``_`` for the dot."""
    with tarfile.open(path, 'w') as archive:
        for name, content in members.items():
            add(archive, name.replace('_', '.'), content)
    return path


def longitudes(dataset: ImagePointShards) -> list[int]:
    return [round(sample['point'][0].item()) for sample in dataset]


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """Six shards of five samples, whose longitudes are 0 to 29."""
    for shard in range(6):
        with TarWriter(str(tmp_path / f's-{shard:03}.tar')) as writer:
            for number in range(5 * shard, 5 * shard + 5):
                point = {'lon': number, 'lat': -number, 'title': 'A photo'}
                key = f'{number:02}/{number:06}'
                writer.write({'__key__': key, 'jpg': picture(number), 'json': point})
    return tmp_path


class TestRead:
    def test_samples(self, shards: Path) -> None:
        samples = list(ImagePointShards(f'{shards}/s-{{000..001}}.tar'))
        assert len(samples) == 10
        assert samples[7].keys() == {'image', 'point'}
        assert samples[7]['point'].tolist() == [7, -7]
        assert samples[7]['image'].shape == (3, 10, 20)
        assert samples[7]['image'].dtype == samples[7]['point'].dtype == torch.float32

    def test_ways_to_name_shards(self, shards: Path) -> None:
        paths = sorted(shards.glob('*.tar'))
        expected = ImagePointShards(paths).shards
        assert ImagePointShards(f'{shards}/*.tar').shards == expected
        assert ImagePointShards(f'{shards}/s-{{000..005}}.tar').shards == expected
        assert ImagePointShards([f'{shards}/s-*.tar']).shards == expected
        nothings: tuple[str | list[Path], ...] = (f'{shards}/*.tgz', [])
        for nothing in nothings:
            with pytest.raises(FileNotFoundError, match='No shards match'):
                ImagePointShards(nothing)

    @pytest.mark.parametrize(
        ('suffix', 'kind'), [('png', 'PNG'), ('jpeg', 'JPEG'), ('webp', 'WEBP')]
    )
    def test_kinds_of_images(self, tmp_path: Path, suffix: str, kind: str) -> None:
        members: dict[str, bytes | str] = {
            f'a_{suffix}': picture(1, kind),
            'a_json': '{"LNG": "2.5", "LATITUDE": 1}',
        }
        write(tmp_path / 'a.tar', **members)
        [sample] = ImagePointShards([tmp_path / 'a.tar'])
        assert sample['point'].tolist() == [2.5, 1]

    def test_transforms_and_pickle(self, shards: Path) -> None:
        dataset = ImagePointShards(f'{shards}/*.tar', transforms=halve)
        copy = pickle.loads(pickle.dumps(dataset))
        assert next(iter(copy))['image'].max() <= 16


def halve(sample: Sample) -> Sample:
    return {**sample, 'image': sample['image'] / 2}


class TestOrder:
    def test_shuffle(self, shards: Path) -> None:
        dataset = ImagePointShards(f'{shards}/*.tar', shuffle=10, seed=1)
        first, second = longitudes(dataset), longitudes(dataset)
        assert sorted(first) == sorted(second) == list(range(30))
        assert first != second
        dataset.set_epoch(0)
        assert longitudes(dataset) == first
        others = ImagePointShards(f'{shards}/*.tar', shuffle=10, seed=2)
        assert longitudes(others) != first
        assert longitudes(ImagePointShards(f'{shards}/*.tar')) == list(range(30))

    @pytest.mark.parametrize('shuffle', [0, 10])
    def test_ranks_and_workers_share_nothing(
        self, shards: Path, monkeypatch: pytest.MonkeyPatch, shuffle: int
    ) -> None:
        monkeypatch.setenv('WORLD_SIZE', '2')
        monkeypatch.setenv('NUM_WORKERS', '2')
        parts: list[list[int]] = []
        for rank in '01':
            for worker in '01':
                monkeypatch.setenv('RANK', rank)
                monkeypatch.setenv('WORKER', worker)
                dataset = ImagePointShards(f'{shards}/*.tar', shuffle=shuffle)
                dataset.set_epoch(3)
                parts.append(longitudes(dataset))
        assert all(parts)
        assert sorted(itertools.chain(*parts)) == list(range(30))

    def test_data_loader(self, shards: Path) -> None:
        dataset = ImagePointShards(f'{shards}/*.tar', shuffle=10)
        loader = DataLoader(dataset, 5, num_workers=2, multiprocessing_context='fork')
        points = torch.cat([batch['point'] for batch in loader])
        assert sorted(points[:, 0].tolist()) == list(range(30))

    def test_fewer_shards_than_ranks(
        self, shards: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv('WORLD_SIZE', '8')
        monkeypatch.setenv('RANK', '0')
        with pytest.raises(ValueError, match='6 shards cannot be split among 8 ranks'):
            next(iter(ImagePointShards(f'{shards}/*.tar')))


class TestErrors:
    # In headers, in files, in what fills up blocks, and between files.
    @pytest.mark.parametrize('size', [0, 300, 512, 700, *range(2048, 5121, 256), 9000])
    @pytest.mark.parametrize('suffix', ['tar', 'tar.gz'])
    def test_shard_that_ends_too_early(
        self, shards: Path, size: int, suffix: str
    ) -> None:
        broken = shards / f's-001.{suffix}'
        content = (shards / 's-001.tar').read_bytes()
        if suffix == 'tar.gz':
            (shards / 's-001.tar').unlink()
            content = gzip.compress(content, mtime=0)
            size = size * len(content) // 10240
        broken.write_bytes(content[:size])
        with pytest.raises(UnreadableShardError, match=r'Cannot read .*s-001\.tar'):
            list(ImagePointShards(f'{shards}/*.tar*'))
        dataset = ImagePointShards(f'{shards}/*.tar*', on_error='skip')
        with pytest.warns(UserWarning, match=r's-001\.tar.* left out'):
            read = longitudes(dataset)
        num_read = len(read) - 25
        assert num_read < 5
        assert read == [*range(5 + num_read), *range(10, 30)]

    @pytest.mark.parametrize('packer', [gzip, bz2, lzma])
    def test_compressed_shard(self, shards: Path, packer: ModuleType) -> None:
        content = packer.compress((shards / 's-001.tar').read_bytes())
        path = shards / 'c.tar.packed'
        path.write_bytes(content)
        failed = 0
        assert longitudes(ImagePointShards([path])) == [5, 6, 7, 8, 9]
        # Some cuts fall between two files, which tarfile takes for the end.
        sizes = [*range(1, 16), *range(16, len(content), 16)]
        for size in sizes:
            path.write_bytes(content[:size])
            try:
                read = longitudes(ImagePointShards([path]))
            except UnreadableShardError:
                failed += 1
            else:
                # Only checksums at the end of the file are missing.
                assert read == [5, 6, 7, 8, 9]
        assert failed > 0.9 * len(sizes)

    def test_compressed_shard_that_is_damaged(self, shards: Path) -> None:
        content = bytearray(gzip.compress((shards / 's-001.tar').read_bytes()))
        content[200:300] = bytes(100)
        (shards / 'c.tar.gz').write_bytes(content)
        with pytest.raises(UnreadableShardError, match='Cannot read'):
            list(ImagePointShards([shards / 'c.tar.gz']))

    def test_missing_shard(self, shards: Path) -> None:
        (shards / 's-001.tar').unlink()
        with pytest.raises(UnreadableShardError, match=r's-001\.tar'):
            list(ImagePointShards(f'{shards}/s-{{000..005}}.tar'))

    @pytest.mark.parametrize(
        ('members', 'message'),
        [
            ({}, 'there is no json file beside the image'),
            ({'b_json': '{"lon": 1, "lat": 91}'}, 'latitude 91 is outside'),
            ({'b_json': '{"lon": 1, "lat": NaN}'}, 'latitude is nan'),
            ({'b_json': '{"lon": 1, "lat": null}'}, 'latitude is nan'),
            ({'b_json': '{"lon": 1, "lat": "north"}'}, 'is not a number'),
            ({'b_json': '{"lon": 1, "lat": [1]}'}, 'no point'),
            ({'b_json': '{"lon": 1}'}, 'No two columns'),
            ({'b_json': '[1, 2]'}, 'not an object'),
            ({'b_json': '{"lon"'}, 'no point'),
            ({'b_json': b'\xff\xfe'}, 'no point'),
        ],
    )
    def test_samples_without_a_point(
        self, tmp_path: Path, members: dict[str, Any], message: str
    ) -> None:
        good = json.dumps({'lon': 1, 'lat': 2})
        ends: dict[str, bytes | str] = {'c_jpg': picture(2), 'c_json': good}
        path = write(tmp_path / 'a.tar', b_jpg=picture(1), **members, **ends)
        with pytest.raises(ValueError, match=message) as e:
            list(ImagePointShards([path]))
        assert f'b of {path} has no point' in str(e.value)
        dataset = ImagePointShards([path], on_error='skip')
        with pytest.warns(UserWarning, match='b of .* left out'):
            assert longitudes(dataset) == [1]

    def test_samples_without_an_image(self, tmp_path: Path) -> None:
        path = write(tmp_path / 'a.tar', b_json='{"lon": 1, "lat": 2}')
        with pytest.raises(ValueError, match='b of .* has no image'):
            list(ImagePointShards([path]))
        good = '{"lon": 1, "lat": 2}'
        path = write(tmp_path / 'a.tar', b_jpg=picture(1)[:-300], b_json=good)
        with pytest.raises(UnreadableImageError, match='Cannot read b of'):
            list(ImagePointShards([path]))

    def test_bad_on_error(self, shards: Path) -> None:
        with pytest.raises(ValueError, match=r"'raise', 'skip'"):
            ImagePointShards(f'{shards}/*.tar', on_error='x')  # type: ignore[arg-type]

    def test_without_webdataset(
        self, shards: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, 'webdataset', None)
        with pytest.raises(ImportError, match=r'torchgeo-concepts\[webdataset\]'):
            ImagePointShards(f'{shards}/*.tar')


class TestSamplesPerEpoch:
    @pytest.mark.parametrize('number', [4, 30, 77])
    def test_all_workers_together_give_as_many(self, shards: Path, number: int) -> None:
        dataset = ImagePointShards(
            f'{shards}/s-*.tar', samples_per_epoch=number, shuffle=8
        )
        loader = DataLoader(dataset, batch_size=None, num_workers=2)
        seen = [round(sample['point'][0].item()) for sample in loader]
        assert len(seen) == number
        assert len(set(seen)) >= min(number, 15)

    def test_nothing_to_repeat(self, tmp_path: Path) -> None:
        write(tmp_path / 'empty.tar')
        dataset = ImagePointShards(str(tmp_path / 'empty.tar'), samples_per_epoch=3)
        with pytest.raises(ValueError, match='Worker 0 of rank 0 has no sample'):
            list(dataset)
