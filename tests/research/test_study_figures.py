# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

from pathlib import Path
from typing import Any

import pytest
import torch
from alignment_study.cases import Case, LocatedPatches, explain_case, find_case
from alignment_study.figures import plot_case, plot_errors
from alignment_study.measures import PatchSet
from matplotlib.figure import Figure

from torchgeo_concepts.concepts import ConceptBank
from torchgeo_concepts.evaluate.metrics import geodesic_km
from torchgeo_concepts.models import ImageLocationModel
from torchgeo_concepts.tasks import ConceptAlignment

POINTS = torch.tensor([[10.0, 45], [10, 45.5], [100, 30], [-60, -10], [140, -25]])


@pytest.fixture(scope='module')
def patches() -> PatchSet:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(5, 3, 32, 32, generator=generator)
    return PatchSet('may', 'seen', images, POINTS)


@pytest.fixture(scope='module')
def model(tmp_path_factory: pytest.TempPathFactory) -> ImageLocationModel:
    file = tmp_path_factory.mktemp('bank') / 'bank.csv'
    ConceptBank(list(ConceptBank.default())[:12]).save(file)
    torch.manual_seed(0)
    task = ConceptAlignment(
        'patch_cnn/32',
        location_encoder='geoclip_location',
        location_weights=None,
        location_kwargs={'num_frequencies': 8, 'hidden_dim': 16, 'embed_dim': 8},
        bank=str(file),
        align='both',
        image_projection='tied',
    )
    return task.model.eval()


def locate_at(
    arm: str, model: ImageLocationModel, found: torch.Tensor
) -> LocatedPatches:
    return LocatedPatches(arm, model, found, geodesic_km(found, POINTS))


@pytest.fixture(scope='module')
def located(model: ImageLocationModel) -> tuple[LocatedPatches, LocatedPatches]:
    near = POINTS + torch.tensor([0.5, 0.5])
    far = POINTS * torch.tensor([-1, 1])
    return locate_at('grounded', model, near), locate_at('plain', model, far)


@pytest.fixture(scope='module')
def case(patches: PatchSet, located: tuple[LocatedPatches, LocatedPatches]) -> Case:
    return explain_case(patches, 2, *located)


def test_the_middle_of_all_cases(model: ImageLocationModel) -> None:
    def at(*kilometres: float) -> LocatedPatches:
        return LocatedPatches('arm', model, POINTS, torch.tensor(kilometres))

    right = at(100, 200, 201, 5, 0)
    # Rows 0, 1, 3 and 4 are right there; 0, 1 and 3 are wrong here.
    assert find_case(right, at(900, 800, 5000, 3000, 750)) == 0
    # Of two in the middle, the lower.
    assert find_case(right, at(900, 800, 5000, 3000, 751)) == 1
    assert find_case(right, at(0, 0, 5000, 0, 0)) is None


def test_contributions_sum_to_the_difference(
    case: Case,
    patches: PatchSet,
    model: ImageLocationModel,
    located: tuple[LocatedPatches, LocatedPatches],
) -> None:
    difference = case.contrast.difference()
    with torch.no_grad():
        image = model.embed_images(patches.images[2:3])
        places = torch.stack([each.found[2] for each in located])
        similarity = (model.embed_points(places) @ image.T)[:, 0]
    expected = float(similarity[0] - similarity[1])
    assert difference.score == pytest.approx(expected, abs=1e-5)
    total = sum(difference.contributions) + difference.unnamed
    assert total == pytest.approx(difference.score, abs=1e-5)
    assert case.kilometres[0] < 200 < case.kilometres[1]


def test_case(case: Case) -> None:
    figure = plot_case(case)
    figure.canvas.draw()
    _, world, bars, together = (ax for sub in figure.subfigs for ax in sub.axes)
    assert (world.get_xlabel(), world.get_ylabel()) == ('longitude [°]', 'latitude [°]')
    assert len(bars.patches) == 6
    label = 'similarity to the place of grounded,\nless that of plain [1]'
    assert bars.get_xlabel() == label
    assert bars.xaxis.label.get_window_extent().x1 <= figure.bbox.x1
    assert together.get_yticklabels()[-1].get_text() == 'sum'
    [legend] = figure.subfigs[1].legends
    assert [text.get_text() for text in legend.get_texts()][:2] == [
        'the patch,\n(100.0°, 30.0°)',
        'grounded,\n73 km off',
    ]


def test_errors(located: tuple[LocatedPatches, LocatedPatches], tmp_path: Path) -> None:
    figure = plot_errors(POINTS, located)
    assert isinstance(figure, Figure)
    figure.savefig(tmp_path / 'errors.png')
    first, second, bar = figure.axes
    assert first.get_title().startswith('grounded: median 7')
    assert second.get_xlabel() == 'longitude [°]'
    assert bar.get_xlabel() == 'median error in cells of 8° [km]'
    # The first two points lie in one cell, whose colour is that of their median.
    cells: Any = first.collections[0].get_array()
    assert cells.count() == 4
    middle = located[0].kilometres[:2].double().mean()
    assert float(abs(cells.compressed() - float(middle)).min()) < 1e-3
