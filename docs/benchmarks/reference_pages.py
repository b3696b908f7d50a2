# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Write the tables of the pages about layers and about the curated bank.

Run as ``python docs/benchmarks/reference_pages.py layers``, or with ``bank``. It prints
the Markdown that ends ``docs/layers.md`` or ``docs/bank.md``.
"""

import argparse
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import replace

from torchgeo_concepts.concepts import REGIONS, ConceptBank
from torchgeo_concepts.layers import LAYERS, Layer, get_layer
from torchgeo_concepts.layers.base import Source
from torchgeo_concepts.layers.grounding import added_concepts, read_groundings
from torchgeo_concepts.layers.rules import Grounding
from torchgeo_concepts.utils.markdown import markdown_table


def layers_page() -> str:
    """Write all layers, and all concepts that they ground, as Markdown.

    No data are read, so the page does not depend on what is installed.

    Returns:
        The sections of the page.
    """
    layers = [get_layer(name) for name in LAYERS]
    curated, added = ConceptBank.default(), added_concepts()
    groundings = read_groundings()
    grounded = sum(grounding.concept in curated for grounding in groundings)
    return (
        f'## The layers ({len(layers)})\n\n{_layer_table(layers)}\n'
        f'## Their terms\n\n{_terms(layers)}\n'
        f'## The concepts ({len(groundings)})\n\n'
        f'Layers ground {grounded} of the {len(curated)} curated concepts and add '
        f'{len(added)} of their own; {len(curated) - grounded} curated concepts have no '
        'layer. A + marks a concept that layers add. Labels of rules marked (log) are '
        f'log10(1 + value).\n\n{_concept_table(groundings, curated, added)}'
    )


def _layer_table(layers: Iterable[Layer]) -> str:
    columns = ('layer', 'what', 'group', 'kind', 'unit', 'km', 'package')
    rows = (
        (
            f'`{layer.name}`',
            layer.title,
            layer.group,
            f'{len(layer.classes)} classes' if layer.classes else 'quantity',
            layer.unit,
            f'{layer.resolution_km:g}' if layer.resolution_km else 'exact',
            layer.source.distribution or 'none',
        )
        for layer in layers
    )
    return markdown_table(columns, rows, right=['km'])


def _terms(layers: Iterable[Layer]) -> str:
    by_source: dict[Source, list[str]] = defaultdict(list)
    for layer in layers:
        # Sources of the same data may read different files.
        by_source[replace(layer.source, files=(), install='')].append(f'`{layer.name}`')
    rows = []
    for source, names in by_source.items():
        # The names of all months would hide the rest.
        listed = ', '.join(names[:6])
        listed += f' and {len(names) - 6} more' if names[6:] else ''
        package = source.distribution or 'no package'
        rows.append((package, source.citation, source.terms, listed))
    return markdown_table(('package', 'data', 'upstream terms', 'layers'), rows)


def _concept_table(
    groundings: Iterable[Grounding], curated: ConceptBank, added: ConceptBank
) -> str:
    by_id = {grounding.concept: grounding for grounding in groundings}
    concepts = [concept for concept in (*curated, *added) if concept.id in by_id]
    categories = list((curated + added).categories)
    rows = []
    for concept in sorted(concepts, key=lambda c: categories.index(c.category)):
        name = concept.name if concept.id in curated.ids else f'{concept.name} +'
        grounding = by_id[concept.id]
        rows.append(
            (name, concept.category, grounding.rule, grounding.unit, grounding.note)
        )
    columns = (
        'concept',
        'category',
        'holds where, or measures',
        'unit',
        'what to know',
    )
    return markdown_table(columns, rows)


def bank_page(bank: ConceptBank) -> str:
    """Write a bank as a Markdown page, with a section for each category.

    Args:
        bank: The bank.

    Returns:
        The page.
    """
    quantities = len(bank.subset(kind='quantity'))
    layers = sum(bool(concept.layer) for concept in bank)
    page = (
        f'{len(bank)} concepts in {len(bank.categories)} categories; {quantities} are '
        f'quantities; {layers} name a kind of map that could show where they are '
        f'present.\n\n{_counts(bank)}'
    )
    for category, number in bank.categories.items():
        table = _category_table(bank.subset(category=category))
        page += f'\n## {category.capitalize()} ({number})\n\n{table}'
    return page


def _counts(bank: ConceptBank) -> str:
    regions = Counter(region for concept in bank for region in concept.regions)
    rows = [(region, f'{regions[region]}') for region in REGIONS if regions[region]]
    everywhere = sum(not concept.regions for concept in bank)
    rows.append(('no region in particular', f'{everywhere}'))
    return markdown_table(('points to', 'concepts'), rows, right=['concepts'])


def _category_table(concepts: ConceptBank) -> str:
    rows = (
        (
            f'{concept.name} ({concept.unit})' if concept.unit else concept.name,
            concept.definition,
            ', '.join(concept.aliases),
            ', '.join(concept.regions),
            concept.source,
        )
        for concept in concepts
    )
    columns = ('concept', 'definition', 'also called', 'points to', 'source')
    return markdown_table(columns, rows)


def main() -> None:
    """Print a page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('page', choices=('layers', 'bank'))
    is_bank = parser.parse_args().page == 'bank'
    print(bank_page(ConceptBank.default()) if is_bank else layers_page(), end='')


if __name__ == '__main__':
    main()
