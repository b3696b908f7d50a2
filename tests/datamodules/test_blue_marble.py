# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

import runpy
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor
from torchgeo.datasets import DatasetNotFoundError
from torchgeo.main import main

from torchgeo_concepts.datamodules import BlueMarbleDataModule, blue_marble
from torchgeo_concepts.datasets import EARTH_PICTURES, BlueMarble
from torchgeo_concepts.datasets.grounded_points import held_out_blocks
from torchgeo_concepts.layers.grounding import load_groundings

TESTS = Path(__file__).parents[1]
FAKE = runpy.run_path(str(TESTS / 'data/bluemarble/data.py'))

pytestmark = [
    pytest.mark.filterwarnings('ignore:.*callbacks used to create the checkpoint'),
    pytest.mark.filterwarnings('ignore:.*does not have many workers'),
    pytest.mark.filterwarnings('ignore:.*`isinstance.treespec'),
]


@pytest.fixture(scope='module')
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of small pictures, known beside the real one."""
    folder = tmp_path_factory.mktemp('pictures')
    with pytest.MonkeyPatch.context() as patch:
        for name, picture in FAKE['create'](folder).items():
            if name != 'blue-marble':
                patch.setitem(EARTH_PICTURES, name, picture)
        yield folder


def data(root: Path, **options: Any) -> BlueMarbleDataModule:
    small: dict[str, Any] = {
        'imagery': 'january',
        'val_imagery': 'three-globe',
        'test_imagery': 'may',
        'number': 50,
        'val_number': 20,
        'test_number': 20,
        'batch_size': 16,
        'concepts': False,
    }
    return BlueMarbleDataModule(root, **(small | options))


def test_patches_and_normalisation_of_ones_own(root: Path) -> None:
    module = data(
        root, size=8, pixels_per_degree=0.1, mean=(0.5, 0.4, 0.3), std=(0.1, 0.2, 0.4)
    )
    module.setup('fit')
    assert module.train_dataset is not None
    expected = BlueMarble(
        root,
        'january',
        50,
        size=8,
        pixels_per_degree=0.1,
        mask_sea=True,
        concepts=False,
    )
    torch.manual_seed(0)
    expected.zoom_range = module.train_options['zoom_range']
    images = expected[range(5)]['image']
    torch.manual_seed(0)
    assert module.train_dataset[range(5)]['image'].equal(images)
    batch = module.aug({'image': torch.full((1, 3, 1, 1), 127.5)})
    torch.testing.assert_close(
        batch['image'].flatten(), torch.tensor([0, 0.5, 0.5]), rtol=0, atol=1e-6
    )


class Recorder(LightningModule):
    """Remembers what it is trained and validated on."""

    def __init__(self) -> None:
        super().__init__()
        self.head = torch.nn.Linear(1, 1)
        self.seen: dict[str, list[Tensor]] = {'train': [], 'val': [], 'test': []}
        self.images: list[Tensor] = []

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        self.seen['train'].append(batch['point'])
        self.images.append(batch['image'])
        loss: Tensor = self.head(batch['image'].mean().view(1, 1)).sum()
        return loss

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        self.seen['val'].append(batch['point'])

    def test_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        self.seen['test'].append(batch['point'])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.0)


def trainer(**options: Any) -> Trainer:
    quiet: dict[str, Any] = {
        'accelerator': 'cpu',
        'logger': False,
        'enable_checkpointing': False,
        'enable_progress_bar': False,
        'enable_model_summary': False,
        'log_every_n_steps': 1,
        'num_sanity_val_steps': 0,
    }
    return Trainer(**(quiet | options))


class TestBlueMarbleDataModule:
    def test_batches(self, root: Path) -> None:
        module, model = data(root), Recorder()
        trainer(max_epochs=2).fit(model, module)
        # Two rounds of three whole batches, in orders of their own.
        assert [len(points) for points in model.seen['train']] == [16] * 6
        assert not model.seen['train'][0].equal(model.seen['train'][3])
        assert [len(points) for points in model.seen['val']] == [16, 4] * 2
        trainer().test(model, module, verbose=False)
        sets = {
            part: {tuple(point.tolist()) for point in torch.cat(points)}
            for part, points in model.seen.items()
        }
        assert not sets['train'] & sets['val']
        assert not sets['train'] & sets['test']
        assert not sets['val'] & sets['test']
        assert model.images[0].shape == (16, 3, 32, 32)
        assert model.images[0].abs().max() < 4

    def test_validation_and_test_are_not_changed_at_random(self, root: Path) -> None:
        module = data(root)
        module.setup('fit')
        module.setup('test')
        for dataset in (module.val_dataset, module.test_dataset):
            assert dataset is not None
            assert dataset[3]['image'].equal(dataset[3]['image'])
        train = module.train_dataset
        assert train is not None
        assert not train[3]['image'].equal(train[3]['image'])

    def test_images_of_other_points_are_for_training_alone(self, root: Path) -> None:
        right, wrong = (
            data(root, zoom_range=None, mislocated=share) for share in (0.0, 1.0)
        )
        for module in (right, wrong):
            module.setup('fit')
            module.setup('test')
        for part in ('val_dataset', 'test_dataset'):
            images = [getattr(module, part)[3]['image'] for module in (right, wrong)]
            assert images[0].equal(images[1])
        one, other = (m.train_dataset[range(48)]['image'] for m in (right, wrong))
        assert (one != other).flatten(1).any(dim=1).all()

    def test_normalised(self, root: Path) -> None:
        module = data(root)
        grey = torch.tensor(blue_marble.MEAN)[None, :, None, None] * 255
        batch = module.aug({'image': grey.expand(2, 3, 4, 4)})
        torch.testing.assert_close(batch['image'], torch.zeros(2, 3, 4, 4))

    def test_statistics(self) -> None:
        module = data(Path('nowhere'), val_imagery='blue-marble', val_number=1000)
        module.setup('validate')
        assert module.val_dataset is not None
        images = module.val_dataset[range(1000)]['image'] / 255
        for measured, stated in (
            (images.mean(dim=(0, 2, 3)), blue_marble.MEAN),
            (images.std(dim=(0, 2, 3)), blue_marble.STD),
        ):
            torch.testing.assert_close(
                measured, torch.tensor(stated), atol=0.02, rtol=0
            )

    def test_blocks(self, root: Path) -> None:
        module = data(root, blocks='train')
        module.setup('fit')
        module.setup('predict')
        for dataset, inside in (
            (module.train_dataset, False),
            (module.val_dataset, True),
            (module.test_dataset, True),
            (module.predict_dataset, True),
        ):
            assert dataset is not None
            points = dataset[range(len(dataset))]['point']
            assert (held_out_blocks(points) == inside).all()
        assert module.train_dataset is not None
        assert len(module.train_dataset) == 50

    def test_resumes(self, root: Path, tmp_path: Path) -> None:
        whole, run = Recorder(), trainer(max_epochs=3)
        run.fit(whole, data(root))
        keep = ModelCheckpoint(tmp_path, save_last=True, save_on_train_epoch_end=True)
        half, run = (
            Recorder(),
            trainer(max_epochs=2, enable_checkpointing=True, callbacks=[keep]),
        )
        run.fit(half, data(root))
        rest = Recorder()
        trainer(max_epochs=3).fit(
            rest, data(root), ckpt_path=tmp_path / 'last.ckpt', weights_only=True
        )
        assert len(rest.seen['train']) == 3
        for one, other in zip(rest.seen['train'], whole.seen['train'][6:], strict=True):
            assert one.equal(other)

    def test_concepts(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        some = load_groundings(layers=['igbp'], probes=2000)
        monkeypatch.setattr(blue_marble, 'load_groundings', lambda: some)
        module = data(root, concepts=True)
        module.setup('fit')
        for split in ('train', 'val'):
            batch = next(iter(getattr(module, f'{split}_dataloader')()))
            assert batch['concepts'].shape == (16, len(some))

    def test_download_of_what_is_missing(self, root: Path, tmp_path: Path) -> None:
        module = data(tmp_path)
        module.prepare_data()
        assert not list(tmp_path.iterdir())
        with pytest.raises(DatasetNotFoundError, match='not found'):
            module.setup('fit')

    def test_checksum(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        other = replace(EARTH_PICTURES['january'], md5='0' * 32)
        monkeypatch.setitem(EARTH_PICTURES, 'january', other)
        with pytest.raises(RuntimeError, match="not the picture 'january'"):
            data(root).setup('fit')

    def test_what_is_wrong_is_said(self, root: Path) -> None:
        with pytest.raises(
            ValueError, match='50 training samples .* one batch of 51 .*Lower'
        ):
            data(root, batch_size=51).setup('fit')
        with pytest.raises(ValueError, match="blocks must be .*not 'test'"):
            data(root, blocks='test')
        with pytest.raises(ValueError, match="No picture 'mai'"):
            data(root, test_imagery='mai')
        with pytest.raises(ValueError, match=r'strength must lie in \[0, 1\], not 2'):
            data(root, colour=2)


@pytest.mark.filterwarnings("ignore:LightningCLI's args parameter")
@pytest.mark.filterwarnings('ignore:.*tensorboard')
@pytest.mark.filterwarnings('ignore:The dirpath has changed')
@pytest.mark.filterwarnings('ignore:.*concept basis is random')
@pytest.mark.filterwarnings('ignore:.*module.s. in eval mode')
def test_fit_and_test(
    root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    some = load_groundings(layers=['igbp'], probes=2000)
    monkeypatch.setattr(blue_marble, 'load_groundings', lambda: some)
    options = ['--config', str(TESTS / 'conf/blue_marble.yaml')]
    options += [f'--data.init_args.root={root}']
    main(['fit', *options])
    [checkpoint] = tmp_path.rglob('*.ckpt')
    assert torch.load(checkpoint, weights_only=True)['global_step'] == 2
    main(['test', *options, '--ckpt_path', str(checkpoint)])
    assert 'Median' in capsys.readouterr().out
