"""Mutated input for everything that lrdiag reads: `PYTHONPATH=tests python -m fuzz KIND --folder FOLDER`.

An input may succeed, or be refused with one of lrdiag's errors. Anything else is a fault: a traceback, more than the
time or the memory allowed, code that was executed, a file that was written elsewhere. Each input depends only on the
kind, the seed and its number, so that `--first NUMBER --count 1 --keep` repeats it.

The mutators are plain functions of `random.Random`: an input is a whole folder or archive, whose seed says everything.
"""
