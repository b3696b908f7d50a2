# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from lightning.pytorch import Trainer
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import (
    Lasso,
    LinearRegression,
    LogisticRegression,
    PoissonRegressor,
    Ridge,
    RidgeCV,
)
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsRegressor
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.tree import DecisionTreeRegressor
from torch import Tensor, nn

from torchgeo_concepts.concepts import Concept, ConceptBank
from torchgeo_concepts.datamodules import PointTableDataModule
from torchgeo_concepts.datasets import PointTable
from torchgeo_concepts.embed.location_features import LocationFeatures
from torchgeo_concepts.evaluate.probes import LinearFit, fit_ridge
from torchgeo_concepts.explain import concept_head, contributions, explain
from torchgeo_concepts.explain.heads import LinearHead, NetworkHead, ScoreSource
from torchgeo_concepts.models import features
from torchgeo_concepts.models.concept_earth import ConceptEarth
from torchgeo_concepts.models.features import coordinate_features
from torchgeo_concepts.tasks import LocationClassification, LocationRegression

pytestmark = [
    # Lightning's advice on loggers and loaders is not ours to follow in a test.
    pytest.mark.filterwarnings('ignore:.*does not have many workers'),
    pytest.mark.filterwarnings('ignore:.*tensorboard'),
    pytest.mark.filterwarnings('ignore:.*`isinstance.treespec'),
    pytest.mark.filterwarnings('ignore:.*module.s. in eval mode'),
    pytest.mark.filterwarnings('ignore:The number of training batches'),
]

POINTS = np.random.default_rng(0).uniform((-180, -80), (180, 80), (120, 2))
WARM = 30 - 0.4 * np.abs(POINTS[:, 1])
ZONE = np.array(['cold', 'mild', 'hot'])[np.digitize(WARM, (12, 22))]


@pytest.fixture(scope='module')
def encoder() -> ConceptEarth:
    torch.manual_seed(0)
    bank = ConceptBank(Concept(f'c{n}', f'c{n}', 'a') for n in range(5))
    sizes: dict[str, Any] = {'rows': (6,), 'grid_features': (4,), 'embed_dim': 8}
    model = ConceptEarth(bank, hidden_dim=8, num_waves=4, num_components=4, **sizes)
    return model.eval()


def pipeline(encoder: Any, kind: Any, *steps: Any, y: Any = WARM) -> Any:
    located = LocationFeatures(encoder, features=kind)
    return make_pipeline(located, *steps).fit(POINTS, y)


def exact(model: Any, method: str = 'predict') -> Any:
    """What a pipeline predicts in double precision."""
    values = model[0].transform(POINTS).astype(np.float64)
    return getattr(model[1:], method)(values)


