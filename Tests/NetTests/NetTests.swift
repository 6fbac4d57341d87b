// NetTests: being built.
