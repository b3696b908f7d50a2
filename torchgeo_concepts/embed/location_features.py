# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Features of points for scikit-learn."""

from functools import lru_cache
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted
from torch import nn

from ..geo.points import PointsLike, as_points
from ..models.features import InputKind, coordinate_features
from ..models.loading import DEFAULT_MODEL, DEFAULT_WEIGHTS, load_encoder
from ..models.protocols import GroundedEncoder, check_encoder
from ..utils.devices import Device
from ..utils.names import check_choice
from .points import Precision, count_features, embed_points

COORDINATES = ('sin_lon', 'cos_lon', 'sin_lat', 'cos_lat')


class LocationFeatures(TransformerMixin, BaseEstimator):
    """Scikit-learn transformer that computes features of a location encoder.

    Example:
        >>> from sklearn.linear_model import Ridge
        >>> from sklearn.pipeline import make_pipeline
        >>> model = make_pipeline(LocationFeatures(features='xz'), Ridge())
        >>> model.fit([[2.35, 48.86], [151.21, -33.87]], [12.0, 18.0]).predict(
        ...     [[2.35, 48.86]]
        ... ).shape
        (1,)

    :meth:`fit` trains nothing: it loads the encoder and counts its features.

    Attributes:
        encoder_: The encoder, None for coordinates.
        n_features_in_: Number of columns of the points in :meth:`fit`.
    """

    def __init__(
        self,
        model: str | nn.Module = DEFAULT_MODEL,
        weights: str | None = DEFAULT_WEIGHTS,
        features: InputKind = 'x',
        *,
        truncate_dim: int | None = None,
        batch_size: int = 8192,
        device: Device = 'auto',
        precision: Precision = 'float32',
        crs: Any = None,
        download: bool = False,
    ) -> None:
        """Initialize a new LocationFeatures instance.

        Args:
            model: Name of a location encoder in TorchGeo's registry, or an encoder.
            weights: Name of its weights, a safetensors file of this package, or None for
                random weights.
            features: ``'x'`` for the embedding, ``'z'`` for the concept scores, ``'xz'``
                for both side by side, ``'coordinates'`` for sines and cosines of
                longitude and latitude.
            truncate_dim: Number of principal components of the embedding to return.
            batch_size: Number of points to embed at a time.
            device: Device to compute on; ``'auto'`` selects a GPU if there is one.
            precision: ``'bfloat16'`` is faster and less exact.
            crs: Coordinate reference system of points without one. By default, WGS84.
            download: Download the weights if they are not on this machine.
        """
        self.model = model
        self.weights = weights
        self.features = features
        self.truncate_dim = truncate_dim
        self.batch_size = batch_size
        self.device = device
        self.precision = precision
        self.crs = crs
        self.download = download

    def fit(self, X: PointsLike, y: Any = None) -> Self:
        """Load the encoder.

        Args:
            X: Points, an array of shape ``(N, 2)`` as ``(longitude, latitude)`` in
                degrees, a data frame with such columns, or geopandas points.
            y: Not used.

        Returns:
            The transformer itself.

        Raises:
            ValueError: If points, features, model or weights are not valid.
        """
        check_choice('features', self.features, InputKind)
        as_points(X, crs=self.crs)
        self.encoder_: nn.Module | None = None
        if isinstance(self.model, nn.Module) and self.features != 'coordinates':
            self.encoder_ = self.model
        elif self.features != 'coordinates':
            self.encoder_ = _load(
                self.model, self.weights, self.truncate_dim, self.download
            )
        shape: tuple[int, ...] = getattr(X, 'shape', ())
        self.n_features_in_ = shape[1] if len(shape) == 2 else 2
        self._names = self._feature_names()
        return self

    def transform(self, X: PointsLike) -> NDArray[np.float32]:
        """Compute features.

        Args:
            X: Points in any form that :meth:`fit` takes.

        Returns:
            Features of shape ``(N, d)``.
        """
        check_is_fitted(self)
        points = as_points(X, crs=self.crs)
        if self.features == 'coordinates' or self.encoder_ is None:
            plain: NDArray[np.float32] = coordinate_features(points).float().numpy()
            return plain
        computed: NDArray[np.float32] = embed_points(
            self.encoder_,
            points,
            features=self.features,
            device=self.device,
            precision=self.precision,
            batch_size=self.batch_size,
            progress=False,
        ).numpy()
        return computed

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Return the names of the features.

        Args:
            input_features: Not used.

        Returns:
            ``'x0'``, ``'x1'`` and so on for the embedding, and the names of the concepts
            for their scores.
        """
        check_is_fitted(self)
        return np.array(self._names, dtype=object)

    def _feature_names(self) -> list[str]:
        if self.features == 'coordinates' or self.encoder_ is None:
            return list(COORDINATES)
        names: list[str] = []
        if 'x' in self.features:
            name, options = type(self.encoder_).__name__, {'device': self.device}
            width = count_features(self.encoder_, name, progress=False, **options)
            names += [f'x{number}' for number in range(width)]
        if 'z' in self.features:
            names += check_encoder(self.encoder_, GroundedEncoder).bank.names
        return names


@lru_cache(maxsize=2)
def _load(
    model: str, weights: str | None, truncate_dim: int | None, download: bool
) -> nn.Module:
    """Load an encoder once for all copies of a transformer, as in a grid search."""
    return load_encoder(model, weights, truncate_dim=truncate_dim, download=download)