class TestPipelines:
    def test_pipeline_in_a_pipeline(self, encoder: ConceptEarth) -> None:
        flat = pipeline(encoder, 'z', StandardScaler(), Ridge())
        nested = pipeline(encoder, 'z', make_pipeline(StandardScaler(), Ridge()))
        place = pd.DataFrame({'lon': [8.5], 'lat': [47.4]})
        first, second = explain(flat, place), explain(nested, place)
        assert second.base_name == 'average point'
        assert second.base == pytest.approx(first.base)
        assert second.contributions == pytest.approx(first.contributions)
        assert explain(flat, place.iloc[0]).score == pytest.approx(first.score)

    @pytest.mark.parametrize('kind', ['z', 'xz'])
    @pytest.mark.parametrize(
        'head', [Ridge(0.1), RidgeCV(), Lasso(0.1), LinearRegression()], ids=str
    )
    def test_sum_to_the_prediction(
        self, encoder: ConceptEarth, kind: str, head: Any
    ) -> None:
        model = pipeline(encoder, kind, StandardScaler(), head)
        found = contributions(model, POINTS)
        total = found.base + found.values.sum(dim=1) + found.unnamed
        np.testing.assert_allclose(total, exact(model), atol=1e-5, rtol=0)
        np.testing.assert_allclose(found.score, model.predict(POINTS), atol=1e-4)
        assert found.values.shape == (120, 5)
        # Of the points that the head was fitted on, contributions average to 0.
        np.testing.assert_allclose(found.values.mean(dim=0), np.zeros(5), atol=1e-4)
        assert found.base[0] == pytest.approx(WARM.mean(), abs=1e-4)
        assert found.base_name == 'average point'
        assert found.unnamed_count == (8 if kind == 'xz' else 0)
        assert bool((found.unnamed_size >= found.unnamed.abs() - 1e-9).all())
        assert not found.gap.any()

    def test_name_and_unit(self, encoder: ConceptEarth) -> None:
        model = pipeline(encoder, 'xz', StandardScaler(), Ridge())
        head = concept_head(model, 'temperature', '°C')
        text = str(explain(head, (10.0, 24.0), name='Sahara'))
        assert text.startswith('temperature at Sahara')
        for words in ('°C', 'average point', '8 unnamed features', 'without a name'):
            assert words in text
        assert explain(model, (10.0, 24.0)).title == 'prediction at (10.00, 24.00)'

    @pytest.mark.parametrize(
        'steps', [(), (MinMaxScaler(),), (StandardScaler(), PCA(4))], ids=str
    )
    def test_any_linear_steps(self, encoder: ConceptEarth, steps: Any) -> None:
        model = pipeline(encoder, 'z', *steps, Ridge())
        found = contributions(model, POINTS)
        total = found.base + found.values.sum(dim=1)
        np.testing.assert_allclose(total, exact(model), atol=1e-5, rtol=0)
        is_standardised = len(steps) == 2
        assert found.base_name == ('average point' if is_standardised else 'intercept')

    def test_search_and_data_frames(self, encoder: ConceptEarth) -> None:
        located = LocationFeatures(encoder, features='z').set_output(transform='pandas')
        chain = make_pipeline(located, StandardScaler(), Ridge())
        search = GridSearchCV(chain, {'ridge__alpha': [0.1, 1]}, cv=3)
        frame = pd.DataFrame(POINTS, columns=['lon', 'lat'])
        found = contributions(search.fit(frame, WARM), frame)
        np.testing.assert_allclose(found.score, search.predict(frame), atol=1e-4)

    def test_several_targets(self, encoder: ConceptEarth) -> None:
        both = np.column_stack((WARM, -WARM))
        model = pipeline(encoder, 'z', StandardScaler(), Ridge(), y=both)
        head = concept_head(model, ['warm', 'cold'], ['°C', '°C'])
        warm = contributions(head, POINTS, target='warm')
        np.testing.assert_allclose(warm.score, exact(model)[:, 0], atol=1e-5)
        apart = contributions(head, POINTS, target='warm', against='cold')
        np.testing.assert_allclose(apart.score, 2 * warm.score, atol=1e-4)
        assert apart.unit == '°C'
        with pytest.raises(ValueError, match=r"targets \['warm', 'cold'\]; name one"):
            contributions(head, POINTS)
        with pytest.raises(ValueError, match="No target 'warn'. Did you mean 'warm'"):
            contributions(head, POINTS, target='warn')
        head = concept_head(model, ['warm', 'cold'], ['°C', 'K'])
        with pytest.raises(
            ValueError, match="'cold' and the target have different units"
        ):
            contributions(head, POINTS, target='warm', against='cold')
        with pytest.raises(ValueError, match='Expected 2 names, .* got 1'):
            concept_head(model, 'warm')
        with pytest.raises(ValueError, match='Expected 2 units, .* got 1'):
            concept_head(model, units='°C')


