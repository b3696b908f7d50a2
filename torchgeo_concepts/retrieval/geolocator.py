# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Geolocation of images, by search of a gallery of candidate points."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import batched
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from ..io.images import read_image, to_tensor
from ..models.image_location import ImageLocationModel
from ..models.image_transforms import CenterCrop, Normalize
from ..utils.modes import evaluating
from .candidates import Candidates, candidate_points
from .gallery import Gallery, Locations, Space, encoder_hash

type ImageLike = str | Path | Image.Image | Tensor
type ImagesLike = ImageLike | Sequence[ImageLike]


type Preprocess = Callable[[Tensor], Tensor]


def clip_preprocess(image: Tensor) -> Tensor:
    """Preprocess an image for CLIP and GeoCLIP.

    Args:
        image: Image of shape ``(3, H, W)`` in 0..255.

    Returns:
        Image of shape ``(3, 224, 224)``.
    """
    prepared: Tensor = Normalize()(CenterCrop()({'image': image}))['image']
    return prepared


@dataclass(eq=False)
class Geolocator:
    """Geolocation of images by search of a gallery.

    The gallery is encoded once. Each image then takes one pass of the image tower and
    one search.

    Attributes:
        model: Model that embeds the images.
        gallery: Gallery of candidates that this model encoded, such as from
            :meth:`build`.
        preprocess: Function that prepares an image of shape ``(C, H, W)`` in 0..255
            for the model. By default, that of CLIP.
        scale: Factor of the similarities in the softmax. A higher factor makes the
            best candidates more probable, and does not change their order.
    """

    model: ImageLocationModel
    gallery: Gallery
    preprocess: Preprocess = field(default_factory=lambda: clip_preprocess)
    scale: float = 100.0

    def __post_init__(self) -> None:
        """Check that the model encoded the gallery.

        Raises:
            ValueError: If another model encoded it.
        """
        if self.gallery.made_by not in (None, encoder_hash(self.model)):
            raise ValueError(
                'Another model encoded the gallery. Use Geolocator.build to encode one.'
            )

    @classmethod
    def build(
        cls,
        model: ImageLocationModel,
        candidates: Candidates | Tensor | str,
        folder: Path | str | None = None,
        *,
        space: Space | None = None,
        preprocess: Preprocess = clip_preprocess,
        scale: float = 100.0,
        download: bool = False,
        progress: bool | None = None,
    ) -> 'Geolocator':
        """Encode candidate points, and build a geolocator that searches them.

        Args:
            model: Model that embeds images and points.
            candidates: Candidate points, a tensor of shape ``(M, 2)``, or a name that
                :func:`~torchgeo_concepts.retrieval.candidates.candidate_points` takes,
                such as ``'land:25'``.
            folder: Folder to write the gallery to. By default, it stays in memory.
            space: ``'x'`` to compare embeddings, ``'z'`` to compare concepts. By default,
                the space that the model was trained to compare.
            preprocess: As for the class.
            scale: As for the class.
            download: Download GeoCLIP's gallery if *candidates* name it and it is not
                on this machine.
            progress: Show a progress bar. By default, on a terminal only.

        Returns:
            The geolocator.

        Raises:
            ValueError: If a name does not describe candidates.
            FileNotFoundError: If the named table or gallery is not on this machine.
        """
        if isinstance(candidates, str):
            candidates = candidate_points(candidates, download=download)
        elif isinstance(candidates, Tensor):
            candidates = Candidates(candidates)
        gallery = Gallery.build(
            model,
            candidates.points,
            folder,
            space=space or model.alignment.align,
            area_km2=candidates.area_km2,
            progress=progress,
        )
        return cls(model, gallery, preprocess, scale)

    @torch.no_grad()
    def predict(
        self,
        images: ImagesLike,
        top_k: int = 5,
        batch_size: int = 32,
        progress: bool | None = None,
    ) -> Locations:
        """Find the locations where images were taken.

        Args:
            images: One image or several: paths, PIL images, or tensors of shape
                ``(C, H, W)`` or ``(N, C, H, W)`` with values in 0..255.
            top_k: Number of candidates for each image; all if there are fewer.
            batch_size: Number of images to embed at a time.
            progress: Show a progress bar. By default, on a terminal only.

        Returns:
            The best candidates of each image, in the order of the images.

        Raises:
            FileNotFoundError: If there is no such file.
            UnreadableImageError: If a file is not an image, or is damaged.
            ValueError: If there are no images.
        """
        several = _as_list(images)
        if not several:
            raise ValueError('There are no images to locate.')
        parts = []
        disable = None if progress is None else not progress
        with (
            evaluating(self.model),
            tqdm(total=len(several), unit='image', disable=disable) as bar,
        ):
            for batch in batched(several, batch_size):
                images = self.prepare(batch)
                queries = self.model.embed_images(images, self.gallery.space)
                parts.append(self.gallery.search(queries, top_k, self.scale))
                bar.update(len(batch))
        return Locations.joined(parts)

    def prepare(self, images: ImagesLike) -> Tensor:
        """Prepare images for the model, on its device.

        Args:
            images: Images in any form that :meth:`predict` takes.

        Returns:
            Preprocessed images of shape ``(N, C, H, W)``.
        """
        prepared = [self.preprocess(_as_tensor(image)) for image in _as_list(images)]
        return torch.stack(prepared).to(next(self.model.parameters()).device)


def _as_list(images: ImagesLike) -> list[ImageLike]:
    if isinstance(images, Tensor) and images.ndim == 4:
        return list(images)
    if isinstance(images, (str, Path, Image.Image, Tensor)):
        return [images]
    return list(images)


def _as_tensor(image: ImageLike) -> Tensor:
    if isinstance(image, Tensor):
        if image.ndim != 3:
            raise ValueError(
                f'An image must have shape (C, H, W), not {tuple(image.shape)}.'
            )
        if image.is_floating_point() and 0 < image.max() <= 1:
            raise ValueError(
                'An image must have values in 0..255. Multiply values in 0..1 by 255.'
            )
        return image.float()
    if isinstance(image, Image.Image):
        return to_tensor(image, 'the image')
    path = Path(image)
    if not path.is_file():
        raise FileNotFoundError(f'No image {path}.')
    return read_image(path, str(path))
