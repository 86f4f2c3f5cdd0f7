"""Who sends a request, and what they may: the client, its group, its role, and the rights that a role has."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import Enum

from service.problems import ReportedError
from service.settings.rules import Role


class NotAuthenticatedError(ReportedError):
    """The request has no API key, or an unknown one."""

    problem_type = "not-authenticated"


class IdentityProviderError(ReportedError):
    """The identity provider cannot be reached, so that a token cannot be checked."""

    problem_type = "identity-unknown"


class NotAllowedError(ReportedError):
    """The key's role does not allow this."""

    problem_type = "not-allowed"


class Right(Enum):
    """One thing that a client may do."""

    METRICS = "see metrics"
    READ = "see jobs, results and reviews"
    REVIEW = "give verdicts"
    SHARE = "make, list and revoke links to jobs"
    SUBMIT = "submit scans; cancel and delete jobs and uploads"
    EVERY_GROUP = "do so for all groups"


#: `submit` includes `review`, as it did before there was a role for that alone.
RIGHTS = {
    Role.METRICS: frozenset({Right.METRICS}),
    Role.READ: frozenset({Right.READ}),
    Role.REVIEW: frozenset({Right.READ, Right.REVIEW, Right.SHARE}),
    Role.SUBMIT: frozenset({Right.READ, Right.REVIEW, Right.SHARE, Right.SUBMIT}),
    Role.ADMIN: frozenset(Right),
}


#: The group of clients that have none: nothing is owned by it, as names of groups are not empty.
NO_GROUP = ""


@dataclass(frozen=True)
class SharedJob:
    """What a share link shows."""

    #: Id of the share.
    share: str
    #: Id of its job.
    job: str


@dataclass(frozen=True)
class Client:
    """The client that sends a request."""

    name: str
    role: Role
    #: Owns the jobs and uploads of its clients.
    group: str
    #: The only job that the client sees, if it comes by a share link.
    shared: SharedJob | None = None

    def may(self, right: Right) -> bool:
        """True if the client's role has this right."""
        return right in RIGHTS[self.role]

    def require(self, right: Right) -> None:
        """NotAllowedError unless the client's role has this right."""
        if not self.may(right) and self.shared is not None:
            raise NotAllowedError(f"a link shows its job and changes nothing; to {right.value}, send an API key")
        if not self.may(right):
            able = " or ".join(role.value for role, rights in RIGHTS.items() if right in rights)
            raise NotAllowedError(f"{self.name!r} has the role {self.role.value}; this needs the role {able}")

    @property
    def sees(self) -> str | None:
        """The group whose jobs and uploads the client sees; None: those of all groups."""
        return None if self.may(Right.EVERY_GROUP) else self.group

    def may_see(self, owner: str) -> bool:
        """True if the client sees what this group owns; to others it must look as if it did not exist.

        Who sees something may also change it, as far as the rights of the client's role go.
        """
        return self.sees in {None, owner}

    def may_see_job(self, job_id: str, owner: str) -> bool:
        """True if the client sees this job of this group."""
        return self.may_see(owner) if self.shared is None else self.shared.job == job_id


#: The client of every request where keys are off.
LOCAL = Client("local", Role.ADMIN, "local")


def hash_key(key: str) -> str:
    """SHA-256 of a key, which is what is kept of it."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
