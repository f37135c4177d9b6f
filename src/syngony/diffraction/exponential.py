"""exp(x) for x <= 0 in a form that compilers turn into vector instructions; the C library's is called one by one."""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

_LOG2_E = 1.4426950408889634
_LN2_HIGH, _LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
_SMALLEST = -708.0


@intrinsic
def _double_of_bits(_context, _bits):
    """The double whose bits an int64 holds."""

    def generate(_context, builder, _signature, arguments):
        return builder.bitcast(arguments[0], ir.DoubleType())

    return types.float64(types.int64), generate


@njit(cache=True, nogil=True, inline="always", error_model="numpy")
def exp_negative(x):
    """exp(x) for x <= 0 to a relative (2 + |x| / 20) 1e-16 or so; 3e-308 below -708.

    x = k ln 2 + r with |r| < 0.35, the Taylor series of exp(r) to the twelfth power, times 2^k.
    """
    x = max(x, _SMALLEST)
    k = np.int32(x * _LOG2_E - 0.5)
    r = x - k * _LN2_HIGH - k * _LN2_LOW
    series = 1.0 / 479001600.0
    series = series * r + 1.0 / 39916800.0
    series = series * r + 1.0 / 3628800.0
    series = series * r + 1.0 / 362880.0
    series = series * r + 1.0 / 40320.0
    series = series * r + 1.0 / 5040.0
    series = series * r + 1.0 / 720.0
    series = series * r + 1.0 / 120.0
    series = series * r + 1.0 / 24.0
    series = series * r + 1.0 / 6.0
    series = series * r + 0.5
    series = series * r + 1.0
    series = series * r + 1.0
    return series * _double_of_bits((np.int64(k) + 1023) << 52)  # type: ignore[call-arg]
