"""The nested loop of every experiment, in plain Python: nothing but the standard library."""

from .hook import Hook as Hook
from .nested import NestedLoop as NestedLoop
