"""USIGAN's ablation studies: Tables IV–VIII of the paper, and its equations against the released code.

The tables say which modules are on; here a module that is off has the weight 0, and one that is on its usual weight.
Numbers are as printed, misprints too: IoD in 1e7 OD·px, correlations in %.
"""

from typing import Any

from vsbench.method import Suite, SuiteRow

OFF: dict[str, Any] = {"lambda_odc": 0.0, "lambda_cc": 0.0, "lambda_tcyc": 0.0}
NO_UOT_CTM = {"lambda_tcyc": 0.0}
NO_PC_SCM = {"lambda_odc": 0.0, "lambda_cc": 0.0}

Printed = dict[str, dict[str, float]]


def printed(values: str, **stains: tuple[float, ...]) -> Printed:
    """The numbers of one row on MIST: names of the values, then the numbers by stain."""
    return {f"mist-{stain}": dict(zip(values.split(), numbers, strict=True)) for stain, numbers in stains.items()}


IV = "iod r_c r_p r_avg fid phv_avg"
TABLE_4 = Suite(
    "UOT-CTM and PC-SCM on and off, all stains",
    (
        SuiteRow("baseline", OFF, "Table IV, Baseline", printed(
            IV,
            ki67=(0.4895, 77.86, 36.34, 57.10, 27.45, 0.5023), er=(0.8598, 80.71, 42.18, 61.44, 35.27, 0.5103),
            pr=(2.4654, 82.06, 25.24, 53.65, 37.97, 0.5220), her2=(1.7549, 85.32, 32.80, 59.06, 42.14, 0.5082),
        )),
        SuiteRow("no-uot-ctm", NO_UOT_CTM, "Table IV, w/o UOT-CTM", printed(
            IV,
            ki67=(0.2595, 80.75, 71.81, 76.28, 29.40, 0.5024), er=(1.8404, 83.65, 81.91, 82.78, 35.35, 0.4662),
            pr=(1.6829, 83.53, 86.73, 85.13, 43.40, 0.4932), her2=(0.7819, 84.32, 82.94, 83.63, 37.39, 0.4728),
        )),
        SuiteRow("no-pc-scm", NO_PC_SCM, "Table IV, w/o PC-SCM", printed(
            IV,
            ki67=(0.1915, 82.70, 44.68, 63.69, 30.59, 0.4977), er=(0.4649, 86.35, 46.31, 66.33, 32.84, 0.4991),
            pr=(0.4736, 87.19, 48.90, 68.05, 34.26, 0.5150), her2=(1.5598, 85.81, 21.39, 53.60, 42.09, 0.5247),
        )),
        SuiteRow("full", {}, "Table IV, USI-GAN (ours)", printed(
            IV,
            ki67=(0.2680, 81.63, 73.88, 77.75, 27.36, 0.4702), er=(0.5109, 86.06, 84.07, 85.07, 33.06, 0.4694),
            pr=(2.0700, 87.03, 87.37, 87.20, 34.64, 0.456), her2=(1.6788, 86.63, 80.08, 83.35, 37.76, 0.4708),
        )),
    ),
)  # fmt: skip

V = "r_c r_p iod fid phv_avg"
DIRECT, BALANCED = {"transport": "direct"}, {"solver": "balanced"}
TABLE_5 = Suite(
    "Constraint on the plans (direct L1, L_tcyc) and transport (OT, UOT)",
    (
        SuiteRow("baseline", OFF, "Table V, baseline", printed(V, er=(80.71, 42.18, 0.8590, 35.27, 0.5103))),
        SuiteRow("l1-ot", NO_PC_SCM | DIRECT | BALANCED, "Table V, L1 w OT",
                 printed(V, er=(86.19, 37.51, 2.5027, 33.64, 0.5243))),
        SuiteRow("l1-uot", NO_PC_SCM | DIRECT, "Table V, L1 w UOT",
                 printed(V, er=(85.69, 43.61, 2.2763, 33.03, 0.5042))),
        SuiteRow("tcyc-ot", NO_PC_SCM | BALANCED, "Table V, L_tcyc (OT)",
                 printed(V, er=(86.25, 40.51, 1.4186, 33.23, 0.5084))),
        SuiteRow("tcyc-uot", NO_PC_SCM, "Table V, L_tcyc (UOT)",
                 printed(V, er=(86.35, 46.30, 0.4640, 32.84, 0.4991))),
    ),
    (
        "the paper names neither stain nor modules; its first and last row are those of Table IV for MIST ER, Baseline "
        "and w/o PC-SCM, so all rows are read as MIST ER without PC-SCM",
    ),
)  # fmt: skip