class TestClasses:
    def test_likeliest_named_and_against(self, encoder: ConceptEarth) -> None:
        head = LogisticRegression(max_iter=1000)
        model = pipeline(encoder, 'xz', StandardScaler(), head, y=ZONE)
        scores = exact(model, 'decision_function')
        found = contributions(model, POINTS)
        np.testing.assert_allclose(found.score, scores.max(axis=1), atol=1e-5)
        assert [title.split()[0] for title in found.titles] == list(
            model.predict(POINTS)
        )
        assert found.unit == 'logit'
        hot, mild = (list(model.classes_).index(name) for name in ('hot', 'mild'))
        named = contributions(model, POINTS, target='hot', against='mild')
        expected = scores[:, hot] - scores[:, mild]
        np.testing.assert_allclose(named.score, expected, atol=1e-5)
        total = named.base + named.values.sum(dim=1) + named.unnamed
        np.testing.assert_allclose(total, expected, atol=1e-5)
        assert named.titles[0].startswith('hot rather than mild at (')
        assert named.unit == 'log-odds'
        with pytest.raises(ValueError, match="'hot' cannot be compared with itself"):
            contributions(model, POINTS, target='hot', against='hot')

    def test_two_are_told_from_each_other(self, encoder: ConceptEarth) -> None:
        y = np.where(POINTS[:, 1] > 0, 'north', 'south')
        model = pipeline(encoder, 'z', StandardScaler(), LogisticRegression(), y=y)
        scores = exact(model, 'decision_function')
        south = contributions(model, POINTS, target='south')
        np.testing.assert_allclose(south.score, scores, atol=1e-5)
        odds = model.predict_proba(POINTS)[:, 1]
        np.testing.assert_allclose(south.score.sigmoid(), odds, atol=1e-5)
        likeliest = contributions(model, POINTS)
        np.testing.assert_allclose(likeliest.score, np.abs(scores), atol=1e-5)
        assert south.titles[0].startswith('south rather than north at')


class TestFits:
    def test_scaling_is_folded_in(self, encoder: ConceptEarth) -> None:
        points = torch.from_numpy(POINTS).float()
        with torch.no_grad():
            xz = features(encoder, points, 'xz').double()
        mean, std = xz.mean(dim=0), xz.std(dim=0)
        fit = fit_ridge((xz - mean) / std, torch.from_numpy(WARM)[:, None])
        scale: dict[str, Any] = {'mean': mean, 'std': std, 'features': 'xz'}
        head = concept_head(fit, 'warm', '°C', encoder=encoder, **scale)
        found = contributions(head, POINTS)
        expected = (xz - mean) / std @ fit.weight[0] + fit.bias[0]
        total = found.base + found.values.sum(dim=1) + found.unnamed
        torch.testing.assert_close(total, expected, atol=1e-5, rtol=0)
        assert found.base[0] == pytest.approx(float(fit.bias[0]))
        weight = fit.weight[0] / std
        torch.testing.assert_close(
            found.values, ((xz - mean) * weight)[:, 8:], atol=1e-5, rtol=0
        )
        linear = nn.Linear(13, 1, bias=False).double()
        with torch.no_grad():
            linear.weight.copy_(weight)
        plain = concept_head(linear, encoder=encoder, features='xz')
        found = contributions(plain, POINTS)
        torch.testing.assert_close(found.score, xz @ weight, atol=1e-5, rtol=0)
        assert found.base_name == 'intercept'
        assert found.base[0] == 0

    def test_of_classes(self, encoder: ConceptEarth) -> None:
        fit = LinearFit(torch.randn(3, 5), torch.zeros(3), (1.0,))
        head = concept_head(fit, ['a', 'b', 'c'], encoder=encoder, is_class=True)
        assert contributions(head, POINTS).unit == 'logit'


