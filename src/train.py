"""Train a facial-expression model: python src/train.py --data_csv fer2013.csv"""

import sys

from ferspore.cli.train import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
