"""What the protocol of a number notes beside what the number depends on."""

NOTED = ("gannet", "torch")  # versions: they tell how to repeat a number, and change what it means by rounding only