class TestNetworks:
    def test_sum_but_for_the_gap(self, encoder: ConceptEarth) -> None:
        torch.manual_seed(0)
        network = nn.Sequential(
            nn.Linear(13, 16), nn.GELU(), nn.Dropout(), nn.Linear(16, 2)
        )
        head = concept_head(network, ['a', 'b'], encoder=encoder, features='xz')
        assert isinstance(head, NetworkHead)
        network.train()
        found = contributions(head, POINTS, target='b')
        assert network.training
        network.eval()
        with torch.no_grad():
            expected = network(
                features(encoder, torch.from_numpy(POINTS).float(), 'xz')
            )
        torch.testing.assert_close(
            found.score.float(), expected[:, 1], atol=1e-5, rtol=0
        )
        total = found.base + found.values.sum(dim=1) + found.unnamed + found.gap
        torch.testing.assert_close(total, found.score, atol=1e-9, rtol=0)
        assert 0 < found.gap.abs().max() < 1e-3
        assert 'gap: not explained' in str(found[0])

    def test_of_a_linear_network_are_those_of_a_linear_head(
        self, encoder: ConceptEarth
    ) -> None:
        torch.manual_seed(0)
        linear = nn.Linear(5, 1)
        mean, std = torch.rand(5), torch.rand(5) + 1
        heads = [
            concept_head(model, encoder=encoder, mean=mean, std=std)
            for model in (linear, nn.Sequential(linear))
        ]
        assert [type(head) for head in heads] == [LinearHead, NetworkHead]
        exactly, integrated = (contributions(head, POINTS) for head in heads)
        for name in ('values', 'score', 'base'):
            torch.testing.assert_close(
                getattr(exactly, name), getattr(integrated, name), atol=1e-6, rtol=0
            )

    def test_outputs_without_a_column(self, encoder: ConceptEarth) -> None:
        torch.manual_seed(0)
        linear = nn.Linear(5, 1)
        column, flat = (
            contributions(concept_head(network, encoder=encoder), POINTS)
            for network in (
                nn.Sequential(linear, nn.Tanh()),
                nn.Sequential(linear, nn.Tanh(), nn.Flatten(0)),
            )
        )
        assert flat.values.equal(column.values)
        assert flat.score.equal(column.score)

    def test_captum_that_is_not_installed(
        self, encoder: ConceptEarth, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, 'captum.attr', None)
        head = concept_head(nn.Sequential(nn.Linear(5, 1)), encoder=encoder)
        with pytest.raises(ImportError, match=r'torchgeo-concepts\[explain\]'):
            explain(head, (10.0, 24.0))


def trained(task: Any, targets: Any, **options: Any) -> Any:
    frame = pd.DataFrame(POINTS, columns=['lon', 'lat']).assign(
        warm=WARM, people=np.exp(WARM / 5), zone=ZONE
    )
    torch.manual_seed(0)
    dataset = PointTable(frame, targets, **options)
    datamodule = PointTableDataModule(dataset, split='random', batch_size=64)
    quiet: dict[str, Any] = {'logger': False, 'enable_checkpointing': False}
    quiet |= {'enable_progress_bar': False, 'enable_model_summary': False}
    Trainer(accelerator='cpu', max_epochs=2, **quiet).fit(task, datamodule)
    return task


def predicted(task: Any) -> Any:
    task.eval()
    with torch.no_grad():
        return task.predict_step({'point': torch.from_numpy(POINTS).float()}, 0)


