"""The experiments of the downstream evaluation: values of the column `part` of its results.

- SEARCH: every representation and patch size, at the fraction of the choice, of the first seed;
- CURVE: the one chosen on the validation split, at every fraction of the labels, of all seeds;
- the name of a variant of a task, such as "last_window": the chosen one with less to see, at the fraction of the
  choice, of all seeds;
- ROUND_TRIP: of every patch size, a linear head that shall give back, patch by patch, the clean channel that was read:
  what a representation has lost of it; at the fraction of the choice, of the first seed;
- TUNED: heads trained together with the last layers of a network;
- FROZEN: the same heads, trained in the same way on the network as it is: what lies between the two is the tuning's;
- REFERENCE: what is reached without learning; the column `representation` says by what. Its rows of the split "train"
  hold no score but, as the metric SAMPLES, the number of samples to learn from.

A network as it was before any training has the parts of every input, CURVE at the fraction of the choice alone: what it
is read by is chosen for itself, on the validation split.
"""

SEARCH = "search"
CURVE = "curve"
ROUND_TRIP = "round_trip"
TUNED = "tuned"
FROZEN = "frozen"
REFERENCE = "reference"
SAMPLES = "samples"
