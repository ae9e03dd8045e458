"""The benchmark: sets with a known truth, runs of all methods, scores of any program's results."""

from typing import TYPE_CHECKING

from cryosway._lazy import lazy_attributes

if TYPE_CHECKING:
    from cryosway.methods._bench.make import bench_make
    from cryosway.methods._bench.run import bench_run
    from cryosway.methods._bench.score import bench_score
    from cryosway.methods._bench.table import bench_table

__all__ = ["bench_make", "bench_run", "bench_score", "bench_table"]

__getattr__, __dir__ = lazy_attributes(
    __name__,
    {
        "bench_make": "cryosway.methods._bench.make",
        "bench_run": "cryosway.methods._bench.run",
        "bench_score": "cryosway.methods._bench.score",
        "bench_table": "cryosway.methods._bench.table",
    },
)
