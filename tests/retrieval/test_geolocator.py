# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from torchgeo_concepts.concepts import ConceptBank
from torchgeo_concepts.explain import explain_location
from torchgeo_concepts.io.images import UnreadableImageError
from torchgeo_concepts.models import (
    ConceptBasis,
    GeoCLIPLocation,
    ImageLocationAlignment,
    ImageLocationModel,
    ImageTower,
)
from torchgeo_concepts.models.alignment import Align
from torchgeo_concepts.retrieval.candidates import Candidates, candidate_points
from torchgeo_concepts.retrieval.geolocator import Geolocator, clip_preprocess


def shrink(image: Tensor) -> Tensor:
    return F.adaptive_avg_pool2d(image / 255, 4)


@pytest.fixture
def model(bank: ConceptBank, small_encoder: GeoCLIPLocation) -> ImageLocationModel:
    torch.manual_seed(0)
    tower = ImageTower(nn.Flatten(), nn.Linear(48, 6))
    basis = ConceptBasis.random(bank, 6)
    return ImageLocationModel(
        tower, small_encoder, ImageLocationAlignment(basis)
    ).eval()


@pytest.fixture
def points() -> Tensor:
    unit = torch.rand(40, 2, generator=torch.Generator().manual_seed(0))
    return unit * torch.tensor([360, 180]) - torch.tensor([180, 90])


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    colours = ('red', 'green', 'navy')
    paths = [tmp_path / f'{colour}.png' for colour in colours]
    for path, colour in zip(paths, colours, strict=True):
        Image.new('RGB', (30, 20), colour).save(path)
    return paths


class TestBuild:
    def test_candidates_by_name(
        self, model: ImageLocationModel, points: Tensor, tmp_path: Path
    ) -> None:
        table = tmp_path / 'points.csv'
        rows = '\n'.join(f'{lon},{lat}' for lon, lat in points.tolist())
        table.write_text(f'lon,lat\n{rows}')
        named, given = (
            Geolocator.build(model, candidates, preprocess=shrink).gallery
            for candidates in (str(table), points)
        )
        assert (named.points == given.points).all()
        assert (named.vectors == given.vectors).all()

    def test_lattice_by_name(self, model: ImageLocationModel) -> None:
        expected = candidate_points('land:900')
        gallery = Geolocator.build(model, 'land:900').gallery
        assert gallery.area_km2 == 900**2
        assert (gallery.points == expected.points.numpy()).all()

    def test_no_such_candidates(self, model: ImageLocationModel) -> None:
        with pytest.raises(FileNotFoundError, match="neither 'geoclip', 'land:KM'"):
            Geolocator.build(model, 'sea:300')


class TestPredict:
    @pytest.mark.parametrize('space', ['x', 'z'])
    def test_the_same_as_a_full_comparison(
        self, model: ImageLocationModel, points: Tensor, files: list[Path], space: Align
    ) -> None:
        locator = Geolocator.build(
            model, points, space=space, preprocess=shrink, scale=20
        )  # fmt: skip
        found = locator.predict(files, top_k=3, batch_size=2)
        images = torch.stack(
            [
                shrink(torch.tensor(colour).float().view(3, 1, 1).expand(3, 20, 30))
                for colour in ((255, 0, 0), (0, 128, 0), (0, 0, 128))
            ]
        )
        with torch.no_grad():
            aligned = model(images, points)
            pair = (
                (aligned.x_image, aligned.x_location)
                if space == 'x'
                else (aligned.z_image, aligned.z_location)
            )
            cosine = F.normalize(pair[0], dim=1) @ F.normalize(pair[1], dim=1).T
        best, order = cosine.topk(3, dim=1)
        torch.testing.assert_close(found.similarity, best, atol=2e-3, rtol=0)
        probability = (20 * cosine).softmax(dim=1).gather(1, order)
        torch.testing.assert_close(found.probability, probability, atol=2e-3, rtol=0)
        assert found.points.shape == (3, 3, 2)
        assert found.points[:, 0].equal(points[order[:, 0]])

    def test_takes_images_in_any_form(
        self, model: ImageLocationModel, points: Tensor, files: list[Path]
    ) -> None:
        locator = Geolocator.build(model, points, preprocess=shrink)
        paths = locator.predict(files)
        opened = locator.predict([Image.open(path) for path in files])
        strings = locator.predict([str(path) for path in files])
        colours = torch.tensor([[255, 0, 0], [0, 128, 0], [0, 0, 128]])
        tensors = locator.predict(
            colours.view(3, 3, 1, 1).expand(3, 3, 20, 30).to(torch.uint8)
        )
        for other in (opened, strings, tensors):
            assert other.points.equal(paths.points)
        one = locator.predict(files[0], top_k=1)
        assert one.points.shape == (1, 1, 2)
        assert one.points[0, 0].equal(paths.points[0, 0])

    def test_more_than_the_gallery_has(
        self, model: ImageLocationModel, files: list[Path]
    ) -> None:
        locator = Geolocator.build(
            model, torch.tensor([[2.0, 48.0]]), preprocess=shrink
        )
        found = locator.predict(files, top_k=5)
        assert found.points.tolist() == [[[2, 48]]] * 3
        torch.testing.assert_close(found.probability, torch.ones(3, 1))

    def test_frame(
        self, model: ImageLocationModel, points: Tensor, files: list[Path]
    ) -> None:
        locator = Geolocator.build(model, points, preprocess=shrink)
        found = locator.predict(files, top_k=2)
        frame = found.to_frame()
        assert frame['image'].tolist() == [0, 0, 1, 1, 2, 2]
        assert frame['rank'].tolist() == [1, 2] * 3
        assert frame[['lon', 'lat']].to_numpy()[3] == pytest.approx(
            found.points[1, 1].numpy()
        )

    def test_bad_images(
        self, model: ImageLocationModel, points: Tensor, tmp_path: Path
    ) -> None:
        locator = Geolocator.build(model, points, preprocess=shrink)
        with pytest.raises(FileNotFoundError, match='No image .*none.jpg'):
            locator.predict(tmp_path / 'none.jpg')
        (tmp_path / 'text.jpg').write_text('no image')
        with pytest.raises(UnreadableImageError, match=r'text.jpg'):
            locator.predict(tmp_path / 'text.jpg')
        with pytest.raises(ValueError, match='no images'):
            locator.predict([])
        with pytest.raises(ValueError, match=r'shape \(C, H, W\), not \(4, 4\)'):
            locator.predict([torch.zeros(4, 4)])
        with pytest.raises(ValueError, match='Multiply values in 0..1 by 255'):
            locator.predict([torch.full((3, 4, 4), 0.5)])
        with pytest.raises(
            UnreadableImageError, match='mode I;16 does not have 8 bits'
        ):
            locator.predict(Image.new('I;16', (8, 8)))
        with pytest.raises(ValueError, match='top_k must be at least 1'):
            locator.predict(torch.zeros(3, 8, 8), top_k=0)

    def test_kept_gallery(
        self, model: ImageLocationModel, points: Tensor, tmp_path: Path
    ) -> None:
        candidates = Candidates(points, area_km2=25.0)
        locator = Geolocator.build(model, candidates, tmp_path, preprocess=shrink)
        assert locator.gallery.area_km2 == type(locator.gallery).load(tmp_path).area_km2


