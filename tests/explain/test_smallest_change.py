# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

from typing import Any

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from torch import Tensor, nn

from torchgeo_concepts.concepts import ConceptBank
from torchgeo_concepts.explain import smallest_change
from torchgeo_concepts.explain.smallest_change import SmallestChange
from torchgeo_concepts.models import ConceptEarth


# La Paz, Moscow, Singapore and Cairo.
@pytest.fixture
def reference() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(400, 5, generator=generator) * torch.tensor([1.0, 1, 2, 1, 0])


def plain(weight: list[float]) -> nn.Linear:
    head = nn.Linear(5, 1)
    with torch.no_grad():
        head.weight.copy_(torch.tensor([weight]))
        head.bias.zero_()
    return head


class TestSmallestChange:
    def test_one_concept_moves_no_farther_than_it_must(
        self, bank: ConceptBank, reference: Tensor
    ) -> None:
        head = plain([1.0, 3.0, 0.5, 0.0, 100.0])
        found = smallest_change(torch.zeros(5), head, bank, reference, by=2, unit='K')
        assert found.reached
        [step] = found.steps
        assert step.concept == 'c1'
        assert step.after == pytest.approx(2 / 3, abs=1e-4)
        assert step.outcome == pytest.approx(2, abs=1e-4)
        assert step.cost == pytest.approx(
            step.after / reference[:, 1].std().item(), rel=0.01
        )
        assert found.cost == step.cost
        assert head(found.scores).item() == pytest.approx(2, abs=1e-4)
        # What never varies cannot be moved.
        assert found.allowed == 4
        assert 'prediction up by 2 K from 0 K: reached' in str(found)
        assert found.to_frame().columns[-1] == 'prediction [K]'

    def test_several_concepts_down(self, bank: ConceptBank, reference: Tensor) -> None:
        head = plain([1.0, 3.0, 0.1, 0.1, 0.0])
        found = smallest_change(torch.zeros(5), head, bank, reference, by=-6)
        assert found.reached
        assert [step.concept for step in found.steps] == ['c1', 'c0']
        low = np.quantile(reference[:, 1].numpy(), 0.05)
        assert found.steps[0].after == pytest.approx(low)
        outcomes = [step.outcome for step in found.steps]
        assert outcomes == pytest.approx([3 * low, -6], abs=1e-4)
        assert found.to_frame()['cost'].sum() == pytest.approx(found.cost)

    def test_cheapest_of_those_that_reach(
        self, bank: ConceptBank, reference: Tensor
    ) -> None:
        # c2 is spread twice as far, so that a step of it costs half.
        head = plain([1.0, 1.0, 1.0, 0.0, 0.0])
        found = smallest_change(torch.zeros(5), head, bank, reference, by=1)
        assert [step.concept for step in found.steps] == ['c2']

    def test_not_reached(self, bank: ConceptBank, reference: Tensor) -> None:
        head = plain([1.0, 3.0, 0.5, 0.1, 0.0])
        found = smallest_change(torch.zeros(5), head, bank, reference, by=50, most=2)
        assert not found.reached
        assert len(found.steps) == 2
        assert 'not reached' in str(found)
        assert 'The search found no set of concepts' in str(found)
        idle = smallest_change(torch.zeros(5), plain([0.0] * 5), bank, reference, by=1)
        assert idle.steps == ()
        assert idle.to_frame().empty
        assert idle.cost == 0

    def test_only_allowed_concepts(self, bank: ConceptBank, reference: Tensor) -> None:
        head = plain([1.0, 3.0, 0.5, 0.1, 0.0])
        found = smallest_change(
            torch.zeros(5), head, bank, reference, by=1, concepts=['c0', 'c3']
        )
        assert [step.concept for step in found.steps] == ['c0']
        assert found.allowed == 2
        one = smallest_change(
            torch.zeros(5), head, bank, reference, by=1, concepts='c3'
        )
        assert [step.concept for step in one.steps] == ['c3']
        assert one.allowed == 1

    @pytest.mark.parametrize('bad', [torch.nan, torch.inf])
    def test_head_that_is_not_finite(
        self, bank: ConceptBank, reference: Tensor, bad: float
    ) -> None:
        with pytest.raises(ValueError, match=rf'returns \[{bad}\] .* not finite'):
            smallest_change(
                torch.zeros(5), lambda z: z[:, 0] + bad, bank, reference, by=1
            )
        with pytest.raises(ValueError, match=rf'returns \[0.0, {bad}\] .* not finite'):
            smallest_change(
                torch.zeros(5), lambda z: z[:, :2] * 0 + torch.tensor([0, bad]), bank,
                reference,
            )  # fmt: skip

    def test_where_the_head_is_not_defined(
        self, bank: ConceptBank, reference: Tensor
    ) -> None:
        # Each concept is NaN at one of its ends or at both.
        def head(z: Tensor) -> Tensor:
            return (1 - z[:, 0]).sqrt() + (0.1 - z[:, 1].abs()).sqrt()

        found = smallest_change(torch.zeros(5), head, bank, reference, by=0.2)
        assert found.reached
        [step] = found.steps
        assert step.concept == 'c0'
        assert step.after == pytest.approx(1 - 1.2**2, abs=1e-4)
        lost = smallest_change(
            torch.zeros(5), head, bank, reference, by=0.2, concepts='c1'
        )
        assert not lost.reached
        assert lost.steps == ()

    @pytest.mark.parametrize('to', [None, 'B', 1])
    def test_class(self, to: Any, bank: ConceptBank, reference: Tensor) -> None:
        weight = torch.tensor([[0.0, 0, 0, 0, 0], [0, 2, 0, 0, 0], [0, 0, 0, 0, 0]])
        bias = torch.tensor([1.0, 0.0, -9.0])
        found = smallest_change(
            torch.zeros(5),
            lambda scores: scores @ weight.T + bias,
            bank,
            reference,
            to=to,
            classes=['A', 'B', 'C'],
        )
        assert found.reached
        [step] = found.steps
        assert step.after == pytest.approx(0.5, abs=1e-4)
        assert step.after > 0.5
        assert found.start == -1
        words = 'any class but A' if to is None else 'B instead of A'
        assert words in found.goal
        figure = found.plot()
        assert 'lead' in figure.axes[1].get_xlabel()
        plt.close(figure)

    def test_head_that_is_not_linear(
        self, bank: ConceptBank, reference: Tensor
    ) -> None:
        found = smallest_change(
            torch.zeros(1, 5), lambda scores: scores[:, 3] ** 2, bank, reference, by=1
        )
        assert abs(found.steps[0].after) == pytest.approx(1, abs=1e-3)

    def test_units(self, encoder: ConceptEarth, scores: Tensor) -> None:
        number = encoder.bank.index('elevation')
        found = smallest_change(
            scores[0], lambda z: -z[:, number], encoder.bank, scores, by=2.0,
            encoder=encoder,
        )  # fmt: skip
        [step] = found.steps
        assert step.unit == 'm'
        assert step.values is not None
        assert step.values[0] > 3000 > step.values[1]
        assert 'value after' in str(found)
        assert found.to_frame()['unit'].tolist() == ['m']
        assert isinstance(found, SmallestChange)

    @pytest.mark.parametrize(
        ('options', 'message'),
        [
            ({}, 'one output; pass the wanted change with by='),
            ({'by': 0.0}, 'Got by=0.0'),
            ({'by': 1.0, 'to': 1}, 'Got by=1.0, to=1'),
            ({'by': 1.0, 'quantiles': (0.9, 0.1)}, 'quantiles must ascend'),
            ({'by': 1.0, 'most': 0}, 'most must be at least 1, not 0'),
            ({'by': 1.0, 'concepts': ['c9']}, "No concept 'c9'"),
        ],
    )
    def test_bad_options(
        self, bank: ConceptBank, reference: Tensor, options: Any, message: str
    ) -> None:
        with pytest.raises(ValueError, match=message):
            smallest_change(
                torch.zeros(5), plain([1.0] * 5), bank, reference, **options
            )

    @pytest.mark.parametrize(
        ('options', 'message'),
        [
            (
                {'by': 1.0},
                'by= is for heads with one output, but this one has 3 classes',
            ),
            ({'to': 'Bb', 'classes': ['Aa', 'Bbb', 'Cc']}, "'Bb'. Did you mean 'Bbb'"),
            ({'to': 7}, 'No class 7; the classes have numbers 0 to 2'),
            ({'to': 'A', 'classes': ['A', 'B', 'C']}, "predicts 'A' already"),
            ({'classes': ['A', 'B']}, 'Expected 3 names of classes, got 2'),
        ],
    )
    def test_bad_classes(
        self, bank: ConceptBank, reference: Tensor, options: Any, message: str
    ) -> None:
        with pytest.raises(ValueError, match=message):
            smallest_change(
                torch.zeros(5),
                lambda scores: torch.tensor([[1.0, 0, 0]]).expand(len(scores), 3),
                bank,
                reference,
                **options,
            )

    def test_what_does_not_belong_together(
        self, encoder: ConceptEarth, bank: ConceptBank, reference: Tensor
    ) -> None:
        head = plain([1.0] * 5)
        with pytest.raises(
            ValueError, match='scores have shape .* bank has 5 concepts'
        ):
            smallest_change(torch.zeros(4), head, bank, reference, by=1)
        with pytest.raises(ValueError, match='The reference scores have shape'):
            smallest_change(torch.zeros(5), head, bank, reference[:, :3], by=1)
        with pytest.raises(ValueError, match='got 2 and 400'):
            smallest_change(torch.zeros(2, 5), head, bank, reference, by=1)
        with pytest.raises(ValueError, match='another bank'):
            smallest_change(
                torch.zeros(5), head, bank, reference, by=1, encoder=encoder
            )
        with pytest.raises(ValueError, match=r'of shape \(N,\), \(N, 1\)'):
            smallest_change(torch.zeros(5), lambda z: z.sum(), bank, reference, by=1)
