"""Ground that every room stands on: files, paths, caches, time limits, statistics, strict settings."""
