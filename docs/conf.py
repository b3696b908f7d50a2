# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Configuration of Sphinx."""

import torchgeo_concepts

project = 'torchgeo-concepts'
author = 'torchgeo-concepts Contributors'
version = release = torchgeo_concepts.__version__

extensions = [
    'myst_parser',
    'sphinx.ext.autodoc',
    'sphinx.ext.napoleon',
    'sphinx.ext.viewcode',
]
exclude_patterns = ['_build']
# Pages of measurements are linked where they are quoted.
suppress_warnings = ['toc.not_included']
html_theme = 'pydata_sphinx_theme'
html_title = project
myst_heading_anchors = 3

autodoc_member_order = 'bysource'
autodoc_typehints = 'description'
autodoc_typehints_description_target = 'documented'
autodoc_default_options = {'members': True}
