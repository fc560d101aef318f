"""Preload of local workers: ignore Ctrl-C, since the build stops its workers itself."""

import signal

signal.signal(signal.SIGINT, signal.SIG_IGN)
