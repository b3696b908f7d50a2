# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

import copy
import pickle
import re
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from torchgeo_concepts.models import (
    GeoCLIPImageMLP_Weights,
    GeoCLIPLocation,
    GeoCLIPLocation_Weights,
    geoclip_gallery,
    geoclip_image_mlp,
    geoclip_location,
    geoclip_logit_scale,
)
from torchgeo_concepts.models._chunks import CPU_CHUNK
from torchgeo_concepts.models.geoclip import (
    FourierFeatures,
    GeoCLIPGallery_Weights,
    GeoCLIPLogitScale_Weights,
    equal_earth,
)


@pytest.fixture(scope='module')
def points() -> Tensor:
    """20,000 points with the poles, the antimeridian and both sides of 0."""
    generator = torch.Generator().manual_seed(0)
    unit = torch.rand(20_000, 2, generator=generator)
    points = unit * torch.tensor([360, 180]) - torch.tensor([180, 90])
    edges = torch.tensor([0.0, -0.0, 1e-6, -1e-6, 1e-30, 0.1, -0.1, 45.0, -45.0])
    lon = torch.cat((edges, torch.tensor([180, -180, 179.99999, -179.99999])))
    lat = torch.cat((edges, torch.tensor([90, -90, 89.99999, -89.99999])))
    special = torch.cartesian_prod(lon, lat)
    points[: len(special)] = special
    return points


class TestParity:
    def test_with_the_geoclip_package(
        self, geoclip: GeoCLIPLocation, points: Tensor
    ) -> None:
        from geoclip import LocationEncoder

        # GeoCLIP takes (lat, lon).
        theirs = LocationEncoder().eval().requires_grad_(False)(points.flip(1))
        with torch.no_grad():
            assert (geoclip(points) - theirs).abs().max() <= 1e-5
        # Gradients take another path.
        assert (geoclip(points[:2000]) - theirs[:2000]).abs().max() <= 1e-5

    def test_image_mlp_and_logit_scale(self) -> None:
        assert geoclip_image_mlp().training
        installed = Path(GeoCLIPImageMLP_Weights.MP16.path()).parent
        theirs = nn.Sequential(nn.Linear(768, 768), nn.ReLU(), nn.Linear(768, 512))
        theirs.load_state_dict(
            torch.load(installed / 'image_encoder_mlp_weights.pth', weights_only=True)
        )
        x = torch.randn(5, 768)
        ours = geoclip_image_mlp(weights=GeoCLIPImageMLP_Weights.MP16)
        torch.testing.assert_close(ours(x), theirs(x))
        assert not ours.training
        scale = torch.load(installed / 'logit_scale_weights.pth', weights_only=True)
        assert geoclip_logit_scale().equal(scale)
        assert scale.exp().item() == pytest.approx(39.7, abs=0.1)

    def test_gallery(self) -> None:
        from geoclip.model.misc import load_gps_data

        file = GeoCLIPGallery_Weights.MP16_100K.path()
        gallery = geoclip_gallery()
        assert gallery.shape == (100_000, 2)
        assert gallery.equal(load_gps_data(file).flip(1))


