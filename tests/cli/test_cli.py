# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

import os
import pty
import shlex
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

import geopandas as gpd
import pyarrow.parquet as pq
import pytest
import yaml

import torchgeo_concepts
from torchgeo_concepts.cli import main

CITIES = 'city,lon,lat\nParis,2.3522,48.8566\nSydney,151.2093,-33.8688\n'
COMMAND = [sys.executable, '-c', 'from torchgeo_concepts.cli import main; exit(main())']


@pytest.fixture
def csv(tmp_path: Path) -> str:
    path = tmp_path / 'cities.csv'
    path.write_text(CITIES)
    return str(path)


@pytest.fixture
def out(tmp_path: Path) -> str:
    return str(tmp_path / 'out.parquet')


def test_embed(csv: str, out: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['embed', csv, '-o', out]) == 0
    captured = capsys.readouterr()
    assert '2 points embedded by concept_earth' in captured.out
    assert captured.err == ''
    assert gpd.read_parquet(out)['city'].tolist() == ['Paris', 'Sydney']


@pytest.mark.parametrize('option', ['--on-error', '--on_error'])
def test_dashes_and_underscores(csv: str, out: str, option: str) -> None:
    Path(csv).write_text(CITIES + 'Nowhere,0,91\n')
    arguments = ['embed', csv, '-o', out, '--dtype', 'float16', f'{option}=skip']
    assert main([*arguments, '--batch-size', '1']) == 0
    assert (
        Path(out).with_suffix('.skipped.csv').read_text().startswith('row,reason\n2,')
    )


