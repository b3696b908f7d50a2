# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""What the quickstart found, and how it says so in words."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...explain.explanation import Explanation

# Contributions that are shown by name; the others are added up.
SHOWN = 5

TEMPERATURE_CREDIT = (
    'Temperature data © GeoRank.place (georank.place), CC-BY-4.0, derived from CHELSA '
    'v2.1.'
)
POPULATION_CREDIT = 'Populations: GeoNames (geonames.org), CC-BY-4.0.'
CREDITS = (TEMPERATURE_CREDIT, POPULATION_CREDIT)

# Columns of the tables, and characters to a line of text.
NAME, NUMBER = 44, 9
WIDTH = 80


@dataclass(frozen=True)
class Score:
    """How well features predict a target on blocks that were held out.

    Attributes:
        features: What the features are.
        r2: Coefficient of determination, the mean over the folds.
        error: Mean absolute error, in the unit of the target.
        penalty: Penalty of the regression.
    """

    features: str
    r2: float
    error: float
    penalty: float


@dataclass(frozen=True)
class TargetScores:
    """How well each kind of features predicts a target.

    Attributes:
        target: What is predicted, and of what.
        unit: Its unit.
        scores: A score for each kind of features.
        remark: What to know when reading them.
    """

    target: str
    unit: str
    scores: tuple[Score, ...]
    remark: str


@dataclass(frozen=True)
class ExplainedCity:
    """A prediction for a city as a sum of what concepts contribute.

    Attributes:
        city: Name of the city.
        explanation: The prediction, and what it is the sum of.
        truth: The true value.
    """

    city: str
    explanation: Explanation
    truth: float


@dataclass(frozen=True)
class Explained:
    """Predictions of temperature that are sums over concepts.

    Attributes:
        cities: An explanation for each city.
        score: How well the same kind of model does on blocks that were held out.
        num_cities: Number of other cities that the model was fitted on.
        num_concepts: Number of concepts that it could use.
        num_used: Number of concepts that it uses.
    """

    cities: tuple[ExplainedCity, ...]
    score: Score
    num_cities: int
    num_concepts: int
    num_used: int


@dataclass(frozen=True)
class QuickstartReport:
    """What :func:`~torchgeo_concepts.cli.quickstart.quickstart` found.

    Attributes:
        targets: Scores for temperature and for population.
        explained: Why some cities are warm or cold.
        picture: The figure that was written.
        maps: The maps in it as GeoTIFF.
        seconds: Wall-clock time of everything.
    """

    targets: tuple[TargetScores, ...]
    explained: Explained
    picture: Path
    maps: Path
    seconds: float

    @property
    def explained_title(self) -> str:
        """What the explanations are, in a sentence."""
        used, number = self.explained.num_used, self.explained.num_concepts
        return (
            f'Why a city is warm or cold: {used} of {number} concepts that no map of '
            'climate has taught'
        )

    def __str__(self) -> str:
        """Return the report in words and tables."""
        lines = ['Predictions for blocks of 10 degrees that were held out, five folds']
        for target in self.targets:
            lines += ['', *_score_lines(target)]
        score = self.explained.score
        how = (
            f'(a linear model of {self.explained.num_cities} other cities, whose lines add '
            f'up; R² {score.r2:.3f}, error {score.error:.2f} °C)'
        )
        lines += ['', self.explained_title, how]
        for city in self.explained.cities:
            lines += ['', *_explanation_lines(city)]
        lines += ['', f'picture: {self.picture}', f'maps: {self.maps}']
        return '\n'.join([*lines, f'{self.seconds:.0f} s', '', *CREDITS])


def _score_lines(target: TargetScores) -> list[str]:
    return [
        f'{target.target:<{NAME}}{"R²":>{NUMBER}}{"error":>{NUMBER}} [{target.unit}]',
        *(
            f'  {score.features:<{NAME - 2}}{score.r2:>{NUMBER}.3f}'
            f'{score.error:>{NUMBER}.2f}'
            for score in target.scores
        ),
        *textwrap.wrap(f'({target.remark})', WIDTH),
    ]


def _explanation_lines(explained: ExplainedCity) -> list[str]:
    explanation = explained.explanation
    rows: Sequence[tuple[str, str]] = [
        (explanation.parts.base_name, f'{explanation.base:.2f}'),
        *((name, f'{value:+.2f}') for name, value in explanation.added(SHOWN)),
        ('= predicted', f'{explanation.score:.2f}'),
        ('CHELSA', f'{explained.truth:.2f}'),
    ]
    return [
        f'{explained.city:<{NAME}}{explanation.unit:>{NUMBER}}',
        *(f'  {name:<{NAME - 2}}{value:>{NUMBER}}' for name, value in rows),
    ]
