# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Makes the table of weather stations as figshare has it."""

from pathlib import Path

TABLE = """\
Lon,Lat,nObs,SG_rmsep,meanT,meanP,G_rmsep,C_rmsep,PerMod_RMSEP
7.82,36.83,0.975,0.754,18.025000000000002,694,0.764,0.815,-0.032
30.53,25.45,0.966,0.989,23.941666666666666,0,1.225,0.959,0.108
-147.87,64.82,0.9,1.2,-2.4,274,1.3,1.1,5.4e-4
178.43,-18.05,0.8,0.9,25.1,3040,0.95,0.9,-5.29
"""


def create(root: Path) -> None:
    """Write the table.

    Args:
        root: Folder to write to.
    """
    root.mkdir(parents=True, exist_ok=True)
    (root / 'stationDataAll.csv').write_text(TABLE)


if __name__ == '__main__':
    create(Path(__file__).parent)
