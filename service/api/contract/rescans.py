"""Pydantic models of rescans: the region that is asked for, and the other jobs of a slide."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from service.api.contract.requests import ModelName, Stride, Threshold
from service.jobs.summary import JobSummary
from service.slides_in.region import MAX_CORNERS

#: Level-0 px, from the slide's left or top edge.
Coordinate = Annotated[float, Field(ge=0, le=1_000_000)]
Position = Annotated[list[Coordinate], Field(min_length=2, max_length=2, description="x, y")]
Ring = Annotated[
    list[Position],
    Field(min_length=4, max_length=MAX_CORNERS + 1, description="the last corner is the first one again"),
]
_SQUARE: JsonValue = [[1000, 2000], [3000, 2000], [3000, 4000], [1000, 4000], [1000, 2000]]


class PolygonIn(BaseModel):
    """A polygon of GeoJSON without holes, in level-0 pixels from the slide's top left corner."""

    model_config = ConfigDict(strict=True, json_schema_extra={"example": {"type": "Polygon", "coordinates": [_SQUARE]}})
    type: Literal["Polygon"]
    coordinates: Annotated[
        list[Ring], Field(min_length=1, max_length=1, description="the outline alone: a region has no holes")
    ]


class FeatureIn(BaseModel):
    """A feature of GeoJSON with a polygon, as QuPath exports an annotation; its properties are left out."""

    model_config = ConfigDict(strict=True)
    type: Literal["Feature"]
    geometry: PolygonIn


class RescanIn(BaseModel):
    """The region of a slide to scan again, and how; what is left out is as in the earlier job."""

    model_config = ConfigDict(protected_namespaces=(), extra="forbid", strict=True)
    region: Annotated[PolygonIn | FeatureIn, Field(discriminator="type")]
    model: Annotated[ModelName | None, Field(description="name of a model; see /models")] = None
    threshold: Annotated[
        Threshold | None, Field(description="lowest score of a detection; with another model, by default its own")
    ] = None
    stride: Annotated[
        Stride | None,
        Field(
            description="distance between scanned positions, in pixels at the model's mpp; "
            "with another model, by default its own"
        ),
    ] = None

    @property
    def ring(self) -> list[list[float]]:
        """The outline, closed."""
        polygon = self.region.geometry if isinstance(self.region, FeatureIn) else self.region
        return polygon.coordinates[0]


class SiblingsOut(BaseModel):
    """Jobs of the same slide."""

    jobs: Annotated[list[JobSummary], Field(description="newest first")]
