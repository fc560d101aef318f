"""Preload for local workers: ignore Ctrl-C, because the build stops its workers itself."""

import signal

signal.signal(signal.SIGINT, signal.SIG_IGN)
