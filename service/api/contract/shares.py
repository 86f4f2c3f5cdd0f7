"""Pydantic models of share links: what is asked of a new one, and what is told of those there are."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from service.sharing.links import MadeLink
from service.sharing.shares import Share

#: Hours of the longest link that any setting allows.
MOST_HOURS = 366 * 24
#: Without control characters.
_NOTE = r"^[^\x00-\x1f\x7f-\x9f]*$"


class ShareIn(BaseModel):
    """A link that is to be made."""

    model_config = ConfigDict(extra="forbid")
    expires_in_h: Annotated[
        int | None,
        Field(
            strict=True,
            ge=1,
            le=MOST_HOURS,
            description="hours that the link is valid, at most `share_max_h`; by default a week, or less where that is",
        ),
    ] = None
    note: Annotated[
        str, Field(max_length=200, pattern=_NOTE, description="whom it is for, say; they do not see it")
    ] = ""


class ShareOut(BaseModel):
    """A link that is valid. What it leads by, its token, is told only when it is made."""

    id: str
    by: Annotated[str, Field(description="name of the key that has made it")]
    note: str
    made_at: datetime
    expires_at: datetime


class MadeShareOut(ShareOut):
    """A new link."""

    link: Annotated[str, Field(description="path of the page with the token: whoever has it sees the job")]


class ShareList(BaseModel):
    """The links to a job."""

    shares: Annotated[list[ShareOut], Field(description="those that are valid, the oldest first")]
    most: Annotated[int, Field(description="links that a job may have at a time")]
    longest_h: Annotated[int, Field(description="hours that a link may be valid; 0: none can be made")]


def share_out(share: Share) -> ShareOut:
    """A share as answered."""
    return ShareOut(
        id=share.id,
        by=share.by,
        note=share.note,
        made_at=datetime.fromtimestamp(share.made_at, UTC),
        expires_at=datetime.fromtimestamp(share.expires_at, UTC),
    )


def made_share_out(made: MadeLink) -> MadeShareOut:
    """A new share as answered."""
    return MadeShareOut(**share_out(made.share).model_dump(), link=made.address)
