"""The session of a command; it lives in `sdk`, because `hf.datasets` starts from the same."""

from holdfast.sdk.session import Session, end_with, is_unreachable, start_process, start_server

__all__ = ["Session", "end_with", "is_unreachable", "start_process", "start_server"]