class TestTasks:
    def test_linear_regression_in_units(self, encoder: ConceptEarth) -> None:
        units = {'warm': '°C', 'people': 'people'}
        task = LocationRegression(encoder, features='xz', head='ridge')
        target_transform: Any = {'warm': 'standardise', 'people': 'log1p-standardise'}
        trained(
            task, ['warm', 'people'], units=units, target_transform=target_transform
        )
        expected = predicted(task)['prediction'].double()
        warm = contributions(task, POINTS, target='warm')
        total = warm.base + warm.values.sum(dim=1) + warm.unnamed
        torch.testing.assert_close(total, expected[:, 0], atol=1e-4, rtol=0)
        assert warm.unit == '°C'
        people = contributions(task, POINTS, target='people')
        # Sums are exact on the scale on which the model is linear.
        torch.testing.assert_close(
            people.score, expected[:, 1].log1p(), atol=1e-4, rtol=0
        )
        assert people.unit == 'ln(1 + people)'
        with pytest.raises(ValueError, match='different units'):
            contributions(task, POINTS, target='warm', against='people')

    @pytest.mark.parametrize('quantiles', [None, (0.1, 0.5, 0.9)])
    def test_network_in_units(self, encoder: ConceptEarth, quantiles: Any) -> None:
        task = LocationRegression(
            encoder, features='z', head='mlp', quantiles=quantiles
        )
        trained(task, 'people', units={'people': 'people'}, target_transform='log1p')
        found = contributions(task, POINTS)
        expected = predicted(task)['prediction'][:, 0].double()
        torch.testing.assert_close(found.score, expected, atol=1e-3, rtol=1e-5)
        total = found.base + found.values.sum(dim=1) + found.gap
        torch.testing.assert_close(total, found.score, atol=1e-9, rtol=0)
        # A small part of what moves predictions, although quantiles have kinks where
        # they cross.
        spread = (found.score - found.base).abs().mean()
        assert 0 < found.gap.abs().max() < (0.01 if quantiles is None else 0.1) * spread
        assert found.unit == 'people'

    @pytest.mark.parametrize('kind', ['logistic', 'mlp'])
    def test_classification(self, encoder: ConceptEarth, kind: Any) -> None:
        task = LocationClassification(encoder, features='xz', head=kind)
        trained(task, 'zone')
        found = predicted(task)
        some = POINTS[:10]
        likeliest = contributions(task, some)
        assert [title.split()[0] for title in likeliest.titles] == found['class'][:10]
        parts = [contributions(task, some, target=name) for name in task.classes]
        logits = torch.stack([part.score for part in parts], dim=1)
        torch.testing.assert_close(
            logits.softmax(dim=1).amax(dim=1).float(), found['probability'][:10],
            atol=1e-5, rtol=0,
        )  # fmt: skip
        first, second, *_ = task.classes
        against = contributions(task, some, target=first, against=second)
        torch.testing.assert_close(
            against.values, parts[0].values - parts[1].values, atol=1e-5, rtol=0
        )

    def test_what_cannot_be_explained(self, encoder: ConceptEarth) -> None:
        with pytest.raises(ValueError, match='LocationRegression has not been trained'):
            explain(LocationRegression(encoder, features='z'), (0.0, 0.0))
        task = LocationRegression(encoder, features='x', head='ridge')
        with pytest.raises(ValueError, match="takes features 'x', which have no names"):
            explain(trained(task, 'warm'), (0.0, 0.0))
        task = LocationRegression(encoder, features='z', head='ridge')
        trained(task, 'warm', extra=['people'])
        with pytest.raises(ValueError, match=r"needs columns \('people',\) besides"):
            explain(task, (0.0, 0.0))


class Plain(nn.Module):
    """An encoder of one's own, whose concepts have no names."""

    bank: Any

    def forward(self, points: Tensor) -> Tensor:
        return coordinate_features(points)[:, :3]

    def concepts(self, points: Tensor) -> Tensor:
        return coordinate_features(points)[:, :2]


