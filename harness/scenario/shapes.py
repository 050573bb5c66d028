"""What all models of a scenario file share: strictness, unions by shape, shares in per cent."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, WithJsonSchema


class Model(BaseModel):
    """Strict, frozen, no unknown keys."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


def by_shape(**shapes: type | tuple[type, ...]) -> Discriminator:
    """Tells the branches of a union apart by the Python type of what the file says."""

    def tag(value: Any) -> str:
        for name, kind in shapes.items():
            if isinstance(value, kind):
                return name
        return next(iter(shapes))

    return Discriminator(tag)


def _share(value: Any) -> Any:
    """`0.1%` is 0.001."""
    if isinstance(value, str) and value.strip().endswith("%"):
        try:
            return float(value.strip()[:-1]) / 100
        except ValueError:
            return value
    return value


Share: TypeAlias = Annotated[
    float,
    Field(ge=0, le=1),
    BeforeValidator(_share),
    WithJsonSchema({"type": ["number", "string"], "pattern": r"^[0-9.]+ ?%$"}),
]
