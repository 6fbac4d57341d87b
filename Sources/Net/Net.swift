// Net: being built.
