# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Location encoders, listed in TorchGeo's registry, and image towers."""

from ._registry import register_model
from .alignment import ConceptBasis, ImageLocationAlignment
from .concept_earth import ConceptEarth
from .concept_earth_weights import ConceptEarth_Weights, concept_earth
from .concept_geoclip import ConceptGeoCLIP, ConceptGeoCLIP_Weights, concept_geoclip
from .efficientnet import EfficientNetLite0_Weights
from .features import features
from .geoclip import (
    GeoCLIPImageMLP_Weights,
    GeoCLIPLocation,
    GeoCLIPLocation_Weights,
    geoclip_gallery,
    geoclip_image_mlp,
    geoclip_location,
    geoclip_logit_scale,
)
from .image_location import ImageLocationModel
from .image_towers import ImageTower, image_tower
from .loading import load_encoder
from .protocols import ConceptEncoder, GroundedEncoder, LocationEncoder
from .tower_loading import load_image_tower

__all__ = (
    'ConceptBasis',
    'ConceptEarth',
    'ConceptEarth_Weights',
    'ConceptEncoder',
    'ConceptGeoCLIP',
    'ConceptGeoCLIP_Weights',
    'EfficientNetLite0_Weights',
    'GeoCLIPImageMLP_Weights',
    'GeoCLIPLocation',
    'GeoCLIPLocation_Weights',
    'GroundedEncoder',
    'ImageLocationAlignment',
    'ImageLocationModel',
    'ImageTower',
    'LocationEncoder',
    'concept_earth',
    'concept_geoclip',
    'features',
    'geoclip_gallery',
    'geoclip_image_mlp',
    'geoclip_location',
    'geoclip_logit_scale',
    'image_tower',
    'load_encoder',
    'load_image_tower',
)

register_model('geoclip_location', geoclip_location, GeoCLIPLocation_Weights)
register_model('concept_earth', concept_earth, ConceptEarth_Weights)
register_model('concept_geoclip', concept_geoclip, ConceptGeoCLIP_Weights)
