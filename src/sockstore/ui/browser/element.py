"""Elements, and how they are placed: in the ``with`` block that they are made in."""

from __future__ import annotations

from collections.abc import Iterator
from contextvars import ContextVar
from inspect import Signature, signature
from types import MethodType
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from sockstore.ui.browser.dom import make, put_text

if TYPE_CHECKING:
    from sockstore.scope.scope import Scope

__all__ = ["Element", "Root", "destroy_all", "root_of"]

E = TypeVar("E", bound="Element")

_around: ContextVar[Element | None] = ContextVar("sockstore_element", default=None)


class _Placed(type):
    """Places an element after its constructor; if that raises, the element is not placed."""

    def __call__(cls: type[E], *args: Any, **kwargs: Any) -> E:  # type: ignore[misc]  # a class of elements
        element: E = super().__call__(*args, **kwargs)  # type: ignore[misc]  # as above
        cls._place(element)
        return element

    @property
    def __signature__(cls) -> Signature:
        """The signature of the constructor, which `help` and the documentation show."""
        return signature(MethodType(cls.__init__, cls))  # type: ignore[misc]  # of this very class


class Element(metaclass=_Placed):
    """A plain element of the page; others can be placed inside its ``with`` block.

    Args:
        tag: The HTML tag.
        classes: CSS classes.
        text: Its text, which is never markup.
        attributes: ``aria_label="..."`` is the attribute ``aria-label``, ``type_`` is ``type``.

    Attributes:
        node: The element of the browser's.
        inside: The node that stands around what is placed inside; most often `node` itself.
        is_placed: Whether it stands in another element; false once it was removed.

    Raises:
        RuntimeError: If no element is around it: it must be made in the layout of a page.

    Example:
        ::

            with Element("section", classes="room", aria_label="Lobby"):
                Element("h2", text="Lobby")
                ConnectionStatus()
    """

    def __init__(
        self, tag: str = "div", *, classes: str = "", text: str = "", **attributes: object
    ) -> None:
        self.parent: Element | None = self._find_parent()
        self.node: Final = make(tag, classes, text, **attributes)
        self.inside: Final = self.node
        self.children: list[Element] = []
        self.is_placed: bool = False
        self._entered: list[Element | None] = []

    def _find_parent(self) -> Element | None:
        parent = _around.get()
        if parent is None:
            raise RuntimeError("nothing is around it: place it in the layout given to mount()")
        return parent

    def __enter__(self) -> Self:
        self._entered.append(_around.get())
        _around.set(self)
        return self

    def __exit__(self, *_: object) -> None:
        # By value: the exit may run in another context, as that of an asynchronous generator.
        _around.set(self._entered.pop())

    @property
    def text(self) -> str:
        """Its text, which is never markup; setting it replaces everything inside the element."""
        return str(self.node.textContent)

    @text.setter
    def text(self, text: str) -> None:
        put_text(self.node, text)

    @property
    def ancestors(self) -> Iterator[Element]:
        """The elements around it, the nearest first."""
        element = self.parent
        while element is not None:
            yield element
            element = element.parent

    async def remove(self) -> None:
        """Remove it and its children from the page, and destroy them; the children first.

        Raises:
            ExceptionGroup: Of what cleanups raised; all of them ran.
        """
        if self.parent is not None and self.is_placed:
            self.is_placed = False
            self.parent.children.remove(self)
            self.node.remove()
            await destroy_all(self.walk())

    def walk(self) -> Iterator[Element]:
        """Yield it and all elements in it, in the document's order."""
        yield self
        for child in self.children:
            yield from child.walk()

    def begin(self, scope: Scope) -> None:
        """Begin: the page is shown now.

        Args:
            scope: The scope of the page.
        """

    async def destroy(self) -> None:
        """End: the element was removed."""

    def _place(self) -> None:
        self.is_placed = True
        if self.parent is not None:
            self.parent.children.append(self)
            self.parent.inside.append(self.node)
        root = root_of(self)
        if root is not None and root.is_shown:
            root.begin_all(self)


class Root(Element):
    """The element that contains all elements of a page.

    Args:
        scope: The page's scope.

    Attributes:
        is_shown: Whether it stands in the document.
    """

    def __init__(self, scope: Scope) -> None:
        super().__init__(classes="sockstore-root")
        self.is_shown = False
        self._scope = scope

    def _find_parent(self) -> Element | None:
        return None

    def begin_all(self, element: Element) -> None:
        """Begin an element and all elements in it; outer elements first.

        Args:
            element: It stands in the page.
        """
        for each in list(element.walk()):
            each.begin(self._scope)


def root_of(element: Element) -> Root | None:
    """Return the root of the page that an element stands in; None once it was removed."""
    while not isinstance(element, Root):
        if element.parent is None or not element.is_placed:
            return None
        element = element.parent
    return element


async def destroy_all(elements: Iterator[Element]) -> None:
    """Destroy elements, the last ones first, all of them even if some raise.

    Args:
        elements: In the document's order.

    Raises:
        ExceptionGroup: Of what they raised.
    """
    problems: list[Exception] = []
    for element in reversed(list(elements)):
        try:
            await element.destroy()
        except Exception as problem:  # noqa: BLE001 - raised below
            problems.append(problem)
    if problems:
        raise ExceptionGroup("elements could not be destroyed", problems)
