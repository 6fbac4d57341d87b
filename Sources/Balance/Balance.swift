// Balance: being built.
