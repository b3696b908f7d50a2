# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from torchgeo_concepts.concepts import Concept, ConceptBank
from torchgeo_concepts.models import ConceptBasis, features
from torchgeo_concepts.models.concept_earth import ConceptEarth, ConceptScale

SIZES: dict[str, Any] = {
    'embed_dim': 6,
    'hidden_dim': 8,
    'rows': (6, 30),
    'grid_features': (4, 2),
    'table_size': 512,
    'num_waves': 4,
}
POINTS = torch.tensor([[2.35, 48.86], [180.0, -16.5], [-180.0, -16.5], [77.0, 90.0]])


@pytest.fixture
def model(bank: ConceptBank) -> ConceptEarth:
    torch.manual_seed(0)
    scale = ConceptScale(
        mean=[0.1, 0.2, 10.0, 2.0, 0.5],
        std=[0.3, 0.4, 5.0, 0.5, 0.5],
        is_log=[False, False, False, True, False],
        is_class=[True, True, False, False, True],
    )
    model = ConceptEarth(bank, scale, **SIZES)
    for table in model.grids.parameters():
        torch.nn.init.normal_(table)
    torch.nn.init.normal_(model.embedding_mean)
    return model.eval()


@pytest.fixture(autouse=True)
def no_gradients() -> Any:
    with torch.no_grad():
        yield


class TestOutputs:
    def test_shapes(self, model: ConceptEarth) -> None:
        assert model(POINTS).shape == (4, 6)
        assert model.concepts(POINTS).shape == (4, 5)
        assert model.project(POINTS).shape == (4, 5)
        widths: dict[Any, int] = {'x': 6, 'z': 5, 'xz': 11}
        for kind, width in widths.items():
            assert features(model, POINTS, kind).shape == (4, width)

    @pytest.mark.parametrize('dim', [None, 3])
    def test_both_at_once(self, model: ConceptEarth, dim: int | None) -> None:
        model.truncate(dim)
        x, z = features(model, POINTS, 'x'), features(model, POINTS, 'z')
        assert features(model, POINTS, 'xz').equal(torch.cat((x, z), dim=1))

    @pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
    def test_half_precision_keeps_places(
        self, model: ConceptEarth, dtype: torch.dtype
    ) -> None:
        exact = features(model, POINTS, 'xz')
        frequencies = model.waves.frequencies.clone()
        half = features(model.to(dtype), POINTS, 'xz')
        assert half.dtype == dtype
        assert model.waves.frequencies.equal(frequencies)
        similarity = torch.nn.functional.cosine_similarity(half.float(), exact)
        assert similarity.min() > 0.999

    def test_seamless(self, model: ConceptEarth) -> None:
        for values in (model(POINTS), model.concepts(POINTS)):
            torch.testing.assert_close(values[1], values[2], atol=1e-5, rtol=0)
        turned = POINTS + torch.tensor([360.0, 0.0])
        torch.testing.assert_close(model(turned), model(POINTS), atol=1e-4, rtol=1e-4)

    def test_many_points_as_few(self, model: ConceptEarth) -> None:
        points = torch.rand(1300, 2) * 90
        for function in (model, model.concepts, model.project):
            alone = torch.cat([function(some) for some in points.split(100)])
            torch.testing.assert_close(function(points), alone)
            assert len(function(points[:0])) == 0

    def test_without_concepts(self) -> None:
        model = ConceptEarth(ConceptBank([]), **SIZES).eval()
        assert model(POINTS).equal(features(model, POINTS, 'xz'))
        assert model.concepts(POINTS, calibrated=True).shape == (4, 0)
        assert model.project(POINTS).shape == (4, 0)

    def test_projection_is_linear_in_the_embedding(self, model: ConceptEarth) -> None:
        expected = model.basis(model(POINTS))
        torch.testing.assert_close(model.project(POINTS), expected)

    def test_projection_onto_another_bank(self, model: ConceptEarth) -> None:
        bank = ConceptBank([Concept('reef', 'reef', 'water')])
        basis = ConceptBasis(bank, torch.eye(6)[:1], 'text')
        expected = torch.cosine_similarity(model(POINTS), torch.eye(6)[:1])
        torch.testing.assert_close(model.project(POINTS, basis)[:, 0], expected)

    def test_bad_points(self, model: ConceptEarth) -> None:
        with pytest.raises(ValueError, match='Row 0 is not a point on Earth'):
            model(torch.tensor([[10.0, 95.0]]))


class TestTruncation:
    def test_begins_with_the_smaller(self, model: ConceptEarth) -> None:
        samples = torch.randn(500, 6) * torch.tensor([1.0, 9, 2, 5, 1, 1]) + 3
        mean, centred = samples.mean(0), samples - samples.mean(0)
        components = torch.linalg.svd(centred, full_matrices=False).Vh.T
        model.set_embedding_scale(mean, centred.std(), components)
        whole = model(POINTS)
        two, six = (model.truncate(dim)(POINTS) for dim in (2, 6))
        assert model.embed_dim == 6
        assert two.shape == (4, 2)
        torch.testing.assert_close(six[:, :2], two)
        # All components together lose nothing.
        torch.testing.assert_close(six @ components.T + mean, whole, atol=1e-4, rtol=0)
        assert model.truncate(None)(POINTS).equal(whole)

    def test_projections_stay(self, model: ConceptEarth) -> None:
        before = model.project(POINTS)
        assert model.truncate(3).project(POINTS).equal(before)

    @pytest.mark.parametrize('dim', [0, -1, 7])
    def test_wrong_size(self, model: ConceptEarth, dim: int) -> None:
        with pytest.raises(ValueError, match='can be truncated to 1 to 6 components'):
            model.truncate(dim)


