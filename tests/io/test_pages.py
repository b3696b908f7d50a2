# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

from pathlib import Path

from torchgeo_concepts.io.pages import write_section


def test_sections_are_replaced_and_kept(tmp_path: Path) -> None:
    page = tmp_path / 'page.md'
    write_section(page, ['# A', '', '```python', '# no heading', '```', ''])
    assert page.read_text() == '# A\n\n```python\n# no heading\n```\n'
    write_section(page, ['# B', '', 'b'])
    write_section(page, ['# A', '', '## part', 'a'])
    assert page.read_text() == '# A\n\n## part\na\n\n# B\n\nb\n'
    write_section(page, ['# B', 'new'])
    assert page.read_text() == '# A\n\n## part\na\n\n# B\nnew\n'


def test_what_stands_before_is_kept(tmp_path: Path) -> None:
    page = tmp_path / 'page.md'
    page.write_text('By hand.\n')
    write_section(page, ['# A', 'a'])
    write_section(page, ['# A', 'b'])
    assert page.read_text() == 'By hand.\n\n# A\nb\n'
