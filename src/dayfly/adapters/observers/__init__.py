"""Observers: who hears of events after their commit."""