class TestCalibration:
    def test_probabilities_and_units(self, model: ConceptEarth) -> None:
        scores = torch.tensor([[0.0, 9.0, 2.0, 0.0, -9.0]])
        [values] = model.calibrate(scores)
        expected = torch.tensor([0.1, 1.0, 20.0, 99.0, 0.0])
        torch.testing.assert_close(values, expected)
        calibrated = model.concepts(POINTS, calibrated=True)
        torch.testing.assert_close(calibrated, model.calibrate(model.concepts(POINTS)))
        assert ((calibrated[:, [0, 1, 4]] >= 0) & (calibrated[:, [0, 1, 4]] <= 1)).all()

    def test_values_become_scores_again(self, model: ConceptEarth) -> None:
        values = torch.tensor([[0.4, 1.0, 20.0, 99.0, 0.0]])
        scores = model.standardise(values)
        expected = torch.tensor([[1.0, 2.0, 2.0, 0.0, -1.0]])
        expected[:, [0, 1, 4]] = expected[:, [0, 1, 4]].asinh()
        torch.testing.assert_close(scores, expected)
        torch.testing.assert_close(model.calibrate(scores), values)
        again = model.standardise(model.calibrate(0.1 * scores))
        torch.testing.assert_close(again, 0.1 * scores)

    def test_only_classes_are_compressed(self, model: ConceptEarth) -> None:
        estimates = model.scores(model.hidden(POINTS))
        scores, is_class = model.concepts(POINTS), model.is_class
        torch.testing.assert_close(scores[:, ~is_class], estimates[:, ~is_class])
        torch.testing.assert_close(scores[:, is_class].sinh(), estimates[:, is_class])
        # A class of 0.1 % of all places stands 31 deviations out where it holds.
        assert torch.tensor(31.0).asinh() < 4.2

    def test_scale_of_another_bank(self, model: ConceptEarth) -> None:
        with pytest.raises(
            ValueError, match='The bank has 5 concepts, but the scale has 1'
        ):
            model.set_scale(ConceptScale([0.0], [1.0], [False], [False]))
        with pytest.raises(ValueError, match='must have the same length'):
            ConceptScale([0.0], [1.0, 2.0], [False], [False])


class TestFiles:
    @pytest.mark.parametrize('half', [False, True])
    def test_reloads_alone(
        self, model: ConceptEarth, tmp_path: Path, half: bool
    ) -> None:
        model.provenance = {'layers': {'igbp': 'MCD12C1 1.0.1'}, 'seed': 3}
        model.save(tmp_path / 'earth.safetensors', half=half)
        loaded = ConceptEarth.load(tmp_path / 'earth.safetensors')
        assert loaded.bank == model.bank
        assert loaded.provenance == model.provenance
        assert not loaded.training
        tolerance = 2e-2 if half else 0
        for name in ('forward', 'concepts', 'project'):
            ours: Tensor = getattr(loaded, name)(POINTS)
            theirs = getattr(model, name)(POINTS)
            torch.testing.assert_close(ours, theirs, atol=tolerance, rtol=tolerance)
        assert loaded(POINTS).dtype == torch.float32

    def test_directions_as_they_were_learned(
        self, model: ConceptEarth, tmp_path: Path
    ) -> None:
        torch.nn.init.normal_(model.basis.offset)
        model.save(tmp_path / 'earth.safetensors', half=False)
        loaded = ConceptEarth.load(tmp_path / 'earth.safetensors')
        torch.testing.assert_close(loaded.project(POINTS), model.project(POINTS))
        assert loaded.basis.offset.count_nonzero() == 0

    def test_half_is_half_the_size(self, model: ConceptEarth, tmp_path: Path) -> None:
        for half in (True, False):
            model.save(tmp_path / f'{half}.safetensors', half=half)
        sizes = [(tmp_path / f'{h}.safetensors').stat().st_size for h in (True, False)]
        assert sizes[0] < sizes[1]

    def test_other_files(self, tmp_path: Path) -> None:
        save_file({'a': torch.zeros(1)}, tmp_path / 'other.safetensors')
        with pytest.raises(ValueError, match='holds no concept_earth model'):
            ConceptEarth.load(tmp_path / 'other.safetensors')


class TestCompiling:
    def test_export(self, model: ConceptEarth) -> None:
        program = torch.export.export(
            model, (POINTS,), dynamic_shapes=({0: torch.export.Dim('N', min=2)},)
        )
        points = POINTS.repeat(3, 1)
        torch.testing.assert_close(program.module()(points), model(points))

    def test_autocast(self, model: ConceptEarth) -> None:
        with torch.autocast('cpu', torch.bfloat16):
            mixed = model(POINTS)
        torch.testing.assert_close(mixed.float(), model(POINTS), atol=0.1, rtol=0.1)