class TestGeoCLIPLocation:
    def test_chunks_do_not_show(self, small_encoder: GeoCLIPLocation) -> None:
        points = torch.rand(2 * CPU_CHUNK + 3, 2) * 90
        with torch.no_grad():
            chunked = small_encoder(points)
        torch.testing.assert_close(chunked, small_encoder(points).detach())

    @pytest.mark.parametrize('grad', [False, True])
    def test_empty(self, small_encoder: GeoCLIPLocation, grad: bool) -> None:
        with torch.set_grad_enabled(grad):
            assert small_encoder(torch.zeros(0, 2)).shape == (0, 6)

    @pytest.mark.parametrize('dtype', [torch.float32, torch.float64, torch.int64])
    def test_input_types(
        self, small_encoder: GeoCLIPLocation, dtype: torch.dtype
    ) -> None:
        embedding = small_encoder(torch.tensor([[10, 50]], dtype=dtype))
        assert embedding.dtype == torch.float32
        assert embedding.equal(small_encoder(torch.tensor([[10.0, 50.0]])))

    def test_longitude_is_periodic(self, small_encoder: GeoCLIPLocation) -> None:
        near, far = torch.tensor([[-170.0, 5.0]]), torch.tensor([[190.0, 5.0]])
        assert small_encoder(near).equal(small_encoder(far))

    def test_bad_points(self, small_encoder: GeoCLIPLocation) -> None:
        with pytest.raises(ValueError, match='Row 1'):
            small_encoder(torch.tensor([[0.0, 0.0], [0.0, 91.0]]))

    def test_gradients_are_finite_at_the_poles(
        self, small_encoder: GeoCLIPLocation
    ) -> None:
        points = torch.tensor([[0.0, 90.0], [180.0, -90.0], [0.0, 0.0]])
        points.requires_grad_()
        small_encoder(points).sum().backward()
        assert points.grad is not None
        assert points.grad.isfinite().all()

    def test_gradient_is_the_derivative(self) -> None:
        encoder = GeoCLIPLocation((1,), 4, 8, 6).double()
        points = torch.tensor([[12.0, 34.0]], dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(encoder, (points,))

    def test_compiles_whole(self, small_encoder: GeoCLIPLocation) -> None:
        points = torch.rand(7, 2)
        compiled = torch.compile(small_encoder, fullgraph=True, backend='aot_eager')
        torch.testing.assert_close(compiled(points), small_encoder(points))

    def test_exports(self, small_encoder: GeoCLIPLocation) -> None:
        batch = torch.export.Dim('batch')
        program = torch.export.export(
            small_encoder, (torch.rand(7, 2),), dynamic_shapes=({0: batch},)
        )
        points = torch.rand(2 * CPU_CHUNK, 2)
        torch.testing.assert_close(
            program.module()(points), small_encoder(points).detach()
        )

    def test_state_dict_round_trip(self, small_encoder: GeoCLIPLocation) -> None:
        other = GeoCLIPLocation(num_frequencies=4, hidden_dim=8, embed_dim=6).eval()
        other.load_state_dict(small_encoder.state_dict())
        points = torch.rand(3, 2)
        assert other(points).equal(small_encoder(points))

    def test_copies(self, small_encoder: GeoCLIPLocation) -> None:
        points = torch.rand(3, 2)
        assert copy.deepcopy(small_encoder)(points).equal(small_encoder(points))


class TestHalfPrecision:
    @pytest.fixture(scope='class')
    def reference(self, geoclip: GeoCLIPLocation, points: Tensor) -> Tensor:
        with torch.no_grad():
            embedding: Tensor = geoclip(points[:2000])
        return embedding

    def test_bfloat16_model(
        self, geoclip: GeoCLIPLocation, points: Tensor, reference: Tensor
    ) -> None:
        half = copy.deepcopy(geoclip).bfloat16()
        with torch.no_grad():
            embedding = half(points[:2000])
        assert embedding.dtype == torch.bfloat16
        cosine = torch.cosine_similarity(embedding.float(), reference)
        assert cosine.min() > 0.999

    def test_autocast(
        self, geoclip: GeoCLIPLocation, points: Tensor, reference: Tensor
    ) -> None:
        with torch.no_grad(), torch.autocast('cpu', torch.bfloat16):
            embedding = geoclip(points[:2000])
        cosine = torch.cosine_similarity(embedding.float(), reference)
        assert cosine.min() > 0.999

    def test_frequencies_stay_exact(self) -> None:
        fourier = FourierFeatures(256)
        exact = fourier.frequencies.clone()
        fourier.bfloat16()
        assert fourier.frequencies.equal(exact)
        assert fourier.half().frequencies.dtype == torch.float32
        assert fourier.double().frequencies.dtype == torch.float64
        assert fourier.frequencies.equal(exact.double())
        assert fourier.to('meta').frequencies.is_meta


class TestEqualEarth:
    def test_agrees_with_proj(self) -> None:
        from pyproj import Transformer

        lon, lat = torch.rand(2, 100, dtype=torch.float64) * 180 - 90
        # On a unit sphere, as GeoCLIP has it.
        eqearth = Transformer.from_crs('+proj=lonlat +R=1', '+proj=eqearth +R=1')
        x, y = eqearth.transform(lon.numpy(), lat.numpy())
        ours = equal_earth(torch.stack((lon, lat), dim=1)) * 180 / 66.50336
        torch.testing.assert_close(ours[:, 0], torch.from_numpy(x))
        torch.testing.assert_close(ours[:, 1], torch.from_numpy(y))


class TestWeights:
    def test_no_number_is_subnormal(self) -> None:
        for name, value in GeoCLIPLocation_Weights.MP16.get_state_dict().items():
            smallest = value[value != 0].abs().min()
            assert smallest >= 1e-20, name

    def test_builder(self, geoclip: GeoCLIPLocation) -> None:
        assert not geoclip.training
        assert geoclip.embed_dim == 512
        assert geoclip_location(embed_dim=7).training

    @pytest.mark.parametrize('weights', ['GeoCLIPLocation_Weights.MP16', 'MP16'])
    def test_names(self, weights: str) -> None:
        assert GeoCLIPLocation_Weights.verify(weights) is GeoCLIPLocation_Weights.MP16

    def test_unknown_name(self) -> None:
        message = "GeoCLIPLocation_Weights has no 'MP17'. Did you mean 'MP16'?"
        with pytest.raises(ValueError, match=re.escape(message)):
            geoclip_location(weights='MP17')

    @pytest.mark.parametrize(
        'member',
        [
            GeoCLIPGallery_Weights.MP16_100K,
            GeoCLIPImageMLP_Weights.MP16,
            GeoCLIPLocation_Weights.MP16,
            GeoCLIPLogitScale_Weights.MP16,
        ],
    )
    def test_contract_of_torchvision(self, member: GeoCLIPLocation_Weights) -> None:
        assert pickle.loads(pickle.dumps(member)) is member
        assert copy.deepcopy(member) is member
        assert isinstance(member.transforms(), nn.Identity)
        assert member.meta['publication'].startswith('https://doi.org/')
        # As TorchGeo's tasks call it.
        assert member.get_state_dict(progress=True)
