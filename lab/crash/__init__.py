"""Crash tests: a program is killed before each of its calls to the kernel, one trial per call."""
