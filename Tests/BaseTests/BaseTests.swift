// BaseTests: being built.
