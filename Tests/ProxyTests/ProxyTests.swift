// ProxyTests: being built.
