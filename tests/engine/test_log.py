"""Tables that a training goes on with: the last row may be cut, all else is as it was written or named."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from vsbench.engine.log import HEAD, TrainingLog, kept_rows
from vsbench.engine.run import Run
from vsbench.errors import RunError

COLUMNS = (*HEAD, "d", "g")
ROWS = [f"{step},1,0.0002,8.5,0,0.25," for step in (1, 2, 3)]


def table(*rows: str, head: str = ",".join(COLUMNS)) -> bytes:
    return "\n".join([head, *rows, ""]).encode()


@pytest.mark.parametrize("torn", ["", "4", "4,1,0.0", "4,1,0.0002,8.5,0,0.2", "\0" * 40])
def test_rows_up_to_a_step_stay_and_one_cut_in_mid_write_does_not(torn: str, tmp_path: Path) -> None:
    file = tmp_path / "log.csv"
    file.write_bytes(table(*ROWS)[:-1] + (f"\n{torn}".encode() if torn else b""))
    assert kept_rows(file, COLUMNS, 2) == ROWS[:2]
    assert kept_rows(file, COLUMNS, 0) == kept_rows(tmp_path / "none.csv", COLUMNS, 2) == []
    TrainingLog(file, ("d", "g"), 2)
    assert file.read_bytes() == table(*ROWS[:2])


DAMAGED = {
    "text in a number's place": table(ROWS[0], "x" + ROWS[1], ROWS[2]),
    "not finite": table(ROWS[0].replace("0.25", "nan"), *ROWS[1:]),
    "other digits": table(ROWS[0].replace("1,", "١,", 1), *ROWS[1:]),
    "a cell short": table(ROWS[0].rpartition(",")[0], *ROWS[1:]),
    "other columns": table(*ROWS, head="step,epoch,lr,images_per_s,memory_mb,g,d"),
    "empty": b"",
    "no text": b"\xff\xfe" + table(*ROWS),
}


@pytest.mark.parametrize("how", DAMAGED)
def test_what_was_not_written_so_is_named(how: str, tmp_path: Path) -> None:
    file = tmp_path / "log.csv"
    file.write_bytes(DAMAGED[how])
    with pytest.raises(RunError, match=r"log\.csv: damaged \(.*\); mend it, or move it away"):
        kept_rows(file, COLUMNS, 2)
    assert file.read_bytes() == DAMAGED[how]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs here")
@pytest.mark.parametrize("table", ["log.csv", "validation.csv"])
def test_a_resumed_training_names_the_table_and_goes_on_without_it(
    table: str, stopped: Callable[..., Run], train: Callable[..., Run], tmp_path: Path
) -> None:
    validated = {"request": {"validate_every": 2, "dataset_options": {"slide": "."}}}
    run = stopped(tmp_path, "pix2pix", stop_at=3, **validated)
    file = run.folder / table
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(RunError, match="a FIFO, not a file"):
        train(tmp_path, "pix2pix", resume=True, **validated)
    file.unlink()
    assert train(tmp_path, "pix2pix", resume=True, **validated).trained.finished
