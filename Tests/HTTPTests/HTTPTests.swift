// HTTPTests: being built.
