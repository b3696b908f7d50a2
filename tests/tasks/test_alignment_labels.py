# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

import math
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer, seed_everything
from torch import Tensor

from torchgeo_concepts.concepts import Concept, ConceptBank
from torchgeo_concepts.datamodules import BlueMarbleDataModule, ImagePointsDataModule
from torchgeo_concepts.datasets import ImagePoints
from torchgeo_concepts.layers.grounding import Groundings, load_groundings
from torchgeo_concepts.tasks import ConceptAlignment

pytestmark = [
    pytest.mark.filterwarnings('ignore:.*concept basis is random'),
    pytest.mark.filterwarnings('ignore:.*does not have many workers'),
    pytest.mark.filterwarnings('ignore:.*lr_scheduler.step'),
    pytest.mark.filterwarnings('ignore:.*module.s. in eval mode'),
    pytest.mark.filterwarnings('ignore:.*`isinstance.treespec'),
]

DATA = Path(__file__).parents[1] / 'data'

KINDS = ['projections', 'heads', 'both']

UNKNOWN = Concept('no-map', 'what no map tells', 'landform')


@pytest.fixture(scope='module')
def groundings() -> Groundings:
    return load_groundings(layers=['igbp', 'distance-to-coast'], probes=2000)


@pytest.fixture(scope='module')
def bank(groundings: Groundings, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The concepts of the maps in another order, behind one that no map tells."""
    file = tmp_path_factory.mktemp('bank') / 'bank.csv'
    ConceptBank([UNKNOWN, *reversed(list(groundings.bank))]).save(file)
    return str(file)


@pytest.fixture
def photos(tmp_path: Path) -> ImagePoints:
    create = runpy.run_path(str(DATA / 'regional_photos' / 'data.py'))['create']
    create(tmp_path / 'photos', number=64)
    return ImagePoints(tmp_path / 'photos', tmp_path / 'photos' / 'photos.csv')


@pytest.fixture
def data(small_pictures: Path, groundings: Groundings) -> BlueMarbleDataModule:
    return make_data(small_pictures, groundings)


def make_data(
    root: Path, groundings: Groundings, **options: Any
) -> BlueMarbleDataModule:
    module = BlueMarbleDataModule(
        root, number=64, val_number=16, test_number=16, batch_size=32, **options
    )
    module.options['groundings'] = groundings
    return module


def task(bank: str, **options: Any) -> ConceptAlignment:
    small: dict[str, Any] = {
        'freeze': [],
        'location_encoder': 'geoclip_location',
        'location_weights': None,
        'location_kwargs': {'num_frequencies': 32, 'hidden_dim': 32, 'embed_dim': 16},
        'gallery': 'land:1500',
    }
    loss = {'queue_size': 8} | options.pop('loss', {})
    optimizer = {'lr': 3e-3} | options.pop('optimizer', {})
    return ConceptAlignment(
        'patch_cnn/32', bank=bank, loss=loss, optimizer=optimizer, **(small | options)
    )


@torch.no_grad()
def label_loss(
    model: ConceptAlignment, data: BlueMarbleDataModule, of_mean: bool = False
) -> float:
    dataset = data.train_dataset
    assert dataset is not None
    if of_mean:
        assert model.supervision is not None
        labels = model._in_bank_order(dataset[range(64)]['concepts'])
        ways = model.supervision.has_heads + model.supervision.has_projections
        return ways * float(model.supervision.standardise(labels).square().nanmean())
    batch = data.aug(dataset[range(64)])
    parts = model.losses(batch['image'], batch['point'], batch['concepts'])
    return float(parts['labels'])


class Recorder(Callback):
    """Remembers the learning rate after each step."""

    def __init__(self) -> None:
        self.rates: list[float] = []

    def on_train_batch_end(
        self, trainer: Trainer, task: LightningModule, *args: Any
    ) -> None:
        self.rates.append(trainer.optimizers[0].param_groups[0]['lr'])


def trainer(**options: Any) -> Trainer:
    return Trainer(
        accelerator='cpu',
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        **({'limit_val_batches': 0} | options),
    )


class TestLabelsTeach:
    @pytest.mark.parametrize(
        'how',
        [
            {'supervision': 'projections', 'align': 'both', 'image_projection': 'tied'},
            {'supervision': 'projections', 'align': 'x'},
            {'supervision': 'heads', 'align': 'x'},
            {'supervision': 'both', 'align': 'both', 'image_projection': 'tied'},
        ],
    )
    def test_the_loss_of_labels_falls(
        self, bank: str, data: BlueMarbleDataModule, how: dict[str, Any]
    ) -> None:
        losses = []
        for steps, lr in ((1, 0.0), (30, 1e-2)):
            seed_everything(0, verbose=False)
            model = task(bank, optimizer={'lr': lr}, loss={'label_weight': 30}, **how)
            trainer(max_steps=steps).fit(model, data)
            losses.append(label_loss(model.train(), data))
        assert losses[1] < 0.95 * losses[0]
        # Nor is it as good to say the mean everywhere.
        assert losses[1] < 0.95 * label_loss(model, data, of_mean=True)
        learned = model.model.alignment.basis.source == 'learned from layers'
        assert learned == (how['supervision'] != 'heads')

    def test_columns_are_those_of_the_bank(
        self, bank: str, data: BlueMarbleDataModule
    ) -> None:
        model = task(bank, supervision='heads')
        trainer(max_steps=1).fit(model, data)
        dataset = data.train_dataset
        assert dataset is not None
        labels = dataset[range(64)]['concepts']
        columns = model._in_bank_order(labels)
        assert columns.shape == (64, len(model.bank))
        assert columns[:, 0].isnan().all()
        torch.testing.assert_close(
            columns[:, 1:], labels.flip(1), rtol=0, atol=0, equal_nan=True
        )
        supervision, scale = model.supervision, dataset.scale()
        assert supervision is not None
        assert supervision.mean.equal(torch.tensor([0.0, *reversed(scale.mean)]))
        assert supervision.std.equal(torch.tensor([1.0, *reversed(scale.std)]))

    @pytest.mark.parametrize('supervision', KINDS)
    def test_validation_alone(
        self, bank: str, data: BlueMarbleDataModule, supervision: str, tmp_path: Path
    ) -> None:
        model, run = (
            task(bank, supervision=supervision),
            trainer(limit_val_batches=None),
        )
        run.validate(model, data, verbose=False)
        assert math.isfinite(run.callback_metrics['val_labels'])

    @pytest.mark.parametrize('supervision', KINDS)
    def test_checkpoint(
        self, bank: str, data: BlueMarbleDataModule, supervision: str, tmp_path: Path
    ) -> None:
        model, run = (
            task(bank, supervision=supervision, align='both'),
            trainer(max_steps=2),
        )
        run.fit(model, data)
        run.save_checkpoint(tmp_path / 'model.ckpt')
        loaded = ConceptAlignment.load_from_checkpoint(
            tmp_path / 'model.ckpt', weights_only=True
        )
        assert loaded.bank == model.bank
        assert loaded.supervision is not None
        assert loaded.supervision.kind == supervision
        images, points = torch.randn(4, 3, 32, 32), torch.rand(4, 2) * 80

        def read(task: ConceptAlignment) -> tuple[Tensor, Tensor]:
            assert task.supervision is not None
            ways = task.supervision(task.eval().model(images, points))
            images_say, points_say = (torch.stack(x) for x in zip(*ways, strict=True))
            return images_say, points_say

        with torch.no_grad():
            for one, other in zip(read(model), read(loaded), strict=True):
                assert one.equal(other)
        scale = model.state_dict()['supervision.std']
        assert loaded.supervision.std.equal(scale)
        assert not scale.equal(torch.ones_like(scale))

    def test_bank_of_a_checkpoint(
        self, bank: str, data: BlueMarbleDataModule, tmp_path: Path
    ) -> None:
        model, run = task(bank, supervision='heads'), trainer(max_steps=2)
        run.fit(model, data)
        run.save_checkpoint(tmp_path / 'model.ckpt')
        # Those concepts in another order, whose labels are in other columns.
        ConceptBank(list(reversed(list(model.bank)))).save(tmp_path / 'other.csv')
        other = task(str(tmp_path / 'other.csv'), supervision='heads')
        resumed = trainer(max_steps=3)
        resumed.fit(other, data, ckpt_path=tmp_path / 'model.ckpt', weights_only=True)
        assert other.bank == model.bank
        labels = torch.arange(len(model.bank) - 1)[None].float()
        torch.testing.assert_close(
            other._in_bank_order(labels), model._in_bank_order(labels), equal_nan=True
        )

    def test_photos(
        self, bank: str, data: BlueMarbleDataModule, photos: ImagePoints
    ) -> None:
        parts: dict[str, Any] = {'image_size': 32, 'batch_size': 16, 'concepts': True}
        model = task(bank, supervision='both', align='both', image_projection='tied')
        run = trainer(max_steps=2)
        run.fit(model, ImagePointsDataModule(photos, **parts))
        assert math.isfinite(run.callback_metrics['train_labels'])
        assert model.model.alignment.basis.source == 'learned from layers'
        assert model.supervision is not None
        mean = model.supervision.mean.clone()
        few = photos.select(np.arange(64) < 3)
        run = trainer(limit_val_batches=None)
        run.validate(model, ImagePointsDataModule(val=few, **parts), verbose=False)
        assert math.isfinite(run.callback_metrics['val_labels'])
        # That of the points that were trained on.
        assert model.supervision.mean.equal(mean)


class TestHeadsBesideTheComparison:
    def test_comparison_is_that_of_plain_alignment(self, bank: str) -> None:
        plain = task(bank, align='x').eval()
        heads = task(
            bank, align='x', supervision='heads', loss={'label_weight': 3}
        ).eval()
        missing = heads.load_state_dict(plain.state_dict(), strict=False).missing_keys
        assert {name.partition('.')[0] for name in missing} == {'supervision'}
        images, points = torch.randn(8, 3, 32, 32), torch.rand(8, 2) * 80
        labels = torch.randn(8, len(heads.bank))
        one, other = plain.losses(images, points), heads.losses(images, points, labels)
        assert other['contrast'].equal(one['contrast'])
        assert one['loss'].equal(one['contrast'])
        expected = other['contrast'] + 3 * other['labels']
        torch.testing.assert_close(other['loss'], expected)

    def test_what_trains(self, bank: str) -> None:
        heads = task(bank, align='x', supervision='heads')
        alignment = heads.model.alignment
        assert not any(p.requires_grad for p in alignment.parameters())
        assert heads.supervision is not None
        assert all(p.requires_grad for p in heads.supervision.parameters())
        grounded = task(bank, align='x', supervision='projections')
        assert grounded.model.alignment.basis.offset.requires_grad


class TestPointsOfMapsAlone:
    @pytest.mark.parametrize('supervision', KINDS)
    def test_teach_locations_alone(self, bank: str, supervision: str) -> None:
        model = task(
            bank, supervision=supervision, align='both', loss={'queue_size': 0}
        )
        images, points = torch.randn(8, 3, 32, 32), torch.rand(8, 2) * 80
        labels = torch.randn(8, len(model.bank))
        maps = torch.rand(6, 2) * -80, torch.randn(6, len(model.bank))
        # In training batches are normalised by their own statistics.
        model.eval()
        without = model.losses(images, points, labels)
        told = model.losses(images, points, labels, maps)
        assert told['contrast'].equal(without['contrast'])
        assert model.supervision is not None
        expected = torch.tensor(0.0)
        ways = zip(
            model.supervision(model.model(images, points)),
            model.supervision(model.model(images[:6], maps[0])),
            strict=True,
        )
        for (of_images, of_points), (_, of_maps) in ways:
            errors = [(of_images - labels).square().mean()]
            places, truth = (
                torch.cat((of_points, of_maps)),
                torch.cat((labels, maps[1])),
            )
            errors.append((places - truth).square().mean())
            expected = expected + torch.stack(errors).mean()
        torch.testing.assert_close(told['labels'], expected)

    def test_are_no_negatives(self, bank: str) -> None:
        model = task(bank, supervision='heads').train()
        model.queue.push(torch.rand(8, 2) * 80)
        images, points = torch.randn(8, 3, 32, 32), torch.rand(8, 2) * 80
        labels = torch.randn(8, len(model.bank))
        losses = []
        for maps in (None, (points, labels)):
            # Those of the queue are displaced at random.
            seed_everything(0, verbose=False)
            losses.append(model.losses(images, points, labels, maps)['contrast'])
        assert losses[0].equal(losses[1])

    def test_training(
        self, bank: str, small_pictures: Path, groundings: Groundings
    ) -> None:
        told = []
        data = make_data(small_pictures, groundings, map_number=40)

        class Listening(ConceptAlignment):
            def losses(self, *args: Any) -> dict[str, Tensor]:
                told.append(args[3])
                return super().losses(*args)

        for supervision in ('heads', None):
            model = task(bank, supervision=supervision)
            model.__class__ = Listening
            trainer(max_steps=1).fit(model, data)
        points, labels = told[0]
        assert points.shape == (32, 2)
        assert labels.shape[0] == 32
        # Which only maps that teach have.
        assert told[1] is None


class TestLabelsThatAreMissing:
    @pytest.mark.parametrize('supervision', KINDS)
    def test_batch_without(self, bank: str, supervision: str) -> None:
        model = task(bank, supervision=supervision)
        with pytest.raises(
            ValueError, match=f"supervision='{supervision}' needs batches with"
        ):
            model.losses(torch.randn(4, 3, 32, 32), torch.rand(4, 2))

    def test_dataset_without(self, bank: str, small_pictures: Path) -> None:
        def unlabelled() -> BlueMarbleDataModule:
            return BlueMarbleDataModule(
                small_pictures, number=32, batch_size=32, concepts=False
            )

        with pytest.raises(ValueError, match='Pass concepts=True'):
            trainer(max_steps=1).fit(task(bank, supervision='heads'), unlabelled())
        # Which nobody needs who is not taught.
        run = trainer(max_steps=1)
        run.fit(task(bank), unlabelled())
        assert run.global_step == 1

    def test_dataset_of_other_concepts(
        self, data: BlueMarbleDataModule, tmp_path: Path
    ) -> None:
        ConceptBank([UNKNOWN]).save(tmp_path / 'bank.csv')
        model = task(str(tmp_path / 'bank.csv'), supervision='heads')
        with pytest.raises(
            ValueError, match=r'labels for \d+ concepts, but for none of the 1 '
        ):
            trainer(max_steps=1).fit(model, data)

    def test_unknown_supervision(self, bank: str) -> None:
        with pytest.raises(ValueError, match="not 'lips'"):
            task(bank, supervision='lips')


class TestSchedule:
    def test_cosine_ends_at_zero(self, bank: str, data: BlueMarbleDataModule) -> None:
        record = Recorder()
        model = task(bank, optimizer={'schedule': 'cosine', 'warmup_steps': 2})
        trainer(max_steps=8, callbacks=[record]).fit(model, data)
        # After each step, that of the next one.
        assert record.rates[0] == pytest.approx(3e-3)
        assert 0 < record.rates[-2] < record.rates[1]
        assert record.rates[-1] == 0

    def test_epochs(self, bank: str, data: BlueMarbleDataModule) -> None:
        record = Recorder()
        model = task(bank, optimizer={'gamma': 0.5})
        trainer(max_epochs=2, callbacks=[record]).fit(model, data)
        # Two batches make an epoch, after whose last one it is that of the next.
        assert record.rates == pytest.approx([3e-3, 1.5e-3, 1.5e-3, 7.5e-4])

    def test_unknown(self, bank: str) -> None:
        with pytest.raises(ValueError, match="'epochs', 'cosine'.*not 'linear'"):
            task(bank, optimizer={'schedule': 'linear'})