VI = "r_c r_p r_avg fid phv_avg"
TABLE_6 = Suite(
    "All combinations of L_odc, L_cc and L_tcyc",
    tuple(
        SuiteRow(
            "+".join(on) or "baseline",
            {f"lambda_{term}": 0.0 for term in ("odc", "cc", "tcyc") if term not in on},
            f"Table VI, {' '.join(f'L_{term}' for term in on) or 'no term'}",
            printed(VI, er=numbers),
        )
        for on, numbers in (
            ((), (80.71, 42.18, 61.44, 35.27, 0.5103)),
            (("odc",), (84.06, 81.54, 82.80, 35.16, 0.4776)),
            (("cc",), (82.63, 75.55, 79.09, 32.67, 0.4908)),
            (("odc", "cc"), (83.65, 81.91, 81.01, 35.35, 0.4662)),
            (("tcyc",), (86.35, 46.30, 66.33, 32.84, 0.4991)),
            (("cc", "tcyc"), (85.88, 70.85, 78.36, 33.05, 0.4846)),
            (("odc", "tcyc"), (85.62, 76.58, 81.10, 33.25, 0.5049)),
            (("odc", "cc", "tcyc"), (86.06, 84.07, 85.07, 33.06, 0.4694)),
        )
    ),
)

SMALL = {"load_size": 256, "crop_size": 128}
TABLE_7 = Suite(
    "Batch size, with images read at 256 and cropped to 128",
    tuple(
        SuiteRow(f"batch-{size}", NO_UOT_CTM | SMALL | {"batch_size": size}, f"Table VII, {size}",
                 printed(V, er=numbers))
        for size, numbers in (
            (1, (84.58, 23.61, 1.9810, 47.95, 0.5337)),
            (2, (84.19, 57.95, 0.8635, 49.56, 0.5136)),
            (4, (85.23, 57.11, 2.1414, 49.18, 0.5302)),
            (8, (86.14, 57.90, 2.6316, 57.81, 0.5245)),
            (16, (82.79, 61.70, 4.0556, 64.54, 0.5480)),
        )
    ),
    (
        "the paper names no stain (read as MIST ER, as in Tables V, VI and VIII) and speaks of the influence on PC-SCM "
        "(read as PC-SCM without UOT-CTM, as Table VIII is UOT-CTM without PC-SCM)",
        "epochs are equal, so a larger batch takes fewer steps; --set steps=… makes the steps equal",
        "batch 1 leaves of PC-SCM the mean density alone: an image has no other to resemble",
    ),
)  # fmt: skip

TABLE_8 = Suite(
    "Relaxation τ with UOT-CTM alone",
    tuple(
        SuiteRow(f"tau-{tau}", NO_PC_SCM | {"tau": tau}, f"Table VIII, {tau}", printed(V, er=numbers))
        for tau, numbers in (
            (0.0001, (86.63, 52.81, 0.4639, 57.39, 0.5642)),
            (0.001, (86.35, 46.31, 0.4649, 32.84, 0.4991)),
            (0.01, (87.00, 48.41, 0.5813, 59.18, 0.5772)),
            (0.1, (86.12, 42.69, 0.5827, 58.66, 0.5735)),
        )
    ),
)


def paper_vs_released(released: dict[str, Any]) -> Suite:
    """The equations' meaning, each difference of the released code alone, and all of them: the variant ``released``."""
    ours = "not in the paper"
    return Suite(
        "What the equations mean against what the released code computes, one difference at a time",
        (
            SuiteRow("paper", {}, ours),
            *(SuiteRow(setting, {setting: value}, ours) for setting, value in released.items()),
            SuiteRow("released", {"variant": "released", **released}, ours),
        ),
        ("which of the two the printed numbers of the method come from is not known",),
    )


def declare_suites(released: dict[str, Any]) -> dict[str, Suite]:
    """All studies by name. ``released`` holds the settings of the variant of that name."""
    tables = {"table4": TABLE_4, "table5": TABLE_5, "table6": TABLE_6, "table7": TABLE_7, "table8": TABLE_8}
    return tables | {"paper-vs-released": paper_vs_released(released)}
