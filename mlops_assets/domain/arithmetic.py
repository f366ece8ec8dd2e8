"""What decides how numbers are summed, beside the packages: threads, and the kernels of BLAS.

Sums in another order are other bits. Fits and forecasts here take one thread each, and so do nodes;
nodes are of several generations besides, so all of them use the kernels that each one has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# Workers share the cores of a machine, too.
ONE_THREAD: Mapping[str, str] = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    "POLARS_MAX_THREADS": "1",
    "RAYON_NUM_THREADS": "1",
    "PYTHONHASHSEED": "0",
}
# Every node of Azure that has AVX2 at all has these kernels; its own newest ones differ.
NODE: Mapping[str, str] = {**ONE_THREAD, "OPENBLAS_CORETYPE": "Haswell"}
# Two forecasts of one model are the same when they agree so far, as golden forecasts are stored:
# the last bits are the processor's, and nobody signs them.
SAME_WITHIN = 1e-10
