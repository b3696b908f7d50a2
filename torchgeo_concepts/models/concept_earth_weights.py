# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Released weights of ConceptEarth, and the function that builds it."""

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torchvision.models._api import Weights

from ..concepts.bank import ConceptBank
from ._weights import PackagedWeights
from .concept_earth import ConceptEarth

# Groups of layers, written out because importing layers takes time.
_ALL_GROUPS = (
    'climate',
    'terrain',
    'land-cover',
    'people',
    'water',
    'imagery',
    'geometry',
    'own',
)

_DATA = resources.files('torchgeo_concepts.models') / 'data'


def _packaged(name: str, sha256: str, **meta: Any) -> Weights:
    file = Path(str(_DATA / f'concept_earth_{name}.safetensors'))
    return Weights(
        url=file.as_uri(),
        transforms=nn.Identity,
        meta={
            'model': 'concept_earth',
            'file': file,
            'sha256': sha256,
            'embed_dim': 512,
            'teacher': 'GeoCLIPLocation_Weights.MP16',
            'license': 'CC-BY-4.0',
            'publication': 'https://doi.org/10.48550/arXiv.2509.01910',
            **meta,
        },
    )


class ConceptEarth_Weights(PackagedWeights):
    """Weights of ConceptEarth, which are part of this package.

    Each file holds its concepts. ``ConceptEarth.provenance`` lists the versions of the
    training layers, the training settings and held-out scores, and ``meta`` lists the
    groups of layers that were excluded.
    """

    GROUNDED = _packaged(
        'grounded',
        'e4208ea779be099ad9a54c4ce8ad0ce1ce001f8f750cba8902d3487a0078cbd9',
        exclude_groups=('imagery',),
        hidden_dim=512,
    )
    FAST = _packaged(
        'fast',
        '9515916a208511f6ebc947b6564afe16253f54537b824a088b7c5625fcdb9473',
        exclude_groups=('imagery',),
        hidden_dim=256,
    )
    NO_CLIMATE = _packaged(
        'no_climate',
        '5d0e875c53720ff8a5c4afbfe293348a8f477bd17efbffbc625a8cadfbaf01d9',
        exclude_groups=('imagery', 'climate'),
        hidden_dim=256,
    )
    NO_PEOPLE = _packaged(
        'no_people',
        '54b77c8f9d5cd87d9fbf6649f166cbe6ca212df731070aa1fda8c7da17317046',
        exclude_groups=('imagery', 'people'),
        hidden_dim=256,
    )
    DISTILLED = _packaged(
        'distilled',
        '6285d838e9ff756069756979eb189af58df72269868acd142fa119c0bdf29f6c',
        exclude_groups=_ALL_GROUPS,
        hidden_dim=256,
    )
    HELD_OUT = _packaged(
        'held_out',
        'f4633fc11c26f18305083638f0352c399cf503af0e120f885e0338dd08a5ecc6',
        exclude_groups=('imagery',),
        hidden_dim=512,
        blocks='train',
    )

    def get_state_dict(self, *args: Any, **kwargs: Any) -> Mapping[str, Tensor]:
        """Read the weights in the layout of the model.

        Args:
            *args: Not used; TorchGeo and torchvision pass them.
            **kwargs: Not used; TorchGeo and torchvision pass them.

        Returns:
            The model's state dictionary, on the CPU.
        """
        return ConceptEarth.load(self.path()).state_dict()


def concept_earth(
    weights: ConceptEarth_Weights | str | None = None,
    bank: ConceptBank | None = None,
    *,
    truncate_dim: int | None = None,
    **kwargs: Any,
) -> ConceptEarth:
    """Build a compact encoder with embeddings in GeoCLIP's space and named concepts.

    If you use this model in your research, please cite the following papers:

    * https://doi.org/10.48550/arXiv.2509.01910
    * https://doi.org/10.48550/arXiv.2309.16020

    Args:
        weights: Pre-trained weights, or their name. If provided, the returned model is
            set to eval mode.
        bank: The concepts of a model without weights. By default, the curated bank.
        truncate_dim: Number of principal components of the embedding to return, at
            most 128; see :meth:`ConceptEarth.truncate`.
        **kwargs: Additional keyword arguments to pass to
            :class:`~torchgeo_concepts.models.ConceptEarth` if *weights* is None.

    Returns:
        A location encoder.

    Raises:
        ValueError: If both weights and arguments that they determine are given.
    """
    member: ConceptEarth_Weights | None = ConceptEarth_Weights.verify(weights)
    if member is None:
        model = ConceptEarth(ConceptBank.default() if bank is None else bank, **kwargs)
    elif bank is not None or kwargs:
        given = sorted(kwargs) + ['bank'] * (bank is not None)
        raise ValueError(f'The weights determine {given}. Omit these arguments.')
    else:
        model = ConceptEarth.load(member.path())
    return model.truncate(truncate_dim)