class TestExplain:
    @pytest.mark.parametrize('align', ['z', 'both'])
    def test_differences_sum_to_that_of_the_similarities(
        self, model: ImageLocationModel, points: Tensor, files: list[Path], align: Align
    ) -> None:
        model.alignment.align = align
        locator = Geolocator.build(model, points, preprocess=shrink)
        found = locator.predict(files[1], top_k=2)
        contrast = explain_location(locator, files[1])
        first, second = contrast.explanations
        assert f'({found.points[0, 1, 0]:.2f}, ' in second.title
        assert second.title.endswith('to the image')
        # The gallery keeps vectors in 16 bits.
        scores = [first.score, second.score]
        assert scores == pytest.approx(found.similarity[0].tolist(), abs=2e-3)
        difference = contrast.difference()
        total = sum(difference.contributions) + difference.unnamed
        assert total == pytest.approx(first.score - second.score, abs=1e-5)
        assert difference.score == first.score - second.score
        assert (difference.unnamed != 0) == (align == 'both')
        names = difference.to_frame()['name']
        assert set(model.alignment.basis.bank.names) <= set(names)
        assert 'rather than' in str(contrast)
        assert len(contrast.plot().axes) == 2

    def test_places_of_choice(
        self, model: ImageLocationModel, points: Tensor, files: list[Path]
    ) -> None:
        locator = Geolocator.build(model, points, preprocess=shrink)
        places = [[2.0, 48.0], [-60.0, -3.0]]
        contrast = explain_location(locator, Image.open(files[0]), points=places)
        titles = [each.title for each in contrast.explanations]
        assert titles == [
            'similarity of (2.00, 48.00) to the image',
            'similarity of (-60.00, -3.00) to the image',
        ]
        image = torch.tensor([255.0, 0, 0]).view(3, 1, 1).expand(3, 20, 30)
        with torch.no_grad():
            aligned = model(shrink(image)[None], torch.tensor(places))
            expected = model.alignment.similarity(aligned)[0]
        scores = [each.score for each in contrast.explanations]
        assert scores == pytest.approx(expected.tolist(), abs=1e-6)

    def test_what_cannot_be_explained(
        self, model: ImageLocationModel, points: Tensor, files: list[Path]
    ) -> None:
        locator = Geolocator.build(model, points, preprocess=shrink)
        images: Any = files
        with pytest.raises(ValueError, match='Expected one image to explain, got 3'):
            explain_location(locator, images)
        with pytest.raises(ValueError, match='needs two explanations, got 1'):
            explain_location(locator, files[0], points=points[:1])
        embedded = Geolocator.build(model, points, space='x', preprocess=shrink)
        with pytest.raises(ValueError, match='sums over features without a name'):
            explain_location(embedded, files[0])


class TestPreprocess:
    def test_is_that_of_clip(self) -> None:
        import open_clip

        image = Image.effect_noise((300, 260), 60).convert('RGB')
        tensor = torch.from_numpy(__import__('numpy').array(image)).permute(2, 0, 1)
        ours = clip_preprocess(tensor.float())
        theirs = open_clip.image_transform(224, is_train=False)(image)
        # Both resize whole numbers: they differ by rounding, one step at most.
        step = 1.01 / 255 / 0.26130258
        assert (ours - theirs).abs().max() <= step
