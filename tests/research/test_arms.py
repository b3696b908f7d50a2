# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

from typing import Any

import pytest
import yaml
from alignment_study import ARMS, load_arm
from alignment_study.arms import CONFIGS
from torchgeo.main import main

# What each arm may change of what all share.
OF_ARMS = {
    'align',
    'bank',
    'freeze',
    'image_projection',
    'location_weights',
    'loss',
    'supervision',
    'text_embeddings',
    'unit',
}

# What those with a pretrained image tower change besides.
OF_TOWERS = {'image_tower', 'image_weights'}

# Groups of which an arm may change a part.
GROUPS = ('loss', 'optimizer')


@pytest.fixture
def base() -> dict[str, Any]:
    shared: dict[str, Any] = yaml.safe_load((CONFIGS / 'base.yaml').read_text())
    return shared


@pytest.mark.filterwarnings("ignore:LightningCLI's args parameter")
@pytest.mark.parametrize(
    'name',
    ['plain', 'paper-tied', 'no-climate', 'geoclip-grounded', 'pretrained-plain'],
)
def test_torchgeo_takes_it_as_the_study_does(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [str(CONFIGS / f'{part}.yaml') for part in ('base', name)]
    with pytest.raises(SystemExit) as stop:
        main(['fit', '--config', files[0], '--config', files[1], '--print_config'])
    assert stop.value.code == 0
    shown = yaml.safe_load(capsys.readouterr().out)
    arm = load_arm(name)
    for part in ('model', 'data'):
        assert shown[part]['class_path'] == arm.config[part]['class_path']
        found, own = shown[part]['init_args'], dict(arm.config[part]['init_args'])
        for group in GROUPS if part == 'model' else ():
            assert found.pop(group).items() >= own.pop(group).items()
        assert found.items() >= own.items()
    assert shown['trainer'].items() >= arm.config['trainer'].items()


@pytest.mark.parametrize('name', ARMS)
def test_differs_in_the_alignment_alone(name: str, base: dict[str, Any]) -> None:
    arm = load_arm(name)
    assert arm.remark.endswith('.')
    own = arm.model
    shared = base['model']['init_args']
    pretrained = name.startswith('pretrained-')
    towers = OF_TOWERS if pretrained else set()
    assert {key for key in own if own[key] != shared.get(key)} <= OF_ARMS | towers
    labels = {'exclude_groups', 'map_number', 'rotate_degrees'}
    labels |= {'size', 'mean', 'std'} if pretrained else set()
    data, same = arm.data, base['data']['init_args']
    assert {key for key in data if data[key] != same.get(key)} <= labels
    assert arm.config['trainer'] == base['trainer']


def test_which_can_be_chosen() -> None:
    chosen = {name for name in ARMS if load_arm(name).can_be_chosen}
    assert {
        'grounded-1',
        'paper-1',
        'concepts-only',
        'shared-1',
        'paper-prose',
    } <= chosen
    assert load_arm('grounded-1').compares_concepts
    assert not load_arm('shared-1').compares_concepts
    assert not chosen & {'plain', 'heads-1', 'rotated', 'untaught', 'no-climate'}
    assert 'untaught-0.5-heads' not in chosen
    assert {'geoclip-grounded', 'geoclip-grounded-0.5-heads'} <= chosen
    assert not chosen & {'geoclip-plain', 'geoclip-heads', 'geoclip-heads-0.5'}
    controls = 'geoclip-frozen-', 'pretrained-'
    assert not any(name.startswith(controls) for name in chosen)


def test_labels() -> None:
    assert load_arm('plain').label_weights == ()
    assert load_arm('heads-4').label_weights == (4,)
    assert load_arm('grounded-1-heads').label_weights == (1, 2)
    assert load_arm('plain').needs == {'layers without imagery'}
    paper = {'layers without imagery', 'text.safetensors'}
    assert load_arm('paper-1').needs == paper


@pytest.mark.parametrize(
    ('name', 'other', 'same_weights', 'is_trained'),
    [
        ('heads-4', 'grounded-4', True, True),
        ('heads-1', 'grounded-4', True, False),
        ('heads-1', 'grounded-1-everywhere', True, False),
        ('heads-no-climate', 'no-climate', True, True),
        ('heads-no-climate', 'grounded-1', True, False),
        ('heads-0.5', 'grounded-0.5-heads', True, True),
        ('heads-1', 'grounded-0.5-heads', True, True),
        ('heads-1', 'paper-1', True, True),
        ('geoclip-heads', 'geoclip-grounded', True, True),
        ('heads-1', 'geoclip-grounded', False, True),
        ('geoclip-plain', 'geoclip-frozen-plain', False, False),
        ('pretrained-heads-1', 'grounded-1', False, False),
    ],
)
def test_rivals(name: str, other: str, same_weights: bool, is_trained: bool) -> None:
    arm, others = load_arm(name), load_arm(other)
    assert (arm.initial_weights == others.initial_weights) == same_weights
    assert arm.is_trained_as_much_as(others) == is_trained


def test_what_is_plain() -> None:
    plain = {name for name in ARMS if load_arm(name).is_plain}
    beginnings = {'geoclip-', 'geoclip-frozen-', 'pretrained-', ''}
    assert plain == {f'{beginning}plain' for beginning in beginnings}


def test_unknown() -> None:
    with pytest.raises(
        ValueError, match="No arm 'grounded1'. Did you mean 'grounded-1'"
    ):
        load_arm('grounded1')
