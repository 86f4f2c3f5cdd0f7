"""OME-XML in a description: tolerant of text around it and of invalid characters, strict with dangerous content."""

from __future__ import annotations

import re
from xml.etree import ElementTree

#: Descriptions are short; parsing megabytes of hostile XML is not our work.
MAX_XML = 2**24  # characters
_OME = re.compile(r"<(?:\w+:)?OME\b.*</(?:\w+:)?OME\s*>", re.DOTALL)
#: Characters that XML must not hold, and broken writers leave in it.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def parse_ome(description: str) -> ElementTree.Element | None:
    """The <OME> element in a description, whatever stands around it; None if there is none, or it is damaged."""
    if len(description) > MAX_XML or "OME" not in description:
        return None
    found = _OME.search(description)
    # Entities are of no use in OME-XML and the way in which small XML becomes large: their declarations stand before.
    if found is None or "<!ENTITY" in description:
        return None
    try:
        return ElementTree.fromstring(_FORBIDDEN.sub(" ", found[0]))  # noqa: S314  (no entities: see above)
    except ElementTree.ParseError:
        return None


def ome_pixels(description: str) -> ElementTree.Element | None:
    """The first <Pixels> of OME-XML, or None if the description is something else."""
    root = parse_ome(description)
    return None if root is None else root.find("{*}Image/{*}Pixels")
