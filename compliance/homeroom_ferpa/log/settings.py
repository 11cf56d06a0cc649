"""What a district may set for the log."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, field_validator


class LogSettings(BaseModel):
    """Where the signed checkpoints go, so that somebody else could tell if the log were rewritten."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    origin: str | None = Field(
        default=None,
        min_length=1,
        max_length=200,
        description="The log's name in its checkpoints, like a web address without https://. Kept from the first start "
        "on; by default the server's host and a random word.",
    )
    witness_file: Path | None = Field(
        default=None,
        description="A file that every checkpoint is appended to. Best on a disk that the server can only append to.",
    )
    witness_url: str | None = Field(default=None, description="Where checkpoints are posted as text.")
    witness_seconds: int = Field(default=60, ge=1, le=86_400, description="How often the newest is posted, at most.")

    @field_validator("origin")
    @classmethod
    def _one_word(cls, origin: str | None) -> str | None:
        if origin is not None and (any(char.isspace() for char in origin) or "+" in origin or not origin.isprintable()):
            raise ValueError("must hold neither spaces nor +")
        return origin
