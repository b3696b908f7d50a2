# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""MP-16 as docs/mp16.md types it, with small data and a small CLIP of random weights."""

import json
import re
import runpy
import shlex
from pathlib import Path

import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor
from torchgeo.main import main

from torchgeo_concepts.cli import main as concepts_main
from torchgeo_concepts.concepts import Concept, ConceptBank
from torchgeo_concepts.datasets import MP16, CachedFeatures
from torchgeo_concepts.tasks import ConceptAlignment

ROOT = Path(__file__).parents[1]
CONFIGS = ROOT / 'docs' / 'configs'
DATA = ROOT / 'tests' / 'data'
MODEL, NARROW = 'small-clip-of-the-tests', 'narrow-clip-of-the-tests'

pytestmark = [
    pytest.mark.filterwarnings("ignore:LightningCLI's args parameter"),
    pytest.mark.filterwarnings('ignore:.*does not have many workers'),
    pytest.mark.filterwarnings('ignore:.*tensorboard'),
    pytest.mark.filterwarnings('ignore:The dirpath has changed'),
    pytest.mark.filterwarnings('ignore:The number of training batches'),
    pytest.mark.filterwarnings('ignore:.*module.s. in eval mode'),
    pytest.mark.filterwarnings('ignore:.*`isinstance.treespec'),
]


@pytest.fixture(scope='module')
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of a small architecture, with the 768 features of ViT-L/14."""
    folder = tmp_path_factory.mktemp('clip')
    architecture = {
        'embed_dim': 768,
        'vision_cfg': {
            'layers': 1,
            'width': 32,
            'head_width': 16,
            'image_size': 32,
            'patch_size': 16,
        },
        'text_cfg': {'layers': 1, 'width': 32, 'heads': 2},
    }
    (folder / f'{MODEL}.json').write_text(json.dumps(architecture))
    open_clip.add_model_config(folder)
    torch.manual_seed(0)
    torch.save(open_clip.create_model(MODEL).state_dict(), folder / 'clip.pt')
    # Another, whose texts GeoCLIP's head does not take.
    (folder / f'{NARROW}.json').write_text(json.dumps(architecture | {'embed_dim': 16}))
    open_clip.add_model_config(folder)
    torch.save(open_clip.create_model(NARROW).state_dict(), folder / 'narrow.pt')
    return folder / 'clip.pt'


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hub_dir: Path) -> Path:
    """An empty folder with both sets where docs/mp16.md has them."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'data').mkdir()
    for name in ('mp16', 'im2gps3k'):
        (tmp_path / 'data' / name).mkdir(exist_ok=True)
    mp16 = runpy.run_path(str(DATA / 'mp16' / 'data.py'))['create']
    mp16(tmp_path / 'data' / 'mp16', missing=0)
    runpy.run_path(str(DATA / 'im2gps3k' / 'data.py'))['create'](
        tmp_path / 'data' / 'im2gps3k'
    )
    bank = ConceptBank(Concept(n, n, 'landform') for n in ('dune', 'summit', 'reef'))
    bank.save(tmp_path / 'bank.csv')
    return tmp_path


def cache(name: str, weights: Path, *more: str) -> int:
    folder = name.lower()
    words = [name, f'data/{folder}', '-o', f'features/{folder}']
    small = ['--tower', f'open_clip/{MODEL}', '--weights', str(weights)]
    return concepts_main(['cache-features', *words, *small, '--image-size=32', *more])


def directions(weights: Path, *more: str) -> int:
    small = ['--model', MODEL, '--weights', str(weights), '--bank', 'bank.csv']
    return concepts_main(['text-directions', '-o', 'text.safetensors', *small, *more])


