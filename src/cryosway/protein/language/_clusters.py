"""Which sequences are alike: read from a table, or found by MMseqs2 where it is installed."""

import shutil
import tempfile
from pathlib import Path

from cryosway._errors import CryoswayError
from cryosway.protein._mmseqs import run_mmseqs


def read_clusters(path: str | Path) -> dict[str, str]:
    """Read a table of clusters as MMseqs2 writes it.

    Parameters
    ----------
    path : path
        Two columns separated by a tab: the cluster's name (its representative), and a member's.

    Returns
    -------
    dict[str, str]
        Member → cluster.

    Raises
    ------
    CryoswayError
        When the file cannot be read or has other columns.
    """
    clusters = {}
    try:
        with Path(path).open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                words = line.rstrip("\n").split("\t")
                if len(words) != 2:
                    message = (
                        f"{path} line {number} has {len(words)} columns; a table of clusters has "
                        "two, cluster and member, separated by a tab"
                    )
                    raise CryoswayError(message)
                clusters[words[1]] = words[0]
    except (OSError, UnicodeDecodeError) as error:
        message = f"{path} cannot be read as a table of clusters ({error})"
        raise CryoswayError(message) from None
    return clusters


def make_clusters(
    fasta: str | Path, out: Path, *, identity: float = 0.5, threads: int = 1
) -> dict[str, str]:
    """Cluster sequences by MMseqs2: 80 % of a member is aligned to its representative.

    Parameters
    ----------
    fasta : path
        Sequences.
    out : Path
        The table to write.
    identity : float, optional
        Least share of identical residues; UniRef50 has 0.5.
    threads : int, optional
        Threads.

    Returns
    -------
    dict[str, str]
        Member → cluster.

    Raises
    ------
    CryoswayError
        When MMseqs2 is not installed, or fails.
    """
    with tempfile.TemporaryDirectory(prefix="cryosway-") as folder:
        given = [fasta, f"{folder}/found", f"{folder}/work"]
        settings = ["--min-seq-id", str(identity), "-c", "0.8", "--cov-mode", "1"]
        run_mmseqs(
            ["easy-cluster", *given, *settings, "--threads", str(threads)],
            f"cluster {fasta}",
            "give a table of clusters, or --clusters none to count every sequence by itself",
        )
        shutil.copy(f"{folder}/found_cluster.tsv", out)
    return read_clusters(out)
