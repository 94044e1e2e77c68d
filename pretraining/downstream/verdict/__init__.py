"""Whether synthetic pictures help, told from finetunings with and without them."""
