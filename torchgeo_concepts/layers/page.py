# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Layers as people read them: which there are, and which concept each grounds."""

from collections import defaultdict

from ..concepts.bank import Concept, ConceptBank
from . import LAYERS, Layer, get_layer
from .grounding import added_concepts, read_groundings
from .rules import Grounding


def layers_page() -> str:
    """Write all layers, and all concepts that they ground, as Markdown.

    No data are read, so the page is the same whatever is installed.

    Returns:
        The sections of the page.
    """
    layers = [get_layer(name) for name in LAYERS]
    curated, added = ConceptBank.default(), added_concepts()
    groundings = read_groundings()
    grounded = sum(grounding.concept in curated for grounding in groundings)
    summary = (
        f'Layers ground {grounded} of the {len(curated)} curated concepts and add '
        f'{len(added)} of their own; {len(curated) - grounded} curated concepts have no '
        'layer. A concept marked with a + is one that layers add. Labels of rules marked '
        '(log) are log10(1 + value).'
    )
    return '\n'.join(
        [
            f'## The layers ({len(layers)})',
            '',
            *_layer_table(layers),
            '',
            '## Their terms',
            '',
            *_terms(layers),
            '',
            f'## The concepts ({len(groundings)})',
            '',
            summary,
            '',
            *_concept_table(groundings, curated, added),
            '',
        ]
    )


def _layer_table(layers: list[Layer]) -> list[str]:
    lines = [
        '| layer | what | group | kind | unit | km | package |',
        '| --- | --- | --- | --- | --- | ---: | --- |',
    ]
    for layer in layers:
        kind = f'{len(layer.classes)} classes' if layer.classes else 'quantity'
        cells = (
            f'`{layer.name}`',
            layer.title,
            layer.group,
            kind,
            layer.unit,
            f'{layer.resolution_km:g}' if layer.resolution_km else 'exact',
            layer.source.distribution or 'none',
        )
        lines.append(f'| {" | ".join(cells)} |')
    return lines


def _terms(layers: list[Layer]) -> list[str]:
    names: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for layer in layers:
        source = layer.source
        key = (source.distribution or 'no package', source.citation, source.terms)
        names[key].append(f'`{layer.name}`')
    lines = [
        '| package | data | upstream terms | layers |',
        '| --- | --- | --- | --- |',
    ]
    for (package, citation, terms), of in names.items():
        # The months would hide the rest.
        listed = ', '.join(of[:6]) + (f' and {len(of) - 6} more' if of[6:] else '')
        lines.append(f'| {package} | {citation} | {terms} | {listed} |')
    return lines


def _concept_table(
    groundings: tuple[Grounding, ...], curated: ConceptBank, added: ConceptBank
) -> list[str]:
    concepts = [*curated, *added]
    by_id = {grounding.concept: grounding for grounding in groundings}
    lines = [
        '| concept | category | holds where, or measures | unit | what to know |',
        '| --- | --- | --- | --- | --- |',
    ]
    categories = list(dict.fromkeys(concept.category for concept in concepts))
    for category in categories:
        for concept in concepts:
            if concept.category == category and concept.id in by_id:
                lines.append(_concept_row(concept, by_id[concept.id], curated))
    return lines


def _concept_row(concept: Concept, grounding: Grounding, curated: ConceptBank) -> str:
    mark = '' if concept.id in curated.ids else ' +'
    cells = (
        concept.name + mark,
        concept.category,
        grounding.rule,
        grounding.unit,
        grounding.note,
    )
    return f'| {" | ".join(cells)} |'
