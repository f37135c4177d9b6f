"""XML from strangers: a tree without namespaces, entities or depths that cost memory."""

from __future__ import annotations

from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from syngony.errors import PatternError

_DEEPEST = 100
_MOST_ELEMENTS = 500_000
_MOST_ATTRIBUTES = 1000


def parse_xml(content: bytes, name: str) -> Element:
    """The root of a document; tags and attributes are named without their namespaces.

    Args:
        content: the document.
        name: what to call it in errors.

    Raises:
        PatternError: not well formed or cut short, a document type (entities could grow without
            bound), over a thousand attributes, elements nested over 100 deep or over half a million of them.
    """
    builder = TreeBuilder()
    depth = elements = 0

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth, elements
        depth, elements = depth + 1, elements + 1
        if depth > _DEEPEST or elements > _MOST_ELEMENTS:
            raise PatternError(f"{name}: elements nested too deep or too many for a measurement")
        if len(attributes) > _MOST_ATTRIBUTES:
            raise PatternError(f"{name}: an element of over a thousand attributes: no measurement")
        builder.start(_local(tag), {_local(key): value for key, value in attributes.items()})

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(_local(tag))

    def refuse(*_: object) -> None:
        raise PatternError(f"{name}: a document type is declared, which no instrument writes: it is not read")

    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    try:
        parser.Parse(content, True)
        return builder.close()
    except (expat.ExpatError, LookupError, ValueError) as error:  # the last two: encodings
        if isinstance(error, PatternError):
            raise
        raise PatternError(f"{name}: damaged or cut short ({error}): copy it again from the instrument") from None


def text_of(parent: Element | None, path: str) -> str:
    """Stripped text of the element at `path`, "" where there is none."""
    found = None if parent is None else parent.find(path)
    return (found.text or "").strip() if found is not None else ""


def _local(name: str) -> str:
    return name.rpartition(":")[2]
