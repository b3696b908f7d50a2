# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

import inspect
import io
import warnings
from pathlib import Path
from typing import Any, cast

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import torch
from lightning.pytorch import Trainer, seed_everything
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn
from torch.utils.data import get_worker_info
from torchgeo.datamodules import NonGeoDataModule
from torchgeo.datasets import NonGeoDataset
from torchgeo.main import main

from torchgeo_concepts.concepts import ConceptBank
from torchgeo_concepts.datamodules import ImagePointsDataModule, PointTableDataModule
from torchgeo_concepts.datasets import ImagePoints, PointTable
from torchgeo_concepts.evaluate.probes import ALPHAS
from torchgeo_concepts.models import GeoCLIPLocation
from torchgeo_concepts.models.concept_earth import ConceptEarth
from torchgeo_concepts.models.features import coordinate_features
from torchgeo_concepts.tasks import (
    LocationClassification,
    LocationRegression,
    _location_base,
)
from torchgeo_concepts.tasks._error_maps import file_names
from torchgeo_concepts.tasks._scores import classification_scores, regression_scores

pytestmark = [
    # Lightning's advice on loggers and loaders is not ours to follow in a test.
    pytest.mark.filterwarnings('ignore:.*does not have many workers'),
    pytest.mark.filterwarnings('ignore:.*tensorboard'),
    pytest.mark.filterwarnings('ignore:.*Checkpoint directory'),
    pytest.mark.filterwarnings('ignore:.*`isinstance.treespec'),
    pytest.mark.filterwarnings('ignore:.*module.s. in eval mode'),
    pytest.mark.filterwarnings('ignore:The dirpath has changed'),
    pytest.mark.filterwarnings("ignore:LightningCLI's args parameter"),
    pytest.mark.filterwarnings('ignore:The number of training batches'),
    pytest.mark.filterwarnings('ignore:.*callbacks used to create the checkpoint'),
    # There are no points to validate on.
    pytest.mark.filterwarnings('ignore:Total length of `list`'),
]

SMALL = {'num_frequencies': 8, 'hidden_dim': 16, 'embed_dim': 8}


