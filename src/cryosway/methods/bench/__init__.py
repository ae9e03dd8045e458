"""The benchmark: sets with a known truth, runs of all methods, scores of any program's results."""

from typing import TYPE_CHECKING

from cryosway._lazy import lazy_attributes

if TYPE_CHECKING:
    from cryosway.methods.bench._make import bench_make
    from cryosway.methods.bench._run import bench_run
    from cryosway.methods.bench._score import bench_score
    from cryosway.methods.bench._table import bench_table

__all__ = ["bench_make", "bench_run", "bench_score", "bench_table"]

__getattr__, __dir__ = lazy_attributes(
    __name__,
    {
        "bench_make": "cryosway.methods.bench._make",
        "bench_run": "cryosway.methods.bench._run",
        "bench_score": "cryosway.methods.bench._score",
        "bench_table": "cryosway.methods.bench._table",
    },
)
