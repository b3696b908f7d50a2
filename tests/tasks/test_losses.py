# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

import math
import subprocess
import sys
from pathlib import Path
from typing import Any, cast, get_args

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from pyproj import Geod
from torch import Tensor, nn
from torch.multiprocessing.spawn import start_processes

from torchgeo_concepts.tasks.losses import (
    DivergenceKind,
    InfoNCE,
    PointQueue,
    concept_divergence,
    info_nce,
)

KINDS = get_args(DivergenceKind)


def unit(*shape: int) -> Tensor:
    return F.normalize(torch.randn(*shape, dtype=torch.float64), dim=1)


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


class TestInfoNCE:
    def test_equals_its_formula(self) -> None:
        query, key, negatives = unit(5, 8), unit(5, 8), unit(3, 8)
        expected = 0.0
        for i in range(5):
            others = [math.exp(7 * float(query[i] @ k)) for k in (*key, *negatives)]
            expected -= (
                math.log(math.exp(7 * float(query[i] @ key[i])) / sum(others)) / 5
            )
        assert info_nce(query, key, 7, negatives).item() == pytest.approx(expected)

    def test_symmetric_is_the_mean_of_both_directions(self) -> None:
        query, key = unit(5, 8), unit(5, 8)
        both = info_nce(query, key, 7, symmetric=True)
        mean = (info_nce(query, key, 7) + info_nce(key, query, 7)) / 2
        torch.testing.assert_close(both, mean)

    def test_one_direction_is_the_default(self) -> None:
        query, key = unit(5, 8), unit(5, 8)
        assert not info_nce(query, key, 7).isclose(info_nce(key, query, 7))

    @pytest.mark.parametrize('symmetric', [False, True])
    def test_gradients(self, symmetric: bool) -> None:
        query, key, negatives = (
            x.requires_grad_() for x in (unit(4, 3), unit(4, 3), unit(2, 3))
        )

        def loss(*tensors: Tensor) -> Tensor:
            return info_nce(tensors[0], tensors[1], 5, tensors[2], symmetric)

        assert torch.autograd.gradcheck(loss, (query, key, negatives))

    def test_temperature_is_trained_and_bounded(self) -> None:
        module = InfoNCE()
        assert module.scale.item() == pytest.approx(1 / 0.07, rel=1e-3)
        [gradient] = torch.autograd.grad(
            module(unit(4, 3).float(), unit(4, 3).float()), module.logit_scale
        )
        assert gradient != 0
        assert InfoNCE(logit_scale=10).scale == 100

    def test_temperature_comes_back_from_its_bound(self) -> None:
        module = InfoNCE(logit_scale=4.8)
        query, key = unit(6, 3).float(), unit(6, 3).float()
        optimizer = torch.optim.SGD(module.parameters(), lr=1e-3)
        for _ in range(20):
            optimizer.zero_grad()
            module(query, key).backward()
            optimizer.step()
        # Pairs at random contrast best when nothing is told apart.
        assert module.scale < 100

    def test_module_uses_negatives(self) -> None:
        query, key = unit(4, 3).float(), unit(4, 3).float()
        module = InfoNCE(symmetric=True)
        assert module(query, key, key) > module(query, key)

    def test_batch_of_one(self) -> None:
        assert info_nce(unit(1, 3), unit(1, 3), 5) == 0


class TestPointQueue:
    def test_starts_empty(self) -> None:
        queue = PointQueue(8)
        assert len(queue) == 0
        assert queue().shape == (0, 2)

    @pytest.mark.parametrize('batch', [1, 3, 8, 20])
    def test_keeps_the_latest_points_of_any_batch(self, batch: int) -> None:
        queue = PointQueue(8, noise_km=0)
        points = torch.rand(60, 2) * 90
        for part in points.split(batch):
            queue.push(part)
            assert len(queue) <= 8
        kept = queue()
        assert len(kept) == 8
        distances = torch.cdist(points[-8:], kept).min(dim=1).values
        assert distances.max() < 1e-4

    def test_no_queue(self) -> None:
        queue = PointQueue(0)
        queue.push(torch.rand(3, 2))
        assert queue().shape == (0, 2)

    @pytest.mark.parametrize('place', [(12.0, 34.0), (0.0, 90.0), (180.0, -60.0)])
    def test_noise_is_the_same_everywhere(self, place: tuple[float, float]) -> None:
        queue = PointQueue(5000, noise_km=10)
        queue.push(torch.tensor([place]).repeat(5000, 1))
        lon, lat = queue().T.double().numpy()
        geod = Geod(ellps='sphere')
        _, _, metres = geod.inv([place[0]] * 5000, [place[1]] * 5000, lon, lat)
        # The length of two normal displacements has a Rayleigh distribution.
        assert (torch.from_numpy(metres) / 1000).mean() == pytest.approx(
            10 * math.sqrt(math.pi / 2), rel=0.05
        )

    def test_bad_points(self) -> None:
        with pytest.raises(ValueError, match='Row 0'):
            PointQueue(8).push(torch.tensor([[0.0, 91.0]]))

    def test_travels_in_checkpoints(self) -> None:
        queue, other = PointQueue(8, noise_km=0), PointQueue(8, noise_km=0)
        queue.push(torch.rand(11, 2))
        other.load_state_dict(queue.state_dict())
        for q in (queue, other):
            q.push(torch.ones(2, 2))
        assert other().equal(queue())


