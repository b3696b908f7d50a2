# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Directions of concepts in an embedding space, computed from their texts."""

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from tqdm import tqdm

from ..utils.files import atomic_path
from ..utils.hashing import hash_state
from ..utils.modes import evaluating
from ..utils.open_clip_weights import GEOCLIP_MODEL, hub_files, load_clip
from .bank import ConceptBank

# Sentences around a prompt, one for each kind of photo.
TEMPLATES = (
    'a photo of {}.',
    'a street-level photo of {}.',
    'a travel photo of {}.',
    'a photo of {} in the landscape.',
)

# Text whose vector identifies an encoder.
PROBE = 'a photo of a windmill on a hill.'


@runtime_checkable
class TextEncoder(Protocol):
    """Function from texts to vectors.

    An encoder may have a ``fingerprint``, a string that differs between encoders. Vectors
    of encoders without it are not cached.
    """

    def __call__(self, texts: list[str]) -> Tensor:
        """Encode texts.

        Args:
            texts: ``N`` texts.

        Returns:
            Vectors of shape ``(N, d)``.
        """
        ...


class OpenCLIPText:
    """Text tower of an open_clip model."""

    def __init__(
        self, model: nn.Module, tokenizer: Callable[[list[str]], Tensor]
    ) -> None:
        """Initialize a new OpenCLIPText instance.

        Args:
            model: A model with the method ``encode_text`` of open_clip.
            tokenizer: Its tokenizer.
        """
        self.model = model.eval()
        self.tokenizer = tokenizer

    @classmethod
    def from_pretrained(
        cls,
        model: str = GEOCLIP_MODEL[0],
        pretrained: str = GEOCLIP_MODEL[1],
        *,
        download: bool = False,
    ) -> 'OpenCLIPText':
        """Load a pre-trained model.

        Args:
            model: Name of an open_clip architecture. By default, that of GeoCLIP.
            pretrained: Tag of open_clip weights, or path of a checkpoint.
            download: Download the weights if they are not on this machine.

        Returns:
            The text tower.

        Raises:
            ValueError: If open_clip has no such model or weights.
            FileNotFoundError: If the weights are not on this machine and *download* is
                false.
        """
        import open_clip

        clip = load_clip(model, pretrained, download=download)
        with hub_files(model, download):
            return cls(clip, open_clip.get_tokenizer(model))

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the weights and of the tokens of a sample text."""
        tokens = self.tokenizer(['A concept, tokenised.']).tolist()
        state = {
            name: value
            for name, value in self.model.state_dict().items()
            if not name.startswith('visual.')
        }
        return hash_state(state, f'{type(self.tokenizer).__qualname__} {tokens}')

    @torch.no_grad()
    def __call__(self, texts: list[str]) -> Tensor:
        """Encode texts.

        Args:
            texts: ``N`` texts.

        Returns:
            Vectors of shape ``(N, d)``, not normalised, on the CPU.
        """
        device = next(self.model.parameters()).device
        encode: Any = self.model.encode_text
        vectors: Tensor = encode(self.tokenizer(texts).to(device))
        return vectors.float().cpu()


def encode_text(
    bank: ConceptBank,
    encoder: TextEncoder,
    *,
    head: nn.Module | None = None,
    templates: Sequence[str] = TEMPLATES,
    batch_size: int = 256,
    cache: Path | str | bool = True,
    progress: bool | None = None,
) -> Tensor:
    """Encode the texts of a bank into one direction for each concept.

    Each prompt of a concept is inserted into each template. The vectors of all texts of a
    concept are normalised, averaged, and normalised again.

    Args:
        bank: The concepts.
        encoder: An :class:`OpenCLIPText`, or any function from texts to vectors.
        head: Module to apply to the vectors. GeoCLIP's image head,
            :func:`~torchgeo_concepts.models.geoclip_image_mlp`, maps the text vectors of
            CLIP ViT-L/14 into the space of locations, as for GeoCLIP's text queries.
        templates: Sentences with ``{}`` in place of the prompt.
        batch_size: Number of texts to encode at a time.
        cache: Folder in which results are cached; True for a folder next to torch's
            downloads, False for no cache. File names depend on the texts, the
            templates, the encoder and the head, so results are never out of date.
        progress: Show a progress bar. By default, only on a terminal.

    Returns:
        Unit vectors of shape ``(k, d)``, in the order of the bank, in float32.

    Raises:
        ValueError: If a template has no ``{}``, the bank is empty, or the encoder does
            not return one vector for each text.
    """
    for template in templates:
        if '{}' not in template:
            raise ValueError(f'The template {template!r} has no {{}} for the prompt.')
    if not len(bank):
        raise ValueError('The bank has no concepts to encode.')
    texts = [
        [
            template.format(prompt)
            for prompt in concept.prompts or (concept.name,)
            for template in templates
        ]
        for concept in bank
    ]
    file = _cache_file(texts, encoder, head, cache)
    if file is not None and file.is_file():
        try:
            directions = load_file(file)['directions']
        except (SafetensorError, KeyError):
            # Overwrite a damaged file.
            pass
        else:
            return directions
    directions = _encode(texts, encoder, head, batch_size, progress)
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(file) as temporary:
            save_file({'directions': directions}, temporary)
    return directions


@torch.no_grad()
def _vectors(texts: list[str], encoder: TextEncoder, head: nn.Module | None) -> Tensor:
    vectors = torch.as_tensor(encoder(texts)).float()
    if vectors.ndim != 2 or len(vectors) != len(texts):
        raise ValueError(
            f'The encoder returned shape {tuple(vectors.shape)} for {len(texts)} texts; '
            'it must return one vector for each text.'
        )
    if head is None:
        return vectors
    with evaluating(head):
        projected: Tensor = head(vectors)
    return projected


def _encode(
    texts: list[list[str]],
    encoder: TextEncoder,
    head: nn.Module | None,
    batch_size: int,
    progress: bool | None,
) -> Tensor:
    flat = list(itertools.chain.from_iterable(texts))
    owner = torch.tensor([k for k, group in enumerate(texts) for _ in group])
    parts = []
    disable = None if progress is None else not progress
    with tqdm(total=len(flat), unit='text', disable=disable) as bar:
        for start in range(0, len(flat), batch_size):
            batch = flat[start : start + batch_size]
            parts.append(F.normalize(_vectors(batch, encoder, head), dim=1))
            bar.update(len(batch))
    vectors = torch.cat(parts)
    sums = vectors.new_zeros(len(texts), vectors.shape[1]).index_add_(0, owner, vectors)
    return F.normalize(sums, dim=1)


def _cache_file(
    texts: list[list[str]],
    encoder: TextEncoder,
    head: nn.Module | None,
    cache: Path | str | bool,
) -> Path | None:
    fingerprint = getattr(encoder, 'fingerprint', None)
    if cache is False or fingerprint is None:
        return None
    folder = Path(torch.hub.get_dir(), 'torchgeo_concepts') if cache is True else cache
    # Encoders and heads with equal weights can differ, as in their activation.
    probe = _vectors([PROBE], encoder, head).tolist()
    state = {} if head is None else head.state_dict()
    digest = hash_state(state, repr((texts, fingerprint, probe)))
    return Path(folder) / f'text-{digest[:32]}.safetensors'
