# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Makes the tables of CoordBench as its page on Hugging Face describes them."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

ROWS = 12
LON = np.linspace(-170, 170, ROWS)
LAT = np.linspace(-60, 70, ROWS)
NUMBERS = np.arange(ROWS) * 1.5 + 0.25
CLASSES = np.arange(ROWS) % 3

USAVARS = {
    'treecover': 'treecover',
    'elevation': 'elevation',
    'population': 'population',
    'nightlights': 'y',
    'income': 'income',
    'roads': 'length',
    'housing': 'price',
}
DEEPMIND_CLASSES = (
    'africa_crop_mask',
    'canada_crops_coarse',
    'canada_crops_fine',
    'descals',
    'ethiopia_crops',
    'glance',
    'lcmap_lc',
    'lcmap_lcc',
    'lcmap_lu',
    'lcmap_luc',
    'lucas_lc',
    'lucas_lu',
    'us_trees',
)
SUSTAINBENCH = (
    'asset_index',
    'water_index',
    'sanitation_index',
    'under5_mort',
    'women_edu',
    'women_bmi',
)
PLACES = 'phlth diabetes copd cancer chd mhlth checkup sleep casthma obesity csmoking highchol'
LAND_COVER = (
    'water trees grass flooded_vegetation crops shrub_and_scrub built bare snow_and_ice'
)


def with_hole(values: Any, hole: Any) -> Any:
    """Put what stands for no value into the second row."""
    changed = np.array(values, dtype=float if isinstance(hole, float) else None)
    changed[1] = hole
    return changed


def tables() -> dict[str, dict[str, Any]]:
    """Return the source columns of each table."""
    text = np.array(['wheat', 'rice', 'maize'])[CLASSES]
    ids = {'id': [f'p{n}' for n in range(ROWS)]}
    sample = {**ids, 'random_sample': np.arange(ROWS) % 2}
    return {
        'pdfm_conus27': {
            'place': 'zip/1',
            'county': 'geoId/1',
            'state': 'geoId/1',
            'latitude': LAT,
            'longitude': LON,
            'Count_Person': 5,
            'Percent_Diabetes': NUMBERS,
            'ElevationMeters': NUMBERS * 2,
            'imputation_split': 'train',
            'superresolution_split': 'test',
            'extrapolation_split': 'train',
        },
        'air_temp': {'Lon': LON, 'Lat': LAT, 'meanT': NUMBERS, 'meanP': NUMBERS * 9},
        'california_housing': {'MedInc': NUMBERS, 'MedHouseVal': NUMBERS},
        'satclip_country': {'country': CLASSES},
        'satclip_ecoregion': {
            'ecoregion_class_index': with_hole(CLASSES, -1),
            'biome_class_index': CLASSES,
            'realmbiome_class_index': CLASSES,
        },
        'satclip_population': {'log_population': NUMBERS},
        'satclip_elevation': {'elevation': NUMBERS},
        'sustainbench': {
            **{name: with_hole(NUMBERS, np.nan) for name in SUSTAINBENCH},
            'split': np.where(np.arange(ROWS) < 8, 'trainval', 'test'),
        },
        'bt_cropharvest': {'label_name': text},
        'bt_biomass': {
            'biomass_mean': with_hole(NUMBERS, np.nan),
            'biomass_center': with_hole(NUMBERS, -9999.0),
        },
        'bt_landcover': {**sample, **dict.fromkeys(LAND_COVER.split(), NUMBERS / 99)},
        'bt_bioclim': {**ids, **{f'bioclim_{n:02}': NUMBERS * n for n in range(1, 20)}},
        'bt_human_footprint': {**ids, 'pop_density': NUMBERS, 'maxdist_road': NUMBERS},
        'cdc_places': {
            f'{name}_crudeprev': with_hole(NUMBERS, np.nan) for name in PLACES.split()
        },
        **{
            f'usavars_{label}': {**ids, column: with_hole(NUMBERS, -999.0)}
            for label, column in USAVARS.items()
        },
        'country': {'country': text},
        'ecoregions': {'biome': text, 'ecoregion': np.flip(text)},
        'worldclim_bio': {'bio1': NUMBERS, 'bio12': NUMBERS * 50},
        'soilgrids': {'soc': NUMBERS, 'phh2o': NUMBERS},
        **{f'dm_{name}': {'label': CLASSES} for name in DEEPMIND_CLASSES},
        **{
            f'dm_{name}': {'label': NUMBERS}
            for name in ('aster_ged', 'openet_ensemble')
        },
    }


def create(root: Path) -> None:
    """Write all tables.

    Args:
        root: Folder to write to.
    """
    for config, columns in tables().items():
        head = {'lon': LON, 'lat': LAT, 'timestamp': pd.NA, 'timestamp_end': pd.NA}
        frame = pd.DataFrame({**head, 'split': None, 'id': None, **columns})
        path = root / 'data' / config / 'data.parquet'
        path.parent.mkdir(parents=True)
        types = {'timestamp': 'Int64', 'timestamp_end': 'Int64'}
        frame.astype(types).to_parquet(path, index=False)


if __name__ == '__main__':
    create(Path(__file__).parent)