class TestConceptDivergence:
    def test_as_printed_it_is_the_distance_of_the_means(self) -> None:
        u, v = torch.randn(2, 20, 16, dtype=torch.float64)
        v = v * 2 + 1
        for sigma in (0.5, 1.0, 3.0):
            expected = (u.mean(0) - v.mean(0)).square().sum() / sigma**2
            actual = concept_divergence(u, v, 'paper', sigma)
            torch.testing.assert_close(actual, expected, atol=1e-6, rtol=0)

    def test_definitions(self) -> None:
        u, v = torch.randn(2, 6, 3, dtype=torch.float64)

        def kernel(a: Tensor, b: Tensor) -> Tensor:
            return torch.exp(-torch.cdist(a, b).square() / (2 * 0.7**2)).mean()

        torch.testing.assert_close(
            concept_divergence(u, v, 'mmd', 0.7),
            kernel(u, u) + kernel(v, v) - 2 * kernel(u, v),
        )
        torch.testing.assert_close(
            concept_divergence(u, v, 'cauchy_schwarz', 0.7),
            kernel(u, u).log() + kernel(v, v).log() - 2 * kernel(u, v).log(),
        )

    @pytest.mark.parametrize('kind', KINDS)
    def test_same_sets_are_at_zero(self, kind: DivergenceKind) -> None:
        u = torch.randn(10, 4, dtype=torch.float64)
        assert concept_divergence(u, u.flip(0), kind).item() == pytest.approx(
            0, abs=1e-12
        )

    @pytest.mark.parametrize(
        ('kind', 'sees'), [('paper', False), ('cauchy_schwarz', True), ('mmd', True)]
    )
    def test_which_of_them_see_a_difference_in_spread(
        self, kind: DivergenceKind, sees: bool
    ) -> None:
        u = torch.randn(50, 4, dtype=torch.float64)
        u = torch.cat((u, -u))
        assert (concept_divergence(u, 3 * u, kind).item() > 1e-3) == sees

    @pytest.mark.parametrize('kind', KINDS)
    def test_gradients(self, kind: DivergenceKind) -> None:
        u = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
        v = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(
            lambda a, b: concept_divergence(a, b, kind), (u, v)
        )
        # Where a point meets itself, too.
        [gradient] = torch.autograd.grad(concept_divergence(u, u, kind), u)
        assert gradient.isfinite().all()

    def test_unknown_kind(self) -> None:
        with pytest.raises(ValueError, match="'kl'"):
            concept_divergence(torch.zeros(2, 2), torch.zeros(2, 2), cast(Any, 'kl'))


def losses_of_a_batch(model: nn.Module, x: Tensor, y: Tensor) -> list[Tensor]:
    q, k = F.normalize(model(x), dim=1), F.normalize(model(y), dim=1)
    return [
        info_nce(q, k, 5),
        info_nce(q, k, 5, symmetric=True),
        *(concept_divergence(q, k, kind) for kind in KINDS),
    ]


def make_batch() -> tuple[nn.Module, Tensor, Tensor]:
    torch.manual_seed(1)
    return nn.Linear(4, 3).double(), *torch.randn(2, 8, 4, dtype=torch.float64)


def train_half(rank: int, folder: str) -> None:
    """Compute losses and gradients of half a batch, as one of two processes."""
    dist.init_process_group(
        'gloo', f'file://{folder}/rendezvous', rank=rank, world_size=2
    )
    model, x, y = make_batch()
    half = slice(4 * rank, 4 * rank + 4)
    results: dict[str, Tensor] = {}
    for number in range(5):
        parallel = nn.parallel.DistributedDataParallel(model)
        parallel.zero_grad()
        loss = losses_of_a_batch(parallel, x[half], y[half])[number]
        loss.backward()
        mean = loss.detach().clone()
        dist.all_reduce(mean)
        results[f'loss {number}'] = mean / 2
        gradient = next(model.parameters()).grad
        assert gradient is not None
        results[f'gradient {number}'] = gradient.clone()
    queue = PointQueue(6, noise_km=0)
    queue.push(torch.full((4, 2), float(rank)))
    results['queue'] = queue()
    torch.save(results, f'{folder}/{rank}.pth')
    dist.destroy_process_group()


def test_two_processes_see_the_global_batch(tmp_path: Path) -> None:
    # In a process of its own, since gloo hangs in forks of one that has used threads.
    command = [sys.executable, __file__, str(tmp_path)]
    subprocess.run(command, check=True, timeout=300)
    first, second = (
        torch.load(tmp_path / f'{rank}.pth', weights_only=True) for rank in (0, 1)
    )
    model, x, y = make_batch()
    for number, loss in enumerate(losses_of_a_batch(model, x, y)):
        [gradient] = torch.autograd.grad(
            loss, [next(model.parameters())], retain_graph=True
        )
        for results in (first, second):
            torch.testing.assert_close(results[f'loss {number}'], loss.detach())
            torch.testing.assert_close(results[f'gradient {number}'], gradient)
    assert first['queue'].equal(second['queue'])
    # In the order of the samples before they were dealt out.
    assert first['queue'][:, 0].round().tolist() == [0, 1, 0, 1, 0, 1]


@pytest.mark.parametrize('kind', ['paper', 'cauchy_schwarz', 'mmd'])
def test_divergence_of_half_precision(kind: DivergenceKind) -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(64, 16, generator=generator).bfloat16()
    locations = (images.float() * 1.1 + 0.05).bfloat16()
    exact = concept_divergence(images.double(), locations.double(), kind)
    with torch.autocast('cpu', torch.bfloat16):
        mixed = concept_divergence(images, locations, kind)
        assert info_nce(images, locations).dtype == torch.float32
    torch.testing.assert_close(mixed.double(), exact, rtol=1e-3, atol=1e-6)


if __name__ == '__main__':
    start_processes(train_half, (sys.argv[1],), nprocs=2, start_method='fork')
