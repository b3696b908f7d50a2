# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from torchgeo_concepts.candidates import Candidates
from torchgeo_concepts.concepts import ConceptBank
from torchgeo_concepts.datasets import UnreadableImageError
from torchgeo_concepts.geolocate import Geolocator, clip_preprocess
from torchgeo_concepts.models import (
    ConceptAlignment,
    ConceptBasis,
    GeoCLIPLocation,
    ImageLocationModel,
    ImageTower,
)


def shrink(image: Tensor) -> Tensor:
    return F.adaptive_avg_pool2d(image / 255, 4)


@pytest.fixture
def model(bank: ConceptBank, small_encoder: GeoCLIPLocation) -> ImageLocationModel:
    torch.manual_seed(0)
    tower = ImageTower(nn.Flatten(), nn.Linear(48, 6))
    basis = ConceptBasis.random(bank, 6)
    return ImageLocationModel(tower, small_encoder, ConceptAlignment(basis)).eval()


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


class TestPredict:
    @pytest.mark.parametrize('space', ['x', 'z'])
    def test_the_same_as_a_full_comparison(
        self, model: ImageLocationModel, points: Tensor, files: list[Path], space: str
    ) -> None:
        locator = Geolocator.build(
            model, points, space=space, preprocess=shrink, scale=20  # type: ignore[arg-type]
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
        with pytest.raises(ValueError, match='Multiply one in 0..1 by 255'):
            locator.predict([torch.full((3, 4, 4), 0.5)])
        with pytest.raises(UnreadableImageError, match='mode I;16 is not 8 bits'):
            locator.predict(Image.new('I;16', (8, 8)))
        with pytest.raises(ValueError, match='top_k must be at least 1'):
            locator.predict(torch.zeros(3, 8, 8), top_k=0)

    def test_kept_gallery(
        self, model: ImageLocationModel, points: Tensor, tmp_path: Path
    ) -> None:
        candidates = Candidates(points, area_km2=25.0)
        locator = Geolocator.build(model, candidates, tmp_path, preprocess=shrink)
        assert locator.gallery.area_km2 == type(locator.gallery).load(tmp_path).area_km2


class TestPreprocess:
    def test_is_that_of_clip(self) -> None:
        import open_clip

        image = Image.effect_noise((300, 260), 60).convert('RGB')
        tensor = torch.from_numpy(__import__('numpy').array(image)).permute(2, 0, 1)
        ours = clip_preprocess()(tensor.float())
        theirs = open_clip.image_transform(224, is_train=False)(image)
        # Both resize whole numbers: they differ by rounding, one step at most.
        step = 1.01 / 255 / 0.26130258
        assert (ours - theirs).abs().max() <= step
