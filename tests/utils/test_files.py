# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

from pathlib import Path

import pytest

from torchgeo_concepts.utils.files import atomic_path, check_writable


def test_replaces_on_success(tmp_path: Path) -> None:
    file = tmp_path / 'a.txt'
    file.write_text('old')
    with atomic_path(file) as temporary:
        temporary.write_text('new')
        assert file.read_text() == 'old'
    assert file.read_text() == 'new'
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize('error', [ValueError, KeyboardInterrupt])
def test_keeps_nothing_on_failure(tmp_path: Path, error: type[BaseException]) -> None:
    file = tmp_path / 'a.txt'

    def write_half() -> None:
        with atomic_path(file) as temporary:
            temporary.write_text('half')
            raise error

    with pytest.raises(error):
        write_half()
    assert list(tmp_path.iterdir()) == []


def test_check_writable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_writable(tmp_path / 'new.parquet')
    with pytest.raises(IsADirectoryError):
        check_writable(tmp_path)
    with pytest.raises(FileNotFoundError, match='no folder'):
        check_writable(tmp_path / 'nowhere' / 'new.parquet')
    monkeypatch.setattr('os.access', lambda *_: False)
    with pytest.raises(PermissionError, match='read-only'):
        check_writable(tmp_path / 'new.parquet')
