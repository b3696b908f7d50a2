# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

import math

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from torch import Tensor

from torchgeo_concepts.explain import plot_clusters, plot_components, plot_modality_gap


@pytest.fixture
def embedding() -> Tensor:
    """Three clouds on three axes, of 30, 20 and 10."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.eye(5)[torch.tensor([0] * 30 + [1] * 20 + [2] * 10)]
    return centres + 0.01 * torch.randn(60, 5, generator=generator)


def legend(figure: Figure) -> list[str]:
    found = figure.axes[0].get_legend()
    assert found is not None
    return [text.get_text() for text in found.get_texts()]


class TestComponents:
    def test_numbers(self, embedding: Tensor) -> None:
        values = torch.arange(60.0)
        values[3] = torch.nan
        figure = plot_components(embedding, values, 'height', 'm')
        axes, bar = figure.axes
        sizes = [np.shape(dots.get_offsets())[0] for dots in axes.collections]
        assert sizes == [1, 59]
        assert bar.get_ylabel() == 'height [m]'
        assert axes.get_xlabel().startswith('principal component 1 (')
        plt.close(figure)

    def test_what_cannot_be_drawn(self, embedding: Tensor) -> None:
        with pytest.raises(ValueError, match='got 59 values, 60 embeddings'):
            plot_components(embedding, torch.zeros(59))
        with pytest.raises(ValueError, match=r'got \(60, 1\)'):
            plot_components(embedding[:, :1], torch.zeros(60))


class TestClusters:
    def test_found_and_sorted(self, embedding: Tensor) -> None:
        points = torch.rand(60, 2, generator=torch.Generator().manual_seed(0)) * 40
        figure, clusters = plot_clusters(embedding.flip(0), points, 3)
        assert clusters.tolist() == [2] * 10 + [1] * 20 + [0] * 30
        [legend] = figure.legends
        shown = [text.get_text() for text in legend.get_texts()]
        assert shown == ['1 (50%)', '2 (33%)', '3 (17%)']
        plt.close(figure)

    def test_what_cannot_be_clustered(self, embedding: Tensor) -> None:
        with pytest.raises(ValueError, match='got 59 points, 60 embeddings'):
            plot_clusters(embedding, torch.zeros(59, 2))
        for number in (1, 9):
            with pytest.raises(ValueError, match=f'2 to 8 clusters, got {number}'):
                plot_clusters(embedding, torch.zeros(60, 2), number)


class TestGap:
    def test_numbers(self) -> None:
        # Two by two alike, the modalities at a right angle but for what they share.
        images = torch.tensor([[1.0, 0, 1, 0], [1, 0, 0, 1]])
        locations = torch.tensor([[0.0, 5, 5, 0], [0, 5, 0, 5]])
        figure, numbers = plot_modality_gap(images, locations)
        assert legend(figure) == ['images', 'locations']
        assert numbers['paired'] == pytest.approx(0.5)
        assert numbers['unpaired'] == pytest.approx(0)
        assert numbers['gap'] == pytest.approx(1)
        np.testing.assert_allclose(numbers['gap'], math.sqrt(0.5 + 0.5))
        plt.close(figure)

    def test_names(self, embedding: Tensor) -> None:
        figure, numbers = plot_modality_gap(embedding, 2 * embedding, ('a', 'b'))
        assert legend(figure) == ['a', 'b']
        # Lengths do not count.
        assert numbers['gap'] == pytest.approx(0, abs=1e-6)
        assert numbers['paired'] == pytest.approx(1)
        assert figure.axes[0].get_title().startswith('gap 0.00; cosine 1.00 of pairs')
        plt.close(figure)

    def test_no_pairs(self) -> None:
        with pytest.raises(ValueError, match=r'got \(3, 4\) and \(2, 4\)'):
            plot_modality_gap(torch.ones(3, 4), torch.ones(2, 4))
