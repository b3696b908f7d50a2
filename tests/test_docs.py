# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

import re
import shlex
from pathlib import Path

import pytest
from torchgeo.main import main
from torchgeo.models import get_model_weights

from torchgeo_concepts.cli import main as concepts_main
from torchgeo_concepts.concepts import ConceptBank
from torchgeo_concepts.concepts.building import build_bank

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / 'README.md', *sorted((ROOT / 'docs').rglob('*.md'))]
CODE = re.compile(r'^```python\n(.*?)^```$', re.MULTILINE | re.DOTALL)
YAML = re.compile(r'^```yaml\n(.*?)^```$', re.MULTILINE | re.DOTALL)
MAP = re.compile(r'^\$ torchgeo-concepts (map --checkpoint .*)$', re.MULTILINE)
LINK = re.compile(r'\]\((?!https?:)([^)#]+)')


@pytest.mark.filterwarnings('ignore:.*does not have many workers')
@pytest.mark.filterwarnings('ignore:.*`isinstance.treespec')
@pytest.mark.filterwarnings('ignore:.*lr_scheduler.step')
@pytest.mark.parametrize(
    'page',
    [page for page in PAGES if CODE.search(page.read_text())],
    ids=lambda p: p.name,
)
def test_code_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / 'docs').symlink_to(ROOT / 'docs')
    monkeypatch.chdir(tmp_path)
    code = '\n'.join(CODE.findall(page.read_text()))
    exec(compile(code, page.name, 'exec'), {'__name__': page.stem})


@pytest.mark.filterwarnings("ignore:LightningCLI's args parameter")
@pytest.mark.filterwarnings('ignore:.*does not have many workers')
@pytest.mark.filterwarnings('ignore:.*tensorboard')
@pytest.mark.filterwarnings('ignore:.*`isinstance.treespec')
@pytest.mark.filterwarnings('ignore:.*module.s. in eval mode')
@pytest.mark.filterwarnings('ignore:The dirpath has changed')
@pytest.mark.filterwarnings('ignore:The number of training batches')
def test_configuration_trains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (ROOT / 'docs/from-csv.md').read_text()
    monkeypatch.chdir(tmp_path)
    # The first block makes the table.
    exec(CODE.findall(page)[0], {})
    [config] = YAML.findall(page)
    Path('page.yaml').write_text(config)
    main(['fit', '--config', 'page.yaml'])
    [checkpoint] = Path().rglob('*.ckpt')
    capsys.readouterr()
    options = ['--config', 'page.yaml', '--ckpt_path', str(checkpoint)]
    main(['test', *options])
    [row] = re.findall(r'°C\] \| (\S+) ', capsys.readouterr().out)
    assert float(row) > 0.8
    main(['predict', *options])
    assert Path('predictions.parquet').is_file()
    [words] = MAP.findall(page)
    words = shlex.split(words.replace('CHECKPOINT', str(checkpoint)))
    assert concepts_main(words) == 0
    assert Path('checkpoint.tif').is_file()
    assert Path('checkpoint.png').is_file()


@pytest.mark.parametrize('page', PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text()):
        assert (page.parent / target).exists(), target


def test_banks_combine_as_the_documentation_says(tmp_path: Path) -> None:
    curated, examples = tmp_path / 'curated.csv', ROOT / 'docs' / 'examples'
    ConceptBank.default().save(curated)
    kenya = build_bank(
        tmp_path / 'kenya',
        tables=[examples / 'kenya.csv'],
        answers=[examples / 'kenya_answers.jsonl'],
    )
    both = build_bank(
        tmp_path / 'both', tables=[curated, tmp_path / 'kenya' / 'bank.csv']
    )
    assert len(both.bank) == len(ConceptBank.default()) + len(kenya.bank)
    assert both.undecided == 4


def test_page_of_the_bank_is_that_of_the_bank() -> None:
    from reference_pages import bank_page

    text = (ROOT / 'docs' / 'bank.md').read_text()
    assert text.endswith(bank_page(ConceptBank.default()))


def test_configurations_that_pages_name_exist() -> None:
    named = {
        (page.name, path)
        for page in PAGES
        for path in re.findall(r'docs/configs/[\w.-]+\.yaml', page.read_text())
    }
    assert len(named) > 3
    assert [item for item in named if not (ROOT / item[1]).is_file()] == []


def test_sizes_of_networks_are_those_of_the_weights() -> None:
    page = (ROOT / 'docs' / 'concept_earth.md').read_text()
    sizes = re.findall(r'^\| `(\w+)`[^|]*\| 2 x (\d+) \|', page, re.MULTILINE)
    assert dict(sizes) == {
        weights.name: str(weights.meta['hidden_dim'])
        for weights in get_model_weights('concept_earth')
    }
