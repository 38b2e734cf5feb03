"""The web page: a server that reads run folders, and the page that it shows.

`gannet.studio(run)` shows it in a notebook: this module can be called, since it has the verb's name.
"""

import sys
from types import ModuleType
from typing import Any


class CallableModule(ModuleType):
    """This module, which is also the verb."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """See `gannet.studio.notebook.show`."""
        from gannet.studio.notebook import show

        return show(*args, **kwargs)


studio = sys.modules[__name__]
studio.__class__ = CallableModule