class TestDirections:
    def test_file(
        self, work: Path, weights: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert directions(weights) == 0
        said = 'directions of 3 concepts, 512 numbers each: text.safetensors\n'
        assert capsys.readouterr().out == said
        [written] = load_file('text.safetensors').values()
        torch.testing.assert_close(written.norm(dim=1), torch.ones(3))
        assert directions(weights, '--head-weights', 'null') == 0
        assert load_file('text.safetensors')['directions'].shape == (3, 768)

    @pytest.mark.parametrize(
        ('words', 'message'),
        [
            (['-o', 'text.pt'], 'text.pt must end in .safetensors'),
            (['-o', 'no/text.safetensors'], 'no folder no'),
            (['--bank', 'no.csv'], 'no.csv'),
            (['--model', 'ViT-Z'], "open_clip has no model 'ViT-Z'"),
            (['--weights', 'openai'], "'openai' is neither a file nor weights"),
        ],
    )
    def test_errors_are_one_message(
        self,
        work: Path,
        weights: Path,
        words: list[str],
        message: str,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        assert directions(weights, *words) == 1
        error = capsys.readouterr().err
        assert error.startswith('torchgeo-concepts text-directions: ')
        assert message in error
        assert not list(work.glob('*.safetensors'))

    def test_texts_that_the_head_does_not_take(
        self, work: Path, weights: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        narrow = weights.with_name('narrow.pt')
        assert directions(narrow, '--model', NARROW) == 1
        error = capsys.readouterr().err
        assert f'{NARROW} has 16' in error
        assert '--head-weights null' in error


class TestFeatures:
    def test_a_run_that_is_repeated_goes_on(
        self, work: Path, weights: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert cache('MP16', weights) == 0
        said = capsys.readouterr().out
        assert re.fullmatch(
            r'3 images, 768 features each in float16, 0.01 MB: features/mp16\n', said
        )
        features = CachedFeatures('features/mp16')
        written = features[0]['image']
        torch.testing.assert_close(features.points, MP16('data/mp16').points)
        before = Path('features/mp16/00000.features.npy').stat().st_mtime_ns
        assert cache('MP16', weights) == 0
        assert Path('features/mp16/00000.features.npy').stat().st_mtime_ns == before
        assert CachedFeatures('features/mp16')[0]['image'].equal(written)

    @pytest.mark.filterwarnings('ignore:.*left out 1 of 3')
    def test_unreadable_and_missing_images(
        self, work: Path, weights: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (work / 'data/mp16/mp16/63/a3/5523441.jpg').unlink()
        (work / 'data/mp16/mp16/00/ff/1000269.jpg').write_bytes(b'no image')
        assert cache('MP16', weights) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[0].startswith('1 images')
        assert lines[1] == '1 could not be read and were left out'
        next((work / 'data/im2gps3k').rglob('*.jpg')).unlink()
        assert cache('Im2GPS3k', weights) == 1
        assert '1 of 2 images are not in' in capsys.readouterr().err

    def test_share_of_the_images(self, work: Path, weights: Path) -> None:
        taken: list[Tensor] = []
        for seed in ('0', '1', '1'):
            folder = f'features/{len(taken)}'
            words = ['--fraction', '0.34', '--seed', seed, '-o', folder]
            assert cache('MP16', weights, *words) == 0
            points = CachedFeatures(folder).points
            assert len(points) == 1
            taken.append(points)
        assert taken[1].equal(taken[2])
        assert not taken[0].equal(taken[1])
        assert cache('MP16', weights, '--fraction', '0.01', '-o', 'features/least') == 0
        assert len(CachedFeatures('features/least')) == 1

    def test_photos_of_a_table(self, work: Path, weights: Path) -> None:
        Path('data/imagepoints').mkdir()
        Image.new('RGB', (40, 50)).save('data/imagepoints/a.png')
        Path('photos.csv').write_text('file,lon,lat\na.png,36.8,-1.3\n')
        assert cache('ImagePoints', weights, '--table', 'photos.csv') == 0
        point = CachedFeatures('features/imagepoints')[0]['point']
        torch.testing.assert_close(point, torch.tensor([36.8, -1.3]))

    @pytest.mark.parametrize(
        ('words', 'message'),
        [
            (['--table', 'bank.csv'], 'MP16 has its own table. Use --table'),
            (['--fraction', '0'], 'fraction must be above 0'),
            (['--fraction', '1.5'], 'at most 1, not 1.5'),
            (['--tower', 'features/768'], 'features/768 has no backbone'),
            (['--image-size', '64'], 'does not accept images of 64 pixels'),
            (['--weights', 'openai'], "'openai' is neither a file nor weights"),
        ],
    )
    def test_errors_are_one_message(
        self,
        work: Path,
        weights: Path,
        words: list[str],
        message: str,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        assert cache('MP16', weights, *words) == 1
        error = capsys.readouterr().err
        assert error.startswith('torchgeo-concepts cache-features: ')
        assert message in error
        assert not Path('features').exists()

    def test_no_folder(self, work: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert concepts_main(['cache-features', 'MP16', 'nowhere', '-o', 'out']) == 1
        assert 'nowhere' in capsys.readouterr().err

    def test_features_of_other_images(
        self, work: Path, weights: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert cache('MP16', weights) == 0
        assert cache('Im2GPS3k', weights, '-o', 'features/mp16') == 1
        assert 'was computed with other images' in capsys.readouterr().err


# What a machine without a GPU and without the data cannot have as it is.
SMALLER = {
    'mp16_features': ['data.init_args.batch_size=1'],
    'mp16_geoclip': ['data.init_args.batch_size=1'],
    'mp16_grounded': ['data.init_args.batch_size=1'],
    'mp16_images': [
        'data.init_args.batch_size=1',
        'data.init_args.image_size=32',
        'data.init_args.num_workers=0',
        f'model.init_args.image_tower=open_clip/{MODEL}',
    ],
}


def table(shown: str, candidates: str) -> list[float]:
    """Read the accuracies that a test printed."""
    assert f'Among {candidates} candidates' in shown
    [row] = re.findall(r'^\| (\d.*) \| \d+ km \| \d+ \|$', shown, re.MULTILINE)
    return [float(value) for value in row.split(' | ')]


def heads_beside_the_comparison() -> list[list[str]]:
    """Return the options of the rivals that docs/mp16.md types, after the file's."""
    page = (CONFIGS.parent / 'mp16.md').read_text(encoding='utf-8')
    typed = page.replace('\\\n', '').splitlines()
    file = '$ torchgeo fit --config docs/configs/mp16_grounded.yaml '
    rivals = [line for line in typed if line.startswith(file) and 'heads' in line]
    return [shlex.split(line.removeprefix(file)) for line in rivals]


@pytest.mark.slow
@pytest.mark.parametrize('options', heads_beside_the_comparison())
def test_heads_beside_the_comparison(
    options: list[str], work: Path, weights: Path
) -> None:
    assert cache('MP16', weights) == cache('Im2GPS3k', weights) == 0
    config = ['--config', str(CONFIGS / 'mp16_grounded.yaml')]
    small = ['--data.init_args.num_workers=0', '--data.init_args.batch_size=1']
    small += ['--trainer.max_steps=1', '--trainer.accelerator=cpu']
    small += ['--model.init_args.gallery=data/im2gps3k/im2gps3k_places365.csv']
    main(['fit', *config, *options, *small])
    [checkpoint] = work.rglob('*.ckpt')
    task = ConceptAlignment.load_from_checkpoint(checkpoint, weights_only=True)
    assert (task.hparams['align'], task.hparams['supervision']) == ('x', 'heads')
    assert task.loss_options.label_weight == float(options[-1])


def test_both_weights_of_heads_are_typed() -> None:
    weights = [options[-1] for options in heads_beside_the_comparison()]
    assert weights == ['0.5', '1']


@pytest.mark.slow
@pytest.mark.parametrize('name', SMALLER)
def test_end_to_end(
    name: str, work: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ['--config', str(CONFIGS / f'{name}.yaml')]
    options += [f'--{option}' for option in SMALLER[name]]
    # Encoding the candidates that the configuration names takes most of a minute.
    gallery = '--model.init_args.gallery=data/im2gps3k/im2gps3k_places365.csv'
    if name == 'mp16_images':
        options += [f'--model.init_args.image_weights={weights}']
    else:
        assert cache('MP16', weights) == cache('Im2GPS3k', weights) == 0
    if name == 'mp16_geoclip':
        # As it was released, before there is anything of MP-16 to train on.
        before = ['--config', options[1], '--data.init_args.train', 'null', gallery]
        main(['test', *before])
        released = table(capsys.readouterr().out, '2')
        assert len(released) == 5
    elif name != 'mp16_grounded':
        options += ['--model.init_args.bank=bank.csv']
        assert directions(weights) == 0
    steps = ['--trainer.max_steps=2', '--trainer.accelerator=cpu']
    options += [gallery]
    main(['fit', *options, *steps])
    [checkpoint] = work.rglob('*.ckpt')
    state = torch.load(checkpoint, map_location='cpu', weights_only=True)
    assert state['global_step'] == 2
    if name == 'mp16_grounded':
        assert state['basis_source'] == 'learned from layers'
    capsys.readouterr()
    main(['test', *options, '--ckpt_path', str(checkpoint)])
    accuracies = table(capsys.readouterr().out, '2')
    assert len(accuracies) == 5
    assert accuracies == sorted(accuracies)
