"""Server-rendered pages: one module per noun, all built from the page kit (`holdfast.ui.kit`)."""

__all__: list[str] = []
