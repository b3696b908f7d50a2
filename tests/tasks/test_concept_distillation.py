# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer, seed_everything
from lightning.pytorch.callbacks import ModelCheckpoint

from torchgeo_concepts.concepts import ConceptBank
from torchgeo_concepts.datamodules import GroundedPointsDataModule
from torchgeo_concepts.layers import GROUPS
from torchgeo_concepts.models.concept_earth import ConceptEarth
from torchgeo_concepts.tasks import ConceptDistillation
from torchgeo_concepts.tasks.concept_distillation import concept_quality
from torchgeo_concepts.tasks.losses import masked_mse

pytestmark = [
    pytest.mark.filterwarnings('ignore:.*does not have many workers'),
    pytest.mark.filterwarnings('ignore:.*`isinstance.treespec'),
    pytest.mark.filterwarnings('ignore:.*callbacks used to create the checkpoint'),
]


class TestMaskedMSE:
    def test_equals_the_mean_over_what_is_known(self) -> None:
        prediction, target = torch.randn(2, 7, 3)
        target[torch.rand(7, 3) < 0.4] = torch.nan
        known = ~target.isnan()
        expected = (prediction - target)[known].square().mean()
        torch.testing.assert_close(masked_mse(prediction, target), expected)

    def test_unknown_gives_no_gradient(self) -> None:
        prediction = torch.zeros(2, requires_grad=True)
        masked_mse(prediction, torch.tensor([1.0, torch.nan])).backward()
        assert prediction.grad is not None
        assert prediction.grad.tolist() == [-2, 0]

    def test_weights(self) -> None:
        prediction, target = torch.zeros(1, 3), torch.tensor([[1.0, 2.0, torch.nan]])
        weight = torch.tensor([2.0, 0.5, 9.0])
        assert masked_mse(prediction, target, weight) == (2 * 1 + 0.5 * 4) / 2

    def test_nothing_known(self) -> None:
        assert masked_mse(torch.ones(3), torch.full((3,), torch.nan)) == 0


class TestConceptQuality:
    def test_classes_and_quantities(self) -> None:
        labels = torch.tensor([[0.0, 1, 5], [0, 2, 5], [1, 3, 5], [1, torch.nan, 5]])
        scores = torch.tensor([[0.1, 1, 0], [0.9, 2, 0], [0.8, 3, 0], [0.7, 9, 0]])
        quality = concept_quality(scores, labels, torch.tensor([True, False, True]))
        # Of four pairs, two are in order; perfect where known; it does not vary.
        assert quality[:2].tolist() == [0.5, 1]
        assert quality[2].isnan()