class Waves(nn.Module):
    """An encoder of one's own."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.layer = nn.Linear(4, width)
        self.unused = nn.Linear(4, 2)
        self.dropout = nn.Dropout(0.5)
        self.bank = ConceptBank(list(ConceptBank.default())[:2])
        with torch.no_grad():
            self.layer.weight.copy_(2 * torch.randn(width, 4, generator=generator))
            self.layer.bias.copy_(torch.randn(width, generator=generator))

    def forward(self, points: Tensor) -> Tensor:
        x: Tensor = self.dropout(self.layer(coordinate_features(points)).tanh())
        return x

    def concepts(self, points: Tensor) -> Tensor:
        z: Tensor = self.unused(coordinate_features(points))
        return z


class Block(nn.Module):
    """Features that tell the block of a point, and nothing else."""

    def forward(self, points: Tensor) -> Tensor:
        lon, lat = (points / 20).floor().long().unbind(dim=1)
        return nn.functional.one_hot((lat + 5) * 20 + lon + 9, 220).float()


def frame(number: int = 400, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    lon, lat = rng.uniform(-180, 180, number), rng.uniform(-80, 80, number)
    warm = 30 - 0.4 * np.abs(lat)
    return pd.DataFrame(
        {
            'lon': lon,
            'lat': lat,
            'warm': warm,
            'wet': 100 + 50 * np.sin(np.deg2rad(lon)),
            'people': np.exp(warm / 5),
            'noisy': warm + rng.normal(0, 3, number),
            'height': 0.1 * lat**2,
            'kind': np.where(lat > 0, 'north', 'south'),
        }
    )


def data(
    targets: Any = 'warm', table: pd.DataFrame | None = None, **options: Any
) -> PointTableDataModule:
    names = ('target_transform', 'extra', 'task', 'missing', 'units')
    own = {name: options.pop(name) for name in names if name in options}
    usual: dict[str, Any] = {
        'split': 'random',
        'fractions': (0.6, 0.2, 0.2),
        'batch_size': 64,
    }
    dataset = PointTable(frame() if table is None else table, targets, **own)
    return PointTableDataModule(dataset, **(usual | options))


def trainer(**options: Any) -> Trainer:
    quiet: dict[str, Any] = {
        'accelerator': 'cpu',
        'logger': False,
        'enable_checkpointing': False,
        'enable_progress_bar': False,
        'enable_model_summary': False,
        'max_epochs': 1,
    }
    return Trainer(**(quiet | options))


def fitted(
    task: LocationRegression | LocationClassification, datamodule: Any, **options: Any
) -> dict[str, float]:
    """Fit and test, and return all metrics."""
    seed_everything(0, verbose=False)
    run = trainer(**options)
    run.fit(task, datamodule)
    found = {name: float(value) for name, value in run.callback_metrics.items()}
    run.test(task, datamodule, verbose=False)
    return found | {name: float(v) for name, v in run.callback_metrics.items()}


def predicted(task: Any, datamodule: Any, key: str = 'prediction') -> Any:
    batches = cast(list[dict[str, Any]], trainer().predict(task, datamodule))
    if isinstance(batches[0][key], list):
        return [value for batch in batches for value in batch[key]]
    return torch.cat([batch[key] for batch in batches])


def features_of(encoder: nn.Module, dataset: PointTable) -> NDArray[np.float64]:
    with torch.no_grad():
        x: NDArray[np.float64] = encoder.eval()(dataset.points).double().numpy()
    return x


class TestRidge:
    def test_equals_scikit_learn(self) -> None:
        datamodule, encoder = data('noisy'), Waves()
        task = LocationRegression(encoder, head='ridge')
        fitted(task, datamodule)
        parts = [
            (features_of(encoder, part), part.values[:, 0].numpy())
            for part in (
                datamodule.train_dataset,
                cast(PointTable, datamodule.val_dataset),
            )
        ]
        models = [
            make_pipeline(StandardScaler(), Ridge(alpha)).fit(*parts[0])
            for alpha in ALPHAS
        ]
        best = max(models, key=lambda model: model.score(*parts[1]))
        test = cast(PointTable, datamodule.test_dataset)
        expected = best.predict(features_of(encoder, test))
        found = predicted(task, datamodule)[:, 0].numpy()
        np.testing.assert_allclose(found, expected, atol=2e-4)
        # The choice matters here.
        others = [
            abs(m.predict(features_of(encoder, test)) - found).max() for m in models
        ]
        assert max(others) > 0.1

    def test_is_one_pass_and_says_so(self, monkeypatch: pytest.MonkeyPatch) -> None:
        messages = list[str]()
        monkeypatch.setattr(_location_base, 'rank_zero_info', messages.append)
        run = trainer(max_epochs=50)
        run.fit(LocationRegression(Waves(), head='ridge'), data())
        assert run.current_epoch == 1
        [message] = messages
        assert "head='ridge' was fitted on 240 rows" in message
        assert 'stops after one epoch' in message

    def test_is_fitted_anew_on_other_data(self) -> None:
        task = LocationRegression(Waves(), head='ridge')
        fitted(task, data('warm'))
        other = frame().assign(warm=lambda f: -5 * f['warm'])
        assert fitted(task, data('warm', other))['test_r2'] > 0.9

    def test_beats_coordinates_and_says_both(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        table = frame().assign(warm=lambda f: np.sin(np.deg2rad(2 * f['lon'])))
        metrics = fitted(
            LocationRegression(Waves(), head='ridge'),
            data('warm', table, units={'warm': '°C'}),
        )
        assert metrics['test_r2'] > 0.3
        assert metrics['test_baseline_r2'] < 0.1
        printed = capsys.readouterr().out
        assert 'On 80 test points:' in printed
        assert '| R² | R² by coordinates |' in printed
        row = f'| warm [°C] | {metrics["test_r2"]:.3f} |'
        assert f'{row} {metrics["test_baseline_r2"]:.3f} |' in printed


class TestTraining:
    def test_network_learns_in_the_unit_of_the_target(self) -> None:
        task = LocationRegression(Waves(), hidden_dim=32, lr=1e-2)
        datamodule = data('people', target_transform='log1p-standardise')
        metrics = fitted(task, datamodule, max_epochs=30)
        truth = cast(PointTable, datamodule.test_dataset).values
        found = predicted(task, datamodule)
        assert metrics['test_log_r2'] > 0.9
        mae = (found - truth).abs().mean()
        assert metrics['test_mae'] == pytest.approx(float(mae), rel=1e-4)
        assert metrics['test_r2'] == pytest.approx(
            float(regression_scores(found, truth)['r2']), abs=1e-5
        )

    def test_features_are_computed_once(self) -> None:
        calls = 0

        class Counting(Waves):
            def forward(self, points: Tensor) -> Tensor:
                nonlocal calls
                calls += 1
                return super().forward(points)

        run = trainer(max_epochs=5)
        run.fit(LocationRegression(Counting(), head='linear'), data())
        # Those of training rows, and those of validation rows.
        assert calls == 2

    def test_search_finds_what_is_better(self) -> None:
        bad = LocationRegression(Waves(), hidden_dim=4, lr=1e-6)
        task = LocationRegression(Waves(), hidden_dim=4, lr=1e-6, search_trials=6)
        options = {'max_epochs': 15}
        before = fitted(bad, data(), **options)['val_loss']
        assert fitted(task, data(), **options)['val_loss'] < 0.5 * before
        assert task.hparams['lr'] > 1e-5
        head = cast(Any, task.model).head
        assert head[0].out_features == task.hparams['hidden_dim']

    def test_search_keeps_what_is_given_if_it_is_better(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr('torchgeo_concepts.tasks._search.LR', (-9.0, -8.0))
        task = LocationRegression(Waves(), head='linear', lr=3e-2, search_trials=3)
        fitted(task, data(), max_epochs=5)
        assert task.hparams['lr'] == 3e-2

    def test_frozen_encoder_stays(self) -> None:
        encoder = Waves()
        before = encoder.layer.weight.clone()
        task = LocationRegression(encoder, head='linear', lr=0.1)
        fitted(task, data(), max_epochs=3)
        assert encoder.layer.weight.equal(before)
        task.train()
        assert not encoder.training
        assert not encoder.dropout.training

    def test_fine_tuning_changes_the_encoder(self) -> None:
        encoder = Waves().eval()
        before = encoder.layer.weight.clone()
        modes = []
        encoder.dropout.register_forward_hook(
            lambda module, *_: modes.append(module.training)
        )
        task = LocationRegression(encoder, head='linear', freeze=False, encoder_lr=1e-2)
        fitted(task, data(), max_epochs=2)
        assert (encoder.layer.weight - before).abs().max() > 1e-3
        # Distributed training would wait for gradients of what scores alone need.
        assert not encoder.unused.weight.requires_grad
        assert True in modes
        groups = cast(Any, task.configure_optimizers())['optimizer'].param_groups
        assert len(groups) == 2

    @pytest.mark.parametrize(
        ('kind', 'number'), [('x', 24), ('z', 2), ('xz', 26), ('coordinates', 4)]
    )
    def test_features(self, kind: Any, number: int) -> None:
        task = LocationRegression(Waves(), features=kind, head='ridge')
        metrics = fitted(task, data('wet'))
        # Two scores of random weights tell a part of it.
        assert metrics['test_r2'] > (0.3 if kind == 'z' else 0.9)
        assert len(cast(Any, task.model).mean) == number

    def test_extra_columns(self) -> None:
        table = frame()
        table.loc[::10, 'height'] = np.nan
        table['warm'] = table['height'].fillna(0) * 0.3
        task = LocationRegression(features='coordinates', head='ridge')
        without = fitted(task, data('warm', table))['test_r2']
        task = LocationRegression(features='coordinates', head='mlp', lr=1e-2)
        metrics = fitted(task, data('warm', table, extra=['height']), max_epochs=20)
        assert metrics['test_r2'] > without
        with pytest.raises(ValueError, match='Expected 1 extra columns, got 0'):
            predicted(task, data('warm', table))

    def test_labels_are_standardised_without_a_transform(self) -> None:
        table = frame().assign(warm=lambda f: 1e6 + 1e3 * f['warm'])
        task = LocationRegression(Waves(), lr=1e-2, dropout=0.0)
        assert fitted(task, data('warm', table), max_epochs=30)['test_r2'] > 0.9

    def test_resumes(self, tmp_path: Path) -> None:
        def task() -> LocationRegression:
            return LocationRegression(Waves(), hidden_dim=8, dropout=0.0)

        seed_everything(0, verbose=False)
        each = ModelCheckpoint(tmp_path, '{epoch}', save_top_k=-1)
        whole = task()
        run = trainer(max_epochs=4, enable_checkpointing=True, callbacks=[each])
        run.fit(whole, data())
        seed_everything(5, verbose=False)
        again = task()
        trainer(max_epochs=4).fit(again, data(), ckpt_path=tmp_path / 'epoch=1.ckpt')
        for name, value in whole.state_dict().items():
            other = again.state_dict()[name]
            # The margin of intervals that nobody asked for is no number.
            torch.testing.assert_close(value, other, msg=name, equal_nan=True)


class TestTargets:
    def test_several_of_which_some_are_missing(self) -> None:
        table = frame()
        table.loc[::2, 'wet'] = np.nan
        task = LocationRegression(Waves(), head='ridge')
        datamodule = data(['warm', 'wet'], table)
        metrics = fitted(task, datamodule)
        assert metrics['test_r2_warm'] > 0.9
        assert metrics['test_r2_wet'] > 0.9
        mean = (metrics['test_r2_warm'] + metrics['test_r2_wet']) / 2
        assert metrics['test_r2'] == pytest.approx(mean)
        found = predicted(task, datamodule)
        truth = cast(PointTable, datamodule.test_dataset).values
        known = ~truth[:, 1].isnan()
        assert 0 < known.sum() < len(known)
        rmse = (found - truth)[known, 1].square().mean().sqrt()
        assert metrics['test_rmse_wet'] == pytest.approx(float(rmse), rel=1e-4)

    def test_missing_labels_have_no_gradient(self) -> None:
        task = LocationRegression(Waves(), head='linear')
        fitted(task, data(['warm', 'wet']))
        outputs = torch.zeros(2, 2, requires_grad=True)
        labels = torch.tensor([[20.0, torch.nan], [torch.nan, torch.nan]])
        loss = task.loss(outputs, labels)
        loss.backward()
        scaled = (20 - task.label_mean[0]) / task.label_std[0]
        assert loss.item() == pytest.approx(float(scaled**2), rel=1e-5)
        assert outputs.grad is not None
        assert (outputs.grad != 0).tolist() == [[True, False], [False, False]]

    def test_constant(self, capsys: pytest.CaptureFixture[str]) -> None:
        table = frame().assign(warm=7.5)
        task = LocationRegression(Waves(), head='ridge')
        with pytest.warns(
            UserWarning, match=r"R² of 'warm' is undefined: all 80 test rows"
        ):
            metrics = fitted(task, data(['warm', 'wet'], table))
        assert 'test_r2_warm' not in metrics
        assert metrics['test_mae_warm'] == pytest.approx(0, abs=1e-4)
        assert metrics['test_r2'] == metrics['test_r2_wet']
        assert not [name for name, value in metrics.items() if np.isnan(value)]
        table_ = capsys.readouterr().out
        assert '| warm | - |' in table_
        assert 'nan' not in table_

    @pytest.mark.parametrize('head', ['ridge', 'mlp'])
    def test_one_row(self, head: Any) -> None:
        dataset = PointTable(frame(1), 'warm')
        datamodule = PointTableDataModule(
            dataset, PointTable(frame(5)), split='random', fractions=(1, 0, 0)
        )
        task = LocationRegression(Waves(), head=head, dropout=0.0, lr=0.0)
        trainer().fit(task, datamodule)
        if head == 'mlp':
            nn.init.zeros_(cast(Any, task.model).head[-1].bias)
            nn.init.zeros_(cast(Any, task.model).head[-1].weight)
        task_data = data(table=frame(5))
        task_data.predict_source = PointTable(frame(5))
        found = predicted(task, task_data)
        expected = dataset.values.expand(5, 1)
        torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=0)

    def test_another_scale_of_the_same_rows(self) -> None:
        task = LocationRegression(Waves(), head='ridge')
        metrics = fitted(task, data('people', target_transform='log1p-standardise'))
        run = trainer()
        run.test(task, data('people', target_transform='log1p'), verbose=False)
        for name in ('test_mae', 'test_r2', 'test_loss'):
            value = float(run.callback_metrics[name])
            assert value == pytest.approx(metrics[name], rel=1e-3), name

    def test_missing_in_all_training_rows(self) -> None:
        table = frame().assign(wet=np.nan)
        table.loc[:3, 'wet'] = 1.0
        datamodule = data(['warm', 'wet'], table)
        while True:
            datamodule.setup('fit')
            if datamodule.train_dataset.values[:, 1].isnan().all():
                break
            datamodule.seed += 1
        with pytest.raises(ValueError, match="'wet' is missing in all 240 rows"):
            trainer().fit(LocationRegression(Waves()), datamodule)


class TestLeaks:
    def test_features_that_tell_the_block_are_worth_nothing(self) -> None:
        table = frame(1500)
        cell = np.floor(table['lat'] / 20) * 31 + np.floor(table['lon'] / 20)
        table['warm'] = np.random.default_rng(1).normal(size=2000)[
            cell.astype(int) + 900
        ]
        scores = {
            split: fitted(
                LocationRegression(Block(), head='ridge'),
                data('warm', table, split=split, block_degrees=20),
            )['test_r2']
            for split in ('random', 'blocks')
        }
        assert scores['random'] > 0.9
        assert scores['blocks'] <= 0.02

    def test_statistics_are_those_of_training_rows(self) -> None:
        table = frame()
        table['height'] = np.arange(400.0)
        task = LocationRegression(features='coordinates', head='ridge')
        datamodule = data('warm', table, extra=['height'])
        fitted(task, datamodule)
        rows = datamodule.split.train
        model = cast(Any, task.model)
        assert float(model.mean[-1]) == pytest.approx(table['height'][rows].mean())
        assert float(task.label_mean) == pytest.approx(table['warm'][rows].mean())


class TestIntervals:
    def test_conformal_intervals_hold_what_they_promise(self) -> None:
        table = frame(3000)
        task = LocationRegression(Waves(), head='ridge', conformal=0.8)
        datamodule = data('noisy', table, fractions=(0.4, 0.3, 0.3))
        metrics = fitted(task, datamodule)
        # Of 900 rows to calibrate and 900 to test, three standard deviations.
        assert metrics['test_coverage'] == pytest.approx(0.8, abs=0.055)
        lower, upper = (predicted(task, datamodule, k) for k in ('lower', 'upper'))
        # Errors are about normal: noise of 3, and what a linear model does not tell.
        assert metrics['test_rmse'] > 3
        width = float((upper - lower).mean())
        assert width == pytest.approx(2 * 1.28 * metrics['test_rmse'], rel=0.1)

    def test_intervals_of_logarithms_are_in_units(self) -> None:
        task = LocationRegression(Waves(), head='ridge', conformal=0.9)
        datamodule = data('people', target_transform='log1p')
        fitted(task, datamodule)
        lower, middle, upper = (
            predicted(task, datamodule, key) for key in ('lower', 'prediction', 'upper')
        )
        assert (lower < middle).all()
        assert (middle < upper).all()
        assert (lower > -1).all()
        ratio = (upper + 1) / (middle + 1)
        torch.testing.assert_close(ratio, ratio[:1].expand_as(ratio), rtol=1e-4, atol=0)

    def test_quantiles_ascend_and_cover(self) -> None:
        levels = (0.05, 0.25, 0.5, 0.95)
        task = LocationRegression(Waves(), quantiles=levels, lr=1e-2, dropout=0.0)
        datamodule = data(['noisy', 'wet'], frame(3000))
        metrics = fitted(task, datamodule, max_epochs=15)
        assert metrics['test_coverage_noisy'] == pytest.approx(0.9, abs=0.07)
        lower, middle, upper = (
            predicted(task, datamodule, key) for key in ('lower', 'prediction', 'upper')
        )
        assert middle.shape == (600, 2)
        assert (lower <= middle).all()
        assert (middle <= upper).all()
        ordered = task.quantile_outputs(torch.randn(5, 8))
        assert ordered.shape == (5, 2, 4)
        assert (ordered.diff(dim=2) >= 0).all()

    def test_conformal_quantiles(self) -> None:
        task = LocationRegression(
            Waves(), quantiles=(0.45, 0.5, 0.55), conformal=0.9, lr=1e-2
        )
        datamodule = data('noisy', frame(2000), fractions=(0.4, 0.3, 0.3))
        metrics = fitted(task, datamodule, max_epochs=3)
        assert metrics['test_coverage'] == pytest.approx(0.9, abs=0.05)

    def test_too_few_points(self) -> None:
        task = LocationRegression(Waves(), head='ridge', conformal=0.9)
        with pytest.warns(UserWarning, match='The 90% intervals are infinite'):
            fitted(task, data('warm', frame(30)))
        with pytest.raises(ValueError, match='needs validation points'):
            trainer().fit(task, data('warm', fractions=(0.8, 0, 0.2)))

    @pytest.mark.parametrize(
        ('head', 'options'),
        [
            ('ridge', {'check_val_every_n_epoch': 2}),
            ('linear', {'limit_val_batches': 0}),
        ],
    )
    def test_no_width_without_validation(
        self, tmp_path: Path, head: Any, options: dict[str, Any]
    ) -> None:
        task, datamodule = LocationRegression(Waves(), head=head, conformal=0.9), data()
        run = trainer(**options)
        with pytest.warns(UserWarning, match='90% intervals are not calibrated'):
            run.fit(task, datamodule)
        run.save_checkpoint(tmp_path / 'task.ckpt')
        for name in ('test', 'predict', 'validate'):
            with pytest.raises(ValueError, match='lower check_val_every_n_epoch'):
                getattr(trainer(), name)(task, datamodule)
        loaded = LocationRegression.load_from_checkpoint(
            tmp_path / 'task.ckpt', model=Waves(), conformal=None
        )
        assert predicted(loaded, datamodule).isfinite().all()

    def test_options(self) -> None:
        for quantiles in ((0.1, 0.9), (0.9, 0.5, 0.1), (0.5,), (0.0, 0.5, 1.0)):
            with pytest.raises(ValueError, match='quantiles'):
                LocationRegression(Waves(), quantiles=quantiles)
        with pytest.raises(ValueError, match="head='linear' or 'mlp'"):
            LocationRegression(Waves(), quantiles=(0.1, 0.5, 0.9), head='ridge')
        with pytest.raises(ValueError, match='conformal must lie between 0 and 1'):
            LocationRegression(Waves(), conformal=90)


class TestClassification:
    @pytest.mark.parametrize('head', ['logistic', 'mlp'])
    def test_learns(self, head: Any, capsys: pytest.CaptureFixture[str]) -> None:
        task = LocationClassification(Waves(), head=head, lr=1e-2)
        datamodule = data('kind')
        metrics = fitted(task, datamodule, max_epochs=10)
        assert metrics['test_accuracy'] > 0.9
        assert metrics['test_macro_f1'] > 0.9
        assert metrics['test_top5'] == 1
        assert metrics['test_baseline_accuracy'] > 0.9
        assert '| coordinates |' in capsys.readouterr().out
        names = predicted(task, datamodule, 'class')
        numbers = predicted(task, datamodule)
        assert names == [task.classes[number] for number in numbers]
        labels = cast(PointTable, datamodule.test_dataset).labels
        assert metrics['test_accuracy'] == pytest.approx(
            float((numbers == labels).float().mean())
        )

    def test_missing_labels_are_left_out(self) -> None:
        table = frame()
        table.loc[::3, 'kind'] = None
        task = LocationClassification(Waves(), head='linear', lr=1e-2)
        assert fitted(task, data('kind', table), max_epochs=30)['test_accuracy'] > 0.9
        outputs = torch.randn(3, 2, requires_grad=True)
        loss = task.loss(outputs, torch.tensor([-1, 1, -1]))
        expected = nn.functional.cross_entropy(outputs[1:2], torch.tensor([1]))
        torch.testing.assert_close(loss, expected)
        assert task.loss(outputs, torch.tensor([-1, -1, -1])) == 0

    @pytest.mark.parametrize('head', ['logistic', 'linear'])
    def test_class_that_no_training_row_has(self, head: Any) -> None:
        table = frame().assign(
            kind=lambda f: np.where(f['lon'] > 100, 'far', f['kind']),
            part=lambda f: np.where(f['lon'] > 90, 'test', 'train'),
        )
        dataset = PointTable(table, 'kind', split_column='part')
        datamodule = PointTableDataModule(dataset, split='column', batch_size=64)
        task = LocationClassification(Waves(), head=head, lr=3e-2)
        unseen = (table['kind'] == 'far').sum()
        with pytest.warns(
            UserWarning,
            match=rf"{unseen} of \d+ test rows .* no training row has.*'far'",
        ):
            metrics = fitted(task, datamodule, max_epochs=20)
        assert metrics['test_accuracy'] < 0.2
        assert np.isfinite(metrics['test_loss'])
        if head == 'logistic':
            assert 'far' not in predicted(task, datamodule, 'class')

    def test_other_classes_than_in_training(self) -> None:
        task = LocationClassification(Waves(), head='logistic')
        fitted(task, data('kind'))
        table = frame().assign(kind=lambda f: f['kind'].str.upper())
        with pytest.raises(ValueError, match="the data have 2 .*'NORTH'"):
            trainer().test(task, data('kind', table))

    def test_scores(self) -> None:
        logits = torch.eye(7)[[0, 1, 2, 3]]
        target = torch.tensor([0, 1, 3, -1])
        scores = classification_scores(logits, target)
        assert scores['accuracy'] == pytest.approx(2 / 3)
        # Classes 0 and 1 are perfect; 2 and 3 are not; the others do not occur.
        assert scores['macro_f1'] == pytest.approx(0.5)
        assert scores['top5'] == 1
        assert classification_scores(logits, torch.full((4,), -1)) == {}


class TestCheckpoints:
    def test_reload_alone(self, tmp_path: Path, bank: ConceptBank) -> None:
        encoder = ConceptEarth(
            bank, hidden_dim=8, rows=(6,), grid_features=(4,), num_waves=4, embed_dim=8,
            num_components=4,
        )  # fmt: skip
        datamodule = data(
            ['people', 'warm'], target_transform={'people': 'log1p'}, extra=['height']
        )
        task = LocationRegression(
            encoder, features='xz', head='mlp', search_trials=2, conformal=0.8
        )
        run = trainer(max_epochs=2)
        run.fit(task, datamodule)
        run.save_checkpoint(tmp_path / 'task.ckpt')
        loaded = LocationRegression.load_from_checkpoint(tmp_path / 'task.ckpt')
        assert cast(Any, loaded.model).encoder.bank == bank
        assert loaded.target_names == ('people', 'warm')
        points = data(table=frame(9, seed=4))
        points.predict_source = PointTable(frame(9, seed=4), extra=['height'])
        for key in ('prediction', 'lower', 'upper'):
            before, after = (predicted(t, points, key) for t in (task, loaded))
            assert before.equal(after)
        assert before.shape == (9, 2)

    def test_of_an_encoder_of_ones_own(self, tmp_path: Path) -> None:
        task = LocationClassification(Waves(), head='logistic')
        run = trainer()
        run.fit(task, data('kind'))
        run.save_checkpoint(tmp_path / 'task.ckpt')
        with pytest.raises(ValueError, match=r'load_from_checkpoint\(path, model='):
            LocationClassification.load_from_checkpoint(tmp_path / 'task.ckpt')
        loaded = LocationClassification.load_from_checkpoint(
            tmp_path / 'task.ckpt', model=Waves()
        )
        both = [predicted(t, data('kind'), 'probability') for t in (task, loaded)]
        assert both[0].equal(both[1])

    def test_satclip_of_torchgeo(self, tmp_path: Path) -> None:
        task = LocationRegression(
            'satclip',
            None,
            {'legendre_polys': 4, 'capacity': 16, 'embed_dim': 8},
            head='ridge',
        )
        run = trainer()
        with pytest.warns(UserWarning, match='satclip is frozen with random weights'):
            run.fit(task, data())
        run.save_checkpoint(tmp_path / 'task.ckpt')
        with warnings.catch_warnings():
            warnings.simplefilter('error')
            loaded = LocationRegression.load_from_checkpoint(tmp_path / 'task.ckpt')
        both = [predicted(t, data()) for t in (task, loaded)]
        assert both[0].equal(both[1])

    def test_real_weights(self, tmp_path: Path, geoclip: GeoCLIPLocation) -> None:
        task = LocationRegression(
            'geoclip_location', 'GeoCLIPLocation_Weights.MP16', head='ridge'
        )
        run = trainer()
        run.fit(task, data('warm', frame(60)))
        run.save_checkpoint(tmp_path / 'task.ckpt')
        loaded = LocationRegression.load_from_checkpoint(tmp_path / 'task.ckpt')
        points = torch.tensor([[2.35, 48.86]])
        assert cast(Any, loaded.model).encoder.eval()(points).equal(geoclip(points))

    def test_not_trained(self) -> None:
        for name in ('test', 'predict', 'validate'):
            with pytest.raises(RuntimeError, match='has not been trained'):
                getattr(trainer(), name)(LocationRegression(Waves()), data())
        with pytest.raises(RuntimeError, match=r'baseline is missing\. Fit the task'):
            LocationRegression(Waves()).baseline_outputs(torch.zeros(1, 2))


class Pictures(NonGeoDataset):
    """Points whose values only a picture tells."""

    target_names = ('brightness',)

    def __init__(self, number: int, offset: float = 0.0) -> None:
        generator = torch.Generator().manual_seed(number)
        self.images = torch.rand(number, 3, generator=generator)
        self.labels = 10 * self.images.sum(dim=1) + offset

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {
            'point': torch.tensor([index % 90, index % 45]).float(),
            'image': self.images[index],
            'label': self.labels[index],
        }


class FarPictures(Pictures):
    """Pictures that no process but a worker can read."""

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        assert get_worker_info() is not None
        return super().__getitem__(index)


class PicturesDataModule(NonGeoDataModule):
    def __init__(self, kind: type[Pictures] = Pictures, num_workers: int = 0) -> None:
        super().__init__(Pictures, 32, num_workers)
        self.kind = kind
        self.aug = nn.Identity()

    def setup(self, stage: str) -> None:
        self.train_dataset, self.val_dataset = self.kind(200), self.kind(50)
        self.test_dataset = self.predict_dataset = self.kind(60)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


COLOURS = {'Parus major': 0, 'Picus viridis': 1, 'Cyanistes caeruleus': 2}


def photos(folder: Path, number: int = 96) -> None:
    """Write photos of several sizes, whose colours alone tell their species."""
    rng = np.random.default_rng(0)
    lon, lat = rng.uniform(-180, 180, number), rng.uniform(-80, 80, number)
    species = rng.choice(list(COLOURS), number)
    names = [f'{n}.png' for n in range(number)]
    for n, name in enumerate(names):
        pixels = rng.integers(0, 80, (36 + n % 5, 40, 3), np.uint8)
        pixels[..., COLOURS[species[n]]] += 150
        Image.fromarray(pixels).save(folder / name)
    table = pd.DataFrame({'image': names, 'lon': lon, 'lat': lat})
    table['species'] = np.where(np.arange(number) % 16 == 5, '', species)
    table[:72].to_csv(folder / 'train.csv', index=False)
    table[72:].to_csv(folder / 'test.csv', index=False)


class TestImages:
    @pytest.mark.parametrize('head', ['ridge', 'linear'])
    def test_features_of_images(self, head: Any, tmp_path: Path) -> None:
        task = LocationRegression(
            'geoclip_location',
            None,
            SMALL,
            image_model='features/3',
            head=head,
            lr=5e-2,
        )
        datamodule = PicturesDataModule()
        with pytest.warns(UserWarning, match='random weights'):
            metrics = fitted(task, datamodule, max_epochs=15)
        assert metrics['test_r2'] > 0.95
        assert metrics['test_baseline_r2'] < 0.2
        run = trainer()
        run.strategy.connect(task)
        run.save_checkpoint(tmp_path / 'task.ckpt')
        loaded = LocationRegression.load_from_checkpoint(tmp_path / 'task.ckpt')
        both = [predicted(t, datamodule) for t in (task, loaded)]
        assert both[0].equal(both[1])
        with pytest.raises(ValueError, match="needs batches with an 'image'"):
            predicted(task, data())

    @pytest.mark.parametrize('head', ['logistic', 'mlp'])
    def test_species_of_photos(self, head: Any, tmp_path: Path) -> None:
        photos(tmp_path)
        train, test = (
            ImagePoints(tmp_path, tmp_path / f'{part}.csv', label='species')
            for part in ('train', 'test')
        )
        datamodule = ImagePointsDataModule(
            train, test, image_size=32, batch_size=16, val_fraction=0.2
        )
        task = LocationClassification(
            Waves(), image_model='timm/test_resnet', head=head, lr=1e-2
        )
        metrics = fitted(task, datamodule, max_epochs=10)
        assert task.classes == ('Cyanistes caeruleus', 'Parus major', 'Picus viridis')
        assert metrics['test_accuracy'] > 0.9
        assert metrics['test_baseline_accuracy'] < 0.7
        names, numbers = (
            predicted(task, datamodule, k) for k in ('class', 'prediction')
        )
        assert names == [task.classes[number] for number in numbers]
        assert test.labels is not None
        known = test.labels >= 0
        assert known.sum() < len(numbers) == 24
        assert metrics['test_accuracy'] == pytest.approx(
            float((numbers == test.labels)[known].float().mean())
        )

    def test_workers_load_what_is_computed_first(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sizes, shown = list[int](), Terminal()
        compute = _location_base.model_inputs

        def inputs(model: Any, batch: Any) -> Tensor:
            sizes.append(len(batch['point']))
            return compute(model, batch)

        monkeypatch.setattr(_location_base, 'model_inputs', inputs)
        monkeypatch.setattr('sys.stderr', shown)
        task = LocationRegression(features='coordinates', head='ridge')
        trainer().fit(task, PicturesDataModule(FarPictures, num_workers=1))
        assert max(sizes) == 32
        assert 'Features' in shown.getvalue()


class TestErrors:
    def test_options(self) -> None:
        with pytest.raises(ValueError, match=r"No model 'geoclip'.*'geoclip_location'"):
            LocationRegression('geoclip')
        with pytest.raises(ValueError, match="has no weights 'MP17'"):
            LocationRegression('geoclip_location', 'MP17')
        with pytest.raises(ValueError, match="head must be one of .* not 'logistic'"):
            LocationRegression(Waves(), head=cast(Any, 'logistic'))
        with pytest.raises(ValueError, match='trains no encoder'):
            LocationRegression(Waves(), head='ridge', freeze=False)
        with pytest.raises(ValueError, match='chooses its penalty itself'):
            LocationRegression(Waves(), head='ridge', search_trials=3)

    def test_help_lists_all_options(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit):
            main(['fit', '--model.help', 'torchgeo_concepts.tasks.LocationRegression'])
        shown = ' '.join(capsys.readouterr().out.split())
        shared = inspect.signature(LocationClassification).parameters
        for name in (*shared, 'quantiles', 'conformal'):
            assert f'--model.{name}' in shown
        assert 'Learning rate of the encoder and the backbone' in shown

    def test_targets_of_the_other_kind(self) -> None:
        with pytest.raises(ValueError, match='Use LocationClassification'):
            trainer().fit(LocationRegression(Waves()), data('kind'))
        with pytest.raises(ValueError, match='Use LocationRegression'):
            trainer().fit(LocationClassification(Waves()), data('warm'))

    def test_no_concepts(self) -> None:
        task = LocationRegression('geoclip_location', None, SMALL, features='z')
        with (
            pytest.warns(UserWarning, match='random weights'),
            pytest.raises(ValueError, match='has no concept scores'),
        ):
            trainer().fit(task, data())

    def test_map_of_errors(self, tmp_path: Path) -> None:
        drawn = dict[str, Any]()
        logger = CSVLogger(tmp_path)
        cast(Any, logger.experiment).add_figure = lambda name, figure, step: (
            drawn.update({name: figure})
        )
        task = LocationRegression(Waves(), head='ridge')
        fitted(task, data(['warm', 'wet'], units={'wet': 'mm'}), logger=logger)
        assert list(drawn) == ['test_errors/warm', 'test_errors/wet [mm]']
        figure = drawn['test_errors/warm']
        assert isinstance(figure, Figure)
        [dots] = figure.axes[0].collections[-1:]
        assert len(cast(Any, dots).get_offsets()) == 80

    def test_map_of_errors_for_a_logger_without_figures(self, tmp_path: Path) -> None:
        logger = CSVLogger(tmp_path)
        task = LocationRegression(Waves(), head='ridge')
        fitted(task, data(['warm', 'wet'], units={'wet': 'mm/day'}), logger=logger)
        drawn = sorted(Path(logger.log_dir).glob('*.png'))
        names = ['test_errors_warm.png', 'test_errors_wet_mm_day.png']
        assert [path.name for path in drawn] == names
        assert drawn[0].read_bytes().startswith(b'\x89PNG')

    def test_names_of_files_differ(self) -> None:
        assert file_names(['a/b', '../c [°C]']) == ['a_b', 'c_C']
        assert file_names(['a/b', 'A b']) == ['0_a_b', '1_A_b']


class TestTorchGeo:
    def config(self, folder: Path, kind: str, model: str) -> str:
        frame(120).to_csv(folder / 'table.csv', index=False)
        target = 'warm' if kind == 'Regression' else 'kind'
        (folder / 'task.yaml').write_text(f"""