class TestErrors:
    @pytest.mark.parametrize(
        'head',
        [
            KNeighborsRegressor(),
            MLPRegressor(hidden_layer_sizes=(4,), tol=10.0),
            PoissonRegressor(),
        ],
        ids=str,
    )
    def test_not_linear(self, encoder: ConceptEarth, head: Any) -> None:
        model = pipeline(encoder, 'z', StandardScaler(), head, y=WARM + 10)
        with pytest.raises(ValueError, match='not linear in the features'):
            explain(model, (10.0, 24.0))

    @pytest.mark.parametrize('split', [4.5, 70.0, -30.0])
    def test_not_linear_far_out(self, encoder: ConceptEarth, split: float) -> None:
        model = pipeline(encoder, 'z', Ridge())
        scores = np.zeros((40, 5))
        scores[:, 2] = split + np.where(np.arange(40) % 2, 0.5, -0.5)
        stump = DecisionTreeRegressor(max_depth=1).fit(scores, scores[:, 2])
        assert stump.tree_.threshold[0] == pytest.approx(split)
        model.steps[-1] = 'stump', stump
        with pytest.raises(ValueError, match='not linear in the features'):
            explain(model, (10.0, 24.0))

    def test_classes_without_linear_scores(self, encoder: ConceptEarth) -> None:
        model = pipeline(encoder, 'z', RandomForestClassifier(3), y=ZONE)
        with pytest.raises(
            ValueError, match='RandomForestClassifier has no decision_f'
        ):
            explain(model, (10.0, 24.0))

    @pytest.mark.parametrize('kind', ['x', 'coordinates'])
    def test_features_without_names(self, encoder: ConceptEarth, kind: str) -> None:
        model = pipeline(encoder, kind, Ridge())
        with pytest.raises(ValueError, match=f"features '{kind}', which have no names"):
            explain(model, (10.0, 24.0))

    def test_other_pipelines(self, encoder: ConceptEarth) -> None:
        model = make_pipeline(StandardScaler(), Ridge()).fit(POINTS, WARM)
        with pytest.raises(ValueError, match='first step .* must be LocationFeatures'):
            explain(model, (10.0, 24.0))
        with pytest.raises(ValueError, match='first step .* must be LocationFeatures'):
            explain(
                make_pipeline(LocationFeatures(encoder, features='z')), (10.0, 24.0)
            )
        unfitted = make_pipeline(LocationFeatures(encoder, features='z'), Ridge())
        with pytest.raises(NotFittedError):
            explain(unfitted, (10.0, 24.0))
        with pytest.raises(ValueError, match='Cannot read a head from a Ridge'):
            concept_head(Ridge())

    def test_width(self, encoder: ConceptEarth) -> None:
        kinds: Any = (4, 'z', 5), (5, 'xz', 13)
        for width, kind, has in kinds:
            fit = LinearFit(torch.ones(1, width), torch.zeros(1), (1.0,))
            with pytest.raises(
                ValueError, match=f'takes {width} features, but .* has {has}'
            ):
                concept_head(fit, encoder=encoder, features=kind)
        fit = LinearFit(torch.ones(1, 5), torch.zeros(1), (1.0,))
        with pytest.raises(ValueError, match='mean has 3 and std has 5'):
            concept_head(fit, encoder=encoder, mean=torch.zeros(3))
        with pytest.raises(ValueError, match='does not name its encoder'):
            concept_head(fit)
        unknown: Any = 'y'
        with pytest.raises(ValueError, match="takes features 'y'"):
            concept_head(fit, encoder=encoder, features=unknown)

    @pytest.mark.parametrize(
        ('network', 'message'),
        [
            (nn.Sequential(nn.Linear(7, 2)), r'\(N, 5\) in float32.* and 7x2'),
            (nn.Conv2d(3, 2, 1), r'\(N, 5\) in float32'),
            (nn.Sequential(nn.Linear(5, 2).double()), r'shape \(N, 5\) in float32'),
            (nn.Flatten(0), r'not \(10,\) for \(2, 5\)'),
            (nn.Unflatten(1, (5, 1)), r'not \(2, 5, 1\) for \(2, 5\)'),
        ],
        ids=str,
    )
    def test_network_that_does_not_fit(
        self, encoder: ConceptEarth, network: nn.Module, message: str
    ) -> None:
        with pytest.raises(ValueError, match=message):
            concept_head(network, encoder=encoder)

    def test_encoder_without_bank(self, encoder: ConceptEarth) -> None:
        with pytest.raises(ValueError, match='Plain has no concept scores'):
            ScoreSource(Plain(), 'z')
        own = Plain()
        own.bank = ConceptBank(Concept(name, name, 'a') for name in ('sun', 'rain'))
        model = pipeline(own, 'z', Ridge())
        assert explain(model, (10.0, 24.0))['sun'] != 0
        own.bank = encoder.bank
        with pytest.raises(ValueError, match='has 2 concept scores, but 5 concepts'):
            explain(model, (10.0, 24.0))