class TestTraining:
    @pytest.fixture(scope='class')
    def root(self, tmp_path_factory: pytest.TempPathFactory) -> Path:
        return tmp_path_factory.mktemp('distillation') / 'points'

    def data(self, root: Path, **options: Any) -> GroundedPointsDataModule:
        options = {'number': 3000, 'val_number': 500, 'batch_size': 500} | options
        return GroundedPointsDataModule(root, **options)

    def task(self, **options: Any) -> ConceptDistillation:
        sizes: dict[str, Any] = {
            'hidden_dim': 64,
            'rows': (6, 24, 96),
            'grid_features': (4, 4, 4),
            'table_size': 4096,
            'num_waves': 32,
            'warmup_steps': 5,
            'lr': 5e-3,
        }
        return ConceptDistillation(**(sizes | options))

    def trainer(self, **options: Any) -> Trainer:
        quiet: dict[str, Any] = {
            'accelerator': 'cpu',
            'logger': False,
            'enable_checkpointing': False,
            'enable_progress_bar': False,
            'enable_model_summary': False,
        }
        return Trainer(**(quiet | options))

    def test_learns(self, root: Path, tmp_path: Path) -> None:
        seed_everything(0)
        task, run = self.task(), self.trainer(max_epochs=15)
        run.fit(task, self.data(root))
        metrics = run.callback_metrics
        # A model of means would have a loss of 1, an AUC of a half and an R² of 0.
        assert metrics['val_embedding'] < 0.9
        assert metrics['val_concepts'] < 0.7
        assert metrics['val_projection'] < 0.95
        assert metrics['val_auc'] > 0.75
        assert metrics['val_r2'] > 0.5
        assert metrics['val_cosine'] > metrics['val_centred_cosine'] > 0.2
        assert isinstance(task.model, ConceptEarth)
        assert 'igbp' in task.model.provenance['layers']
        task.model.save(tmp_path / 'earth.safetensors')
        loaded = ConceptEarth.load(tmp_path / 'earth.safetensors')
        # The middle of the Sahara, in words that can be checked.
        values = loaded.concepts(torch.tensor([[10.0, 24.0]]), calibrated=True)[0]
        said = dict(zip(loaded.bank.ids, values.tolist(), strict=True))
        assert said['hot-desert-climate'] > said['tundra-climate']
        assert said['annual-mean-temperature'] > 10

    def test_resumes_in_the_middle(self, root: Path, tmp_path: Path) -> None:
        seed_everything(0)
        each = ModelCheckpoint(
            tmp_path, '{epoch}', save_top_k=-1, save_on_train_epoch_end=True
        )
        whole = self.task()
        run = self.trainer(max_epochs=3, enable_checkpointing=True, callbacks=[each])
        run.fit(whole, self.data(root))
        middle = tmp_path / 'epoch=1.ckpt'
        seed_everything(9)
        again, run = self.task(), self.trainer(max_epochs=3)
        run.fit(again, self.data(root), ckpt_path=middle)
        assert run.global_step == 3 * 6
        # As if it had never been stopped, to the bit.
        for name, value in whole.state_dict().items():
            assert value.equal(again.state_dict()[name]), name
        before = ConceptDistillation.load_from_checkpoint(middle)
        assert isinstance(before.model, ConceptEarth)
        table = before.model.state_dict()['grids.0.table']
        assert not table.equal(again.state_dict()['model.grids.0.table'])
        made = before.model.provenance
        assert (made['seed'], made['steps'], made['points']) == (0, 12, 3000)
        assert 0 < made['metrics']['val_auc'] < 1

    def test_by_the_teacher_alone(self, root: Path) -> None:
        seed_everything(0)
        task, run = self.task(), self.trainer(max_epochs=15)
        run.fit(task, self.data(root, exclude_groups=GROUPS))
        assert run.callback_metrics['val_centred_cosine'] > 0.2
        assert isinstance(task.model, ConceptEarth)
        assert len(task.model.bank) == 0

    def test_same_seed_same_weights(self, root: Path) -> None:
        states = []
        for _ in range(2):
            seed_everything(4)
            task = self.task()
            self.trainer(max_epochs=1).fit(task, self.data(root))
            states.append(task.state_dict())
        assert all(states[0][name].equal(states[1][name]) for name in states[0])

    def test_other_concepts(self, root: Path, bank: ConceptBank) -> None:
        task = self.task()
        task._build(bank)
        with pytest.raises(
            ValueError, match='of the dataset differ from the 5 of the model'
        ):
            self.trainer(max_epochs=1).fit(task, self.data(root))

    def test_fewer_than_a_batch(self, root: Path) -> None:
        with pytest.raises(
            ValueError, match='3000 training samples do not fill one batch of 4000'
        ):
            self.data(root, batch_size=4000).setup('fit')

    def test_held_out_blocks(self, root: Path) -> None:
        datamodule = self.data(root, blocks='train')
        datamodule.setup('fit')
        assert datamodule.train_dataset is not None
        assert len(datamodule.train_dataset) < 3000
        assert datamodule.val_dataset is not None
        assert 0 < len(datamodule.val_dataset) < 500
