"""Tests: `unit` opens no socket, `integration` and `acceptance` use real servers."""
