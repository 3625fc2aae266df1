"""The fused step: the recurrent core compiled by numba, in place on a stream's block, equal to the torch reference.

Every function here takes views of one stream's block and plain numbers; none allocates more than a few small rows,
none looks at a clock or a generator. The reference in `uoro.learning.reference.cells` and `.estimators` is the judge:
the battery in `tests/learning/test_kernel.py` holds every combination to it within the rounding of float32.
"""
