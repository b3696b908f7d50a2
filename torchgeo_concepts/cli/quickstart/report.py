# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Results of the quickstart, and their text."""

import textwrap
from dataclasses import dataclass
from pathlib import Path

from ...explain.explanation import Explanation

# Number of concepts that are shown by name; all others are summed.
SHOWN = 5

CREDITS = (
    'Temperatures: © GeoRank.place (georank.place), CC-BY-4.0, from CHELSA v2.1.',
    'Populations: GeoNames (geonames.org), CC-BY-4.0.',
)

# Widths of the columns of tables, and of text.
NAME, NUMBER = 44, 9
WIDTH = 80


@dataclass(frozen=True)
class QuickstartScore:
    """Held-out scores of one kind of features.

    Attributes:
        features: Name of the features.
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
    """Scores of several features for one target.

    Attributes:
        target: Name of the target and of the places.
        unit: Unit of the target.
        scores: Scores of each kind of features.
        remark: Remark on the training data of the encoders.
    """

    target: str
    unit: str
    scores: tuple[QuickstartScore, ...]
    remark: str


@dataclass(frozen=True)
class ExplainedCity:
    """Prediction for a city as a sum of contributions of concepts.

    Attributes:
        city: Name of the city.
        explanation: The prediction and its parts.
        truth: The true value.
    """

    city: str
    explanation: Explanation
    truth: float


@dataclass(frozen=True)
class ExplainedCities:
    """Predictions of temperature as sums over concepts.

    Attributes:
        cities: An explanation for each city.
        score: Score of the model on held-out blocks.
        num_cities: Number of other cities that the model was fitted on.
        num_concepts: Number of candidate concepts.
        num_used: Number of concepts with a nonzero weight.
    """

    cities: tuple[ExplainedCity, ...]
    score: QuickstartScore
    num_cities: int
    num_concepts: int
    num_used: int


@dataclass(frozen=True)
class QuickstartReport:
    """Results of :func:`~torchgeo_concepts.cli.quickstart.quickstart`.

    Attributes:
        targets: Scores for temperature and for population.
        explained: Explanations of the temperatures of some cities.
        picture: File of the figure.
        maps: GeoTIFF file of the maps in the figure.
        seconds: Wall-clock time of the whole run.
    """

    targets: tuple[TargetScores, ...]
    explained: ExplainedCities
    picture: Path
    maps: Path
    seconds: float

    @property
    def explained_title(self) -> str:
        """Title of the explanations."""
        used, number = self.explained.num_used, self.explained.num_concepts
        return (
            f'Why a city is warm or cold: {used} of {number} concepts of NO_CLIMATE, '
            'without customs'
        )

    def __str__(self) -> str:
        """Return the report in words and tables."""
        lines = ['Predictions for held-out blocks of 10 degrees, five folds']
        for target in self.targets:
            lines += ['', *_score_lines(target)]
        score = self.explained.score
        how = (
            f'(a linear model fitted on the {self.explained.num_cities} other cities; R² '
            f'{score.r2:.3f}, error {score.error:.2f} °C; the terms sum to the prediction)'
        )
        lines += ['', self.explained_title, *textwrap.wrap(how, WIDTH)]
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
    rows = [
        (explanation.base_name, f'{explanation.base:.2f}'),
        *((name, f'{value:+.2f}') for name, value in explanation.added(SHOWN)),
        ('= predicted', f'{explanation.score:.2f}'),
        ('CHELSA', f'{explained.truth:.2f}'),
    ]
    return [
        f'{explained.city:<{NAME}}{explanation.unit:>{NUMBER}}',
        *(f'  {name:<{NAME - 2}}{value:>{NUMBER}}' for name, value in rows),
    ]
