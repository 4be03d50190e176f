"""Makes the golden values with PyTorch (2.13.0). ``python -m tests.golden.make_golden``"""

import numpy as np
from tests.golden import cases
from tests.torch_twin import judge, train

SEED = 1


def main() -> None:
    results = {name: judge(case, SEED) for name, case in cases.MODELS.items()}
    results |= {name: train(case, SEED) for name, case in cases.STEPS.items()}
    for name, values in results.items():
        np.savez_compressed(cases.FOLDER / f"{name}.npz", **values)


if __name__ == "__main__":
    main()
