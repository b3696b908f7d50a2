# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Loading of open_clip models, with downloads only on request."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from torch import nn

# The CLIP model of GeoCLIP, https://arxiv.org/abs/2309.16020, as open_clip names it.
GEOCLIP_MODEL = ('ViT-L-14-quickgelu', 'openai')


def load_clip(
    model: str, pretrained: str | None, *, download: bool = False
) -> nn.Module:
    """Load an open_clip model.

    Args:
        model: Name of an open_clip architecture.
        pretrained: Tag of open_clip weights, or path of a checkpoint. None for random
            weights.
        download: Download the weights if they are not on this machine.

    Returns:
        The model.

    Raises:
        ValueError: If open_clip has no such model or weights.
        FileNotFoundError: If the weights are not on this machine and *download* is
            false.
    """
    import open_clip

    if model not in open_clip.list_models():
        raise ValueError(
            f'open_clip has no model {model!r}. See open_clip.list_models().'
        )
    weights = pretrained
    if pretrained is not None and not Path(pretrained).is_file():
        tags = open_clip.list_pretrained_tags_by_model(model)
        if pretrained not in tags:
            raise ValueError(
                f'{pretrained!r} is neither a file nor weights of {model}. Use one of '
                f'{tags}.'
            )
        weights = _cached_checkpoint(model, pretrained) or pretrained
        if weights == pretrained and not download:
            raise FileNotFoundError(
                f'The weights {pretrained!r} of {model} are not on this machine. Pass '
                'download=True to download them, or pass a checkpoint file as weights.'
            )
    with hub_files(model, download):
        clip: nn.Module = open_clip.create_model(model, pretrained=weights)
    return clip


@contextmanager
def hub_files(model: str, download: bool) -> Iterator[None]:
    """Allow or prevent downloads by the Hugging Face libraries that open_clip uses.

    Args:
        model: Name of the model, for error messages.
        download: Allow downloads.

    Raises:
        FileNotFoundError: If the block needs a file that is not on this machine.
    """
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or not download
    try:
        yield
    except OSError as error:
        if download:
            raise
        raise FileNotFoundError(
            f'The configuration or tokenizer of {model} is not on this machine. Pass '
            'download=True to download it.'
        ) from error
    finally:
        constants.HF_HUB_OFFLINE = before


def _cached_checkpoint(model: str, tag: str) -> str | None:
    """Find weights in the cache of earlier downloads."""
    from huggingface_hub import try_to_load_from_cache
    from open_clip.pretrained import get_pretrained_cfg

    repository, file = os.path.split(get_pretrained_cfg(model, tag).get('hf_hub', ''))
    names = (
        (file,)
        if file
        else ('open_clip_model.safetensors', 'open_clip_pytorch_model.bin')
    )
    for name in names if repository else ():
        path = try_to_load_from_cache(repository, name)
        if isinstance(path, str):
            return path
    return None
