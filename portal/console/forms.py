"""What the console's forms have in common."""

from typing import Any

from django import forms


class WholeTextMixin(forms.BaseForm):
    """A form that browsers send all of a text to.

    At a ``maxlength`` they would cut off what is pasted, and say nothing; the form refuses it.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            field.widget.attrs.pop("maxlength", None)