seed_everything: 0
model:
  class_path: torchgeo_concepts.tasks.Location{kind}
  init_args:
    model: {model}
    weights: null
    freeze: false
    head: linear
data:
  class_path: torchgeo_concepts.datamodules.PointTableDataModule
  init_args:
    dataset:
      class_path: torchgeo_concepts.datasets.PointTable
      init_args:
        table: {folder / 'table.csv'}
        targets: {target}
    split: random
    batch_size: 32
trainer:
  accelerator: cpu
  max_epochs: 1
  default_root_dir: {folder}
  enable_progress_bar: false
  enable_model_summary: false
  log_every_n_steps: 1
  callbacks:
  - class_path: torchgeo_concepts.tasks.PredictionWriter
    init_args: {{output: {folder / 'predicted.parquet'}}}
""")
        return str(folder / 'task.yaml')

    @pytest.mark.parametrize('kind', ['Regression', 'Classification'])
    def test_fit_test_and_predict(
        self, kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        model = '{class_path: torchgeo_concepts.models.GeoCLIPLocation, init_args: '
        model += '{num_frequencies: 8, hidden_dim: 16, embed_dim: 8}}'
        if kind == 'Classification':
            model = 'geoclip_location\n    model_kwargs: {num_frequencies: 8}'
        config = self.config(tmp_path, kind, model)
        main(['fit', '--config', config])
        (checkpoint,) = tmp_path.rglob('*.ckpt')
        options = ['--ckpt_path', str(checkpoint), '--trainer.logger=false']
        main(['test', '--config', config, *options])
        assert 'coordinates' in capsys.readouterr().out
        main(['predict', '--config', config, *options])
        written = gpd.read_parquet(tmp_path / 'predicted.parquet')
        assert len(written) == 12
        assert ('warm' if kind == 'Regression' else 'class') in written