@pytest.mark.filterwarnings('default')
def test_warnings_are_messages(
    csv: str, out: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(csv).write_text('lon,lat\n1,2\n3,91\n')
    assert main(['embed', csv, '-o', out, '--on-error', 'skip']) == 0
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith('torchgeo-concepts: ')
    assert 'Are lon and lat swapped?' in line


def test_config_round_trip(
    csv: str, out: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(['embed', csv, '-o', out, '--dtype=float16', '--print_config'])
    assert stop.value.code == 0
    config = tmp_path / 'config.yaml'
    config.write_text(capsys.readouterr().out)
    assert yaml.safe_load(config.read_text())['dtype'] == 'float16'
    assert main(['embed', '--config', str(config)]) == 0
    assert str(pq.read_schema(out).field('embedding').type.value_type) == 'halffloat'


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--model', 'geoclip_lokation'], "Did you mean 'geoclip_location'"),
        (['--weights', 'GROUNDID'], "no weights 'GROUNDID'"),
        (['--lon', 'east'], "No column 'east'"),
        (
            ['--model', 'satclip', '--weights', 'SATCLIP_VIT16_L40'],
            'Pass --download to fetch',
        ),
        (['--column', 'city'], 'Give the embeddings another name with --column.'),
        (
            ['--model', 'geoclip_location', '--weights', 'MP16', '--features', 'xz'],
            'no concept scores',
        ),
        (['--crs', 'EPSG:nil'], 'not a coordinate reference system'),
        (['--output', 'out.csv'], 'must end in .parquet'),
    ],
)
def test_errors_are_one_message(
    csv: str,
    out: str,
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(['embed', csv, '-o', out, *arguments]) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith('torchgeo-concepts embed: ')
    assert message in captured.err
    assert not Path(out).exists()


def test_metres_without_a_crs(
    csv: str, out: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(csv).write_text('x,y\n448251,5411943\n')
    assert main(['embed', csv, '-o', out]) == 1
    error = capsys.readouterr().err
    assert 'for a projected CRS, pass crs (--crs on the command line)' in error
    Path(csv).write_text('x,y\n1,2\n448251,5411943\n')
    assert main(['embed', csv, '-o', out]) == 1
    assert 'Use --on-error skip to skip them' in capsys.readouterr().err


def test_unknown_option(csv: str, out: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(['embed', csv, '-o', out, '--device', 'gpu'])
    assert stop.value.code == 2
    assert "'auto', 'cpu', 'cuda'" in capsys.readouterr().err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(['--version'])
    assert torchgeo_concepts.__version__ in capsys.readouterr().out


def end_early(folder: Path, number: signal.Signals) -> tuple[int, str]:
    """Send a signal while the output is written, and check that nothing is left."""
    source, out = folder / 'in.csv', folder / 'out.parquet'
    source.write_text('lon,lat\n' + '1.5,2.5\n' * 500_000)
    # A shell's background jobs ignore interrupts, and so would their children.
    code = 'import signal; signal.signal(signal.SIGINT, signal.default_int_handler)'
    with subprocess.Popen(
        [
            sys.executable,
            '-c',
            f'{code}; {COMMAND[-1]}',
            'embed',
            source,
            '-o',
            out,
            '--on-error',
            'skip',
        ],
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        deadline = time.monotonic() + 50
        while not list(folder.glob('.out.parquet.*.partial')):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        time.sleep(1)
        process.send_signal(number)
        _, stderr = process.communicate(timeout=30)
    assert list(folder.iterdir()) == [source]
    return process.returncode, stderr


def test_interrupt_leaves_nothing(tmp_path: Path) -> None:
    status, message = end_early(tmp_path, signal.SIGINT)
    assert (status, message) == (130, 'torchgeo-concepts embed: interrupted.\n')


def test_termination_leaves_nothing(tmp_path: Path) -> None:
    assert end_early(tmp_path, signal.SIGTERM) == (143, '')


def test_progress_bar_on_a_terminal(
    csv: str,
    out: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    terminal, side = pty.openpty()
    termios.tcsetwinsize(side, (24, 80))
    with open(side, 'w') as stderr:
        monkeypatch.setattr(sys, 'stderr', stderr)
        assert main(['embed', csv, '-o', out]) == 0
    shown = os.read(terminal, 10_000).decode()
    os.close(terminal)
    assert '2.00/2.00' in shown
    assert 'point/s' in shown
    assert '2 points embedded' in capsys.readouterr().out


class TestBank:
    @pytest.fixture
    def examples(self) -> Path:
        return Path(__file__).parents[2] / 'docs' / 'examples'

    def test_build_as_the_documentation_says(
        self, tmp_path: Path, examples: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        folder = tmp_path / 'kenya'
        build = ['bank', 'build', '-o', str(folder), '--topic', 'Kenya']
        build += ['--tables', str(examples / 'kenya.csv')]
        assert main(build) == 0
        assert capsys.readouterr().out.startswith('27 concepts: ')
        build += ['--answers', str(examples / 'kenya_answers.jsonl')]
        assert main(build) == 0
        assert capsys.readouterr().out.startswith('51 concepts: ')
        with (folder / 'review.csv').open('a') as stream:
            stream.write("kenya,Kenya,drop,,a country's name\n")
        assert main(build) == 0
        assert capsys.readouterr().out.startswith('50 concepts: ')
        assert "a country's name" in (folder / 'dropped.csv').read_text()
        assert main(['bank', 'check', str(folder / 'bank.csv')]) == 0
        assert 'is valid: ConceptBank(50 concepts' in capsys.readouterr().out

    def test_seeds(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        folder = str(tmp_path / 'maps')
        assert (
            main(['bank', 'build', '-o', folder, '--seeds', 'igbp', 'koppen-geiger'])
            == 0
        )
        assert capsys.readouterr().out.startswith('48 concepts: ')

    @pytest.mark.parametrize(
        ('arguments', 'shown'),
        [
            (['--glob', 'sand-dune'], 'sand dune'),
            (
                ['--category', 'writing', '--format', 'markdown'],
                '| Devanagari script |',
            ),
            (['--region', 'oceania', '--format', 'csv'], 'id,name,category,prompts'),
            (
                ['--category', 'climate', '--format', 'yaml'],
                '- id: tropical-rainforest',
            ),
        ],
    )
    def test_show(
        self, arguments: list[str], shown: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(['bank', 'show', *arguments]) == 0
        assert shown in capsys.readouterr().out

    def test_check_of_a_bad_file(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        file = tmp_path / 'bank.csv'
        file.write_text('name,category\ndune,landfrom\n')
        assert main(['bank', 'check', str(file)]) == 1
        assert "row 0, field 'category'" in capsys.readouterr().err

    def test_text_model_that_is_not_here(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        build = [
            'bank',
            'build',
            '-o',
            str(tmp_path / 'out'),
            '--text-model',
            'ViT-L-14-quickgelu',
        ]
        assert main(build) == 1
        assert '--download' in capsys.readouterr().err

    def test_reader_that_stops_early(self) -> None:
        command = shlex.join([*COMMAND, 'bank', 'show', '--format', 'markdown'])
        process = subprocess.run(
            f'{command} | head -1',
            shell=True,
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert process.stdout == '| concept | category | definition |\n'
        assert process.stderr == ''
