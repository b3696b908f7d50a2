# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Concept directions from the texts of a bank, written to a file."""

from pathlib import Path

from safetensors.torch import save_file

from ..concepts.text import PROBE, OpenCLIPText, encode_text
from ..layers.named_banks import read_bank
from ..models.geoclip import geoclip_image_mlp
from ..utils.devices import Device, find_device
from ..utils.files import atomic_path, check_writable
from ..utils.open_clip_weights import GEOCLIP_MODEL


def write_text_directions(
    output: Path,
    bank: str | None = None,
    model: str = GEOCLIP_MODEL[0],
    weights: str = GEOCLIP_MODEL[1],
    head_weights: str | None = 'GeoCLIPImageMLP_Weights.MP16',
    device: Device = 'auto',
    download: bool = False,
    progress: bool | None = None,
) -> str:
    """Encode the texts of a bank with CLIP, as initial directions for alignment.

    Args:
        output: Safetensors file to write, whose ``directions`` are unit vectors in the
            order of the bank.
        bank: CSV or YAML file of concepts, or ``general`` for the bank of common nouns.
            By default, the curated one.
        model: Name of an open_clip architecture. By default, that of GeoCLIP.
        weights: Tag of open_clip weights, or path of a checkpoint.
        head_weights: Weights of GeoCLIP's head, which maps texts, like images, to the
            space of locations. None for no head.
        device: Device to compute on. By default, a GPU if there is one.
        download: Download weights that are not on this machine.
        progress: Show a progress bar. By default, on a terminal only.

    Returns:
        A report in one line.

    Raises:
        ValueError: If there is no such bank, model or device, or if the head does not
            accept the features of the model.
        OSError: If weights are not on this machine and *download* is false, or the file
            cannot be written.
    """
    output = Path(output)
    if output.suffix != '.safetensors':
        raise ValueError(f'{output} must end in .safetensors.')
    check_writable(output)
    place = find_device(device)
    concepts = read_bank(bank)
    encoder = OpenCLIPText.from_pretrained(model, weights, download=download)
    encoder.model.to(place)
    head = None
    if head_weights is not None:
        width = encoder([PROBE]).shape[1]
        if width != 768:
            raise ValueError(
                f"GeoCLIP's head takes 768 features; {model} has {width}. Pass "
                "head_weights='null' for no head."
            )
        head = geoclip_image_mlp(head_weights, download=download)
    directions = encode_text(concepts, encoder, head=head, progress=progress)
    with atomic_path(output) as temporary:
        save_file({'directions': directions.contiguous()}, temporary)
    number, width = directions.shape
    return f'directions of {number:,} concepts, {width} numbers each: {output}'
